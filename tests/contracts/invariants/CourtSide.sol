// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IComputeCourt } from "../../../contracts/interfaces/IComputeCourt.sol";
import {
    DisputeKey,
    DisputeKind,
    ICourtBook,
    Phase,
    ProvenLeaf,
    Ruling,
    Verdict
} from "../../../contracts/interfaces/ICourtBook.sol";
import { ICourtProceedings } from "../../../contracts/interfaces/ICourtProceedings.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { MemberSet } from "../../../contracts/libraries/MemberSet.sol";
import { CompletionProof, LeaseStatus, Terms, TraceLeaf } from "../../../contracts/libraries/Types.sol";
import { Predictions } from "./Predictions.sol";
import { Receipts } from "./Receipts.sol";
import { Case, Shadow } from "./Shadows.sol";

/// @title Disputes in the real court, step by step, with whatever verdicts
abstract contract CourtSide is Predictions, Receipts {
    using MemberSet for uint64;

    /// How the arbiters of a round behave; what is none of these: all find that the proof stands.
    uint256 private constant WITHHELD = 0;
    uint256 private constant REFUTED = 1;
    uint256 private constant DIVIDED = 2;
    uint256 private constant UNDECIDED = 3;
    uint256 private constant ABSENT = 4;
    uint256 private constant BEHAVIOURS = 6;
    bytes32 private constant SALT = "salt";

    function dispute(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pickPending(pick);
        if (!found) return;
        Shadow storage shadow = _shadows[index];
        if (shadow.lastProof.leaseId == 0) return;
        address challenger = (seed >> 8) % 2 == 0 ? shadow.renter : verifier;
        uint256 kind = shadow.receipted ? seed % 8 : 0;
        // Some see two things wrong, or break the lease over an open dispute.
        if ((seed >> 16) % 2 == 0) _challenge(shadow, DisputeKind.AVAILABILITY, verifier);
        bool refutable = kind > 3 && !_isTraceSound(shadow.lastProof.previousProof);
        if (kind == 7 || refutable) return _refuteTrace(shadow, challenger);
        if (kind < 3) _challenge(shadow, DisputeKind.AVAILABILITY, challenger);
        else if (kind < 6) _challenge(shadow, DisputeKind.JOB, challenger);
        else _challenge(shadow, DisputeKind.BISECTION, challenger);
    }

    /// The next steps of a dispute, by whoever's turn it is; after each, time passes.
    function judge(uint256 pick, uint256 seed) external acting(seed) {
        (bool found, uint256 index) = _pickCase(pick);
        if (!found) return;
        if (seed % 4 != 0) _bondArbiters();
        for (uint256 i = 0; i <= (seed >> 8) % 8 && _cases[index].open; ++i) {
            _judge(_cases[index], seed >> (16 + 8 * i));
        }
    }

    /// Whoever it is that ends it, once its time is up.
    function endLate(uint256 index) external acting(0) {
        Case memory case_ = _cases[index];
        if (!case_.open) return;
        Terms memory terms = _shadows[case_.lease].terms;
        if (_shadows[case_.lease].status != LeaseStatus.OPEN) {
            _proceed(case_, abi.encodeCall(ICourtProceedings.resolveMoot, (case_.key)), "resolveMoot");
        } else if (COURT.disputeOf(case_.id).phase == Phase.BISECTION) {
            bytes memory data = abi.encodeCall(ICourtProceedings.claimTimeout, (case_.key, terms));
            _proceed(case_, data, "claimTimeout");
        } else {
            _resolve(case_);
        }
    }

    function _bondArbiters() internal {
        for (uint8 i = 0; i < ARBITERS; ++i) {
            uint96 bond = QUORUM.memberAt(i).bond;
            if (bond >= QUORUM.MEMBER_BOND()) continue;
            uint96 missing = QUORUM.MEMBER_BOND() - bond;
            STAKE_TOKEN.mint(operators[i], missing);
            vm.prank(operators[i]);
            STAKE_TOKEN.approve(address(QUORUM), missing);
            bytes memory data = abi.encodeCall(IOracleQuorum.depositBond, (i, missing));
            _callAt(address(QUORUM), operators[i], 0, data, NO_REASON, "depositBond");
        }
    }

    function _challenge(Shadow storage shadow, DisputeKind kind, address challenger) private {
        CompletionProof memory proof = shadow.lastProof;
        DisputeKey memory key;
        key.leaseId = shadow.leaseId;
        key.proofHash = DIGESTS.hashCompletionProof(proof);
        key.kind = kind;
        if (kind != DisputeKind.AVAILABILITY) {
            key.receiptDigest = _receiptDigestOf(shadow.leaseId, proof.previousProof);
        }
        if (kind == DisputeKind.BISECTION) key.challenger = challenger;
        bytes memory reason = _existing(keccak256(abi.encode(key)));
        if (reason.length == 0) {
            reason = _disputeReason(shadow, key.proofHash);
            _deposit(challenger);
        }
        bytes memory data;
        if (kind == DisputeKind.AVAILABILITY) {
            data = abi.encodeCall(IComputeCourt.challengeAvailability, (shadow.terms, proof));
        } else if (kind == DisputeKind.JOB) {
            data = abi.encodeCall(
                IComputeCourt.challengeJob,
                (shadow.terms, proof, _provenReceiptOf(shadow.leaseId, proof.previousProof))
            );
        } else {
            data = abi.encodeCall(
                IComputeCourt.startBisection,
                (shadow.terms, proof, _provenReceiptOf(shadow.leaseId, proof.previousProof))
            );
        }
        string[4] memory actions = ["", "challengeJob", "challengeAvailability", "startBisection"];
        _callCourt(challenger, data, reason, actions[uint8(kind)]);
    }

    function _judge(Case memory case_, uint256 seed) private {
        if (_shadows[case_.lease].status != LeaseStatus.OPEN) {
            _proceed(case_, abi.encodeCall(ICourtProceedings.resolveMoot, (case_.key)), "resolveMoot");
            return;
        }
        Phase phase = COURT.disputeOf(case_.id).phase;
        if (phase == Phase.BISECTION) _bisect(case_, seed);
        else if (phase == Phase.FIRST_DRAW || phase == Phase.SECOND_DRAW) _draw(case_, seed);
        else _sit(case_);
    }

    function _existing(bytes32 id) private view returns (bytes memory) {
        Phase phase = COURT.disputeOf(id).phase;
        if (phase == Phase.NONE) return NO_REASON;
        return abi.encodeWithSelector(ICourtBook.DisputeExists.selector, id, phase);
    }

    function _refuteTrace(Shadow storage shadow, address challenger) private {
        CompletionProof memory proof = shadow.lastProof;
        bytes memory reason;
        if (_isTraceSound(proof.previousProof)) {
            reason = abi.encodeWithSelector(ICourtBook.TraceConsistent.selector, 0);
        } else {
            reason = _disputeReason(shadow, DIGESTS.hashCompletionProof(proof));
        }
        ProvenLeaf memory leaf;
        ProvenLeaf memory none;
        leaf.leaf = _leafOf(proof.previousProof);
        bytes memory data = abi.encodeCall(
            IComputeCourt.refuteTrace,
            (shadow.terms, proof, _provenReceiptOf(shadow.leaseId, proof.previousProof), 0, leaf, none)
        );
        _callCourt(challenger, data, reason, "refuteTrace");
    }

    /// Just what the bond needs beyond what is in the court already.
    function _deposit(address challenger) private {
        uint256 balance = courtBalanceOf[challenger];
        if (balance >= CHALLENGE_BOND) return;
        uint96 missing = uint96(CHALLENGE_BOND - balance);
        STAKE_TOKEN.mint(challenger, missing);
        vm.prank(challenger);
        STAKE_TOKEN.approve(address(COURT), missing);
        bytes memory data = abi.encodeCall(IComputeCourt.deposit, (missing));
        _callCourt(challenger, data, NO_REASON, "deposit");
    }

    function _bisect(Case memory case_, uint256 seed) private {
        ICourtBook.Bisection memory bisection = COURT.bisectionOf(case_.id);
        uint256 until = uint256(bisection.turnSince) + bisection.providerSeconds;
        Terms memory terms = _shadows[case_.lease].terms;
        if (_now() >= until) {
            bytes memory data = abi.encodeCall(ICourtProceedings.claimTimeout, (case_.key, terms));
            _proceed(case_, data, "claimTimeout");
        } else if (seed % 2 == 0) {
            _skipTo(until);
        } else {
            bytes32 previous = _shadows[case_.lease].lastProof.previousProof;
            TraceLeaf memory none;
            bytes memory reason;
            if (!_isTraceSound(previous)) {
                reason = abi.encodeWithSelector(ICourtBook.LeafInvalid.selector, 0);
            }
            bytes memory data = abi.encodeCall(
                IComputeCourt.revealLeaves,
                (case_.key, _receiptOf(case_.key.leaseId, previous), none, _leafOf(previous))
            );
            _callAt(address(COURT), workers[0], 0, data, reason, "revealLeaves");
        }
    }

    function _draw(Case memory case_, uint256 seed) private {
        ICourtBook.Dispute memory open = COURT.disputeOf(case_.id);
        uint256 until = uint256(open.since) + COURT.DRAW_SECONDS();
        if (_now() >= until) return _resolve(case_);
        if (seed % 8 == 0) return _skipTo(until);
        if (block.number <= open.drawBlock) vm.roll(uint256(open.drawBlock) + 1);
        Terms memory terms = _shadows[case_.lease].terms;
        _proceed(case_, abi.encodeCall(ICourtProceedings.draw, (case_.key, terms)), "draw");
    }

    /// What the committee does in the window that is open.
    function _sit(Case memory case_) private {
        ICourtBook.Dispute memory open = COURT.disputeOf(case_.id);
        uint8[] memory members = COURT.committeeOf(case_.id).members.list();
        uint256 behaviour = uint256(keccak256(abi.encode(case_.id, open.drawBlock))) % BEHAVIOURS;
        uint256 until = open.since;
        if (case_.key.kind != DisputeKind.AVAILABILITY) {
            until += COURT.DATA_SECONDS();
            if (_now() < until) {
                _vote(case_, members, behaviour == WITHHELD);
                if (behaviour == WITHHELD) return _resolve(case_);
                return _skipTo(until);
            }
        }
        until += COURT.COMMIT_SECONDS();
        if (_now() < until) {
            _commit(case_, open.drawBlock, members, behaviour);
            return _skipTo(until);
        }
        if (_now() < until + COURT.REVEAL_SECONDS()) {
            _reveal(case_, open.drawBlock, members, behaviour);
        }
        _resolve(case_);
    }

    function _vote(Case memory case_, uint8[] memory members, bool withheld) private {
        for (uint256 i = 0; i < members.length; ++i) {
            if (COURT.committeeOf(case_.id).voted >> members[i] & 1 == 1) continue;
            bytes32 missing = withheld ? bytes32("trace") : bytes32(0);
            bytes memory data =
                abi.encodeCall(ICourtProceedings.voteData, (case_.key, members[i], missing, ""));
            _callCourt(arbiters[members[i]], data, NO_REASON, "voteData");
        }
    }

    function _commit(Case memory case_, uint32 drawBlock, uint8[] memory members, uint256 behaviour) private {
        // Who is absent leaves one arbiter alone.
        uint256 count = behaviour == ABSENT ? 1 : members.length;
        for (uint256 i = 0; i < count; ++i) {
            if (COURT.ballotOf(case_.id, drawBlock, members[i]).commitment != 0) continue;
            address arbiter = arbiters[members[i]];
            Verdict memory verdict = _verdict(case_, behaviour, i);
            bytes32 commitment = keccak256(abi.encode(case_.id, drawBlock, arbiter, verdict, SALT));
            bytes memory data = abi.encodeCall(ICourtProceedings.commit, (case_.key, members[i], commitment));
            _callCourt(arbiter, data, NO_REASON, "commit");
        }
    }

    function _reveal(Case memory case_, uint32 drawBlock, uint8[] memory members, uint256 behaviour) private {
        for (uint256 i = 0; i < members.length; ++i) {
            if (COURT.ballotOf(case_.id, drawBlock, members[i]).commitment == 0) continue;
            if (COURT.committeeOf(case_.id).revealed >> members[i] & 1 == 1) continue;
            bytes memory data = abi.encodeCall(
                ICourtProceedings.reveal, (case_.key, members[i], _verdict(case_, behaviour, i), SALT)
            );
            _callAt(address(COURT), KEEPER, 0, data, NO_REASON, "reveal");
        }
    }

    /// Of the arbiter at `seat`. Seconds found are those claimed, or short of them by much, or by little.
    function _verdict(Case memory case_, uint256 behaviour, uint256 seat)
        private
        view
        returns (Verdict memory verdict)
    {
        uint32 claimed = _shadows[case_.lease].lastProof.provenSeconds;
        verdict.ruling = Ruling.STANDS;
        verdict.provenSeconds = claimed;
        if (behaviour == REFUTED) verdict.ruling = Ruling.REFUTED;
        if (behaviour == DIVIDED) verdict.ruling = Ruling(1 + seat % 3);
        if (behaviour == UNDECIDED) verdict.ruling = Ruling.INCONCLUSIVE;
        if (behaviour == REFUTED) verdict.provenSeconds = claimed / 3;
        if (behaviour == WITHHELD) verdict.provenSeconds = claimed > 20 ? claimed - 20 : 0;
        verdict.stateRoot = "state";
    }

    function _resolve(Case memory case_) private {
        Terms memory terms = _shadows[case_.lease].terms;
        bytes memory data;
        if (case_.key.kind == DisputeKind.AVAILABILITY) {
            data = abi.encodeCall(ICourtProceedings.resolve, (case_.key, terms));
        } else {
            bytes32 previous = _shadows[case_.lease].lastProof.previousProof;
            data = abi.encodeCall(
                ICourtProceedings.resolveRefuted,
                (case_.key, terms, _receiptOf(case_.key.leaseId, previous), _spec())
            );
        }
        _proceed(case_, data, "resolve");
    }

    /// Anybody may.
    function _proceed(Case memory case_, bytes memory data, string memory action) private {
        _callAt(address(COURT), _anyone(uint256(case_.id)), 0, data, NO_REASON, action);
    }

    function _pickCase(uint256 pick) private view returns (bool, uint256) {
        uint256 count = _cases.length;
        for (uint256 i = 0; i < count; ++i) {
            uint256 index = ((pick >> 8) % count + i) % count;
            if (_cases[index].open) return (true, index);
        }
        return (false, 0);
    }
}
