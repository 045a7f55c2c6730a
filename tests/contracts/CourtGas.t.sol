// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { DisputeKey, ProvenLeaf, ProvenReceipt, Ruling } from "../../contracts/interfaces/ICourtBook.sol";
import { Terms, TraceLeaf } from "../../contracts/libraries/Types.sol";
import { CourtBase } from "./court/CourtBase.sol";

/// @title What a dispute costs, under the conditions of tests/contracts/Gas.t.sol
/// @notice One segment of 256 leaves; a committee of five of one mind. Resolving pays each of them.
abstract contract CourtGasScenarios is CourtBase {
    string internal group;

    function test_GasOfADispute() external {
        TraceLeaf[] memory leaves = traceOf(256);
        ProvenLeaf memory claimed = provenLeaf(leaves, 101);
        ProvenReceipt memory proven_ = proven();
        vm.prank(CHALLENGER);
        court.challengeSegment(terms, proof, proven_, 101, leaves[100], claimed);
        vm.snapshotGasLastCall(group, "challenge");
        DisputeKey memory key = segmentKey(101);
        drawCommittee(key);
        judgeDrawn(key, all(verdict(Ruling.REFUTED), 5));
        resolveRefuted(key);
        vm.snapshotGasLastCall(group, "slash");
    }
}

/// @notice Steady state: renter, challenger, arbiters and court were paid before, and stake was burned before.
contract CourtGasTest is CourtGasScenarios {
    function setUp() public override {
        super.setUp();
        group = "steady";
        for (uint256 i = 0; i < operators.length; ++i) {
            fund(operators[i], 1);
        }
        DisputeKey memory key = challengeJob();
        judge(key, all(verdict(Ruling.REFUTED), 5));
        resolveRefuted(key);
        market.close(terms);
        Terms memory next = defaultTerms();
        next.offer.validUntil = next.start;
        leaseId = openLease(next);
        terms = next;
        skip(CLAIM);
        postDefault(256);
    }
}

/// @notice First time: nobody was ever paid, nothing was ever slashed.
contract CourtGasFirstTimeTest is CourtGasScenarios {
    function setUp() public override {
        super.setUp();
        group = "first_time";
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        postDefault(256);
    }
}
