// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { IProviderRegistry } from "./interfaces/IProviderRegistry.sol";
import { IOracleQuorum } from "./interfaces/IOracleQuorum.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Unit } from "./libraries/Types.sol";

/// @title Providers, their stakes and their units
contract ProviderRegistry is IProviderRegistry, ReentrancyGuardTransient {
    using ExactTransfer for IERC20;

    struct UnitRecord {
        // slot 0
        address provider; // zero: unknown
        uint64 offerTag; // of what its offers must say; zero: evicted
        uint32 vramMiB;
        // slot 1: never zero, so that booking costs no new slot
        uint168 bookedHours;
        uint40 registeredAt;
        // slot 2
        address worker;
        uint16 gpuCount;
        // slots 3 to 6
        bytes32 gpuClass;
        bytes32 encryptionKey;
        bytes32 nodeId;
        bytes32 gpuIdsHash;
    }

    uint256 public constant MAX_GPUS_PER_UNIT = 64;
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;

    address public immutable override STAKE_TOKEN;
    address public immutable override MARKET;
    IOracleQuorum public immutable override QUORUM;
    uint32 public immutable override UNBONDING_SECONDS;

    mapping(address provider => StakeAccount) private _accounts;
    mapping(address provider => uint96 amount) private _unbonding;
    mapping(address account => uint96 amount) private _compensations;
    mapping(bytes32 unitId => UnitRecord) private _units;
    mapping(bytes32 gpuId => bytes32 unitId) private _unitOfGpu;
    uint256 public override burned;

    modifier onlyMarket() {
        if (msg.sender != MARKET) revert OnlyMarket(MARKET, msg.sender);
        _;
    }

    constructor(address stakeToken, address market, IOracleQuorum quorum, uint32 unbondingSeconds) {
        if (stakeToken == address(0) || market == address(0) || address(quorum) == address(0)) {
            revert ZeroAddress();
        }
        STAKE_TOKEN = stakeToken;
        MARKET = market;
        QUORUM = quorum;
        UNBONDING_SECONDS = unbondingSeconds;
    }

    /// @inheritdoc IProviderRegistry
    function stake(uint96 amount) external override nonReentrant {
        _stake(amount);
    }

    /// @inheritdoc IProviderRegistry
    function stakeWithPermit(uint96 amount, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        override
        nonReentrant
    {
        IERC20(STAKE_TOKEN).tryPermit(msg.sender, amount, deadline, v, r, s);
        _stake(amount);
    }

    /// @inheritdoc IProviderRegistry
    function startUnbonding(uint96 amount) external override {
        if (amount == 0) revert ZeroAmount();
        StakeAccount storage account = _accounts[msg.sender];
        uint256 free = freeStakeOf(msg.sender);
        if (amount > free) revert InsufficientFreeStake(amount, free);
        uint96 unbonding = _unbonding[msg.sender] + amount;
        uint40 unbondAt = SafeCast.toUint40(block.timestamp + UNBONDING_SECONDS);
        _unbonding[msg.sender] = unbonding;
        account.unbondAt = unbondAt;
        emit UnbondingStarted(msg.sender, unbonding, unbondAt);
    }

    /// @inheritdoc IProviderRegistry
    function cancelUnbonding() external override {
        uint96 amount = _clearUnbonding();
        emit UnbondingCancelled(msg.sender, amount);
    }

    /// @inheritdoc IProviderRegistry
    function withdrawStake(address to) external override nonReentrant returns (uint96 amount) {
        if (to == address(0)) revert ZeroAddress();
        StakeAccount storage account = _accounts[msg.sender];
        uint40 unbondAt = account.unbondAt;
        if (block.timestamp < unbondAt) revert StillUnbonding(unbondAt, block.timestamp);
        amount = _clearUnbonding();
        account.stake -= amount;
        emit StakeWithdrawn(msg.sender, to, amount);
        IERC20(STAKE_TOKEN).push(to, amount);
    }

    /// @inheritdoc IProviderRegistry
    function registerUnit(Unit calldata unit, bytes32[] calldata gpuIds)
        external
        override
        returns (bytes32 unitId)
    {
        if (unit.provider != msg.sender) revert OnlyProvider(unit.provider, msg.sender);
        if (unit.worker == address(0)) revert ZeroAddress();
        if (gpuIds.length == 0 || gpuIds.length > MAX_GPUS_PER_UNIT || gpuIds.length != unit.gpuCount) {
            revert GpuCountOutOfRange(gpuIds.length, MAX_GPUS_PER_UNIT);
        }
        unitId = keccak256(abi.encode(unit.provider, unit.nodeId, gpuIds));
        if (_units[unitId].provider != address(0)) revert UnitExists(unitId);
        _claimGpus(unitId, gpuIds);
        _units[unitId] = UnitRecord({
            provider: unit.provider,
            offerTag: _offerTag(unit.gpuClass, unit.gpuCount),
            vramMiB: unit.vramMiB,
            bookedHours: 0,
            registeredAt: SafeCast.toUint40(block.timestamp),
            worker: unit.worker,
            gpuCount: unit.gpuCount,
            gpuClass: unit.gpuClass,
            encryptionKey: unit.encryptionKey,
            nodeId: unit.nodeId,
            gpuIdsHash: keccak256(abi.encode(gpuIds))
        });
        emit UnitRegistered(unitId, msg.sender, unit, gpuIds);
    }

    /// @inheritdoc IProviderRegistry
    function retireUnit(bytes32 unitId, bytes32[] calldata gpuIds) external override {
        UnitRecord storage unit = _unitOfCaller(unitId);
        if (unit.bookedHours != 0) revert UnitBooked(unitId, unit.bookedHours);
        bytes32 gpuIdsHash = keccak256(abi.encode(gpuIds));
        if (gpuIdsHash != unit.gpuIdsHash) revert GpuIdsMismatch(unit.gpuIdsHash, gpuIdsHash);
        for (uint256 i = 0; i < gpuIds.length; ++i) {
            // Another unit may have been attested to hold it meanwhile.
            if (_unitOfGpu[gpuIds[i]] == unitId) delete _unitOfGpu[gpuIds[i]];
        }
        delete _units[unitId];
        emit UnitRetired(unitId, msg.sender);
    }

    /// @inheritdoc IProviderRegistry
    function rotateWorker(bytes32 unitId, address worker, bytes32 encryptionKey) external override {
        if (worker == address(0)) revert ZeroAddress();
        UnitRecord storage unit = _unitOfCaller(unitId);
        unit.worker = worker;
        unit.encryptionKey = encryptionKey;
        emit WorkerRotated(unitId, worker, encryptionKey);
    }

    /// @inheritdoc IProviderRegistry
    function withdrawCompensation(address to) external override nonReentrant returns (uint96 amount) {
        if (to == address(0)) revert ZeroAddress();
        return _payCompensation(msg.sender, to);
    }

    /// @inheritdoc IProviderRegistry
    function sendCompensation(address account) external override nonReentrant returns (uint96 amount) {
        return _payCompensation(account, account);
    }

    /// @inheritdoc IProviderRegistry
    function raiseEpoch() external override returns (uint24 epoch) {
        epoch = _accounts[msg.sender].epoch + 1;
        _accounts[msg.sender].epoch = epoch;
        emit EpochRaised(msg.sender, epoch);
    }

    /// @inheritdoc IProviderRegistry
    function lock(
        address provider,
        bytes32 unitId,
        bytes32 gpuClass,
        uint16 gpuCount,
        uint24 epoch,
        uint96 bond,
        uint168 weeklyHours
    ) external override onlyMarket {
        UnitRecord storage unit = _units[unitId];
        if (unit.provider != provider || unit.offerTag != _offerTag(gpuClass, gpuCount)) {
            revert UnitMismatch(unitId, unit.provider, unit.gpuClass, unit.gpuCount);
        }
        uint168 booked = unit.bookedHours;
        if (booked & weeklyHours != 0) {
            revert HoursTaken(unitId, booked, weeklyHours);
        }
        StakeAccount memory account = _accounts[provider];
        if (account.epoch != epoch) revert EpochMismatch(account.epoch, epoch);
        uint256 free = _freeOf(account, provider);
        if (bond > free) revert InsufficientFreeStake(bond, free);
        unit.bookedHours = booked | weeklyHours;
        _accounts[provider].locked = account.locked + bond;
    }

    /// @inheritdoc IProviderRegistry
    function releaseHours(bytes32 unitId, uint168 weeklyHours) external override onlyMarket {
        _units[unitId].bookedHours &= ~weeklyHours;
    }

    /// @inheritdoc IProviderRegistry
    function release(
        address provider,
        bytes32 unitId,
        uint168 weeklyHours,
        uint96 bond,
        address renter,
        uint96 compensation
    ) external override onlyMarket {
        if (weeklyHours != 0) _units[unitId].bookedHours &= ~weeklyHours;
        if (bond == 0) return;
        StakeAccount storage account = _accounts[provider];
        account.locked -= bond;
        if (compensation != 0) {
            account.stake -= compensation;
            _compensations[renter] += compensation;
        }
    }

    /// @inheritdoc IProviderRegistry
    function slash(
        address provider,
        uint96 bond,
        address renter,
        uint96 restitution,
        address court,
        uint96 reward
    ) external override onlyMarket {
        StakeAccount storage account = _accounts[provider];
        account.locked -= bond;
        account.stake -= bond;
        uint96 burn = bond - restitution - reward;
        _compensations[renter] += restitution;
        _compensations[court] += reward;
        burned += burn;
        emit Slashed(provider, renter, restitution, reward, burn);
    }

    /// @inheritdoc IProviderRegistry
    function sweepBurned() external override nonReentrant returns (uint256 amount) {
        amount = burned;
        if (amount == 0) revert NothingToWithdraw(NOBODY);
        burned = 0;
        emit BurnedSwept(amount);
        IERC20(STAKE_TOKEN).push(NOBODY, amount);
    }

    /// @inheritdoc IProviderRegistry
    function stakeOf(address provider)
        external
        view
        override
        returns (StakeAccount memory account, uint96 unbonding)
    {
        return (_accounts[provider], _unbonding[provider]);
    }

    /// @inheritdoc IProviderRegistry
    function compensationOf(address account) external view override returns (uint96) {
        return _compensations[account];
    }

    /// @inheritdoc IProviderRegistry
    function unitOf(bytes32 unitId) external view override returns (Unit memory unit, uint168 bookedHours) {
        UnitRecord storage record = _units[unitId];
        unit = Unit({
            provider: record.provider,
            worker: record.worker,
            encryptionKey: record.encryptionKey,
            nodeId: record.nodeId,
            gpuClass: record.gpuClass,
            gpuCount: record.gpuCount,
            vramMiB: record.vramMiB
        });
        bookedHours = record.bookedHours;
    }

    /// @inheritdoc IProviderRegistry
    function workerOf(bytes32 unitId) external view override returns (address) {
        return _units[unitId].worker;
    }

    /// @inheritdoc IProviderRegistry
    function unitOfGpu(bytes32 gpuId) external view override returns (bytes32) {
        return _unitOfGpu[gpuId];
    }

    /// @inheritdoc IProviderRegistry
    function freeStakeOf(address provider) public view override returns (uint256) {
        return _freeOf(_accounts[provider], provider);
    }

    function _stake(uint96 amount) private {
        if (amount == 0) revert ZeroAmount();
        _accounts[msg.sender].stake += amount;
        emit Staked(msg.sender, amount);
        IERC20(STAKE_TOKEN).pull(msg.sender, amount);
    }

    function _payCompensation(address account, address to) private returns (uint96 amount) {
        amount = _compensations[account];
        if (amount == 0) revert NothingToWithdraw(account);
        delete _compensations[account];
        emit CompensationWithdrawn(account, to, amount);
        IERC20(STAKE_TOKEN).push(to, amount);
    }

    function _clearUnbonding() private returns (uint96 amount) {
        amount = _unbonding[msg.sender];
        if (amount == 0) revert NothingUnbonding();
        delete _unbonding[msg.sender];
        _accounts[msg.sender].unbondAt = 0;
    }

    function _claimGpus(bytes32 unitId, bytes32[] calldata gpuIds) private {
        bytes32 previous = bytes32(0);
        for (uint256 i = 0; i < gpuIds.length; ++i) {
            bytes32 gpuId = gpuIds[i];
            if (gpuId <= previous) revert GpuIdsNotAscending(previous, gpuId);
            _requireClaimable(unitId, gpuId);
            _unitOfGpu[gpuId] = unitId;
            previous = gpuId;
        }
    }

    /// What the quorum attested wins over what was claimed first: else a squatter who learnt an id would keep its owner out.
    function _requireClaimable(bytes32 unitId, bytes32 gpuId) private {
        bytes32 attested = QUORUM.attestedUnitOf(gpuId);
        bytes32 holder = _unitOfGpu[gpuId];
        if (attested == unitId) {
            if (holder != bytes32(0)) _evict(holder, unitId);
            return;
        }
        if (holder != bytes32(0)) revert GpuTaken(gpuId, holder);
        // Its provider may regroup attested GPUs, nobody else may claim them.
        if (attested != bytes32(0) && QUORUM.attestedProviderOf(gpuId) != msg.sender) {
            revert GpuTaken(gpuId, attested);
        }
    }

    function _evict(bytes32 holder, bytes32 byUnitId) private {
        UnitRecord storage unit = _units[holder];
        // Else a provider could rent out a second time, in another unit, GPUs that are rented out.
        if (unit.provider == msg.sender && unit.bookedHours != 0) {
            revert UnitBooked(holder, unit.bookedHours);
        }
        if (unit.offerTag == 0) return;
        unit.offerTag = 0;
        emit UnitEvicted(holder, byUnitId);
    }

    function _freeOf(StakeAccount memory account, address provider) private view returns (uint256) {
        uint256 unbonding = account.unbondAt != 0 ? _unbonding[provider] : 0;
        return uint256(account.stake) - account.locked - unbonding;
    }

    /// Zero is kept for evicted units. It catches a provider's own mistake only, so 64 bits do.
    function _offerTag(bytes32 gpuClass, uint16 gpuCount) private pure returns (uint64) {
        return uint64(uint256(keccak256(abi.encode(gpuClass, gpuCount)))) | 1;
    }

    function _unitOfCaller(bytes32 unitId) private view returns (UnitRecord storage unit) {
        unit = _units[unitId];
        if (unit.provider == address(0)) revert UnitUnknown(unitId);
        if (unit.provider != msg.sender) revert OnlyProvider(unit.provider, msg.sender);
    }
}
