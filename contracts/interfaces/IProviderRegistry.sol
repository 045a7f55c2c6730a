// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Unit } from "../libraries/Types.sol";
import { IOracleQuorum } from "./IOracleQuorum.sol";

/// @title Providers, their stakes and their units
/// @notice Stake is in one immutable token. Locked stake backs leases; unbonding stake leaves after a delay and stays
/// slashable until it has left. All amounts are base units of the stake token.
interface IProviderRegistry {
    /// @notice Where a provider's stake stands: `locked + unbonding <= stake`.
    struct StakeAccount {
        uint96 stake;
        uint96 locked;
        uint40 unbondAt;
        /// In which the provider's offers hold.
        uint24 epoch;
    }

    event Staked(address indexed provider, uint96 amount);
    event UnbondingStarted(address indexed provider, uint96 unbonding, uint40 unbondAt);
    event UnbondingCancelled(address indexed provider, uint96 amount);
    event StakeWithdrawn(address indexed provider, address indexed to, uint96 amount);
    event UnitRegistered(bytes32 indexed unitId, address indexed provider, Unit unit, bytes32[] gpuIds);
    event UnitRetired(bytes32 indexed unitId, address indexed provider);
    event WorkerRotated(bytes32 indexed unitId, address indexed worker, bytes32 encryptionKey);
    /// @notice Another unit was attested to hold GPUs of this one, which cannot be leased any more.
    event UnitEvicted(bytes32 indexed unitId, bytes32 indexed byUnitId);
    event EpochRaised(address indexed provider, uint24 epoch);
    event Slashed(
        address indexed provider, address indexed renter, uint96 restitution, uint96 reward, uint96 burned
    );
    event BurnedSwept(uint256 amount);
    event CompensationWithdrawn(address indexed account, address indexed to, uint96 amount);

    error OnlyMarket(address expected, address actual);
    error OnlyProvider(address expected, address actual);
    error ZeroAmount();
    error ZeroAddress();
    error InsufficientFreeStake(uint256 needed, uint256 free);
    error NothingUnbonding();
    error StillUnbonding(uint40 unbondAt, uint256 nowSeconds);
    error UnitUnknown(bytes32 unitId);
    error UnitExists(bytes32 unitId);
    error UnitMismatch(bytes32 unitId, address provider, bytes32 gpuClass, uint16 gpuCount);
    error EpochMismatch(uint24 expected, uint24 actual);
    error UnitBooked(bytes32 unitId, uint168 bookedHours);
    error HoursTaken(bytes32 unitId, uint168 bookedHours, uint168 wantedHours);
    error GpuTaken(bytes32 gpuId, bytes32 unitId);
    error GpuIdsNotAscending(bytes32 previous, bytes32 next);
    error GpuIdsMismatch(bytes32 expectedHash, bytes32 actualHash);
    error GpuCountOutOfRange(uint256 count, uint256 maximum);
    error NothingToWithdraw(address account);

    /// @notice Adds to the caller's stake; the first stake makes it a provider.
    function stake(uint96 amount) external;

    /// @notice As `stake`, with an EIP-2612 permit; a permit that was already spent does not break the call.
    function stakeWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s) external;

    /// @notice Starts to unbond `amount` more of the caller's free stake; the delay starts anew for all that is unbonding.
    function startUnbonding(uint96 amount) external;

    /// @notice Makes all that is unbonding free stake again.
    function cancelUnbonding() external;

    /// @notice Pays out what has unbonded.
    function withdrawStake(address to) external returns (uint96 amount);

    /// @notice Registers a disjoint set of GPUs, at most 64, as one unit of the caller.
    /// @param unit its provider must be the caller, its gpuCount the number of ids
    /// @param gpuIds keccak-256 of each GPU's UUID, strictly ascending. One that is in another unit is taken, unless the
    /// quorum attested it to be in this one, which evicts the other; one of the caller's own must not be booked.
    /// @return unitId keccak-256 of provider, nodeId and gpuIds
    function registerUnit(Unit calldata unit, bytes32[] calldata gpuIds) external returns (bytes32 unitId);

    /// @notice Frees the GPUs of a unit without booked hours; the same set may be registered again.
    function retireUnit(bytes32 unitId, bytes32[] calldata gpuIds) external;

    /// @notice Replaces the worker's keys of one unit. Signatures of the old worker count no longer.
    function rotateWorker(bytes32 unitId, address worker, bytes32 encryptionKey) external;

    /// @notice Takes what ended leases owed the caller.
    function withdrawCompensation(address to) external returns (uint96 amount);

    /// @notice Pays an account what ended leases owe it, at its own address: for one without native coin for the gas.
    function sendCompensation(address account) external returns (uint96 amount);

    /// @notice Voids every offer of the caller made in earlier epochs, listed or signed. Leases already open go on.
    function raiseEpoch() external returns (uint24 epoch);

    /// @notice Market only: locks the bond and books the hours of a new lease. The market's `LeaseOpened` tells of it.
    /// @dev Not one struct: an opening would pay 1,400 gas more.
    function lock(
        address provider,
        bytes32 unitId,
        bytes32 gpuClass,
        uint16 gpuCount,
        uint24 epoch,
        uint96 bond,
        uint168 weeklyHours
    ) external;

    /// @notice Market only: frees the hours of a lease that has ended.
    function releaseHours(bytes32 unitId, uint168 weeklyHours) external;

    /// @notice Market only: frees the hours (zero: they are free) and unlocks the bond of a closed lease; `compensation`
    /// of it is taken from the stake for the renter. The market's `LeaseClosed` tells of it.
    function release(
        address provider,
        bytes32 unitId,
        uint168 weeklyHours,
        uint96 bond,
        address renter,
        uint96 compensation
    ) external;

    /// @notice Market only: takes a lease's whole bond out of the stake: `restitution` for the renter, `reward` for the
    /// court to distribute, the rest burned.
    function slash(
        address provider,
        uint96 bond,
        address renter,
        uint96 restitution,
        address court,
        uint96 reward
    ) external;

    /// @notice Sends what was burned in the books to an address that nobody controls.
    function sweepBurned() external returns (uint256 amount);

    function STAKE_TOKEN() external view returns (address);
    function MARKET() external view returns (address);
    function QUORUM() external view returns (IOracleQuorum);
    function UNBONDING_SECONDS() external view returns (uint32);
    function stakeOf(address provider) external view returns (StakeAccount memory account, uint96 unbonding);
    function freeStakeOf(address provider) external view returns (uint256);
    /// @return base units burned in the books and not swept
    function burned() external view returns (uint256);
    function compensationOf(address account) external view returns (uint96);
    /// @return unit all zero where `unitId` is unknown
    function unitOf(bytes32 unitId) external view returns (Unit memory unit, uint168 bookedHours);
    function workerOf(bytes32 unitId) external view returns (address);
    /// @return zero where the GPU is in no unit
    function unitOfGpu(bytes32 gpuId) external view returns (bytes32);
}
