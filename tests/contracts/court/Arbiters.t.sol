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
import { ICourtProceedings } from "../../../contracts/interfaces/ICourtProceedings.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { CourtBase } from "./CourtBase.sol";

/// A contract that signs what its owner signed, by EIP-1271.
contract ContractArbiter {
    address private immutable OWNER;

    constructor(address owner) {
        OWNER = owner;
    }

    function isValidSignature(bytes32 digest, bytes calldata signature) external view returns (bytes4) {
        (bytes32 r, bytes32 s, uint8 v) = abi.decode(signature, (bytes32, bytes32, uint8));
        return ecrecover(digest, v, r, s) == OWNER ? this.isValidSignature.selector : bytes4(0);
    }
}

contract ArbitersTest is CourtBase {
    DisputeKey private key;
    bytes32 private id;
    uint8[] private members;
    uint8 private first;
    uint8 private outsider;

    function setUp() public override {
        super.setUp();
        key = challengeSegment();
        id = idOf(key);
        members = drawCommittee(key);
        first = members[0];
        while (isIn(members, outsider)) {
            ++outsider;
        }
    }

    function test_WhenAnArbiterVotesOnData() external {
        vm.expectEmit(address(court));
        emit ICourtBook.DataVoted(id, _round(), first, "missing");
        voteAs(first, key, "missing");
        voteAs(members[1], key, 0);
        ICourtBook.Committee memory committee = court.committeeOf(id);
        assertEq(committee.voted, _bit(first) | _bit(members[1]));
        assertEq(committee.withheld, _bit(first));
    }

    function test_WhenAnArbiterSignsItsVote() external {
        bytes memory signature = _signVote(arbiterKeys[first], id, _round(), "missing");
        vm.prank(STRANGER);
        proceedings.voteData(key, first, "missing", signature);
        assertEq(court.committeeOf(id).withheld, _bit(first));
    }

    function test_WhenAnArbiterIsAContract() external {
        ContractArbiter signer = new ContractArbiter(arbiters[first]);
        vm.etch(arbiters[first], address(signer).code);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(arbiterKeys[first], _voteDigest(id, _round(), "missing"));
        proceedings.voteData(key, first, "missing", abi.encode(r, s, v));
        assertEq(court.committeeOf(id).withheld, _bit(first));
    }

    function test_RevertWhen_SomebodyElseVotes() external {
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.OnlyArbiter.selector, arbiters[first], arbiters[members[1]])
        );
        vm.prank(arbiters[members[1]]);
        proceedings.voteData(key, first, "missing", "");
    }

    function test_RevertWhen_VoteIsSignedByAnother() external {
        _expectVoteInvalid(_signVote(arbiterKeys[members[1]], id, _round(), "missing"));
    }

    function test_RevertWhen_VoteWasSignedForAnotherDigest() external {
        _expectVoteInvalid(_signVote(arbiterKeys[first], id, _round(), "other"));
    }

    function test_RevertWhen_VoteWasSignedForAnotherDispute() external {
        _expectVoteInvalid(_signVote(arbiterKeys[first], "other", _round(), "missing"));
    }

    function test_RevertWhen_VoteWasSignedForAnotherRound() external {
        _expectVoteInvalid(_signVote(arbiterKeys[first], id, _round() + 1, "missing"));
    }

    function test_RevertWhen_VotesSignatureHasAHighS() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(arbiterKeys[first], _voteDigest(id, _round(), "missing"));
        uint256 order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;
        _expectVoteInvalid(abi.encodePacked(r, bytes32(order - uint256(s)), v == 27 ? uint8(28) : uint8(27)));
    }

    function test_RevertWhen_AnArbiterVotesTwice() external {
        voteAs(first, key, 0);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.VotedAlready.selector, first));
        vm.prank(arbiters[first]);
        proceedings.voteData(key, first, "missing", "");
    }

    function test_RevertWhen_AnArbiterWasNotDrawn() external {
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.NotDrawn.selector, outsider));
        vm.prank(arbiters[outsider]);
        proceedings.voteData(key, outsider, "missing", "");
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.NotDrawn.selector, uint8(200)));
        proceedings.commit(key, 200, "commitment");
    }

    function test_RevertWhen_DataPhaseIsOver() external {
        skipTo(dataUntil(key));
        vm.expectRevert(tooLate(dataUntil(key)));
        vm.prank(arbiters[first]);
        proceedings.voteData(key, first, "missing", "");
    }

    function test_WhenDataPhaseIsAlmostOver() external {
        skipTo(dataUntil(key) - 1);
        voteAs(first, key, "missing");
        assertEq(court.committeeOf(id).withheld, _bit(first));
    }

    function test_RevertWhen_DataOfSecondsAreVotedOn() external {
        DisputeKey memory other = challengeSeconds();
        drawCommittee(other);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.NoDataVote.selector, DisputeKind.AVAILABILITY));
        proceedings.voteData(other, first, "missing", "");
    }

    function test_RevertWhen_NoCommitteeSits() external {
        DisputeKey memory other = challengeJob();
        vm.expectRevert(phaseMismatch(other, Phase.FIRST_DRAW));
        proceedings.voteData(other, first, "missing", "");
        vm.expectRevert(phaseMismatch(other, Phase.FIRST_DRAW));
        proceedings.commit(other, first, "commitment");
        vm.expectRevert(phaseMismatch(other, Phase.FIRST_DRAW));
        proceedings.reveal(other, first, verdict(Ruling.STANDS), SALT);
    }

    function test_WhenAnArbiterCommits() external {
        vm.expectEmit(address(court));
        emit ICourtBook.VerdictCommitted(id, _round(), first, "commitment");
        vm.prank(arbiters[first]);
        proceedings.commit(key, first, "commitment");
        assertEq(court.ballotOf(id, _round(), first).commitment, "commitment");
    }

    function test_RevertWhen_SomebodyElseCommits() external {
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.OnlyArbiter.selector, arbiters[first], STRANGER));
        vm.prank(STRANGER);
        proceedings.commit(key, first, "commitment");
    }

    function test_RevertWhen_AnArbiterCommitsTwice() external {
        commitAs(first, key, verdict(Ruling.STANDS));
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.CommittedAlready.selector, first));
        vm.prank(arbiters[first]);
        proceedings.commit(key, first, "another");
    }

    function test_RevertWhen_TimeToCommitIsOver() external {
        skipTo(commitUntil(key));
        vm.expectRevert(tooLate(commitUntil(key)));
        vm.prank(arbiters[first]);
        proceedings.commit(key, first, "commitment");
    }

    function test_RevertWhen_DataIsFoundWithheld() external {
        for (uint256 i = 0; i < 3; ++i) {
            voteAs(members[i], key, "missing");
        }
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.DataWithheld.selector, id));
        vm.prank(arbiters[first]);
        proceedings.commit(key, first, "commitment");
    }

    function test_WhenAVerdictIsRevealed() external {
        skipTo(commitUntil(key) - 1);
        Verdict memory verdict_ = Verdict(Ruling.REFUTED, keccak256("mine"), 7, 8);
        commitAs(first, key, verdict_);
        skipTo(commitUntil(key));
        vm.expectEmit(address(court));
        emit ICourtBook.VerdictRevealed(id, _round(), first, verdict_);
        vm.prank(STRANGER);
        proceedings.reveal(key, first, verdict_, SALT);
        ICourtBook.Ballot memory ballot = court.ballotOf(id, _round(), first);
        assertEq(uint8(ballot.ruling), uint8(Ruling.REFUTED));
        assertEq(ballot.errorPpb, 7);
        assertEq(ballot.provenSeconds, 8);
        assertEq(bytes32(ballot.stateTag), bytes32(bytes19(keccak256("mine"))));
        assertEq(court.committeeOf(id).revealed, _bit(first));
    }

    function test_RevertWhen_RevealedWhileOthersMayCommit() external {
        commitAs(first, key, verdict(Ruling.STANDS));
        skipTo(commitUntil(key) - 1);
        vm.expectRevert(tooEarly(commitUntil(key)));
        proceedings.reveal(key, first, verdict(Ruling.STANDS), SALT);
    }

    function test_WhenTimeToRevealIsAlmostOver() external {
        commitAs(first, key, verdict(Ruling.STANDS));
        skipTo(revealUntil(key) - 1);
        reveal(first, key, verdict(Ruling.STANDS));
        assertEq(court.committeeOf(id).revealed, _bit(first));
    }

    function test_RevertWhen_TimeToRevealIsOver() external {
        commitAs(first, key, verdict(Ruling.STANDS));
        skipTo(revealUntil(key));
        vm.expectRevert(tooLate(revealUntil(key)));
        proceedings.reveal(key, first, verdict(Ruling.STANDS), SALT);
    }

    function test_RevertWhen_RevealedTwice() external {
        commitAs(first, key, verdict(Ruling.STANDS));
        skipTo(commitUntil(key));
        reveal(first, key, verdict(Ruling.STANDS));
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.RevealedAlready.selector, first));
        proceedings.reveal(key, first, verdict(Ruling.STANDS), SALT);
    }

    function test_RevertWhen_NothingWasCommitted() external {
        skipTo(commitUntil(key));
        Verdict memory verdict_ = verdict(Ruling.STANDS);
        bytes32 actual = proceedings.commitmentOf(id, _round(), arbiters[first], verdict_, SALT);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.CommitmentMismatch.selector, bytes32(0), actual));
        proceedings.reveal(key, first, verdict_, SALT);
    }

    function test_RevertWhen_AnotherVerdictIsRevealed() external {
        commitAs(first, key, verdict(Ruling.STANDS));
        bytes32 committed = court.ballotOf(id, _round(), first).commitment;
        skipTo(commitUntil(key));
        Verdict memory other = verdict(Ruling.REFUTED);
        bytes32 actual = proceedings.commitmentOf(id, _round(), arbiters[first], other, SALT);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.CommitmentMismatch.selector, committed, actual));
        proceedings.reveal(key, first, other, SALT);
    }

    function test_RevertWhen_RulingIsNone() external {
        commitAs(first, key, verdict(Ruling.NONE));
        skipTo(commitUntil(key));
        vm.expectRevert(ICourtBook.RulingInvalid.selector);
        proceedings.reveal(key, first, verdict(Ruling.NONE), SALT);
    }

    /// A lazy arbiter copies a diligent one's commitment, and later its verdict and salt.
    function test_RevertWhen_ACopiedCommitmentIsRevealed() external {
        Verdict memory verdict_ = verdict(Ruling.STANDS);
        commitAs(first, key, verdict_);
        bytes32 copied = court.ballotOf(id, _round(), first).commitment;
        uint8 lazy = members[1];
        vm.prank(arbiters[lazy]);
        proceedings.commit(key, lazy, copied);
        skipTo(commitUntil(key));
        reveal(first, key, verdict_);
        bytes32 actual = proceedings.commitmentOf(id, _round(), arbiters[lazy], verdict_, SALT);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.CommitmentMismatch.selector, copied, actual));
        proceedings.reveal(key, lazy, verdict_, SALT);
    }

    function test_WhenACommitmentOfTheFirstRoundIsLeft() external {
        topUpArbiters();
        commitAs(first, key, verdict(Ruling.STANDS));
        uint32 round = _round();
        skipTo(revealUntil(key));
        resolve(key);
        drawCommittee(key);
        assertGt(_round(), round);
        assertEq(court.ballotOf(id, _round(), first).commitment, 0);
        assertEq(court.committeeOf(id).revealed, 0);
    }

    function test_WhenTheCodeBehindIsCalledByItself() external {
        address code = court.PROCEEDINGS();
        vm.expectRevert(phaseMismatch(key, Phase.NONE));
        ICourtProceedings(code).resolve(key, terms);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_COMMITTEE));
    }

    function _expectVoteInvalid(bytes memory signature) private {
        bytes32 digest = _voteDigest(id, _round(), "missing");
        vm.expectRevert(
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, arbiters[first], digest)
        );
        proceedings.voteData(key, first, "missing", signature);
    }

    function _signVote(uint256 signerKey, bytes32 disputeId, uint32 drawBlock, bytes32 missingDigest)
        private
        view
        returns (bytes memory)
    {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(signerKey, _voteDigest(disputeId, drawBlock, missingDigest));
        return abi.encodePacked(r, s, v);
    }

    function _voteDigest(bytes32 disputeId, uint32 drawBlock, bytes32 missingDigest)
        private
        view
        returns (bytes32)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("DataVote(bytes32 disputeId,uint32 drawBlock,bytes32 missingDigest)"),
                disputeId,
                drawBlock,
                missingDigest
            )
        );
        return keccak256(abi.encodePacked(hex"1901", court.domainSeparator(), structHash));
    }

    function _round() private view returns (uint32) {
        return court.disputeOf(id).drawBlock;
    }

    function _bit(uint8 member) private pure returns (uint64) {
        return uint64(1) << member;
    }
}
