// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IComputeCourt } from "../../../contracts/interfaces/IComputeCourt.sol";
import { ICourtBook } from "../../../contracts/interfaces/ICourtBook.sol";
import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { Predictions } from "./Predictions.sol";
import { Shadow } from "./Shadows.sol";

/// @title What anyone may do, what everyone takes, and time
abstract contract AnyoneSide is Predictions {
    address internal constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    function settle(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        bytes memory data = abi.encodeCall(ILeaseMarket.settle, (shadow.terms));
        _call(_anyone(seed), data, _notOpen(shadow), "settle");
    }

    /// Four in a row, whatever has become of them.
    function settleMany(uint256 pick, uint256 seed) external acting(seed) {
        uint256 count = _min(_shadows.length, 4);
        Terms[] memory terms = new Terms[](count);
        for (uint256 i = 0; i < count; ++i) {
            terms[i] = _shadows[(pick % _shadows.length + i) % _shadows.length].terms;
        }
        _call(_anyone(seed), abi.encodeCall(ILeaseMarket.settleMany, (terms)), NO_REASON, "settleMany");
    }

    function close(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        for (uint256 i = 0; i < _shadows.length && seed % 2 == 0; ++i) {
            // One that can be, if there is one.
            uint256 other = (index + i) % _shadows.length;
            if (_closeReason(_shadows[other]).length != 0) continue;
            index = other;
            break;
        }
        _close(index, _anyone(seed >> 8));
    }

    /// At the end of the campaign.
    function closeLate(uint256 index) external acting(0) {
        _close(index, ATTACKER);
    }

    function _close(uint256 index, address caller) private {
        Shadow storage shadow = _shadows[index];
        bytes memory data = abi.encodeCall(ILeaseMarket.close, (shadow.terms));
        _call(caller, data, _closeReason(shadow), "close");
    }

    function releaseHours(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pick(pick);
        for (uint256 i = 0; i < _shadows.length; ++i) {
            uint256 other = ((pick >> 8) % _shadows.length + i) % _shadows.length;
            if (_releaseReason(_shadows[other]).length == 0) index = other;
        }
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        bytes memory data = abi.encodeCall(ILeaseAmendments.releaseHours, (shadow.terms));
        _call(_anyone(seed), data, _releaseReason(shadow), "releaseHours");
    }

    function withdraw(uint256 who, uint256 seed) external acting(seed) {
        address account = _payee(who);
        address token = address(_token(seed));
        uint256 due = credited[token][account] - withdrawn[token][account];
        bytes memory reason;
        if (due == 0) reason = abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, token, account);
        address to = (seed >> 8) % 2 == 0 ? account : NOBODY;
        uint256 before = _token(seed).balanceOf(to);
        _call(account, abi.encodeCall(ILeaseMarket.withdraw, (token, to)), reason, "withdraw");
        assertEq(_token(seed).balanceOf(to), before + due, "withdrawn to the unit");

        if (seed % 3 == 0) _withdrawFees(token);
        if (seed % 3 == 1) _withdrawCompensation(account);
        if (seed % 3 == 2) _withdrawFromCourt(account, seed >> 16);
        if (seed % 8 == 0) _sweepBurned();
    }

    function warp(uint256 duration, uint256) external acting(0) {
        skip(bound(duration, 1, 1 hours));
        ++calls["warp"];
    }

    /// To the start or the end of a lease, its proof's maturity, past the last time for proofs, or past the unbonding
    /// of a stake.
    function warpTo(uint256 pick, uint256 seed) external acting(0) {
        (bool found, uint256 index) = _pick(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        uint256 kind = seed % 16;
        if (kind < 3) _skipTo(shadow.terms.start);
        else if (kind < 6) _skipTo(shadow.end);
        else if (kind < 10) _skipTo(shadow.maturesAt);
        else if (kind < 13) _skipTo(_now() + CHALLENGE_SECONDS);
        else if (kind < 15) _skipTo(_lastPost(shadow) + 1);
        else _skipTo(unbondAt[shadow.terms.offer.provider]);
        ++calls["warpTo"];
    }

    function _withdrawFees(address token) internal {
        address treasury = MARKET.treasury();
        bytes memory reason;
        uint256 due = fees[token];
        if (due == 0) {
            reason = abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, token, treasury);
        }
        _call(KEEPER, abi.encodeCall(ILeaseAmendments.withdrawFees, (token)), reason, "withdrawFees");
    }

    function _withdrawCompensation(address account) internal {
        bytes memory reason;
        if (compensated[account] == compensationWithdrawn[account]) {
            reason = abi.encodeWithSelector(IProviderRegistry.NothingToWithdraw.selector, account);
        }
        bytes memory data = abi.encodeCall(REGISTRY.withdrawCompensation, (account));
        _callAt(address(REGISTRY), account, 0, data, reason, "withdrawCompensation");
    }

    function _withdrawFromCourt(address account, uint256 seed) internal {
        uint256 balance = courtBalanceOf[account];
        if (balance == 0) return;
        uint96 amount = uint96(bound(seed, 1, balance + 1));
        bytes memory reason;
        if (amount > balance) {
            reason = abi.encodeWithSelector(ICourtBook.BalanceTooSmall.selector, uint256(amount), balance);
        }
        bytes memory data = abi.encodeCall(IComputeCourt.withdraw, (account, amount));
        _callAt(address(COURT), account, 0, data, reason, "withdrawFromCourt");
    }

    function _sweepBurned() internal {
        bytes memory reason;
        if (burned == 0) {
            reason = abi.encodeWithSelector(IProviderRegistry.NothingToWithdraw.selector, NOBODY);
        }
        bytes memory data = abi.encodeCall(REGISTRY.sweepBurned, ());
        _callAt(address(REGISTRY), KEEPER, 0, data, reason, "sweepBurned");
        if (COURT.burned() == 0) reason = abi.encodeWithSelector(ICourtBook.NothingBurned.selector);
        else reason = NO_REASON;
        _callAt(
            address(COURT),
            KEEPER,
            0,
            abi.encodeCall(IComputeCourt.sweepBurned, ()),
            reason,
            "sweepBurnedInCourt"
        );
    }

    function _payee(uint256 who) internal view returns (address) {
        if (who % 5 < 2) return providers[who / 5 % ACTORS];
        if (who % 5 < 4) return renters[who / 5 % ACTORS];
        return who / 5 % 2 == 0 ? verifier : operators[who / 10 % ARBITERS];
    }
}
