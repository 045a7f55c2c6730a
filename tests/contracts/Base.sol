// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { Digests } from "../../contracts/Digests.sol";
import { LeaseAmendments } from "../../contracts/LeaseAmendments.sol";
import { MarketParameters } from "../../contracts/LeaseBook.sol";
import { LeaseMarket } from "../../contracts/LeaseMarket.sol";
import { LeaseSuccession } from "../../contracts/LeaseSuccession.sol";
import { OracleQuorum } from "../../contracts/OracleQuorum.sol";
import { ProviderRegistry } from "../../contracts/ProviderRegistry.sol";
import { ILeaseAmendments } from "../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../contracts/interfaces/ILeaseBook.sol";
import { ILeaseSuccession } from "../../contracts/interfaces/ILeaseSuccession.sol";
import { IProviderRegistry } from "../../contracts/interfaces/IProviderRegistry.sol";
import {
    CompletionProof,
    LeaseState,
    LeaseStatus,
    LeaseTerms,
    LeaseTransfer,
    NoticeReason,
    Offer,
    OfferKind,
    Terms,
    Unit
} from "../../contracts/libraries/Types.sol";
import { DevToken } from "../../contracts/test/DevToken.sol";
import { DevWrappedNative } from "../../contracts/test/DevWrappedNative.sol";

/// @title A deployed protocol with one staked provider, one unit and a renter with money
/// @notice Time is moved with `skip`; the clock starts at a Monday midnight, hour 0 of every mask.
abstract contract Base is Test {
    uint40 internal constant MONDAY = 1_893_974_400; // 2030-01-07 00:00 UTC
    uint168 internal constant ALWAYS = type(uint168).max;
    uint32 internal constant CHALLENGE_SECONDS = 10 minutes;
    uint32 internal constant PROOF_GRACE_SECONDS = 6 hours;
    uint32 internal constant UNBONDING_SECONDS = 14 days;
    uint16 internal constant FEE_BPS = 200;
    uint96 internal constant STAKE = 10_000e18;
    uint96 internal constant BOND = 600e18;
    uint32 internal constant ANSWER_SECONDS = 5 minutes;
    uint32 internal constant ROTATION_SECONDS = 2 days;
    uint32 internal constant EXIT_SECONDS = 7 days;
    uint96 internal constant MEMBER_BOND = 1000e18;
    bytes internal constant LISTED = "";

    address internal immutable OWNER = makeAddr("owner");
    address internal immutable TREASURY = makeAddr("treasury");
    address internal immutable KEEPER = makeAddr("keeper");
    /// Stands for the court where no dispute is fought.
    address internal immutable COURT = makeAddr("court");
    address internal immutable PROVIDER;
    uint256 internal immutable PROVIDER_KEY;
    address internal immutable WORKER;
    uint256 internal immutable WORKER_KEY;
    address internal immutable RENTER;
    uint256 internal immutable RENTER_KEY;
    address internal immutable STRANGER;
    uint256 internal immutable STRANGER_KEY;

    DevToken internal stakeToken;
    DevToken internal token;
    ProviderRegistry internal registry;
    OracleQuorum internal quorum;
    LeaseMarket internal market;
    /// The market's own address: what the codes behind it answer.
    ILeaseAmendments internal amendments;
    ILeaseSuccession internal succession;
    DevWrappedNative internal wrapped;
    Digests internal digests;
    bytes32 internal unitId;

    constructor() {
        (PROVIDER, PROVIDER_KEY) = makeAddrAndKey("provider");
        (WORKER, WORKER_KEY) = makeAddrAndKey("worker");
        (RENTER, RENTER_KEY) = makeAddrAndKey("renter");
        (STRANGER, STRANGER_KEY) = makeAddrAndKey("stranger");
    }

    function setUp() public virtual {
        vm.warp(MONDAY);
        stakeToken = new DevToken("Stake", "STK", 18);
        token = new DevToken("Dollar", "USD", 6);
        digests = new Digests();
        wrapped = new DevWrappedNative();
        deploy(address(stakeToken), COURT);
        allowToken(address(token));
        allowToken(address(wrapped));
        stakeAs(PROVIDER, STAKE);
        unitId = registerUnitAs(PROVIDER, WORKER, "node", gpuIdsOf("gpu", 2));
        token.mint(RENTER, 1e15);
        vm.prank(RENTER);
        token.approve(address(market), type(uint256).max);
    }

    /// Each contract needs the others' addresses: the market's is known before it exists.
    function deploy(address stakeToken_, address court) internal {
        address expected = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 4);
        quorum = new OracleQuorum(
            stakeToken_, court, OWNER, MEMBER_BOND, ROTATION_SECONDS, EXIT_SECONDS, quorumThreshold()
        );
        registry = new ProviderRegistry(stakeToken_, expected, quorum, UNBONDING_SECONDS);
        MarketParameters memory parameters = marketParameters(court);
        LeaseSuccession succession_ = new LeaseSuccession(parameters);
        LeaseAmendments amendments_ = new LeaseAmendments(parameters, succession_);
        market = new LeaseMarket(parameters, amendments_);
        assertEq(address(market), expected, "market's address");
        amendments = ILeaseAmendments(address(market));
        succession = ILeaseSuccession(address(market));
    }

    /// A majority of nine members.
    function quorumThreshold() internal pure virtual returns (uint8) {
        return 5;
    }

    function marketParameters(address court) internal view returns (MarketParameters memory) {
        return MarketParameters({
            registry: registry,
            court: court,
            quorum: quorum,
            wrappedNative: address(wrapped),
            owner: OWNER,
            treasury: TREASURY,
            challengeSeconds: CHALLENGE_SECONDS,
            proofGraceSeconds: PROOF_GRACE_SECONDS,
            answerSeconds: ANSWER_SECONDS
        });
    }

    function allowToken(address token_) internal {
        vm.prank(OWNER);
        amendments.setToken(token_, true, FEE_BPS);
    }

    function stakeAs(address provider, uint96 amount) internal {
        stakeToken.mint(provider, amount);
        vm.startPrank(provider);
        stakeToken.approve(address(registry), amount);
        registry.stake(amount);
        vm.stopPrank();
    }

    function registerUnitAs(address provider, address worker, bytes32 nodeId, bytes32[] memory gpuIds)
        internal
        returns (bytes32)
    {
        vm.prank(provider);
        return registry.registerUnit(unitOf(provider, worker, nodeId, uint16(gpuIds.length)), gpuIds);
    }

    function unitOf(address provider, address worker, bytes32 nodeId, uint16 gpuCount)
        internal
        pure
        returns (Unit memory)
    {
        return Unit({
            provider: provider,
            worker: worker,
            encryptionKey: keccak256("encryption key"),
            nodeId: nodeId,
            gpuClass: "RTX 4090",
            gpuCount: gpuCount,
            vramMiB: 24_564
        });
    }

    function gpuIdsOf(string memory host, uint256 count) internal pure returns (bytes32[] memory ids) {
        ids = new bytes32[](count);
        for (uint256 i = 0; i < count; ++i) {
            ids[i] = keccak256(abi.encode(host, i));
            for (uint256 j = i; j > 0 && ids[j] < ids[j - 1]; --j) {
                (ids[j], ids[j - 1]) = (ids[j - 1], ids[j]);
            }
        }
    }

    /// 3.60 a hour: a thousand base units a second.
    function defaultOffer() internal view returns (Offer memory) {
        return Offer({
            provider: PROVIDER,
            unitId: unitId,
            gpuClass: "RTX 4090",
            gpuCount: 2,
            token: address(token),
            pricePerHour: 3.6e6,
            kind: OfferKind.RESERVED,
            weeklyHours: ALWAYS,
            minSeconds: 2 hours,
            maxSeconds: 30 days,
            noticeSeconds: 1 hours,
            bond: BOND,
            validUntil: MONDAY + 1 days,
            salt: 1
        });
    }

    /// Ten hours from now on.
    function defaultTerms() internal view returns (Terms memory) {
        return termsFor(defaultOffer());
    }

    function termsFor(Offer memory offer) internal view returns (Terms memory) {
        uint40 start = uint40(vm.getBlockTimestamp());
        return Terms({
            offer: offer,
            renter: RENTER,
            start: start,
            end: start + 10 hours,
            maxEnd: start + 20 hours,
            weeklyHours: offer.weeklyHours,
            feeBps: FEE_BPS,
            policyHash: 0,
            firstOrder: 0,
            gangId: 0,
            previousLeaseId: 0,
            salt: 1
        });
    }

    /// As the default ones, of a further unit of the same provider.
    function termsOfAnotherUnit(string memory host) internal returns (Terms memory terms) {
        terms = defaultTerms();
        terms.offer.unitId = registerUnitAs(PROVIDER, WORKER, bytes32(bytes(host)), gpuIdsOf(host, 2));
    }

    function listOffer(Offer memory offer) internal returns (bytes32) {
        vm.prank(offer.provider);
        return market.list(offer);
    }

    /// Lists the offer where it is not, and opens.
    function openLease(Terms memory terms) internal returns (bytes32) {
        if (market.listedBy(digests.hashOffer(terms.offer)) == address(0)) listOffer(terms.offer);
        vm.prank(terms.renter);
        return market.open(terms, LISTED);
    }

    function openDefault() internal returns (Terms memory terms, bytes32 leaseId) {
        terms = defaultTerms();
        leaseId = openLease(terms);
    }

    /// What events tell of the terms.
    function leaseTermsOf(Terms memory terms) internal pure returns (LeaseTerms memory) {
        return LeaseTerms({
            start: terms.start,
            end: terms.end,
            maxEnd: terms.maxEnd,
            weeklyHours: terms.weeklyHours,
            feeBps: terms.feeBps,
            policyHash: terms.policyHash,
            firstOrder: terms.firstOrder,
            gangId: terms.gangId,
            previousLeaseId: terms.previousLeaseId,
            salt: terms.salt
        });
    }

    /// The next proof in the lease's chain.
    function proofOf(Terms memory terms, uint32 provenSeconds)
        internal
        view
        returns (CompletionProof memory)
    {
        bytes32 leaseId = market.leaseIdOf(terms);
        return CompletionProof({
            leaseId: leaseId,
            previousProof: market.leaseState(leaseId).proofHash,
            provenSeconds: provenSeconds,
            jobsCompleted: 3,
            leafCount: 3,
            jobsRoot: keccak256("jobs"),
            availabilityRoot: keccak256("heartbeats"),
            energyJoules: 1_000_000
        });
    }

    function postProof(Terms memory terms, uint32 provenSeconds) internal returns (bytes32 proofHash) {
        CompletionProof memory proof = proofOf(terms, provenSeconds);
        vm.prank(registry.workerOf(terms.offer.unitId));
        market.postProof(terms, proof, "");
        return digests.hashCompletionProof(proof);
    }

    /// Posts, waits and settles.
    function prove(Terms memory terms, uint32 provenSeconds) internal returns (uint96 pay, uint96 fee) {
        postProof(terms, provenSeconds);
        skip(CHALLENGE_SECONDS);
        return market.settle(terms);
    }

    function giveNoticeAs(address by, Terms memory terms) internal {
        vm.prank(by);
        amendments.giveNotice(terms, NoticeReason.WORK_DONE, bytes32(0));
    }

    function closeAs(address by, Terms memory terms) internal {
        vm.prank(by);
        market.close(terms);
    }

    /// The renter's permit, good until now.
    function signPermit(DevToken permitted, address spender, uint256 amount)
        internal
        view
        returns (uint8 v, bytes32 r, bytes32 s)
    {
        bytes32 permitHash = keccak256(
            abi.encode(
                keccak256(
                    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
                ),
                RENTER,
                spender,
                amount,
                permitted.nonces(RENTER),
                vm.getBlockTimestamp()
            )
        );
        return vm.sign(
            RENTER_KEY, keccak256(abi.encodePacked(hex"1901", permitted.DOMAIN_SEPARATOR(), permitHash))
        );
    }

    function skipTo(uint256 instant) internal {
        skip(instant - vm.getBlockTimestamp());
    }

    /// The first second at which any lease of these terms can be closed whatever was proven.
    function skipPastLastPost(Terms memory terms) internal {
        skipTo(endOf(terms) + PROOF_GRACE_SECONDS + 1);
    }

    function stateOf(Terms memory terms) internal view returns (LeaseState memory) {
        return market.leaseState(market.leaseIdOf(terms));
    }

    function endOf(Terms memory terms) internal view returns (uint256) {
        return uint256(terms.start) + stateOf(terms).endOffset;
    }

    function creditOf(address account) internal view returns (uint256) {
        return market.creditOf(address(token), account);
    }

    function feesKept() internal view returns (uint256) {
        return market.feesOf(address(token));
    }

    function bookedHoursOf(bytes32 unitId_) internal view returns (uint168 booked) {
        (, booked) = registry.unitOf(unitId_);
    }

    function stakeOf(address provider) internal view returns (uint96 staked, uint96 locked) {
        (IProviderRegistry.StakeAccount memory account,) = registry.stakeOf(provider);
        return (account.stake, account.locked);
    }

    /// From the renter, for nothing.
    function transferLease(Terms memory terms, address to, uint256 toKey) internal {
        LeaseState memory state = stateOf(terms);
        LeaseTransfer memory deal = LeaseTransfer({
            leaseId: market.leaseIdOf(terms),
            from: RENTER,
            to: to,
            price: 0,
            deposit: state.deposit,
            end: terms.start + state.endOffset,
            settledSeconds: state.settledSeconds,
            transfers: 0,
            deadline: uint40(vm.getBlockTimestamp())
        });
        bytes32 dealHash = digests.hashLeaseTransfer(deal);
        succession.transfer(terms, deal, signAs(RENTER_KEY, dealHash), signAs(toKey, dealHash));
    }

    /// A dispute of the pending proof.
    function openDispute(Terms memory terms) internal returns (bytes32 proofHash) {
        proofHash = stateOf(terms).proofHash;
        vm.prank(market.COURT());
        market.openDispute(terms, proofHash);
    }

    /// The proof stands.
    function endDispute(Terms memory terms) internal {
        bytes32 proofHash = stateOf(terms).proofHash;
        vm.prank(market.COURT());
        amendments.endDispute(terms, proofHash, type(uint32).max);
    }

    /// The court finds against the provider: the renter gets 30 %, the court 40 %, the rest burns.
    function breach(Terms memory terms) internal returns (uint96 slashed) {
        bytes32 proofHash = openDispute(terms);
        uint96 bond = terms.offer.bond;
        vm.prank(market.COURT());
        return amendments.breach(terms, proofHash, bond * 30 / 100, bond * 40 / 100);
    }

    /// Signature over a struct in the market's domain.
    function signAs(uint256 key, bytes32 structHash) internal view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digestOf(structHash));
        return abi.encodePacked(r, s, v);
    }

    function signOffer(Offer memory offer) internal view returns (bytes memory) {
        return signAs(PROVIDER_KEY, digests.hashOffer(offer));
    }

    function digestOf(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", market.domainSeparator(), structHash));
    }

    function leaseNotOpen(bytes32 leaseId, LeaseStatus status) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ILeaseBook.LeaseNotOpen.selector, leaseId, status);
    }
}
