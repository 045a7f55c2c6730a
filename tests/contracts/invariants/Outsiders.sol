// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";

import { IComputeCourt } from "../../../contracts/interfaces/IComputeCourt.sol";
import { ICourtProceedings } from "../../../contracts/interfaces/ICourtProceedings.sol";
import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { ILeaseSuccession } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import {
    LeaseStatus,
    LeaseTransfer,
    NoticeReason,
    Terms,
    Unit
} from "../../../contracts/libraries/Types.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { AnyoneSide } from "./AnyoneSide.sol";
import { CourtSide } from "./CourtSide.sol";
import { ProviderSide } from "./ProviderSide.sol";
import { Shadow } from "./Shadows.sol";
import { SuccessionSide } from "./SuccessionSide.sol";

/// @title Those who must change nothing: the owner, an attacker with a token of its own; and somebody who gives away
abstract contract Outsiders is ProviderSide, SuccessionSide, CourtSide, AnyoneSide {
    DevToken private immutable ATTACKERS_TOKEN = new DevToken("Attack", "ATK", 18);

    function others(uint256 seed, uint256 amount) external acting(seed) {
        if (seed % 4 == 0) return _donate(seed >> 8, amount % 1e18);
        bytes32 before = everything();
        if (seed % 4 == 1) {
            _ownerActs(seed >> 8);
        } else {
            _attackOwner();
            _attackStakes(seed >> 8);
            _attackCourt(seed >> 8);
            if (_shadows.length != 0) _attackLease(_pickBreached(seed >> 8));
            ++calls["attack"];
        }
        assertEq(everything(), before, "somebody touched what is not theirs");
    }

    /// Everything that belongs to somebody, in one word.
    function everything() public view returns (bytes32 digest) {
        for (uint256 i = 0; i < _shadows.length; ++i) {
            digest = keccak256(abi.encode(digest, MARKET.leaseState(_shadows[i].leaseId)));
        }
        for (uint256 i = 0; i < ACTORS; ++i) {
            digest = keccak256(
                abi.encode(digest, _holdings(providers[i]), _holdings(renters[i]), _holdings(ATTACKER))
            );
        }
        for (uint256 i = 0; i < units.length; ++i) {
            (Unit memory unit, uint168 booked) = REGISTRY.unitOf(units[i]);
            digest = keccak256(abi.encode(digest, unit, booked));
        }
        for (uint8 i = 0; i < ARBITERS; ++i) {
            digest = keccak256(abi.encode(digest, QUORUM.memberAt(i)));
        }
    }

    function _holdings(address account) private view returns (bytes32 digest) {
        (IProviderRegistry.StakeAccount memory stake, uint96 leaving) = REGISTRY.stakeOf(account);
        digest = keccak256(
            abi.encode(stake, leaving, REGISTRY.compensationOf(account), COURT.balanceOf(account))
        );
        for (uint256 j = 0; j < tokens.length; ++j) {
            digest = keccak256(
                abi.encode(
                    digest,
                    MARKET.creditOf(address(tokens[j]), account),
                    MARKET.feesOf(address(tokens[j])),
                    tokens[j].balanceOf(address(MARKET)),
                    tokens[j].balanceOf(account)
                )
            );
        }
    }

    function _donate(uint256 seed, uint256 amount) private {
        address[4] memory holders = [address(MARKET), address(REGISTRY), address(COURT), address(QUORUM)];
        address holder = holders[seed % 4];
        address token = address(_token(seed >> 8));
        _fund(token, holder, amount);
        donated[holder][token] += amount;
        ++calls["donate"];
    }

    /// What it decides concerns leases to come.
    function _ownerActs(uint256 seed) private {
        address token = address(_token(seed));
        bool allowed = (seed >> 8) % 8 != 0;
        bytes memory data =
            abi.encodeCall(ILeaseAmendments.setToken, (token, allowed, uint16((seed >> 16) % 301)));
        _callAt(address(MARKET), OWNER, 0, data, NO_REASON, "setToken");
        data = abi.encodeCall(ILeaseAmendments.setTreasury, (treasuries[(seed >> 32) % ACTORS]));
        _callAt(address(MARKET), OWNER, 0, data, NO_REASON, "setTreasury");
        if (_shadows.length == 0) return;
        Shadow storage shadow = _shadows[(seed >> 40) % _shadows.length];
        vm.startPrank(OWNER);
        _attackAsCourt(shadow);
        _mustFail(address(MARKET), abi.encodeCall(ILeaseAmendments.extend, (shadow.terms, shadow.end + 1)));
        _mustFail(address(MARKET), abi.encodeCall(ILeaseMarket.withdraw, (token, OWNER)));
        _mustFail(address(QUORUM), abi.encodeCall(IOracleQuorum.penalise, (0, 1)));
        _mustFail(address(QUORUM), abi.encodeCall(IOracleQuorum.withdrawBond, (0, OWNER)));
        vm.stopPrank();
    }

    function _attackOwner() private {
        address market = address(MARKET);
        vm.startPrank(ATTACKER);
        _mustFail(market, abi.encodeCall(ILeaseAmendments.setToken, (address(ATTACKERS_TOKEN), true, 0)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.setTreasury, (ATTACKER)));
        _mustFail(market, abi.encodeCall(Ownable2Step.transferOwnership, (ATTACKER)));
        _mustFail(market, abi.encodeCall(Ownable2Step.acceptOwnership, ()));
        _mustFail(address(QUORUM), abi.encodeCall(IOracleQuorum.addMember, (ATTACKER, ATTACKER)));
        _mustFail(address(QUORUM), abi.encodeCall(IOracleQuorum.removeMember, (0)));
        _mustFail(address(QUORUM), abi.encodeCall(IOracleQuorum.penalise, (0, 1)));
        _mustFail(address(QUORUM), abi.encodeCall(IOracleQuorum.withdrawBond, (0, ATTACKER)));
        vm.stopPrank();
    }

    function _attackStakes(uint256 seed) private {
        uint256 unit = seed % units.length;
        address registry = address(REGISTRY);
        bytes32[] memory gpuIds = _gpuIds(unit);
        vm.startPrank(ATTACKER);
        _attackAsMarket(unit);
        _mustFail(registry, abi.encodeCall(REGISTRY.rotateWorker, (units[unit], ATTACKER, 0)));
        _mustFail(registry, abi.encodeCall(REGISTRY.retireUnit, (units[unit], gpuIds)));
        _mustFail(registry, abi.encodeCall(REGISTRY.startUnbonding, (1)));
        _mustFail(registry, abi.encodeCall(REGISTRY.withdrawStake, (ATTACKER)));
        _mustFail(registry, abi.encodeCall(REGISTRY.withdrawCompensation, (ATTACKER)));
        address token = address(_token(seed));
        _mustFail(address(MARKET), abi.encodeCall(ILeaseMarket.withdraw, (token, ATTACKER)));
        vm.stopPrank();
    }

    function _attackAsMarket(uint256 unit) private {
        bytes32 unitId = units[unit];
        address provider = providers[unit / UNITS];
        address registry = address(REGISTRY);
        _mustFail(registry, abi.encodeCall(REGISTRY.lock, (provider, unitId, GPU_CLASS, 2, 0, 0, 0)));
        _mustFail(registry, abi.encodeCall(REGISTRY.releaseHours, (unitId, type(uint168).max)));
        _mustFail(registry, abi.encodeCall(REGISTRY.release, (provider, unitId, 0, 1, ATTACKER, 1)));
        _mustFail(registry, abi.encodeCall(REGISTRY.slash, (provider, 1, ATTACKER, 1, ATTACKER, 0)));
    }

    function _attackCourt(uint256 seed) private {
        address court = address(COURT);
        vm.startPrank(ATTACKER);
        _mustFail(court, abi.encodeCall(IComputeCourt.withdraw, (ATTACKER, 1)));
        if (_cases.length != 0) {
            uint256 index = seed % _cases.length;
            bytes memory commit = abi.encodeCall(
                ICourtProceedings.commit, (_cases[index].key, uint8(seed % ARBITERS), bytes32(seed))
            );
            _mustFail(court, commit);
            if (!_cases[index].open) {
                Terms memory terms = _shadows[_cases[index].lease].terms;
                _mustFail(court, abi.encodeCall(ICourtProceedings.resolveMoot, (_cases[index].key)));
                _mustFail(court, abi.encodeCall(ICourtProceedings.draw, (_cases[index].key, terms)));
            }
        }
        vm.stopPrank();
    }

    function _attackLease(uint256 index) private {
        Shadow storage shadow = _shadows[index];
        Terms memory terms = shadow.terms;
        address market = address(MARKET);
        vm.startPrank(ATTACKER);
        _mustFail(market, abi.encodeCall(ILeaseMarket.open, (terms, "")));
        _mustFail(market, abi.encodeCall(ILeaseMarket.list, (terms.offer)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.extend, (terms, shadow.end + 1)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.giveNotice, (terms, NoticeReason.UNSPECIFIED, 0)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.accept, (terms, shadow.proofHash, "")));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.postOrder, (terms, bytes32("order"))));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.answerOrder, (terms, shadow.order, true, "")));
        // The worker's own last proof, once more.
        _mustFail(market, abi.encodeCall(ILeaseMarket.postProof, (terms, shadow.lastProof, "")));
        _attackAsCourt(shadow);
        LeaseTransfer memory deal;
        (deal.leaseId, deal.from, deal.to, deal.deadline) =
        (shadow.leaseId, shadow.renter, ATTACKER, type(uint40).max);
        _mustFail(market, abi.encodeCall(ILeaseSuccession.transfer, (terms, deal, "", "")));
        terms.offer.token = address(ATTACKERS_TOKEN);
        _mustFail(market, abi.encodeCall(ILeaseMarket.open, (terms, "")));
        vm.stopPrank();
        _replay(shadow);
    }

    /// A breached lease, or any.
    function _pickBreached(uint256 pick) private view returns (uint256 index) {
        uint256 count = _shadows.length;
        for (uint256 i = 0; i < count; ++i) {
            index = (pick % count + i) % count;
            if (_shadows[index].status == LeaseStatus.BREACHED) return index;
        }
        return pick % count;
    }

    function _attackAsCourt(Shadow storage shadow) private {
        address market = address(MARKET);
        Terms memory terms = shadow.terms;
        bytes32 proofHash = shadow.proofHash;
        _mustFail(market, abi.encodeCall(ILeaseMarket.openDispute, (terms, proofHash)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.endDispute, (terms, proofHash, 0)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.breach, (terms, proofHash, 0, 0)));
        _mustFail(market, abi.encodeCall(ILeaseAmendments.slashBond, (terms, 0, 0)));
    }

    /// The renter opens the same terms once more, the worker posts the same proof once more; a breached lease takes none.
    function _replay(Shadow storage shadow) private {
        address market = address(MARKET);
        Terms memory terms = shadow.terms;
        vm.prank(terms.renter);
        _mustFail(market, abi.encodeCall(ILeaseMarket.open, (terms, "")));
        if (shadow.lastProof.leaseId == 0) return;
        address worker = REGISTRY.workerOf(terms.offer.unitId);
        vm.prank(worker);
        _mustFail(market, abi.encodeCall(ILeaseMarket.postProof, (terms, shadow.lastProof, "")));
        if (shadow.status == LeaseStatus.BREACHED) ++calls["attackOnBreached"];
    }

    function _mustFail(address target, bytes memory data) private {
        (bool ok,) = target.call(data);
        assertFalse(ok, "an attack succeeded");
    }
}
