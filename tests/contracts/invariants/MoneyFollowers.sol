// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

import { DisputeKey, DisputeKind, ICourtBook, Outcome } from "../../../contracts/interfaces/ICourtBook.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Case, Shadow, Shadows } from "./Shadows.sol";

/// @title Money follows the events: credits, stakes, what the court holds, what arbiters have bonded
abstract contract MoneyFollowers is Shadows {
    /// The lease whose bond the court is taking.
    uint256 internal _slashing;

    function _onWithdrawn(Vm.Log memory entry) internal {
        address token = address(uint160(uint256(entry.topics[1])));
        address account = address(uint160(uint256(entry.topics[2])));
        uint256 amount = abi.decode(entry.data, (uint256));
        assertEq(amount, credited[token][account] - withdrawn[token][account], "withdrawn");
        withdrawn[token][account] += amount;
        credits[token] -= amount;
    }

    function _onFeesWithdrawn(Vm.Log memory entry) internal {
        address token = address(uint160(uint256(entry.topics[1])));
        assertEq(abi.decode(entry.data, (uint256)), fees[token], "fees");
        fees[token] = 0;
    }

    function _onRegistry(Vm.Log memory entry) internal {
        bytes32 topic = entry.topics[0];
        if (topic == IProviderRegistry.CompensationWithdrawn.selector) {
            address account = address(uint160(uint256(entry.topics[1])));
            uint256 amount = abi.decode(entry.data, (uint96));
            assertEq(amount, compensated[account] - compensationWithdrawn[account], "compensation");
            compensationWithdrawn[account] += amount;
            compensations -= amount;
        } else if (topic == IProviderRegistry.BurnedSwept.selector) {
            assertEq(abi.decode(entry.data, (uint256)), burned, "burned");
            burned = 0;
        } else if (topic == IProviderRegistry.Slashed.selector) {
            _onSlashed(entry);
        }
    }

    function _onSlashed(Vm.Log memory entry) private {
        (uint96 restitution, uint96 reward, uint96 burn) = abi.decode(entry.data, (uint96, uint96, uint96));
        Shadow storage shadow = _shadows[_slashing - 1];
        uint256 bond = shadow.terms.offer.bond;
        address provider = shadow.terms.offer.provider;
        assertEq(entry.topics[1], bytes32(uint256(uint160(provider))), "another provider was slashed");
        assertEq(entry.topics[2], bytes32(uint256(uint160(shadow.renter))), "another renter was paid");
        assertEq(uint256(restitution) + reward + burn, bond, "slashed = restitution + reward + burned");
        assertLe(uint256(restitution) * 10, bond * 3, "restitution");
        assertLe(uint256(reward) * 10, bond * 4, "fee and reward");
        assertGe(uint256(burn) * 10, bond * 3, "burned");
        shadow.slashed = bond;
        lockedOf[provider] -= bond;
        _compensate(provider, shadow.renter, restitution);
        _compensate(provider, address(COURT), reward);
        staked[provider] -= burn;
        stakes -= burn;
        burned += burn;
        _slashing = 0;
        ++calls["slashed"];
    }

    function _onCourt(Vm.Log memory entry) internal {
        bytes32 topic = entry.topics[0];
        if (topic == ICourtBook.Challenged.selector) {
            address challenger = address(uint160(uint256(entry.topics[3])));
            DisputeKey memory key = _disputeKeyOf(entry, challenger);
            assertEq(keccak256(abi.encode(key)), entry.topics[1], "told another dispute");
            uint256 lease = _indexOf[entry.topics[2]] - 1;
            assertEq(_openCase[entry.topics[1]], 0, "a dispute opened twice");
            _cases.push(Case({ key: key, id: entry.topics[1], lease: lease, open: true }));
            _openCase[entry.topics[1]] = _cases.length;
            ++openBonds;
            _moveInCourt(challenger, -int256(uint256(CHALLENGE_BOND)));
        } else if (topic == ICourtBook.Credited.selector || topic == ICourtBook.Deposited.selector) {
            int256 amount = int256(uint256(abi.decode(entry.data, (uint96))));
            _moveInCourt(address(uint160(uint256(entry.topics[1]))), amount);
        } else if (topic == ICourtBook.Withdrawn.selector) {
            int256 amount = int256(uint256(abi.decode(entry.data, (uint96))));
            _moveInCourt(address(uint160(uint256(entry.topics[1]))), -amount);
        } else if (topic == ICourtBook.DisputeResolved.selector) {
            _onResolved(entry);
        }
    }

    function _disputeKeyOf(Vm.Log memory entry, address challenger)
        private
        pure
        returns (DisputeKey memory key)
    {
        key.leaseId = entry.topics[2];
        (key.proofHash, key.kind, key.receiptDigest, key.segment,) =
            abi.decode(entry.data, (bytes32, DisputeKind, bytes32, uint32, uint32));
        if (key.kind == DisputeKind.BISECTION) key.challenger = challenger;
    }

    function _onResolved(Vm.Log memory entry) private {
        (Outcome outcome,,,) = abi.decode(entry.data, (Outcome, uint96, uint96, uint32));
        string[6] memory names = ["stands", "refuted", "withheld", "overclaimed", "inconclusive", "moot"];
        ++calls[names[uint8(outcome)]];
        uint256 indexPlusOne = _openCase[entry.topics[1]];
        // A trace that contradicts itself costs no bond.
        if (indexPlusOne == 0) return;
        _cases[indexPlusOne - 1].open = false;
        _openCase[entry.topics[1]] = 0;
        --openBonds;
    }

    function _onQuorum(Vm.Log memory entry) internal {
        if (entry.topics[0] == IOracleQuorum.MemberPenalised.selector) {
            arbitersBonds -= abi.decode(entry.data, (uint96));
            ++calls["penalised"];
        } else if (entry.topics[0] == IOracleQuorum.BondDeposited.selector) {
            arbitersBonds += abi.decode(entry.data, (uint96));
        }
    }

    function _credit(address token, address account, uint256 amount) internal {
        credited[token][account] += amount;
        credits[token] += amount;
    }

    function _compensate(address provider, address account, uint256 amount) internal {
        compensated[account] += amount;
        compensations += amount;
        staked[provider] -= amount;
        stakes -= amount;
    }

    function _moveInCourt(address account, int256 amount) private {
        courtBalanceOf[account] = uint256(int256(courtBalanceOf[account]) + amount);
        courtBalances = uint256(int256(courtBalances) + amount);
    }
}
