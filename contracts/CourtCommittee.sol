// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { CourtBook } from "./CourtBook.sol";
import { DisputeKey, DisputeKind, Phase, Ruling, Verdict } from "./interfaces/ICourtBook.sol";
import { ICourtProceedings } from "./interfaces/ICourtProceedings.sol";
import { IOracleQuorum } from "./interfaces/IOracleQuorum.sol";
import { MemberSet } from "./libraries/MemberSet.sol";
import { Terms } from "./libraries/Types.sol";
import { Verdicts } from "./libraries/Verdicts.sol";

/// @title How arbiters are drawn, vote on data, commit and reveal
abstract contract CourtCommittee is ICourtProceedings, CourtBook {
    using MemberSet for uint8;
    using MemberSet for uint64;
    using SafeCast for uint256;

    bytes32 private constant DATA_VOTE_TYPEHASH =
        keccak256("DataVote(bytes32 disputeId,uint32 drawBlock,bytes32 missingDigest)");

    /// @inheritdoc ICourtProceedings
    function draw(DisputeKey calldata key, Terms calldata terms) external override nonReentrant {
        bytes32 disputeId = _idOf(key);
        Dispute storage dispute = _disputes[disputeId];
        Phase phase = dispute.phase;
        if (!_inDraw(phase)) revert PhaseMismatch(disputeId, phase);
        uint256 until = uint256(dispute.since) + DRAW_SECONDS;
        if (block.timestamp >= until) revert TooLate(until, block.timestamp);
        uint32 drawBlock = dispute.drawBlock;
        if (block.number <= drawBlock) revert DrawBlockNotMined(drawBlock, block.number);
        bytes32 leaseId = MARKET.leaseIdOf(terms);
        if (leaseId != key.leaseId) revert LeaseMismatch(key.leaseId, leaseId);
        bytes32 blockHash = blockhash(drawBlock);
        if (blockHash == 0) return _armDraw(disputeId, dispute);

        bytes32 seed = keccak256(abi.encode(block.chainid, disputeId, drawBlock, blockHash));
        uint64 members = _drawMembers(seed, dispute, leaseId, terms);
        if (members.count() < MIN_COMMITTEE) return _endUndecided(disputeId, key, terms, 0);
        dispute.phase = phase == Phase.FIRST_DRAW ? Phase.FIRST_COMMITTEE : Phase.SECOND_COMMITTEE;
        dispute.since = block.timestamp.toUint40();
        _committees[disputeId] = Committee({ members: members, voted: 0, withheld: 0, revealed: 0 });
        emit CommitteeDrawn(disputeId, drawBlock, members);
    }

    /// @inheritdoc ICourtProceedings
    function voteData(DisputeKey calldata key, uint8 member, bytes32 missingDigest, bytes calldata signature)
        external
        override
        nonReentrant
    {
        if (key.kind == DisputeKind.AVAILABILITY) revert NoDataVote(key.kind);
        (bytes32 disputeId, Dispute storage dispute, Committee storage committee) = _seated(key, member);
        (uint256 dataUntil,,) = _windows(key.kind, dispute.since);
        if (block.timestamp >= dataUntil) revert TooLate(dataUntil, block.timestamp);
        uint64 voted = committee.voted;
        if (voted.has(member)) revert VotedAlready(member);
        uint32 drawBlock = dispute.drawBlock;
        _requireVoter(disputeId, drawBlock, member, missingDigest, signature);
        committee.voted = voted | member.bit();
        if (missingDigest != 0) committee.withheld |= member.bit();
        emit DataVoted(disputeId, drawBlock, member, missingDigest);
    }

    /// @inheritdoc ICourtProceedings
    function commit(DisputeKey calldata key, uint8 member, bytes32 commitment)
        external
        override
        nonReentrant
    {
        (bytes32 disputeId, Dispute storage dispute, Committee storage committee) = _seated(key, member);
        (, uint256 commitUntil,) = _windows(key.kind, dispute.since);
        if (block.timestamp >= commitUntil) revert TooLate(commitUntil, block.timestamp);
        if (_isWithheld(committee.withheld, committee.members)) revert DataWithheld(disputeId);
        address signer = QUORUM.memberAt(member).signer;
        if (_msgSender() != signer) revert OnlyArbiter(signer, _msgSender());
        uint32 drawBlock = dispute.drawBlock;
        Ballot storage ballot = _ballots[disputeId][drawBlock][member];
        if (ballot.commitment != 0) revert CommittedAlready(member);
        ballot.commitment = commitment;
        emit VerdictCommitted(disputeId, drawBlock, member, commitment);
    }

    /// @inheritdoc ICourtProceedings
    function reveal(DisputeKey calldata key, uint8 member, Verdict calldata verdict, bytes32 salt)
        external
        override
        nonReentrant
    {
        (bytes32 disputeId, Dispute storage dispute, Committee storage committee) = _seated(key, member);
        _requireRevealing(key.kind, dispute.since);
        uint64 revealed = committee.revealed;
        if (revealed.has(member)) revert RevealedAlready(member);
        if (verdict.ruling == Ruling.NONE) revert RulingInvalid();
        committee.revealed = revealed | member.bit();
        uint32 drawBlock = dispute.drawBlock;
        Ballot storage ballot = _ballots[disputeId][drawBlock][member];
        ballot.ruling = verdict.ruling;
        ballot.errorPpb = verdict.errorPpb;
        ballot.provenSeconds = verdict.provenSeconds;
        ballot.stateTag = bytes19(verdict.stateRoot);
        emit VerdictRevealed(disputeId, drawBlock, member, verdict);
        bytes32 actual = commitmentOf(disputeId, drawBlock, QUORUM.memberAt(member).signer, verdict, salt);
        if (actual != ballot.commitment) revert CommitmentMismatch(ballot.commitment, actual);
    }

    /// @inheritdoc ICourtProceedings
    function commitmentOf(
        bytes32 disputeId,
        uint32 drawBlock,
        address signer,
        Verdict calldata verdict,
        bytes32 salt
    ) public pure override returns (bytes32) {
        return keccak256(abi.encode(disputeId, drawBlock, signer, verdict, salt));
    }

    /// The proof stands for want of a verdict.
    /// @param payees who share the fee
    function _endUndecided(bytes32 disputeId, DisputeKey calldata key, Terms calldata terms, uint64 payees)
        internal
        virtual;

    /// @return whether all who committed in this round have revealed
    function _allRevealed(bytes32 disputeId, uint32 drawBlock, Committee memory committee)
        internal
        view
        returns (bool)
    {
        uint8[] memory missing = (committee.members & ~committee.revealed).list();
        for (uint256 i = 0; i < missing.length; ++i) {
            if (_ballots[disputeId][drawBlock][missing[i]].commitment != 0) return false;
        }
        return true;
    }

    function _isWithheld(uint64 withheld, uint64 members) internal pure returns (bool) {
        return Verdicts.isMajority(withheld, members.count());
    }

    /// Fisher-Yates over the active members, leaving out those who have a part in the case.
    function _drawMembers(bytes32 seed, Dispute memory dispute, bytes32 leaseId, Terms calldata terms)
        private
        view
        returns (uint64 members)
    {
        address renter = MARKET.leaseState(leaseId).renterOverride;
        if (renter == address(0)) renter = terms.renter;
        address worker = REGISTRY.workerOf(terms.offer.unitId);
        uint8[] memory pool = QUORUM.activeMembers().list();
        uint256 left = COMMITTEE_SIZE;
        uint64 ofWorker = 0;
        for (uint256 i = 0; i < pool.length && left > 0; ++i) {
            uint256 j = i + uint256(keccak256(abi.encode(seed, i))) % (pool.length - i);
            (pool[i], pool[j]) = (pool[j], pool[i]);
            IOracleQuorum.Member memory candidate = QUORUM.memberAt(pool[i]);
            if (
                _isEither(candidate, terms.offer.provider) || _isEither(candidate, renter)
                    || _isEither(candidate, dispute.challenger)
            ) continue;
            if (_isEither(candidate, worker)) {
                ofWorker |= pool[i].bit();
                continue;
            }
            members |= pool[i].bit();
            --left;
        }
        // A provider names its worker without asking it, and anew at will: naming an arbiter gives its seat to the next
        // in the draw, and never leaves the case without a court.
        if (members.count() < MIN_COMMITTEE) members |= ofWorker;
    }

    function _requireVoter(
        bytes32 disputeId,
        uint32 drawBlock,
        uint8 member,
        bytes32 missingDigest,
        bytes calldata signature
    ) private view {
        address signer = QUORUM.memberAt(member).signer;
        if (signature.length == 0) {
            if (_msgSender() != signer) revert OnlyArbiter(signer, _msgSender());
            return;
        }
        bytes32 digest =
            _hashTypedDataV4(keccak256(abi.encode(DATA_VOTE_TYPEHASH, disputeId, drawBlock, missingDigest)));
        _requireValid(signer, digest, signature);
    }

    function _seated(DisputeKey calldata key, uint8 member)
        private
        view
        returns (bytes32 disputeId, Dispute storage dispute, Committee storage committee)
    {
        disputeId = _idOf(key);
        dispute = _disputes[disputeId];
        if (!_inCommittee(dispute.phase)) revert PhaseMismatch(disputeId, dispute.phase);
        committee = _committees[disputeId];
        if (!committee.members.has(member)) revert NotDrawn(member);
    }

    function _requireRevealing(DisputeKind kind, uint256 since) private view {
        (, uint256 commitUntil, uint256 revealUntil) = _windows(kind, since);
        if (block.timestamp < commitUntil) revert TooEarly(commitUntil, block.timestamp);
        if (block.timestamp >= revealUntil) revert TooLate(revealUntil, block.timestamp);
    }

    function _isEither(IOracleQuorum.Member memory candidate, address party) private pure returns (bool) {
        return candidate.signer == party || candidate.operator == party;
    }
}
