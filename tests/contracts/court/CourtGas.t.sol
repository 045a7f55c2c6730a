// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    DisputeKey,
    ProvenLeaf,
    ProvenReceipt,
    Ruling,
    Verdict
} from "../../../contracts/interfaces/ICourtBook.sol";
import { TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract CourtGasTest is CourtBase {
    function test_WhenATraceOf256LeavesIsDisputed() external {
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        postDefault(256);
        TraceLeaf[] memory leaves = traceOf(256);
        ProvenLeaf memory claimed = provenLeaf(leaves, 101);
        ProvenReceipt memory proven_ = proven();
        vm.prank(CHALLENGER);
        court.challengeSegment(terms, proof, proven_, 101, leaves[100], claimed);
        _expectAtMost("challengeSegment", 115_000);
        DisputeKey memory key = segmentKey(101);
        vm.roll(uint256(court.disputeOf(idOf(key)).drawBlock) + 1);
        proceedings.draw(key, terms);
        _expectAtMost("draw", 190_000);
        commitAs(membersOf(key)[0], key, verdict(Ruling.STANDS));
        _expectAtMost("commit", 80_000);
        uint256 snapshot = vm.snapshotState();
        judgeRest(key, verdict(Ruling.STANDS));
        resolve(key);
        _expectAtMost("resolve, stands", 320_000);
        assertTrue(vm.revertToState(snapshot));
        judgeRest(key, verdict(Ruling.REFUTED));
        resolveRefuted(key);
        _expectAtMost("resolve, refuted", 400_000);
    }

    /// The first of five has committed.
    function judgeRest(DisputeKey memory key, Verdict memory others) private {
        uint8[] memory members = membersOf(key);
        for (uint256 i = 1; i < members.length; ++i) {
            commitAs(members[i], key, others);
        }
        skipTo(commitUntil(key));
        reveal(members[0], key, verdict(Ruling.STANDS));
        for (uint256 i = 1; i < members.length; ++i) {
            reveal(members[i], key, others);
        }
        _expectAtMost("reveal", 90_000);
    }

    function _expectAtMost(string memory call, uint256 gas) private {
        uint256 used = vm.lastCallGas().gasTotalUsed;
        emit log_named_uint(call, used);
        assertLe(used, gas, call);
    }
}
