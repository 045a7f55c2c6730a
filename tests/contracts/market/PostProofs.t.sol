// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import {
    CompletionProof,
    LeaseState,
    LeaseStatus,
    ProofClaim,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract PostProofsTest is Base {
    bytes32 private constant JOBS_ROOT = keccak256("jobs of both");
    bytes32 private constant HEARTBEATS_ROOT = keccak256("heartbeats of both");

    Terms[] private terms;
    ProofClaim[] private claims;

    /// Two leases of one worker, an hour old.
    function setUp() public override {
        super.setUp();
        Terms memory first = defaultTerms();
        Terms memory second = termsOfAnotherUnit("second");
        openLease(first);
        openLease(second);
        terms.push(first);
        terms.push(second);
        claims.push(ProofClaim({ provenSeconds: 40 minutes, jobsCompleted: 3, energyJoules: 1000 }));
        claims.push(ProofClaim({ provenSeconds: 1 hours, jobsCompleted: 4, energyJoules: 2000 }));
        skip(1 hours);
    }

    function test_RevertWhen_ClaimsAreFewerThanLeases() external {
        claims.pop();
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.LengthMismatch.selector, 2, 1));
    }

    function test_RevertWhen_OneLeaseIsOfAnotherWorker() external {
        vm.prank(PROVIDER);
        registry.rotateWorker(terms[1].offer.unitId, STRANGER, bytes32(0));
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.OnlyWorker.selector, STRANGER, WORKER));
    }

    function test_RevertWhen_CallerIsNotWorker() external {
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.OnlyWorker.selector, WORKER, PROVIDER));
        vm.prank(PROVIDER);
        market.postProofs(terms, claims, 7, JOBS_ROOT, HEARTBEATS_ROOT);
    }

    function test_RevertWhen_OneClaimIsOutOfRange() external {
        claims[1].provenSeconds = 1 hours + 1;
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.ProvenSecondsOutOfRange.selector, 0, 1 hours, 1 hours + 1)
        );
    }

    function test_RevertWhen_OneLeaseHasAPendingProof() external {
        postProof(terms[1], 1 hours);
        uint256 maturesAt = MONDAY + 1 hours + CHALLENGE_SECONDS;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProofPending.selector, maturesAt, MONDAY + 1 hours));
    }

    function test_RevertWhen_OneLeaseIsNamedTwice() external {
        terms[1] = terms[0];
        uint256 maturesAt = MONDAY + 1 hours + CHALLENGE_SECONDS;
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ProofPending.selector, maturesAt, MONDAY + 1 hours));
    }

    function test_RevertWhen_OneLeaseIsBreached() external {
        postProof(terms[1], 1 hours);
        breach(terms[1]);
        _expectRevertOf(leaseNotOpen(market.leaseIdOf(terms[1]), LeaseStatus.BREACHED));
    }

    function test_RevertWhen_OneLeaseHasNotStarted() external {
        Terms memory third = termsOfAnotherUnit("third");
        third.start += 1 hours;
        openLease(third);
        terms[1] = third;
        _expectRevertOf(
            abi.encodeWithSelector(ILeaseBook.LeaseNotStarted.selector, third.start, MONDAY + 1 hours)
        );
    }

    function test_WhenBothClaimsAreGood() external {
        for (uint256 i = 0; i < 2; ++i) {
            CompletionProof memory proof = _proof(i, 0);
            vm.expectEmit(address(market));
            emit ILeaseBook.ProofPosted(
                proof.leaseId, digests.hashCompletionProof(proof), proof, MONDAY + 1 hours + CHALLENGE_SECONDS
            );
        }
        _post();
        for (uint256 i = 0; i < 2; ++i) {
            LeaseState memory state = stateOf(terms[i]);
            assertEq(state.pendingSeconds, claims[i].provenSeconds);
            assertEq(state.matureOffset, 1 hours + CHALLENGE_SECONDS);
            assertEq(state.proofHash, digests.hashCompletionProof(_proof(i, 0)));
        }
        assertNotEq(stateOf(terms[0]).proofHash, stateOf(terms[1]).proofHash);
    }

    function test_WhenFormerProofsHaveMatured() external {
        _post();
        bytes32 first = stateOf(terms[0]).proofHash;
        skip(CHALLENGE_SECONDS);
        _post();
        assertEq(stateOf(terms[0]).settledSeconds, 40 minutes);
        assertEq(stateOf(terms[1]).settledSeconds, 1 hours);
        assertEq(stateOf(terms[0]).proofHash, digests.hashCompletionProof(_proof(0, first)));
        assertEq(creditOf(PROVIDER) + feesKept(), 2.4e6 + 3.6e6);
    }

    function test_WhenThereAreNoLeases() external {
        vm.recordLogs();
        vm.prank(STRANGER);
        market.postProofs(new Terms[](0), new ProofClaim[](0), 0, JOBS_ROOT, HEARTBEATS_ROOT);
        assertEq(vm.getRecordedLogs().length, 0);
    }

    function _post() private {
        vm.prank(WORKER);
        market.postProofs(terms, claims, 7, JOBS_ROOT, HEARTBEATS_ROOT);
    }

    /// One entry that is wrong takes the others with it.
    function _expectRevertOf(bytes memory reason) private {
        bytes memory before = abi.encode(stateOf(terms[0]));
        vm.expectRevert(reason);
        _post();
        assertEq(abi.encode(stateOf(terms[0])), before);
    }

    function _proof(uint256 i, bytes32 previous) private view returns (CompletionProof memory) {
        return CompletionProof({
            leaseId: market.leaseIdOf(terms[i]),
            previousProof: previous,
            provenSeconds: claims[i].provenSeconds,
            jobsCompleted: claims[i].jobsCompleted,
            leafCount: 7,
            jobsRoot: JOBS_ROOT,
            availabilityRoot: HEARTBEATS_ROOT,
            energyJoules: claims[i].energyJoules
        });
    }
}
