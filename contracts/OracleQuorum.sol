// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable, Ownable2Step } from "@openzeppelin/contracts/access/Ownable2Step.sol";
import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SignatureChecker } from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import { Math } from "@openzeppelin/contracts/utils/math/Math.sol";
import { SafeCast } from "@openzeppelin/contracts/utils/math/SafeCast.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { IOracleQuorum, QuorumSignature } from "./interfaces/IOracleQuorum.sol";
import { ExactTransfer } from "./libraries/ExactTransfer.sol";
import { Hashing } from "./libraries/Hashing.sol";
import { GpuAttestation } from "./libraries/Types.sol";

/// @title The k-of-n oracle keys, their bonds, and what they have found
/// @dev What keeps an owner from seizing the quorum is the delay: whoever trusts the old members can finish with them.
contract OracleQuorum is IOracleQuorum, EIP712, Ownable2Step, ReentrancyGuardTransient {
    using ExactTransfer for IERC20;
    using SafeCast for uint256;

    struct FindingRecord {
        // slot 0
        bytes32 gpuClass;
        // slot 1
        uint64 measuredGops;
        uint32 vramMiB;
        uint40 expiresAt;
        uint64 seedBlock;
        // slot 2
        address provider;
    }

    uint256 public constant override MAX_MEMBERS = 64;
    uint256 public constant MAX_GPUS_PER_UNIT = 64;
    uint256 public constant override MAX_ATTESTATION_SECONDS = 90 days;
    uint256 private constant KNOWN_BLOCK_HASHES = 256;
    address private constant NOBODY = 0x000000000000000000000000000000000000dEaD;
    bytes32 private constant CALIBRATION_TYPEHASH =
        keccak256("Calibration(bytes32 toleranceProfile,uint64 maxSpread)");

    address public immutable override STAKE_TOKEN;
    address public immutable override COURT;
    uint96 public immutable override MEMBER_BOND;
    uint32 public immutable override ROTATION_SECONDS;
    uint32 public immutable override EXIT_SECONDS;

    mapping(uint8 member => Member) private _members;
    mapping(address signer => uint256 memberPlusOne) private _memberOf;
    uint64 private _inUse;
    uint8 private _threshold;
    uint8 private _nextThreshold; // zero: none
    uint40 private _nextThresholdAt;
    mapping(bytes32 unitId => FindingRecord) private _findings;
    mapping(bytes32 gpuId => bytes32 unitId) private _attestedUnitOf;
    mapping(bytes32 toleranceProfile => uint64 maxSpread) public override maxSpreadOf;

    constructor(
        address stakeToken,
        address court,
        address owner,
        uint96 memberBond,
        uint32 rotationSeconds,
        uint32 exitSeconds,
        uint8 threshold_
    ) EIP712("GPGPU", "1") Ownable(owner) {
        if (stakeToken == address(0) || court == address(0)) revert ZeroAddress();
        if (memberBond == 0) revert ZeroAmount();
        if (threshold_ == 0 || threshold_ > MAX_MEMBERS) {
            revert ThresholdOutOfRange(threshold_, 1, MAX_MEMBERS);
        }
        STAKE_TOKEN = stakeToken;
        COURT = court;
        MEMBER_BOND = memberBond;
        ROTATION_SECONDS = rotationSeconds;
        EXIT_SECONDS = exitSeconds;
        _threshold = threshold_;
    }

    /// @inheritdoc IOracleQuorum
    function addMember(address signer, address operator) external override onlyOwner returns (uint8 member) {
        if (signer == address(0) || operator == address(0)) revert ZeroAddress();
        if (_memberOf[signer] != 0) revert SignerTaken(signer, uint8(_memberOf[signer] - 1));
        uint64 inUse = _inUse;
        while (member < MAX_MEMBERS && inUse & _bit(member) != 0) {
            ++member;
        }
        if (member == MAX_MEMBERS) revert QuorumFull(MAX_MEMBERS);
        // A majority of the old members must not become a minority that decides alone.
        uint256 members = _staying() + 1;
        uint8 coming = _nextThreshold != 0 ? _nextThreshold : _threshold;
        if (uint256(coming) * 2 <= members) revert ThresholdOutOfRange(coming, members / 2 + 1, members);
        uint40 activeAt = (block.timestamp + ROTATION_SECONDS).toUint40();
        _inUse = inUse | _bit(member);
        _memberOf[signer] = uint256(member) + 1;
        _members[member] =
            Member({ signer: signer, bond: 0, operator: operator, activeAt: activeAt, leavesAt: 0 });
        emit MemberAdded(member, signer, operator, activeAt);
    }

    /// @inheritdoc IOracleQuorum
    function removeMember(uint8 member) external override {
        Member storage record = _known(member);
        if (msg.sender != owner() && msg.sender != record.operator) {
            revert OnlyOperator(record.operator, msg.sender);
        }
        // Once only: a second removal would keep the bond longer.
        if (record.leavesAt != 0) revert MemberNotActive(member);
        uint40 leavesAt = (block.timestamp + ROTATION_SECONDS).toUint40();
        record.leavesAt = leavesAt;
        emit MemberRemoved(member, leavesAt);
    }

    /// @inheritdoc IOracleQuorum
    function setThreshold(uint8 threshold_) external override onlyOwner {
        uint256 members = _staying();
        if (uint256(threshold_) * 2 <= members || threshold_ > members) {
            revert ThresholdOutOfRange(threshold_, members / 2 + 1, members);
        }
        _threshold = threshold();
        uint40 activeAt = (block.timestamp + ROTATION_SECONDS).toUint40();
        _nextThreshold = threshold_;
        _nextThresholdAt = activeAt;
        emit ThresholdScheduled(threshold_, activeAt);
    }

    /// @inheritdoc IOracleQuorum
    function depositBond(uint8 member, uint96 amount) external override nonReentrant {
        if (amount == 0) revert ZeroAmount();
        _known(member).bond += amount;
        emit BondDeposited(member, msg.sender, amount);
        IERC20(STAKE_TOKEN).pull(msg.sender, amount);
    }

    /// @inheritdoc IOracleQuorum
    function withdrawBond(uint8 member, address to) external override nonReentrant returns (uint96 amount) {
        if (to == address(0)) revert ZeroAddress();
        Member memory record = _known(member);
        if (msg.sender != record.operator) revert OnlyOperator(record.operator, msg.sender);
        if (record.leavesAt == 0) revert StillBonded(0, block.timestamp);
        uint256 withdrawableAt = uint256(record.leavesAt) + EXIT_SECONDS;
        if (block.timestamp < withdrawableAt) {
            revert StillBonded(withdrawableAt.toUint40(), block.timestamp);
        }
        amount = record.bond;
        _inUse &= ~_bit(member);
        delete _memberOf[record.signer];
        delete _members[member];
        emit BondWithdrawn(member, to, amount);
        if (amount != 0) IERC20(STAKE_TOKEN).push(to, amount);
    }

    /// @inheritdoc IOracleQuorum
    function penalise(uint8 member, uint96 amount) external override nonReentrant {
        if (msg.sender != COURT) revert OnlyCourt(COURT, msg.sender);
        Member storage record = _known(member);
        uint96 taken = Math.min(amount, record.bond).toUint96();
        record.bond -= taken;
        emit MemberPenalised(member, taken);
        if (taken != 0) IERC20(STAKE_TOKEN).push(NOBODY, taken);
    }

    /// @inheritdoc IOracleQuorum
    function recordAttestation(GpuAttestation calldata attestation, QuorumSignature[] calldata signatures)
        external
        override
    {
        _requireMeasured(attestation);
        bytes32 unitId = keccak256(abi.encode(attestation.provider, attestation.nodeId, attestation.gpuIds));
        if (unitId != attestation.unitId) revert UnitIdMismatch(unitId, attestation.unitId);
        FindingRecord storage finding = _findings[unitId];
        if (attestation.expiresAt <= finding.expiresAt) {
            revert AttestationOlder(finding.expiresAt, attestation.expiresAt);
        }
        requireQuorum(Hashing.hash(attestation), signatures);
        _claimGpus(unitId, attestation);
        finding.gpuClass = attestation.gpuClass;
        finding.measuredGops = attestation.measuredGops;
        finding.vramMiB = attestation.vramMiB;
        finding.expiresAt = attestation.expiresAt;
        finding.seedBlock = attestation.seedBlock;
        finding.provider = attestation.provider;
        emit GpusAttested(unitId, attestation.provider, attestation);
    }

    /// @inheritdoc IOracleQuorum
    function calibrate(bytes32 toleranceProfile, uint64 maxSpread, QuorumSignature[] calldata signatures)
        external
        override
    {
        if (maxSpread == 0) revert ZeroAmount();
        // A profile is known by its digest: other thresholds are another profile.
        if (maxSpreadOf[toleranceProfile] != 0) revert CalibratedAlready(toleranceProfile);
        requireQuorum(keccak256(abi.encode(CALIBRATION_TYPEHASH, toleranceProfile, maxSpread)), signatures);
        maxSpreadOf[toleranceProfile] = maxSpread;
        emit ProfileCalibrated(toleranceProfile, maxSpread);
    }

    /// @inheritdoc IOracleQuorum
    function memberAt(uint8 member) external view override returns (Member memory) {
        return _members[member];
    }

    /// @inheritdoc IOracleQuorum
    function activeMembers() external view override returns (uint64 active) {
        uint64 inUse = _inUse;
        for (uint8 member = 0; member < MAX_MEMBERS; ++member) {
            if (inUse & _bit(member) != 0 && _isActive(_members[member])) active |= _bit(member);
        }
    }

    /// @inheritdoc IOracleQuorum
    function findingOf(bytes32 unitId) external view override returns (Finding memory finding) {
        FindingRecord storage record = _findings[unitId];
        if (block.timestamp >= record.expiresAt) return finding;
        return Finding({
            gpuClass: record.gpuClass,
            measuredGops: record.measuredGops,
            vramMiB: record.vramMiB,
            expiresAt: record.expiresAt
        });
    }

    /// @inheritdoc IOracleQuorum
    function attestedProviderOf(bytes32 gpuId) external view override returns (address) {
        return _findings[attestedUnitOf(gpuId)].provider;
    }

    /// @inheritdoc IOracleQuorum
    function domainSeparator() external view override returns (bytes32) {
        return _domainSeparatorV4();
    }

    /// @inheritdoc IOracleQuorum
    function attestedUnitOf(bytes32 gpuId) public view override returns (bytes32 unitId) {
        unitId = _attestedUnitOf[gpuId];
        if (block.timestamp >= _findings[unitId].expiresAt) return bytes32(0);
    }

    /// @inheritdoc IOracleQuorum
    function threshold() public view override returns (uint8) {
        bool due = _nextThreshold != 0 && block.timestamp >= _nextThresholdAt;
        return due ? _nextThreshold : _threshold;
    }

    /// @inheritdoc IOracleQuorum
    function requireQuorum(bytes32 structHash, QuorumSignature[] calldata signatures) public view override {
        uint256 needed = threshold();
        if (signatures.length < needed) revert TooFewSignatures(needed, signatures.length);
        bytes32 digest = _hashTypedDataV4(structHash);
        for (uint256 i = 0; i < signatures.length; ++i) {
            uint8 member = signatures[i].member;
            if (i != 0 && member <= signatures[i - 1].member) {
                revert SignaturesNotAscending(signatures[i - 1].member, member);
            }
            Member memory record = _known(member);
            if (!_isActive(record)) revert MemberNotActive(member);
            if (!SignatureChecker.isValidSignatureNowCalldata(record.signer, digest, signatures[i].signature))
            {
                revert SignatureInvalid(member, record.signer);
            }
        }
    }

    /// Of two findings that hold, the one measured later is right: a card moves from host to host.
    function _claimGpus(bytes32 unitId, GpuAttestation calldata attestation) private {
        for (uint256 i = 0; i < attestation.gpuIds.length; ++i) {
            bytes32 gpuId = attestation.gpuIds[i];
            bytes32 held = _attestedUnitOf[gpuId];
            if (held != unitId && held != bytes32(0) && block.timestamp < _findings[held].expiresAt) {
                if (attestation.seedBlock <= _findings[held].seedBlock) {
                    revert MeasuredEarlier(gpuId, held, _findings[held].seedBlock, attestation.seedBlock);
                }
                // A unit is all of its GPUs.
                _findings[held].expiresAt = block.timestamp.toUint40();
            }
            _attestedUnitOf[gpuId] = unitId;
        }
    }

    function _requireMeasured(GpuAttestation calldata attestation) private view {
        if (block.timestamp >= attestation.expiresAt) {
            revert AttestationExpired(attestation.expiresAt, block.timestamp);
        }
        uint256 latest = block.timestamp + MAX_ATTESTATION_SECONDS;
        if (attestation.expiresAt > latest) revert AttestationTooLong(latest, attestation.expiresAt);
        uint256 count = attestation.gpuIds.length;
        if (count == 0 || count > MAX_GPUS_PER_UNIT) revert GpuCountOutOfRange(count, MAX_GPUS_PER_UNIT);
        for (uint256 i = 1; i < count; ++i) {
            if (attestation.gpuIds[i] <= attestation.gpuIds[i - 1]) {
                revert GpuIdsNotAscending(attestation.gpuIds[i - 1], attestation.gpuIds[i]);
            }
        }
        uint256 earliest = block.number > KNOWN_BLOCK_HASHES ? block.number - KNOWN_BLOCK_HASHES : 0;
        if (attestation.seedBlock < earliest || attestation.seedBlock >= block.number) {
            revert SeedBlockOutOfRange(earliest, block.number - 1, attestation.seedBlock);
        }
        bytes32 seedBlockHash = blockhash(attestation.seedBlock);
        if (attestation.seedBlockHash != seedBlockHash) {
            revert SeedBlockHashMismatch(seedBlockHash, attestation.seedBlockHash);
        }
    }

    /// Members that nobody has removed.
    function _staying() private view returns (uint256 count) {
        uint64 inUse = _inUse;
        for (uint8 member = 0; member < MAX_MEMBERS; ++member) {
            if (inUse & _bit(member) != 0 && _members[member].leavesAt == 0) ++count;
        }
    }

    function _known(uint8 member) private view returns (Member storage record) {
        record = _members[member];
        if (record.signer == address(0)) revert MemberUnknown(member);
    }

    function _isActive(Member memory record) private view returns (bool) {
        bool stays = record.leavesAt == 0 || block.timestamp < record.leavesAt;
        return stays && block.timestamp >= record.activeAt && record.bond >= MEMBER_BOND;
    }

    function _bit(uint8 member) private pure returns (uint64) {
        return uint64(1) << member;
    }
}
