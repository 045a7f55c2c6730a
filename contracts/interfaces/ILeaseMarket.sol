// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CompletionProof, LeaseState, LeaseStatus, NoticeReason, Offer, Terms } from "../libraries/Types.sol";
import { IProviderRegistry } from "./IProviderRegistry.sol";

/// @title Offers, leases, escrow, proofs and settlement
/// @notice The terms of a lease travel in calldata: their EIP-712 digest is its id. All amounts are base units.
/// Payments are credits that the payee withdraws. Every call that changes a lease settles a matured proof first.
interface ILeaseMarket {
    event OfferListed(
        bytes32 indexed offerHash, address indexed provider, bytes32 indexed unitId, Offer offer
    );
    event OfferUnlisted(bytes32 indexed offerHash, address indexed provider);
    event LeaseOpened(
        bytes32 indexed leaseId, address indexed renter, address indexed provider, Terms terms, uint96 deposit
    );
    event ProofPosted(
        bytes32 indexed leaseId, bytes32 indexed proofHash, CompletionProof proof, uint40 maturesAt
    );
    /// @param settledSeconds cumulative; @param pay what the provider was credited, fee taken off
    event Settled(
        bytes32 indexed leaseId, bytes32 indexed proofHash, uint32 settledSeconds, uint96 pay, uint96 fee
    );
    event NoticeGiven(
        bytes32 indexed leaseId,
        address indexed by,
        uint40 end,
        uint32 penaltySeconds,
        NoticeReason reason,
        bytes32 evidence
    );
    event HoursReleased(bytes32 indexed leaseId, bytes32 indexed unitId);
    event LeaseClosed(bytes32 indexed leaseId, uint32 settledSeconds, uint96 refund, uint96 compensation);
    event Withdrawn(address indexed token, address indexed account, address indexed to, uint256 amount);
    event TokenAllowed(address indexed token, bool allowed);
    event FeeChanged(uint16 feeBps);
    event TreasuryChanged(address indexed treasury);

    error ZeroAddress();
    error RegistryOfAnotherMarket(address expected, address actual);
    error WindowsInvalid(uint32 challengeSeconds, uint32 proofGraceSeconds);
    error OnlyProvider(address expected, address actual);
    error OnlyRenter(address expected, address actual);
    error OnlyParty(address renter, address provider, address actual);
    error OnlyWorker(address expected, address actual);
    error TokenNotAllowed(address token);
    error FeeAboveCap(uint256 cap, uint256 actual);
    error FeeMismatch(uint16 expected, uint16 actual);
    error OfferExpired(uint256 validUntil, uint256 nowSeconds);
    error OfferNotListed(bytes32 offerHash);
    error OfferAlreadyListed(bytes32 offerHash);
    error OfferDurationInvalid(uint32 minSeconds, uint32 maxSeconds, uint32 horizonSeconds);
    error StartOutOfRange(uint256 earliest, uint256 latest, uint40 actual);
    error EndOutOfRange(uint256 earliest, uint256 latest, uint40 actual);
    error MaxEndOutOfRange(uint256 earliest, uint256 latest, uint40 actual);
    error HoursNotOffered(uint168 offered, uint168 wanted);
    error NothingScheduled();
    error LeaseExists(bytes32 leaseId);
    error LeaseNotOpen(bytes32 leaseId, LeaseStatus status);
    error LeaseMismatch(bytes32 expected, bytes32 actual);
    error LeaseNotStarted(uint256 start, uint256 nowSeconds);
    error ProofPending(uint256 maturesAt, uint256 nowSeconds);
    error ProofOutOfOrder(bytes32 expected, bytes32 actual);
    error ProofAfterLastPost(uint256 lastPost, uint256 nowSeconds);
    error ProvenSecondsOutOfRange(uint32 settled, uint256 scheduled, uint32 claimed);
    error LeaseEnded(uint256 end, uint256 nowSeconds);
    error LeaseNotEnded(uint256 end, uint256 nowSeconds);
    error LeaseNotClosable(uint256 closableAt, uint256 nowSeconds);
    error DisputeOpen(uint16 openDisputes);
    error HoursAlreadyReleased(bytes32 leaseId);
    error NothingToWithdraw(address token, address account);

    /// @notice Lists the caller's offer; from now on anyone may open a lease on it.
    function list(Offer calldata offer) external returns (bytes32 offerHash);

    /// @notice Takes an offer off the market. Leases already open keep their terms.
    function unlist(bytes32 offerHash) external;

    /// @notice Opens a lease for the caller and escrows ceil(price x scheduled seconds / 3600).
    function open(Terms calldata terms) external returns (bytes32 leaseId);

    /// @notice As `open`, with an EIP-2612 permit; a permit that was already spent does not break the call.
    function openWithPermit(Terms calldata terms, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        returns (bytes32 leaseId);

    /// @notice Posts the worker's next proof. It can be challenged until it matures, and is never replaced.
    function postProof(Terms calldata terms, CompletionProof calldata proof) external;

    /// @notice Settles a matured proof. Does nothing where there is none.
    /// @return pay credited to the provider, @return fee credited to the treasury
    function settle(Terms calldata terms) external returns (uint96 pay, uint96 fee);

    /// @notice Moves the end of a lease nearer: with the offer's notice, for the renter not before `minSeconds`,
    /// and to the start where the renter is earlier than start - notice.
    function giveNotice(Terms calldata terms, NoticeReason reason, bytes32 evidence) external;

    /// @notice Frees the unit's hours of a lease that has ended, before it is closed.
    function releaseHours(Terms calldata terms) external;

    /// @notice Ends a lease: pays, refunds, compensates the renter out of the bond for reserved seconds not served, and
    /// unlocks the rest. From lastPost on, or from the end on where every scheduled second is settled.
    function close(Terms calldata terms) external;

    /// @notice Pays all of the caller's credit in `token` to `to`.
    function withdraw(address token, address to) external returns (uint256 amount);

    /// @notice Owner: which tokens new offers may be priced in.
    function allowToken(address token, bool allowed) external;

    /// @notice Owner: the fee of leases opened from now on, at most `MAX_FEE_BPS`.
    function setFee(uint16 feeBps) external;

    /// @notice Owner: who is credited with fees settled from now on.
    function setTreasury(address treasury) external;

    function REGISTRY() external view returns (IProviderRegistry);
    function CHALLENGE_SECONDS() external view returns (uint32);
    function PROOF_GRACE_SECONDS() external view returns (uint32);
    function MAX_FEE_BPS() external view returns (uint16);
    function MAX_START_DELAY_SECONDS() external view returns (uint32);
    function HORIZON_SECONDS() external view returns (uint32);
    function feeBps() external view returns (uint16);
    function treasury() external view returns (address);
    function tokenAllowed(address token) external view returns (bool);
    /// @return the provider, or zero where the offer is not listed
    function listedBy(bytes32 offerHash) external view returns (address);
    function creditOf(address token, address account) external view returns (uint256);
    function leaseIdOf(Terms calldata terms) external view returns (bytes32);
    function leaseState(bytes32 leaseId) external view returns (LeaseState memory);
    /// @return seconds of `weeklyHours` in [from, to)
    function scheduledSeconds(uint168 weeklyHours, uint40 from, uint40 to) external pure returns (uint256);
    function domainSeparator() external view returns (bytes32);
}
