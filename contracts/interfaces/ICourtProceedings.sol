// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { JobReceipt, JobSpec, Terms, TraceLeaf } from "../libraries/Types.sol";
import { DisputeKey, ICourtBook, Verdict } from "./ICourtBook.sol";

/// @title How an open dispute goes on and ends: committees, verdicts, deadlines
/// @notice Code of ComputeCourt that lies in a contract of its own for its size; called at ComputeCourt's address.
interface ICourtProceedings is ICourtBook {
    /// @notice Ends a bisection in which the side whose turn it is has used up its clock: it loses.
    function claimTimeout(DisputeKey calldata key, Terms calldata terms) external;

    /// @notice Draws the committee once the draw block is mined. Where its hash is not known any more, arms a later one.
    function draw(DisputeKey calldata key, Terms calldata terms) external;

    /// @notice A drawn arbiter's word on the dispute's data: what is missing, or zero.
    /// @param signature of the member over DataVote(bytes32 disputeId,uint32 drawBlock,bytes32 missingDigest); empty
    /// where its signer calls
    function voteData(DisputeKey calldata key, uint8 member, bytes32 missingDigest, bytes calldata signature)
        external;

    /// @notice A drawn arbiter commits to its verdict.
    function commit(DisputeKey calldata key, uint8 member, bytes32 commitment) external;

    /// @notice Opens a commitment, by anybody who knows the salt.
    function reveal(DisputeKey calldata key, uint8 member, Verdict calldata verdict, bytes32 salt) external;

    /// @notice Ends a dispute, or draws once more. A verdict REFUTED takes `resolveRefuted`; if nobody brings the spec
    /// within `REVEAL_SECONDS`, it is INCONCLUSIVE.
    function resolve(DisputeKey calldata key, Terms calldata terms) external;

    /// @notice As `resolve`, with the spec that says how verdicts on the job are compared.
    function resolveRefuted(
        DisputeKey calldata key,
        Terms calldata terms,
        JobReceipt calldata receipt,
        JobSpec calldata spec
    ) external;

    /// @notice Ends a dispute whose lease was breached by another.
    function resolveMoot(DisputeKey calldata key) external;

    /// @return what an arbiter commits to
    function commitmentOf(
        bytes32 disputeId,
        uint32 drawBlock,
        address signer,
        Verdict calldata verdict,
        bytes32 salt
    ) external pure returns (bytes32);
}
