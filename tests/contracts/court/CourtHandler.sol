// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    DisputeKey,
    DisputeKind,
    ICourtBook,
    Phase,
    Ruling,
    Verdict
} from "../../../contracts/interfaces/ICourtBook.sol";
import { MerkleTree } from "../../../contracts/libraries/MerkleTree.sol";
import { TraceTree } from "../../../contracts/libraries/TraceTree.sol";
import { LeaseStatus, Terms, TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

/// @title Everybody who has to do with disputes, acting at random
contract CourtHandler is CourtBase {
    struct Opened {
        DisputeKey key;
        Terms terms;
    }

    Opened[] private opened;
    mapping(bytes32 disputeId => bool) private known;
    bytes32[] private hashes;
    bytes32[] public leases;

    function setUp() public override {
        super.setUp();
        hashes = leafHashes(traceOf(LEAVES));
        leases.push(leaseId);
        fund(STRANGER, 10 * CHALLENGE_BOND);
    }

    function challenge(uint256 kind, uint32 segment, bool byStranger) external {
        address by = byStranger ? STRANGER : CHALLENGER;
        kind %= 4;
        if (kind == 0) return _note(challengeSegmentAs(by, segment % (LEAVES + 1)));
        if (kind == 1) return _note(challengeJob());
        if (kind == 2) return _note(challengeSeconds());
        _note(startBisectionAs(by));
    }

    function draw(uint256 which, uint256 late) external {
        Opened storage it = _pick(which, Phase.FIRST_DRAW, Phase.SECOND_DRAW);
        vm.roll(uint256(court.disputeOf(idOf(it.key)).drawBlock) + (late % 8 == 0 ? 300 : 1));
        proceedings.draw(it.key, it.terms);
    }

    function vote(uint256 which, uint256 seat, bool missing) external {
        Opened storage it = _pick(which, Phase.FIRST_COMMITTEE, Phase.SECOND_COMMITTEE);
        voteAs(_seat(it.key, seat), it.key, missing ? bytes32("missing") : bytes32(0));
    }

    function commit(uint256 which, uint256 seat) external {
        Opened storage it = _pick(which, Phase.FIRST_COMMITTEE, Phase.SECOND_COMMITTEE);
        uint8 member = _seat(it.key, seat);
        commitAs(member, it.key, _verdictOf(it.key, member));
    }

    /// All seats at once: else few disputes would come to a verdict.
    function judgeAll(uint256 which, uint256 absent) external {
        Opened storage it = _pick(which, Phase.FIRST_COMMITTEE, Phase.SECOND_COMMITTEE);
        uint8[] memory members = membersOf(it.key);
        absent %= members.length;
        for (uint256 i = absent; i < members.length; ++i) {
            commitAs(members[i], it.key, _verdictOf(it.key, members[i]));
        }
        skipTo(commitUntil(it.key));
        for (uint256 i = absent; i < members.length; ++i) {
            reveal(members[i], it.key, _verdictOf(it.key, members[i]));
        }
    }

    function revealSeat(uint256 which, uint256 seat) external {
        Opened storage it = _pick(which, Phase.FIRST_COMMITTEE, Phase.SECOND_COMMITTEE);
        uint8 member = _seat(it.key, seat);
        reveal(member, it.key, _verdictOf(it.key, member));
    }

    function resolveOne(uint256 which, bool withSpec) external {
        Opened storage it = _pick(which, Phase.FIRST_COMMITTEE, Phase.SECOND_COMMITTEE);
        if (withSpec) {
            receipt.leaseId = it.key.leaseId;
            proceedings.resolveRefuted(it.key, it.terms, receipt, spec);
        } else {
            proceedings.resolve(it.key, it.terms);
        }
    }

    function resolveUndrawn(uint256 which) external {
        Opened storage it = _pick(which, Phase.FIRST_DRAW, Phase.SECOND_DRAW);
        proceedings.resolve(it.key, it.terms);
    }

    function resolveMootOne(uint256 which) external {
        for (uint256 i = 0; i < opened.length; ++i) {
            Opened storage it = opened[(which % opened.length + i) % opened.length];
            if (court.disputeOf(idOf(it.key)).challenger == address(0)) continue;
            if (market.leaseState(it.key.leaseId).status != LeaseStatus.OPEN) {
                return proceedings.resolveMoot(it.key);
            }
        }
    }

    function bisect(uint256 which, bool toRight) external {
        Opened storage it = _pick(which, Phase.BISECTION, Phase.BISECTION);
        ICourtBook.Bisection memory bisection = court.bisectionOf(idOf(it.key));
        if (bisection.count == 1) {
            receipt.leaseId = it.key.leaseId;
            TraceLeaf[] memory leaves = traceOf(LEAVES);
            uint256 index = bisection.first;
            return court.revealLeaves(it.key, receipt, leaves[index == 0 ? 0 : index - 1], leaves[index]);
        }
        uint256 left = TraceTree.leftCount(bisection.count);
        bytes32 leftNode = _node(bisection.first, left);
        bytes32 rightNode = _node(bisection.first + left, bisection.count - left);
        if (!bisection.challengersTurn) return court.revealChildren(it.key, leftNode, rightNode);
        vm.prank(it.key.challenger);
        court.descend(it.key, leftNode, rightNode, toRight);
    }

    function claimTimeout(uint256 which) external {
        Opened storage it = _pick(which, Phase.BISECTION, Phase.BISECTION);
        proceedings.claimTimeout(it.key, it.terms);
    }

    /// The next proof; on the next lease where this one is over.
    function post() external {
        if (market.leaseState(leaseId).status != LeaseStatus.OPEN) {
            bytes32 unit = registerUnitAs(PROVIDER, WORKER, leaseId, gpuIdsOf(vm.toString(leaseId), 2));
            unitId = unit;
            Terms memory next = defaultTerms();
            next.offer.validUntil = uint40(vm.getBlockTimestamp());
            leaseId = openLease(next);
            terms = next;
            leases.push(leaseId);
            skip(CLAIM);
        }
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        postDefault(LEAVES);
    }

    function wait(uint256 seconds_) external {
        skip(bound(seconds_, 1, 20 minutes));
    }

    function withdraw(uint96 amount) external {
        amount = uint96(bound(amount, 1, court.balanceOf(CHALLENGER)));
        vm.prank(CHALLENGER);
        court.withdraw(CHALLENGER, amount);
        fund(CHALLENGER, amount);
    }

    function sweep() external {
        court.sweepBurned();
    }

    function topUp() external {
        topUpArbiters();
    }

    function openBonds() public view returns (uint256 open) {
        for (uint256 i = 0; i < opened.length; ++i) {
            if (court.disputeOf(idOf(opened[i].key)).challenger != address(0)) ++open;
        }
    }

    function checkBooks() external view {
        assertBooks(openBonds());
    }

    function checkOpenDisputes() external view {
        for (uint256 i = 0; i < leases.length; ++i) {
            uint256 open = 0;
            for (uint256 j = 0; j < opened.length; ++j) {
                if (opened[j].key.leaseId != leases[i]) continue;
                if (court.disputeOf(idOf(opened[j].key)).challenger != address(0)) ++open;
            }
            if (market.leaseState(leases[i]).status != LeaseStatus.OPEN) open = 0;
            assertEq(market.leaseState(leases[i]).openDisputes, open, "disputes that the market counts");
        }
    }

    /// After its longest time every dispute can be ended by anybody, in one call.
    function endAll() external {
        skip(court.DISPUTE_MAX_SECONDS());
        for (uint256 i = 0; i < opened.length; ++i) {
            DisputeKey memory key = opened[i].key;
            Phase phase = phaseOf(key);
            if (phase == Phase.NONE || phase == Phase.FINAL) continue;
            if (market.leaseState(key.leaseId).status != LeaseStatus.OPEN) {
                proceedings.resolveMoot(key);
            } else if (phase == Phase.BISECTION) {
                proceedings.claimTimeout(key, opened[i].terms);
            } else {
                proceedings.resolve(key, opened[i].terms);
            }
        }
        assertEq(openBonds(), 0, "every dispute ends");
        assertBooks(0);
    }

    function _note(DisputeKey memory key) private {
        if (known[idOf(key)]) return;
        known[idOf(key)] = true;
        opened.push(Opened({ key: key, terms: terms }));
    }

    /// The next dispute in one of these phases.
    function _pick(uint256 which, Phase one, Phase other) private view returns (Opened storage it) {
        for (uint256 i = 0; i < opened.length; ++i) {
            it = opened[(which % opened.length + i) % opened.length];
            Phase phase = phaseOf(it.key);
            if (phase == one || phase == other) return it;
        }
        revert("no such dispute");
    }

    function _seat(DisputeKey memory key, uint256 seat) private view returns (uint8) {
        uint8[] memory members = membersOf(key);
        return members[seat % members.length];
    }

    /// What this arbiter finds in this round: most agree.
    function _verdictOf(DisputeKey memory key, uint8 member) private view returns (Verdict memory) {
        uint32 round = court.disputeOf(idOf(key)).drawBlock;
        uint256 common = uint256(keccak256(abi.encode(idOf(key), round)));
        uint256 own = uint256(keccak256(abi.encode(idOf(key), round, member)));
        uint256 ruling = own % 4 == 0 ? own / 4 % 3 : common % 3;
        return Verdict({
            ruling: Ruling(ruling + 1),
            stateRoot: "state",
            errorPpb: 0,
            provenSeconds: uint32(key.kind == DisputeKind.AVAILABILITY ? common % CLAIM : 0)
        });
    }

    function _node(uint256 first, uint256 count) private view returns (bytes32) {
        bytes32[] memory leaves = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            leaves[i] = hashes[first + i];
        }
        return MerkleTree.root(leaves);
    }
}
