// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ComputeCourt } from "../../../contracts/ComputeCourt.sol";
import {
    CourtParameters,
    DisputeKey,
    DisputeKind,
    ICourtBook,
    Outcome,
    Phase,
    ProvenLeaf,
    ProvenReceipt,
    Ruling,
    Verdict
} from "../../../contracts/interfaces/ICourtBook.sol";
import { ICourtProceedings } from "../../../contracts/interfaces/ICourtProceedings.sol";
import { MemberSet } from "../../../contracts/libraries/MemberSet.sol";
import { MerkleTree } from "../../../contracts/libraries/MerkleTree.sol";
import {
    CompletionProof,
    JobClass,
    JobOutcome,
    JobReceipt,
    JobSpec,
    Terms,
    TraceLeaf
} from "../../../contracts/libraries/Types.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { DevWrappedNative } from "../../../contracts/test/DevWrappedNative.sol";
import { Digests } from "../../../contracts/Digests.sol";
import { Base } from "../Base.sol";

/// @title A court with seven bonded arbiters, a lease with a pending proof of three jobs, and a challenger with money
/// @notice Job 1 is traced by seven leaves. One hour was served, the proof claims it.
abstract contract CourtBase is Base {
    using MemberSet for uint64;

    uint96 internal constant CHALLENGE_BOND = 100e18;
    uint96 internal constant ABSENCE_PENALTY = 10e18;
    uint32 internal constant DRAW_DELAY_BLOCKS = 4;
    uint32 internal constant DRAW_SECONDS = 30 minutes;
    uint32 internal constant DATA_SECONDS = 40 minutes;
    uint32 internal constant COMMIT_SECONDS = 50 minutes;
    uint32 internal constant REVEAL_SECONDS = 20 minutes;
    uint32 internal constant CLOCK_SECONDS = 60 minutes;
    uint8 internal constant COMMITTEE_SIZE = 5;
    uint8 internal constant ARBITERS = 7;
    uint32 internal constant LEAVES = 7;
    uint32 internal constant CLAIM = 1 hours;
    bytes32 internal constant SALT = "salt";

    address internal immutable CHALLENGER = makeAddr("challenger");

    ComputeCourt internal court;
    /// The court's own address: what the code behind it answers.
    ICourtProceedings internal proceedings;
    uint256[] internal arbiterKeys;
    address[] internal arbiters;
    address[] internal operators;

    Terms internal terms;
    bytes32 internal leaseId;
    CompletionProof internal proof;
    bytes32 internal proofHash;
    JobSpec internal spec;
    JobReceipt internal receipt;
    /// Of job 1 among the three.
    bytes32[] internal receiptBranch;

    function setUp() public virtual override {
        vm.roll(1000);
        vm.warp(MONDAY - ROTATION_SECONDS);
        stakeToken = new DevToken("Stake", "STK", 18);
        token = new DevToken("Dollar", "USD", 6);
        digests = new Digests();
        wrapped = new DevWrappedNative();
        deployCourt(address(stakeToken));
        allowToken(address(token));
        for (uint256 i = 0; i < ARBITERS; ++i) {
            addArbiter();
        }
        vm.warp(MONDAY);
        stakeAs(PROVIDER, STAKE);
        unitId = registerUnitAs(PROVIDER, WORKER, "node", gpuIdsOf("gpu", 2));
        token.mint(RENTER, 1e15);
        vm.prank(RENTER);
        token.approve(address(market), type(uint256).max);
        fund(CHALLENGER, 10 * CHALLENGE_BOND);
        Terms memory terms_;
        (terms_, leaseId) = openDefault();
        terms = terms_;
        spec = exactSpec();
        skip(CLAIM);
        postDefault(LEAVES);
    }

    function deployCourt(address stakeToken_) internal {
        address expected = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 5);
        deploy(stakeToken_, expected);
        court = new ComputeCourt(market, registry, quorum, courtParameters());
        assertEq(address(court), expected, "court's address");
        proceedings = ICourtProceedings(address(court));
    }

    function courtParameters() internal view virtual returns (CourtParameters memory) {
        return CourtParameters({
            challengeBond: CHALLENGE_BOND,
            absencePenalty: ABSENCE_PENALTY,
            committeeSize: COMMITTEE_SIZE,
            drawDelayBlocks: DRAW_DELAY_BLOCKS,
            drawSeconds: DRAW_SECONDS,
            dataSeconds: DATA_SECONDS,
            commitSeconds: COMMIT_SECONDS,
            revealSeconds: REVEAL_SECONDS,
            clockSeconds: CLOCK_SECONDS
        });
    }

    function addArbiter() internal returns (uint8 member) {
        string memory name = vm.toString(arbiters.length);
        (address signer, uint256 key) = makeAddrAndKey(string.concat("arbiter ", name));
        return addArbiter(signer, key, makeAddr(string.concat("operator ", name)));
    }

    function addArbiter(address signer, uint256 key, address operator) internal returns (uint8 member) {
        arbiterKeys.push(key);
        arbiters.push(signer);
        operators.push(operator);
        vm.prank(OWNER);
        member = quorum.addMember(signer, operator);
        stakeToken.mint(address(this), MEMBER_BOND);
        stakeToken.approve(address(quorum), MEMBER_BOND);
        quorum.depositBond(member, MEMBER_BOND);
    }

    /// A member that was penalised sits again only when its bond is whole.
    function topUpArbiters() internal {
        for (uint8 i = 0; i < ARBITERS; ++i) {
            stakeToken.mint(address(this), 2 * ABSENCE_PENALTY);
            stakeToken.approve(address(quorum), 2 * ABSENCE_PENALTY);
            quorum.depositBond(i, 2 * ABSENCE_PENALTY);
        }
    }

    function fund(address account, uint96 amount) internal {
        stakeToken.mint(account, amount);
        vm.startPrank(account);
        stakeToken.approve(address(court), amount);
        court.deposit(amount);
        vm.stopPrank();
    }

    function exactSpec() internal pure returns (JobSpec memory spec_) {
        spec_.bundleDigest = keccak256("bundle");
        spec_.entrypoint = "job:Train";
        spec_.arguments = new string[](1);
        spec_.arguments[0] = "--fast";
        spec_.steps = 70;
        spec_.checkpointEvery = 10;
        spec_.precision = "fp32";
        spec_.jobClass = JobClass.TRACED;
    }

    /// Posts the worker's proof of three jobs, the middle one traced by so many leaves.
    function postDefault(uint32 leafCount) internal {
        receipt = receiptOf(rootOf(leafHashes(traceOf(leafCount))), leafCount);
        postReceipt();
    }

    function receiptOf(bytes32 traceRoot, uint32 leafCount) internal view returns (JobReceipt memory) {
        return JobReceipt({
            leaseId: leaseId,
            orderDigest: keccak256("order"),
            specDigest: digests.hashJobSpec(spec),
            unitId: unitId,
            attempt: 1,
            inputDigest: spec.bundleDigest,
            outputDigest: keccak256("output"),
            traceRoot: traceRoot,
            leafCount: leafCount,
            environmentDigest: keccak256("environment"),
            outcome: JobOutcome.COMPLETED,
            exitCode: 0,
            gpuMilliseconds: 1_000_000,
            energyJoules: 5000,
            startedAt: MONDAY,
            finishedAt: MONDAY + 1000
        });
    }

    /// Posts a proof with this receipt between two others.
    function postReceipt() internal {
        bytes32[] memory leaves = new bytes32[](3);
        leaves[0] = MerkleTree.leafHash(abi.encodePacked(keccak256("first")));
        leaves[1] = MerkleTree.leafHash(abi.encodePacked(receiptDigest()));
        leaves[2] = MerkleTree.leafHash(abi.encodePacked(keccak256("third")));
        receiptBranch = branchOf(leaves, 1);
        CompletionProof memory proof_ = proofOf(terms, CLAIM);
        proof_.jobsRoot = rootOf(leaves);
        proof = proof_;
        proofHash = digests.hashCompletionProof(proof_);
        vm.prank(WORKER);
        market.postProof(terms, proof_, "");
    }

    function receiptDigest() internal view returns (bytes32) {
        return digestOf(digests.hashJobReceipt(receipt));
    }

    function proven() internal view returns (ProvenReceipt memory) {
        return ProvenReceipt({ receipt: receipt, index: 1, branch: receiptBranch });
    }

    /// An honest trace of the spec.
    function traceOf(uint256 leafCount) internal view returns (TraceLeaf[] memory leaves) {
        leaves = new TraceLeaf[](leafCount);
        bytes32 specDigest = digests.hashJobSpec(spec);
        bytes32 previous = 0;
        for (uint64 i = 0; i < leafCount; ++i) {
            leaves[i] = TraceLeaf({
                jobSpecDigest: specDigest,
                index: i,
                step: i * 10,
                stateRoot: keccak256(abi.encode("state", i)),
                batchRoot: keccak256(abi.encode("batch", i)),
                metricsDigest: keccak256(abi.encode("metrics", i)),
                previous: previous
            });
            previous = leafHash(leaves[i]);
        }
    }

    function leafHash(TraceLeaf memory leaf) internal pure returns (bytes32) {
        return MerkleTree.leafHash(
            abi.encodePacked(
                leaf.jobSpecDigest,
                leaf.index,
                leaf.step,
                leaf.stateRoot,
                leaf.batchRoot,
                leaf.metricsDigest,
                leaf.previous
            )
        );
    }

    function leafHashes(TraceLeaf[] memory leaves) internal pure returns (bytes32[] memory hashes) {
        hashes = new bytes32[](leaves.length);
        for (uint256 i = 0; i < leaves.length; ++i) {
            hashes[i] = leafHash(leaves[i]);
        }
    }

    function rootOf(bytes32[] memory leaves) internal pure returns (bytes32) {
        return MerkleTree.root(abi.decode(abi.encode(leaves), (bytes32[])));
    }

    /// Siblings from the leaf up, found level by level.
    function branchOf(bytes32[] memory leaves, uint256 index)
        internal
        pure
        returns (bytes32[] memory branch)
    {
        bytes32[] memory level = abi.decode(abi.encode(leaves), (bytes32[]));
        bytes32[] memory found = new bytes32[](32);
        uint256 used = 0;
        uint256 count = level.length;
        while (count > 1) {
            if (index ^ 1 < count) found[used++] = level[index ^ 1];
            for (uint256 i = 0; i < count / 2; ++i) {
                level[i] = MerkleTree.nodeHash(level[2 * i], level[2 * i + 1]);
            }
            if (count % 2 == 1) level[count / 2] = level[count - 1];
            count = (count + 1) / 2;
            index /= 2;
        }
        branch = new bytes32[](used);
        for (uint256 i = 0; i < used; ++i) {
            branch[i] = found[i];
        }
    }

    function provenLeaf(TraceLeaf[] memory leaves, uint256 index) internal pure returns (ProvenLeaf memory) {
        return ProvenLeaf({ leaf: leaves[index], branch: branchOf(leafHashes(leaves), index) });
    }

    function noLeaf() internal pure returns (ProvenLeaf memory none) { }

    function segmentKey(uint32 segment) internal view returns (DisputeKey memory) {
        return DisputeKey(leaseId, proofHash, DisputeKind.SEGMENT, receiptDigest(), segment, address(0));
    }

    function jobKey() internal view returns (DisputeKey memory) {
        return DisputeKey(leaseId, proofHash, DisputeKind.JOB, receiptDigest(), 0, address(0));
    }

    function secondsKey() internal view returns (DisputeKey memory) {
        return DisputeKey(leaseId, proofHash, DisputeKind.AVAILABILITY, 0, 0, address(0));
    }

    function bisectionKey(address challenger) internal view returns (DisputeKey memory) {
        return DisputeKey(leaseId, proofHash, DisputeKind.BISECTION, receiptDigest(), 0, challenger);
    }

    function idOf(DisputeKey memory key) internal pure returns (bytes32) {
        return keccak256(abi.encode(key));
    }

    function phaseOf(DisputeKey memory key) internal view returns (Phase) {
        return court.disputeOf(idOf(key)).phase;
    }

    function challengeSegmentAs(address by, uint32 segment) internal returns (DisputeKey memory key) {
        TraceLeaf[] memory leaves = traceOf(receipt.leafCount);
        TraceLeaf memory before;
        uint256 index = segment == leaves.length ? segment - 1 : segment;
        if (index != 0) before = leaves[index - 1];
        ProvenLeaf memory claimed = provenLeaf(leaves, index);
        ProvenReceipt memory proven_ = proven();
        vm.prank(by);
        court.challengeSegment(terms, proof, proven_, segment, before, claimed);
        return segmentKey(segment);
    }

    function challengeSegment() internal returns (DisputeKey memory key) {
        return challengeSegmentAs(CHALLENGER, 3);
    }

    function challengeJob() internal returns (DisputeKey memory key) {
        ProvenReceipt memory proven_ = proven();
        vm.prank(CHALLENGER);
        court.challengeJob(terms, proof, proven_);
        return jobKey();
    }

    function challengeSeconds() internal returns (DisputeKey memory key) {
        vm.prank(CHALLENGER);
        court.challengeAvailability(terms, proof);
        return secondsKey();
    }

    function startBisectionAs(address by) internal returns (DisputeKey memory key) {
        ProvenReceipt memory proven_ = proven();
        vm.prank(by);
        court.startBisection(terms, proof, proven_);
        return bisectionKey(by);
    }

    /// Mines the draw block and draws.
    function drawCommittee(DisputeKey memory key) internal returns (uint8[] memory members) {
        vm.roll(uint256(court.disputeOf(idOf(key)).drawBlock) + 1);
        proceedings.draw(key, terms);
        return membersOf(key);
    }

    function membersOf(DisputeKey memory key) internal view returns (uint8[] memory) {
        return court.committeeOf(idOf(key)).members.list();
    }

    function isIn(uint8[] memory members, uint8 member) internal pure returns (bool) {
        for (uint256 i = 0; i < members.length; ++i) {
            if (members[i] == member) return true;
        }
        return false;
    }

    function verdict(Ruling ruling) internal pure returns (Verdict memory) {
        return Verdict({ ruling: ruling, stateRoot: keccak256("state"), errorPpb: 0, provenSeconds: 0 });
    }

    function secondsVerdict(uint32 provenSeconds) internal pure returns (Verdict memory) {
        return
            Verdict({
                ruling: Ruling.REFUTED, stateRoot: bytes32(0), errorPpb: 0, provenSeconds: provenSeconds
            });
    }

    function errorVerdict(uint64 errorPpb) internal pure returns (Verdict memory) {
        return Verdict({
            ruling: Ruling.REFUTED,
            stateRoot: keccak256(abi.encode(errorPpb)),
            errorPpb: errorPpb,
            provenSeconds: 0
        });
    }

    function commitAs(uint8 member, DisputeKey memory key, Verdict memory verdict_) internal {
        bytes32 id = idOf(key);
        uint32 drawBlock = court.disputeOf(id).drawBlock;
        bytes32 commitment = proceedings.commitmentOf(id, drawBlock, arbiters[member], verdict_, SALT);
        vm.prank(arbiters[member]);
        proceedings.commit(key, member, commitment);
    }

    function reveal(uint8 member, DisputeKey memory key, Verdict memory verdict_) internal {
        proceedings.reveal(key, member, verdict_, SALT);
    }

    function voteAs(uint8 member, DisputeKey memory key, bytes32 missingDigest) internal {
        vm.prank(arbiters[member]);
        proceedings.voteData(key, member, missingDigest, "");
    }

    /// The first members drawn give these verdicts, the others none; all is ready to be resolved.
    function judge(DisputeKey memory key, Verdict[] memory verdicts)
        internal
        returns (uint8[] memory members)
    {
        members = drawCommittee(key);
        judgeDrawn(key, verdicts);
    }

    function judgeDrawn(DisputeKey memory key, Verdict[] memory verdicts) internal {
        uint8[] memory members = membersOf(key);
        for (uint256 i = 0; i < verdicts.length; ++i) {
            commitAs(members[i], key, verdicts[i]);
        }
        skipTo(commitUntil(key));
        for (uint256 i = 0; i < verdicts.length; ++i) {
            reveal(members[i], key, verdicts[i]);
        }
    }

    function dataUntil(DisputeKey memory key) internal view returns (uint256) {
        uint256 since = court.disputeOf(idOf(key)).since;
        return key.kind == DisputeKind.AVAILABILITY ? since : since + DATA_SECONDS;
    }

    function commitUntil(DisputeKey memory key) internal view returns (uint256) {
        return dataUntil(key) + COMMIT_SECONDS;
    }

    function revealUntil(DisputeKey memory key) internal view returns (uint256) {
        return commitUntil(key) + REVEAL_SECONDS;
    }

    function all(Verdict memory verdict_, uint256 count) internal pure returns (Verdict[] memory verdicts) {
        verdicts = new Verdict[](count);
        for (uint256 i = 0; i < count; ++i) {
            verdicts[i] = verdict_;
        }
    }

    function rulings(uint256 standing, uint256 refuting, uint256 undecided)
        internal
        pure
        returns (Verdict[] memory verdicts)
    {
        verdicts = new Verdict[](standing + refuting + undecided);
        for (uint256 i = 0; i < verdicts.length; ++i) {
            verdicts[i] = verdict(
                i < standing ? Ruling.STANDS : i < standing + refuting ? Ruling.REFUTED : Ruling.INCONCLUSIVE
            );
        }
    }

    function resolve(DisputeKey memory key) internal {
        proceedings.resolve(key, terms);
    }

    function resolveRefuted(DisputeKey memory key) internal {
        proceedings.resolveRefuted(key, terms, receipt, spec);
    }

    function expectResolved(DisputeKey memory key, Outcome outcome, uint96 slashed, uint96 burned) internal {
        expectResolved(key, outcome, slashed, burned, 0);
    }

    function expectResolved(
        DisputeKey memory key,
        Outcome outcome,
        uint96 slashed,
        uint96 burned,
        uint32 secondsLeft
    ) internal {
        vm.expectEmit(address(court));
        emit ICourtBook.DisputeResolved(idOf(key), leaseId, outcome, slashed, burned, secondsLeft);
    }

    /// Tokens here and the credit in the registry = balances + bonds of open disputes + burned.
    function assertBooks(uint256 openBonds) internal view {
        uint256 owed = court.balanceOf(CHALLENGER) + court.balanceOf(STRANGER) + court.balanceOf(PROVIDER)
            + court.balanceOf(RENTER) + court.burned() + openBonds * CHALLENGE_BOND;
        for (uint256 i = 0; i < arbiters.length; ++i) {
            owed += court.balanceOf(operators[i]) + court.balanceOf(arbiters[i]);
        }
        uint256 held = stakeToken.balanceOf(address(court)) + registry.compensationOf(address(court));
        assertEq(held, owed, "books of the court");
    }

    function phaseMismatch(DisputeKey memory key, Phase actual) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ICourtBook.PhaseMismatch.selector, idOf(key), actual);
    }

    function tooEarly(uint256 from) internal view returns (bytes memory) {
        return abi.encodeWithSelector(ICourtBook.TooEarly.selector, from, vm.getBlockTimestamp());
    }

    function tooLate(uint256 until) internal view returns (bytes memory) {
        return abi.encodeWithSelector(ICourtBook.TooLate.selector, until, vm.getBlockTimestamp());
    }
}
