// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    CompletionProof,
    LeaseState,
    LeaseStatus,
    LeaseTerms,
    NoticeReason,
    Offer
} from "../libraries/Types.sol";
import { IOracleQuorum } from "./IOracleQuorum.sol";
import { IProviderRegistry } from "./IProviderRegistry.sol";
import { IRelayedContext } from "./IRelayedContext.sol";

/// @title What LeaseMarket and LeaseAmendments share: events, errors, and what both can be asked
interface ILeaseBook is IRelayedContext {
    event OfferListed(bytes32 indexed offerHash, address indexed provider, Offer offer);
    event OfferUnlisted(bytes32 indexed offerHash, address indexed provider);
    /// @notice A signed offer that is not listed was taken. A lease on it follows in the same transaction.
    event OfferTaken(bytes32 indexed offerHash, address indexed provider, Offer offer);
    event SaltCancelled(address indexed provider, uint256 salt);
    event LeaseOpened(
        bytes32 indexed leaseId,
        address indexed renter,
        address indexed provider,
        bytes32 offerHash,
        LeaseTerms terms,
        uint96 deposit
    );
    event LeaseExtended(bytes32 indexed leaseId, address indexed payer, uint40 end, uint96 deposit);
    event ProofPosted(
        bytes32 indexed leaseId, bytes32 indexed proofHash, CompletionProof proof, uint40 maturesAt
    );
    event ProofAccepted(bytes32 indexed leaseId, bytes32 indexed proofHash);
    /// @param settledSeconds cumulative; @param pay what the provider was credited, fee taken off
    event Settled(bytes32 indexed leaseId, uint32 settledSeconds, uint96 pay, uint96 fee);
    event NoticeGiven(
        bytes32 indexed leaseId,
        address indexed by,
        uint40 end,
        uint32 penaltySeconds,
        NoticeReason reason,
        bytes32 evidence
    );
    /// @param answerWithin scheduled seconds since the start of the lease
    event OrderPosted(bytes32 indexed leaseId, bytes32 indexed orderDigest, uint32 answerWithin);
    /// @param lostSeconds cumulative: scheduled seconds that can be proven no more, for late answers
    event OrderAnswered(
        bytes32 indexed leaseId, bytes32 indexed orderDigest, bool accepted, uint32 lostSeconds
    );
    /// @param moved from the old lease's deposit into the new one's
    event FailedOver(
        bytes32 indexed leaseId,
        bytes32 indexed nextLeaseId,
        uint96 moved,
        uint40 end,
        uint32 penaltySeconds,
        uint8 hops
    );
    event LeaseTransferred(bytes32 indexed leaseId, address indexed from, address indexed to, uint96 price);
    event HoursReleased(bytes32 indexed leaseId, bytes32 indexed unitId);
    event DisputeOpened(bytes32 indexed leaseId, bytes32 indexed proofHash, uint16 openDisputes);
    /// @param pendingSeconds what is left of the claim
    event DisputeEnded(
        bytes32 indexed leaseId,
        bytes32 indexed proofHash,
        uint16 openDisputes,
        uint32 pendingSeconds,
        uint40 lastPost
    );
    /// @param slashed base units of the stake token
    event LeaseBreached(bytes32 indexed leaseId, bytes32 indexed proofHash, uint40 end, uint96 slashed);
    event BondSlashed(bytes32 indexed leaseId, uint96 slashed);
    event LeaseClosed(bytes32 indexed leaseId, uint32 settledSeconds, uint96 refund, uint96 compensation);
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);
    event FeesWithdrawn(address indexed token, address indexed treasury, uint256 amount);
    event TokenSet(address indexed token, bool allowed, uint16 feeBps);
    event TreasuryChanged(address indexed treasury);

    error ZeroAddress();
    error ContractsMismatch(address expected, address actual);
    error ParametersMismatch(bytes32 expected, bytes32 actual);
    error WindowsInvalid(uint32 challengeSeconds, uint32 proofGraceSeconds);
    error OnlyProvider(address expected, address actual);
    error OnlyRenter(address expected, address actual);
    error OnlyParty(address renter, address provider, address actual);
    error OnlyWorker(address expected, address actual);
    error OnlyCourt(address expected, address actual);
    error OnlyDelegate(address expected, address actual);
    error TokenNotAllowed(address token);
    error NativeCoinMismatch(address wrappedNative, address token);
    error ValueMismatch(uint256 expected, uint256 actual);
    error FeeAboveCap(uint256 cap, uint256 actual);
    error FeeMismatch(uint16 expected, uint16 actual);
    error OfferExpired(uint256 validUntil, uint256 nowSeconds);
    error OfferNotListed(bytes32 offerHash);
    error OfferAlreadyListed(bytes32 offerHash);
    error OfferCancelled(address provider, uint256 salt);
    error StartOutOfRange(uint256 earliest, uint256 latest, uint40 actual);
    error EndOutOfRange(uint256 earliest, uint256 latest, uint40 actual);
    error MaxEndOutOfRange(uint256 earliest, uint256 latest, uint40 actual);
    error HoursNotOffered(uint168 offered, uint168 wanted);
    error NothingScheduled();
    error LeaseExists(bytes32 leaseId);
    error LeaseNotOpen(bytes32 leaseId, LeaseStatus status);
    error LeaseMismatch(bytes32 expected, bytes32 actual);
    error LeaseNotStarted(uint256 start, uint256 nowSeconds);
    error LeaseClosing(bytes32 leaseId);
    error LeaseIsInGang(bytes32 gangId);
    error ProofPending(uint256 maturesAt, uint256 nowSeconds);
    error ProofNotPending(bytes32 expected, bytes32 actual);
    error ProofMatured(uint256 maturesAt, uint256 nowSeconds);
    error ProofOutOfOrder(bytes32 expected, bytes32 actual);
    error ProofAfterLastPost(uint256 lastPost, uint256 nowSeconds);
    error ProvenSecondsOutOfRange(uint32 settled, uint256 scheduled, uint32 claimed);
    error LeaseEnded(uint256 end, uint256 nowSeconds);
    error LeaseNotEnded(uint256 end, uint256 nowSeconds);
    error LeaseNotClosable(uint256 closableAt, uint256 nowSeconds);
    error DisputeOpen(uint16 openDisputes);
    error HoursAlreadyReleased(bytes32 leaseId);
    error LengthMismatch(uint256 expected, uint256 actual);
    error OrderUnanswered(bytes32 orderDigest);
    error OrderNotPosted(bytes32 expected, bytes32 actual);
    error GangInvalid(bytes32 expected, bytes32 actual);
    error GangSizeOutOfRange(uint256 maximum, uint256 actual);
    error GangNotFailed(bytes32 leaseId);
    error PolicyMismatch(bytes32 expected, bytes32 actual);
    /// @notice The field of the policy, or of the next lease's terms, that stands in the way.
    error PolicyForbids(bytes32 field);
    error ProviderHasNotFailed(bytes32 leaseId);
    error DepositTooSmall(uint256 needed, uint256 available);
    error StateMismatch(bytes32 field, uint256 expected, uint256 actual);
    error NothingToWithdraw(address token, address account);

    /// @return all zero where nothing was opened
    function leaseState(bytes32 leaseId) external view returns (LeaseState memory);

    /// @return keccak-256 of the deployment's MarketParameters
    function PARAMETERS_HASH() external view returns (bytes32);
    function REGISTRY() external view returns (IProviderRegistry);
    function COURT() external view returns (address);
    function QUORUM() external view returns (IOracleQuorum);
    /// @return zero where the native coin is not taken
    function WRAPPED_NATIVE() external view returns (address);
    function CHALLENGE_SECONDS() external view returns (uint32);
    function PROOF_GRACE_SECONDS() external view returns (uint32);
    /// @return how many scheduled seconds a worker has to answer an order posted on-chain
    function ANSWER_SECONDS() external view returns (uint32);
    function MAX_FEE_BPS() external view returns (uint16);
    function MAX_START_DELAY_SECONDS() external view returns (uint32);
    function HORIZON_SECONDS() external view returns (uint32);
    function treasury() external view returns (address);
    /// @return allowed whether leases may be opened in `token`
    /// @return feeBps of leases opened from now on
    function tokenTerms(address token) external view returns (bool allowed, uint16 feeBps);
    /// @return the provider, or zero where the offer is not listed
    function listedBy(bytes32 offerHash) external view returns (address);
    function saltCancelled(address provider, uint256 salt) external view returns (bool);
    function creditOf(address token, address account) external view returns (uint256);
    /// @return fees that the treasury has not withdrawn
    function feesOf(address token) external view returns (uint256);
}
