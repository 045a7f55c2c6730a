// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { NoticeReason, RelayedCall, Terms } from "../libraries/Types.sol";
import { ILeaseBook } from "./ILeaseBook.sol";

/// @title What changes a lease between its opening and its closing, and the owner's few powers
/// @notice Code of LeaseMarket that lies in a contract of its own for its size; called at LeaseMarket's address.
/// Calls that are not here are LeaseSuccession's.
interface ILeaseAmendments is ILeaseBook {
    /// @notice The caller's signed offers with this salt cannot be taken any more. A listed one must be unlisted;
    /// ProviderRegistry's `raiseEpoch` voids all at once.
    function cancelSalt(uint256 salt) external;

    /// @notice Renter: moves the end to `end`, beyond `terms.maxEnd` if wanted, within the offer's `maxSeconds`.
    function extend(Terms calldata terms, uint40 end) external;

    /// @notice Moves the end of a lease nearer: with the offer's notice, for the renter not before `minSeconds`,
    /// and to the start where the renter is earlier than start - notice.
    function giveNotice(Terms calldata terms, NoticeReason reason, bytes32 evidence) external;

    /// @notice Renter: as `giveNotice`, whatever minSeconds, where the provider of another lease of the gang gave
    /// notice, failed or breached.
    function giveNoticeInGang(Terms calldata terms, Terms calldata failed, bytes32 evidence) external;

    /// @notice Ends the window of the pending proof at the renter's word, and settles it.
    /// @param renterSignature over the Acceptance; empty where the renter calls
    function accept(Terms calldata terms, bytes32 proofHash, bytes calldata renterSignature) external;

    /// @notice Renter: posts an order that the worker must answer within `ANSWER_SECONDS` of scheduled time; scheduled
    /// seconds after that and before the answer are not proven. One order waits at a time.
    function postOrder(Terms calldata terms, bytes32 orderDigest) external;

    /// @notice Records the worker's answer to the order that waits.
    /// @param workerSignature over the OrderAcknowledgement; empty where the worker calls
    function answerOrder(
        Terms calldata terms,
        bytes32 orderDigest,
        bool accepted,
        bytes calldata workerSignature
    ) external;

    /// @notice Frees the unit's hours of a lease that has ended, before it is closed.
    function releaseHours(Terms calldata terms) external;

    /// @notice Court only: a dispute has ended and the proof stands, with at most `secondsLeft`. What that leaves keeps
    /// its maturity; if it was posted within the grace after the end, the last time to post moves to a grace from now, so
    /// that a worker can still claim what follows.
    function endDispute(Terms calldata terms, bytes32 proofHash, uint32 secondsLeft) external;

    /// @notice Court only: a result or data was lost. The proof is void, the lease ends, the bond is slashed.
    /// @param restitution for the renter, @param reward for the court to distribute; the rest is burned
    function breach(Terms calldata terms, bytes32 proofHash, uint96 restitution, uint96 reward)
        external
        returns (uint96 slashed);

    /// @notice Court only: slashes the bond of a lease that goes on. Nothing where it was slashed before.
    function slashBond(Terms calldata terms, uint96 restitution, uint96 reward)
        external
        returns (uint96 slashed);

    /// @notice Makes several calls, or none, as the caller; without native coin.
    function multicall(bytes[] calldata data) external returns (bytes[] memory results);

    /// @notice Spends the caller's EIP-2612 permit for this contract; one that was spent already breaks nothing.
    function usePermit(address token, uint256 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external;

    /// @notice Makes a call of this contract as the account that signed it. A call that fails spends no nonce.
    function relay(RelayedCall calldata call, bytes calldata signature) external returns (bytes memory result);

    /// @notice Sends the fees settled so far to the treasury.
    function withdrawFees(address token) external returns (uint256 amount);

    /// @notice Owner: whether leases may be opened in `token`, and at what fee from now on, at most `MAX_FEE_BPS`.
    function setToken(address token, bool allowed, uint16 feeBps) external;

    /// @notice Owner: where fees go.
    function setTreasury(address treasury) external;
}
