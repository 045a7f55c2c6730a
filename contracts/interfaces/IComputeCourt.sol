// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CompletionProof, JobReceipt, RelayedCall, Terms, TraceLeaf } from "../libraries/Types.sol";
import { DisputeKey, ICourtBook, ProvenLeaf, ProvenReceipt } from "./ICourtBook.sol";

/// @title Disputes over pending proofs: accounts, challenges, and the bisection of withheld traces
/// @notice Calls that are not here are CourtProceedings', reached at the same address.
interface IComputeCourt is ICourtBook {
    /// @notice Adds to the caller's balance, out of its tokens. Who relays it may bring a permit to the token just before.
    function deposit(uint96 amount) external;

    /// @notice Makes a call of this contract as the account that signed it. A call that fails spends no nonce.
    function relay(RelayedCall calldata call, bytes calldata signature) external returns (bytes memory result);

    /// @notice Pays out of the caller's balance.
    function withdraw(address to, uint96 amount) external;

    /// @notice Sends what lost bonds burned to an address that nobody controls.
    function sweepBurned() external returns (uint256 amount);

    /// @notice Disputes one segment of a TRACED job, against a bond from the caller's balance.
    /// @param before leaf `segment - 1`, known by its hash; ignored for segment 0 and for the output
    /// @param claimed leaf `segment`, or the last one for the output
    function challengeSegment(
        Terms calldata terms,
        CompletionProof calldata proof,
        ProvenReceipt calldata proven,
        uint32 segment,
        TraceLeaf calldata before,
        ProvenLeaf calldata claimed
    ) external returns (bytes32 disputeId);

    /// @notice Disputes a whole job, or that its data can be had.
    function challengeJob(Terms calldata terms, CompletionProof calldata proof, ProvenReceipt calldata proven)
        external
        returns (bytes32 disputeId);

    /// @notice Disputes the seconds that the proof claims.
    function challengeAvailability(Terms calldata terms, CompletionProof calldata proof)
        external
        returns (bytes32 disputeId);

    /// @notice Disputes the trace of a job whose leaves are withheld, until one leaf is on the chain.
    function startBisection(
        Terms calldata terms,
        CompletionProof calldata proof,
        ProvenReceipt calldata proven
    ) external returns (bytes32 disputeId);

    /// @notice Breaches a lease whose trace contradicts itself, at once and without a bond: leaf `index` names another
    /// index or spec, does not follow the hash of the leaf before it, or has no later step. The caller is rewarded;
    /// whoever copies its transaction from the public queue may be faster.
    /// @param previous leaf `index - 1`; ignored where the leaf alone is wrong
    function refuteTrace(
        Terms calldata terms,
        CompletionProof calldata proof,
        ProvenReceipt calldata proven,
        uint32 index,
        ProvenLeaf calldata leaf,
        ProvenLeaf calldata previous
    ) external returns (bytes32 disputeId);

    /// @return the contract whose code answers what this one does not
    function PROCEEDINGS() external view returns (address);
    /// @notice The provider's side of a bisection, by anybody: the two nodes under the one in question.
    function revealChildren(DisputeKey calldata key, bytes32 left, bytes32 right) external;

    /// @notice Challenger: goes on under one of the two nodes revealed.
    function descend(DisputeKey calldata key, bytes32 left, bytes32 right, bool toRight) external;

    /// @notice The provider's side, by anybody: the leaf that the bisection arrived at and the one before it (ignored
    /// for leaf 0). From here on the segment is judged.
    function revealLeaves(
        DisputeKey calldata key,
        JobReceipt calldata receipt,
        TraceLeaf calldata before,
        TraceLeaf calldata claimed
    ) external;

    function disputeIdOf(DisputeKey calldata key) external pure returns (bytes32);
    function disputeOf(bytes32 disputeId) external view returns (Dispute memory);
    function committeeOf(bytes32 disputeId) external view returns (Committee memory);
    function ballotOf(bytes32 disputeId, uint32 drawBlock, uint8 member) external view returns (Ballot memory);
    function bisectionOf(bytes32 disputeId) external view returns (Bisection memory);
    function domainSeparator() external view returns (bytes32);
}
