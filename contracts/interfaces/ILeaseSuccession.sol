// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { AllowedProvider, FailoverPolicy, LeaseTransfer, Outage, Terms, Yield } from "../libraries/Types.sol";
import { ILeaseBook } from "./ILeaseBook.sol";
import { QuorumSignature } from "./IOracleQuorum.sol";

/// What shows that a lease's provider has failed: exactly one part is filled, or none after the provider's notice.
/// `since` lies at most a day back.
struct FailureProof {
    /// Zero since: none.
    Yield yielded;
    bytes workerSignature;
    /// Zero since: none.
    Outage outage;
    QuorumSignature[] quorumSignatures;
}

/// @title Leases that hang together: gangs, leases that follow on failed ones, leases that change hands
/// @notice Code of LeaseMarket that lies in a contract of its own for its size; called at LeaseMarket's address.
interface ILeaseSuccession is ILeaseBook {
    /// @notice Opens these leases or none. All name one gangId: keccak-256 of the ABI encoding of their offers' hashes,
    /// the renter and the first one's LeaseTerms with a gangId of zero, so that no lease can join later.
    /// @param offerSignatures one a lease, as `open` takes them
    function openGang(Terms[] calldata terms, bytes[] calldata offerSignatures)
        external
        returns (bytes32[] memory leaseIds);

    /// @notice The policy's delegate moves the money that `terms` needs no more into a lease on `next`, after the
    /// provider gave notice (both proofs empty), the worker of an idle lease yielded, or the quorum found an outage.
    /// What was scheduled up to now, or up to the end of a notice, stays behind for the old provider. The next unit has as
    /// many GPUs at least, and is reserved where the last one was.
    function failover(
        Terms calldata terms,
        FailoverPolicy calldata policy,
        Terms calldata next,
        bytes calldata offerSignature,
        AllowedProvider calldata allowed,
        FailureProof calldata failure
    ) external returns (bytes32 nextLeaseId);

    /// @notice Passes a lease on to another renter for a price, both having signed; voids its failover policy,
    /// unanswered order and acceptances.
    function transfer(
        Terms calldata terms,
        LeaseTransfer calldata deal,
        bytes calldata fromSignature,
        bytes calldata toSignature
    ) external;
}
