// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CompletionProof, Offer, PostedOrder, ProofClaim, Terms } from "../libraries/Types.sol";
import { ILeaseBook } from "./ILeaseBook.sol";

/// @title Offers, leases, escrow, proofs and settlement
/// @notice The terms of a lease travel in calldata: their EIP-712 digest is its id. All amounts are base units.
/// Payments are credits that the payee withdraws. Every call that changes a lease settles a matured proof first.
/// Calls that are not here are LeaseAmendments', reached at the same address.
/// Where a signature is asked for, an account that calls by itself leaves it empty; contracts sign by EIP-1271.
interface ILeaseMarket is ILeaseBook {
    /// @notice Lists the caller's offer; from now on anyone may open a lease on it. Whether token and durations allow one
    /// is found out then, as with an offer that is only signed.
    function list(Offer calldata offer) external returns (bytes32 offerHash);

    /// @notice Takes an offer off the market. Leases already open keep their terms.
    function unlist(bytes32 offerHash) external;

    /// @notice Opens a lease for `terms.renter` and escrows ceil(price x scheduled seconds / 3600) out of the caller's
    /// tokens, or of its native coin, sent along to the base unit, where the offer's token wraps that.
    /// @param offerSignature of the provider; empty where the offer is listed
    function open(Terms calldata terms, bytes calldata offerSignature)
        external
        payable
        returns (bytes32 leaseId);

    /// @notice Moves the end to `end`, at most `terms.maxEnd`, and escrows what that takes from the caller.
    function topUp(Terms calldata terms, uint40 end) external payable;

    /// @notice Posts the worker's next proof. It can be challenged until it matures, and is never replaced.
    /// @param workerSignature over the proof; empty where the worker calls
    function postProof(Terms calldata terms, CompletionProof calldata proof, bytes calldata workerSignature)
        external;

    /// @notice The caller's next proof for each of several leases that it works for.
    /// @param leafCount jobs of all these leases, which are the leaves of one tree
    /// @param jobsRoot of that tree
    /// @param availabilityRoot over the heartbeats of all these leases
    function postProofs(
        Terms[] calldata terms,
        ProofClaim[] calldata claims,
        uint32 leafCount,
        bytes32 jobsRoot,
        bytes32 availabilityRoot
    ) external;

    /// @notice Settles a matured proof. Does nothing where there is none.
    /// @return pay credited to the provider
    /// @return fee kept for the treasury
    function settle(Terms calldata terms) external returns (uint96 pay, uint96 fee);

    /// @notice Settles those of these leases that are open; nobody's closing stops the others.
    function settleMany(Terms[] calldata terms) external;

    /// @notice Ends a lease: pays, refunds, compensates the renter out of the bond for reserved seconds not served, and
    /// unlocks the rest. From lastPost on, or from the end on where every scheduled second is settled, or breached.
    function close(Terms calldata terms) external;

    /// @notice Pays all of the caller's credit in `token` to `to`.
    function withdraw(address token, address to) external returns (uint256 amount);

    /// @notice Court only: counts a dispute of the pending proof, which must be `proofHash` and not have matured.
    /// @return leaseId of the terms
    /// @return renter of today
    /// @return pendingSeconds what the proof claims
    function openDispute(Terms calldata terms, bytes32 proofHash)
        external
        returns (bytes32 leaseId, address renter, uint32 pendingSeconds);

    /// @return the contract whose code answers what this one does not
    function AMENDMENTS() external view returns (address);
    function leaseIdOf(Terms calldata terms) external view returns (bytes32);
    function postedOrderOf(bytes32 leaseId) external view returns (PostedOrder memory);
    /// @return seconds of `weeklyHours` in [from, to)
    function scheduledSeconds(uint168 weeklyHours, uint40 from, uint40 to) external pure returns (uint256);
    function domainSeparator() external view returns (bytes32);
}
