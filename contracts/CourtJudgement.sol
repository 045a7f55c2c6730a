// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";

import { CourtCommittee } from "./CourtCommittee.sol";
import { DisputeKey, DisputeKind, Outcome, Phase, Ruling } from "./interfaces/ICourtBook.sol";
import { ICourtProceedings } from "./interfaces/ICourtProceedings.sol";
import { Hashing } from "./libraries/Hashing.sol";
import { MemberSet } from "./libraries/MemberSet.sol";
import { JobReceipt, JobSpec, LeaseState, LeaseStatus, Terms } from "./libraries/Types.sol";
import { Verdicts } from "./libraries/Verdicts.sol";

/// @title How disputes end, and who gets what
/// @dev The market and the registry are the protocol's own: what they return is counted after calling them, under the
/// guard against reentrance.
abstract contract CourtJudgement is CourtCommittee {
    using MemberSet for uint64;
    using SafeCast for uint256;

    /// An overclaim costs the bond above the greater of these: seconds, and one part in so many of what the proof adds.
    uint256 internal constant TOLERATED_SECONDS = 60;
    uint256 internal constant TOLERATED_PART = 100;

    /// What resolving knows of a dispute in its committee's phase.
    struct Case {
        bytes32 disputeId;
        Dispute dispute;
        Committee committee;
        uint256 revealUntil;
        uint8[] members; // that revealed
        Ballot[] ballots; // theirs
    }

    /// @inheritdoc ICourtProceedings
    function resolve(DisputeKey calldata key, Terms calldata terms) external override nonReentrant {
        _resolve(key, terms, false, bytes32(0));
    }

    /// @inheritdoc ICourtProceedings
    function resolveRefuted(
        DisputeKey calldata key,
        Terms calldata terms,
        JobReceipt calldata receipt,
        JobSpec calldata spec
    ) external override nonReentrant {
        _requireReceipt(key, receipt);
        bytes32 specDigest = Hashing.hash(spec);
        if (specDigest != receipt.specDigest) revert SpecMismatch(receipt.specDigest, specDigest);
        _resolve(key, terms, true, spec.toleranceProfile);
    }

    /// @inheritdoc ICourtProceedings
    function resolveMoot(DisputeKey calldata key) external override nonReentrant {
        bytes32 disputeId = _idOf(key);
        Dispute memory dispute = _disputes[disputeId];
        if (dispute.phase == Phase.NONE || dispute.phase == Phase.FINAL) {
            revert PhaseMismatch(disputeId, dispute.phase);
        }
        if (MARKET.leaseState(key.leaseId).status == LeaseStatus.OPEN) revert LeaseStillOpen(key.leaseId);
        delete _disputes[disputeId];
        _credit(disputeId, dispute.challenger, CHALLENGE_BOND);
        emit DisputeResolved(disputeId, key.leaseId, Outcome.MOOT, 0, 0, 0);
    }

    /// The proof stands for want of a verdict. It may be disputed once more, before it matures.
    function _endUndecided(bytes32 disputeId, DisputeKey calldata key, Terms calldata terms, uint64 payees)
        internal
        override
    {
        address challenger = _disputes[disputeId].challenger;
        delete _disputes[disputeId];
        uint256 fees = _payFees(disputeId, payees, _share(CHALLENGE_BOND, payees));
        _credit(disputeId, challenger, CHALLENGE_BOND - fees);
        _endDispute(disputeId, key, terms, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
    }

    /// The challenger was wrong: fee, at least half of the rest burned, the remainder to the provider.
    function _endStanding(bytes32 disputeId, DisputeKey calldata key, Terms calldata terms, uint64 payees)
        internal
    {
        _finalise(disputeId);
        uint256 fees = _payFees(disputeId, payees, _share(CHALLENGE_BOND, payees));
        uint256 fee = payees == 0 ? 0 : CHALLENGE_BOND * FEE_PER_CENT / PER_CENT;
        uint256 toProvider = (CHALLENGE_BOND - fee) / 2;
        _credit(disputeId, terms.offer.provider, toProvider);
        uint256 lost = CHALLENGE_BOND - fees - toProvider;
        burned += lost;
        _endDispute(disputeId, key, terms, Outcome.STANDS, 0, lost.toUint96(), type(uint32).max);
    }

    /// A result or data was lost: the lease is breached, the challenger rewarded.
    function _endBreached(
        bytes32 disputeId,
        DisputeKey calldata key,
        Terms calldata terms,
        Outcome outcome,
        uint64 payees
    ) internal {
        address challenger = _disputes[disputeId].challenger;
        delete _disputes[disputeId];
        uint256 bond = terms.offer.bond;
        uint96 slashed = _amendments().breach(terms, key.proofHash, _restitution(bond), _prizes(bond, payees));
        _distribute(disputeId, challenger, payees, slashed);
        emit DisputeResolved(disputeId, key.leaseId, outcome, slashed, 0, 0);
    }

    /// Rewards out of a slashed bond; where nothing was slashed, arbiters are paid out of the challenge bond.
    function _distribute(bytes32 disputeId, address challenger, uint64 payees, uint256 slashed) private {
        uint256 share = _share(slashed == 0 ? CHALLENGE_BOND : slashed, payees);
        uint256 fees = _payFees(disputeId, payees, share);
        uint256 bondBack = slashed == 0 ? CHALLENGE_BOND - fees : CHALLENGE_BOND;
        _credit(disputeId, challenger, bondBack + _reward(slashed));
    }

    // Penalties come first for the reason said at them; all that reads disputes here is guarded.
    // slither-disable-next-line reentrancy-no-eth
    function _resolve(DisputeKey calldata key, Terms calldata terms, bool specGiven, bytes32 toleranceProfile)
        private
    {
        bytes32 disputeId = _idOf(key);
        Dispute memory dispute = _disputes[disputeId];
        if (_inDraw(dispute.phase)) {
            uint256 drawUntil = uint256(dispute.since) + DRAW_SECONDS;
            if (block.timestamp < drawUntil) revert TooEarly(drawUntil, block.timestamp);
            return _endUndecided(disputeId, key, terms, 0);
        }
        if (!_inCommittee(dispute.phase)) revert PhaseMismatch(disputeId, dispute.phase);
        Committee memory committee = _committees[disputeId];
        if (_isWithheld(committee.withheld, committee.members)) {
            uint64 payees = _stillBonded(dispute.since) ? committee.withheld : 0;
            return _endBreached(disputeId, key, terms, Outcome.WITHHELD, payees);
        }
        Case memory decided = _caseOf(disputeId, key.kind, dispute, committee);
        _penaliseAbsent(dispute.since, committee.members & ~committee.revealed);
        if (key.kind == DisputeKind.AVAILABILITY) return _resolveSeconds(decided, key, terms);
        _resolveWork(decided, key, terms, specGiven, toleranceProfile);
    }

    function _resolveWork(
        Case memory decided,
        DisputeKey calldata key,
        Terms calldata terms,
        bool specGiven,
        bytes32 toleranceProfile
    ) private {
        uint256 reveals = decided.members.length;
        uint64 standing = Verdicts.ruled(decided.members, decided.ballots, Ruling.STANDS);
        uint64 refuting = Verdicts.ruled(decided.members, decided.ballots, Ruling.REFUTED);
        uint64 undecided = decided.committee.revealed & ~(standing | refuting);
        if (reveals < MIN_COMMITTEE) return _redraw(decided, key, terms);
        if (Verdicts.isMajority(standing, reveals)) {
            return _endStanding(decided.disputeId, key, terms, _payable(decided, standing));
        }
        if (Verdicts.isMajority(undecided, reveals)) return _endRevealed(decided, key, terms);
        if (!Verdicts.isMajority(refuting, reveals)) return _redraw(decided, key, terms);
        if (!specGiven) {
            uint256 specUntil = decided.revealUntil + REVEAL_SECONDS;
            if (block.timestamp < specUntil) revert SpecNeeded(specUntil, block.timestamp);
            return _endRevealed(decided, key, terms);
        }
        uint64 agreeing = _agreeing(decided, toleranceProfile);
        if (agreeing == 0) return _endRevealed(decided, key, terms);
        _endBreached(decided.disputeId, key, terms, Outcome.REFUTED, _payable(decided, agreeing));
    }

    /// The claim is cut to the median, and never below what was settled before.
    function _resolveSeconds(Case memory decided, DisputeKey calldata key, Terms calldata terms) private {
        uint64 undecided = Verdicts.ruled(decided.members, decided.ballots, Ruling.INCONCLUSIVE);
        uint256 reveals = decided.members.length;
        if (reveals >= MIN_COMMITTEE && Verdicts.isMajority(undecided, reveals)) {
            return _endRevealed(decided, key, terms);
        }
        uint64 found = decided.committee.revealed & ~undecided;
        if (found.count() < MIN_COMMITTEE || !Verdicts.isMajority(found, reveals)) {
            return _redraw(decided, key, terms);
        }
        LeaseState memory lease = MARKET.leaseState(key.leaseId);
        uint32 median = Verdicts.medianSeconds(decided.ballots);
        uint256 added = Math.saturatingSub(lease.pendingSeconds, lease.settledSeconds);
        uint256 tolerated = Math.max(TOLERATED_SECONDS, added / TOLERATED_PART);
        uint64 payees =
            _payable(decided, Verdicts.nearSeconds(decided.members, decided.ballots, median, tolerated));
        if (median >= lease.pendingSeconds) return _endStanding(decided.disputeId, key, terms, payees);
        uint32 secondsLeft = uint32(Math.max(median, lease.settledSeconds)); // both are uint32
        bool slash = lease.pendingSeconds - secondsLeft > tolerated;
        _endCut(decided, key, terms, payees, secondsLeft, slash);
    }

    function _endCut(
        Case memory decided,
        DisputeKey calldata key,
        Terms calldata terms,
        uint64 payees,
        uint32 secondsLeft,
        bool slash
    ) private {
        _finalise(decided.disputeId);
        uint96 slashed = 0;
        if (slash) {
            uint256 bond = terms.offer.bond;
            slashed = _amendments().slashBond(terms, _restitution(bond), _prizes(bond, payees));
        }
        _distribute(decided.disputeId, decided.dispute.challenger, payees, slashed);
        _endDispute(decided.disputeId, key, terms, Outcome.OVERCLAIMED, slashed, 0, secondsLeft);
    }

    /// Inconclusive; all who revealed have done their work.
    function _endRevealed(Case memory decided, DisputeKey calldata key, Terms calldata terms) private {
        _endUndecided(decided.disputeId, key, terms, _payable(decided, decided.committee.revealed));
    }

    /// One more committee, by another seed, if the first came to nothing and its time to be drawn is not over.
    function _redraw(Case memory decided, DisputeKey calldata key, Terms calldata terms) private {
        uint256 since = Math.min(block.timestamp, decided.revealUntil);
        bool again = decided.dispute.phase == Phase.FIRST_COMMITTEE && block.timestamp < since + DRAW_SECONDS;
        if (!again) return _endRevealed(decided, key, terms);
        Dispute storage dispute = _disputes[decided.disputeId];
        dispute.phase = Phase.SECOND_DRAW;
        // From the deadline, not from the call: a late call lengthens no dispute.
        dispute.since = since.toUint40();
        _armDraw(decided.disputeId, dispute);
    }

    function _endDispute(
        bytes32 disputeId,
        DisputeKey calldata key,
        Terms calldata terms,
        Outcome outcome,
        uint96 slashed,
        uint96 lost,
        uint32 secondsLeft
    ) private {
        emit DisputeResolved(disputeId, key.leaseId, outcome, slashed, lost, secondsLeft);
        _amendments().endDispute(terms, key.proofHash, secondsLeft);
    }

    /// The key is spent.
    function _finalise(bytes32 disputeId) private {
        delete _disputes[disputeId];
        _disputes[disputeId].phase = Phase.FINAL;
    }

    function _payFees(bytes32 disputeId, uint64 payees, uint256 share) private returns (uint256 fees) {
        if (share == 0) return 0;
        uint8[] memory members = payees.list();
        for (uint256 i = 0; i < members.length; ++i) {
            _credit(disputeId, QUORUM.memberAt(members[i]).operator, share);
        }
        return share * members.length;
    }

    /// A penalty that fails must not keep the lease frozen. What follows needs more than the 64th part of the gas that
    /// a penalty needs, so that nobody can make it fail by sending little.
    function _penaliseAbsent(uint256 drawnAt, uint64 absent) private {
        if (ABSENCE_PENALTY == 0 || !_stillBonded(drawnAt)) return;
        uint8[] memory members = absent.list();
        for (uint256 i = 0; i < members.length; ++i) {
            try QUORUM.penalise(members[i], ABSENCE_PENALTY) { } catch { }
        }
    }

    function _caseOf(bytes32 disputeId, DisputeKind kind, Dispute memory dispute, Committee memory committee)
        private
        view
        returns (Case memory decided)
    {
        (, uint256 commitUntil, uint256 revealUntil) = _windows(kind, dispute.since);
        if (block.timestamp < revealUntil) {
            if (block.timestamp < commitUntil || !_allRevealed(disputeId, dispute.drawBlock, committee)) {
                revert TooEarly(revealUntil, block.timestamp);
            }
        }
        decided.disputeId = disputeId;
        decided.dispute = dispute;
        decided.committee = committee;
        decided.revealUntil = revealUntil;
        decided.members = committee.revealed.list();
        decided.ballots = new Ballot[](decided.members.length);
        for (uint256 i = 0; i < decided.members.length; ++i) {
            decided.ballots[i] = _ballots[disputeId][dispute.drawBlock][decided.members[i]];
        }
    }

    /// @return those of one mind that the job is refuted, if more than half
    function _agreeing(Case memory decided, bytes32 toleranceProfile) private view returns (uint64) {
        if (toleranceProfile == 0) return Verdicts.sameState(decided.members, decided.ballots);
        uint64 maxSpread = QUORUM.maxSpreadOf(toleranceProfile);
        // Nobody is slashed by a profile that was not calibrated.
        if (maxSpread == 0) return 0;
        return Verdicts.closeErrors(decided.members, decided.ballots, maxSpread);
    }

    function _payable(Case memory decided, uint64 payees) private view returns (uint64) {
        return _stillBonded(decided.dispute.since) ? payees : 0;
    }

    /// Later, a member's index may be somebody else's.
    function _stillBonded(uint256 drawnAt) private view returns (bool) {
        return block.timestamp < drawnAt + EXIT_SECONDS;
    }

    /// @return each payee's part of the committee's fee, rounded down
    function _share(uint256 bond, uint64 payees) private pure returns (uint256) {
        if (payees == 0) return 0;
        return bond * FEE_PER_CENT / PER_CENT / payees.count();
    }

    /// @return what of a slashed bond the court gives out: shares of the fee and the challenger's reward
    function _prizes(uint256 bond, uint64 payees) private pure returns (uint96) {
        return (_share(bond, payees) * payees.count() + _reward(bond)).toUint96();
    }
}
