// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { GpuAttestation } from "../libraries/Types.sol";

/// One member's signature over a digest of the quorum's domain.
struct QuorumSignature {
    uint8 member;
    bytes signature;
}

/// @title The k-of-n oracle keys that decide what the EVM cannot compute, their bonds and their rotation
/// @notice A member keeps its index from when it is added until its bond is withdrawn. Bonds are in the stake token.
interface IOracleQuorum {
    struct Member {
        // slot 0
        address signer;
        uint96 bond;
        // slot 1
        address operator; // withdraws the bond; neither it nor the signer may judge its own cases
        uint40 activeAt;
        uint40 leavesAt; // zero: stays
    }

    /// @notice What was recorded of a unit's GPUs.
    struct Finding {
        bytes32 gpuClass;
        uint64 measuredGops;
        uint32 vramMiB;
        uint40 expiresAt;
    }

    event MemberAdded(
        uint8 indexed member, address indexed signer, address indexed operator, uint40 activeAt
    );
    event MemberRemoved(uint8 indexed member, uint40 leavesAt);
    event ThresholdScheduled(uint8 threshold, uint40 activeAt);
    event BondDeposited(uint8 indexed member, address indexed from, uint96 amount);
    event BondWithdrawn(uint8 indexed member, address indexed to, uint96 amount);
    event MemberPenalised(uint8 indexed member, uint96 amount);
    event GpusAttested(bytes32 indexed unitId, address indexed provider, GpuAttestation attestation);
    event ProfileCalibrated(bytes32 indexed toleranceProfile, uint64 maxSpread);

    error ZeroAddress();
    error ZeroAmount();
    error OnlyCourt(address expected, address actual);
    error OnlyOperator(address expected, address actual);
    error MemberUnknown(uint8 member);
    error MemberNotActive(uint8 member);
    error SignerTaken(address signer, uint8 member);
    error QuorumFull(uint256 maximum);
    error ThresholdOutOfRange(uint8 threshold, uint256 least, uint256 members);
    error StillBonded(uint40 withdrawableAt, uint256 nowSeconds);
    error TooFewSignatures(uint256 threshold, uint256 actual);
    error SignaturesNotAscending(uint8 previous, uint8 next);
    error SignatureInvalid(uint8 member, address signer);
    error UnitIdMismatch(bytes32 expected, bytes32 actual);
    error AttestationExpired(uint40 expiresAt, uint256 nowSeconds);
    error AttestationTooLong(uint256 latest, uint40 expiresAt);
    error GpuCountOutOfRange(uint256 count, uint256 maximum);
    error GpuIdsNotAscending(bytes32 previous, bytes32 next);
    /// @notice The GPU was measured in another unit since.
    error MeasuredEarlier(bytes32 gpuId, bytes32 unitId, uint64 recordedSeedBlock, uint64 seedBlock);
    error CalibratedAlready(bytes32 toleranceProfile);
    error AttestationOlder(uint40 recordedExpiresAt, uint40 expiresAt);
    error SeedBlockOutOfRange(uint256 earliest, uint256 latest, uint64 actual);
    error SeedBlockHashMismatch(bytes32 expected, bytes32 actual);

    /// @notice Owner: a member that may sign and judge from `ROTATION_SECONDS` on, once its bond is `MEMBER_BOND`.
    function addMember(address signer, address operator) external returns (uint8 member);

    /// @notice Owner, or the member's operator, whose bond nobody can hold back: the member signs and judges no more
    /// from `ROTATION_SECONDS` on.
    function removeMember(uint8 member) external;

    /// @notice Owner: how many signatures decide, from `ROTATION_SECONDS` on: a majority at least, and at most all, of
    /// the members that nobody has removed.
    function setThreshold(uint8 threshold) external;

    /// @notice Adds to a member's bond.
    function depositBond(uint8 member, uint96 amount) external;

    /// @notice Operator: takes the bond of a member that has left, `EXIT_SECONDS` after, and frees its index.
    function withdrawBond(uint8 member, address to) external returns (uint96 amount);

    /// @notice Court only: takes from a member's bond, at most what is there, for good.
    function penalise(uint8 member, uint96 amount) external;

    /// @notice Records a finding that the quorum signed, whose seed block's hash the EVM still knows. Until it expires
    /// the GPUs are that unit's, whoever claimed them: of two findings that name one GPU, the one measured later ends
    /// the other.
    function recordAttestation(GpuAttestation calldata attestation, QuorumSignature[] calldata signatures)
        external;

    /// @notice Records a tolerance profile as calibrated, once; without, no disputed job of that profile is slashed.
    /// @param maxSpread of arbiters' errors, in 10^-9
    function calibrate(bytes32 toleranceProfile, uint64 maxSpread, QuorumSignature[] calldata signatures)
        external;

    /// @notice Reverts unless enough active members signed the EIP-712 `structHash` in this contract's domain.
    /// @param signatures by ascending member
    function requireQuorum(bytes32 structHash, QuorumSignature[] calldata signatures) external view;

    function STAKE_TOKEN() external view returns (address);
    function COURT() external view returns (address);
    function MEMBER_BOND() external view returns (uint96);
    function ROTATION_SECONDS() external view returns (uint32);
    function EXIT_SECONDS() external view returns (uint32);
    function MAX_MEMBERS() external view returns (uint256);
    /// @return how long an attestation holds at most
    function MAX_ATTESTATION_SECONDS() external view returns (uint256);
    function threshold() external view returns (uint8);
    /// @return all zero where no member has the index
    function memberAt(uint8 member) external view returns (Member memory);
    /// @return bit i: member i is active and fully bonded
    function activeMembers() external view returns (uint64);
    /// @return all zero where the unit was not attested, or not since `expiresAt`
    function findingOf(bytes32 unitId) external view returns (Finding memory);
    /// @return zero where no attestation holds
    function attestedUnitOf(bytes32 gpuId) external view returns (bytes32);
    /// @return zero where no attestation holds
    function attestedProviderOf(bytes32 gpuId) external view returns (address);
    /// @return maxSpread zero: not calibrated
    function maxSpreadOf(bytes32 toleranceProfile) external view returns (uint64 maxSpread);
    function domainSeparator() external view returns (bytes32);
}
