// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { GpuAttestation } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

/// @title A quorum of three bonded members, two of which decide
abstract contract QuorumBase is Base {
    uint8 internal constant MEMBERS = 3;
    uint8 internal constant THRESHOLD = 2;
    uint40 internal constant VALID_SECONDS = 30 days;

    address internal immutable OPERATOR = makeAddr("operator");

    function setUp() public virtual override {
        super.setUp();
        vm.roll(1000);
        for (uint8 i = 0; i < MEMBERS; ++i) {
            addMember(i);
            depositBond(i, MEMBER_BOND);
        }
        setThreshold(THRESHOLD);
        skip(ROTATION_SECONDS);
    }

    function signerAt(uint8 member) internal returns (address signer, uint256 key) {
        return makeAddrAndKey(string.concat("member ", vm.toString(member)));
    }

    function addMember(uint8 expected) internal {
        (address signer,) = signerAt(expected);
        vm.prank(OWNER);
        assertEq(quorum.addMember(signer, OPERATOR), expected);
    }

    function removeMember(uint8 member) internal {
        vm.prank(OWNER);
        quorum.removeMember(member);
    }

    function setThreshold(uint8 threshold) internal {
        vm.prank(OWNER);
        quorum.setThreshold(threshold);
    }

    function depositBond(uint8 member, uint96 amount) internal {
        stakeToken.mint(OPERATOR, amount);
        vm.startPrank(OPERATOR);
        stakeToken.approve(address(quorum), amount);
        quorum.depositBond(member, amount);
        vm.stopPrank();
    }

    function penalise(uint8 member, uint96 amount) internal {
        vm.prank(COURT);
        quorum.penalise(member, amount);
    }

    function quorumDigestOf(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", quorum.domainSeparator(), structHash));
    }

    function signDigest(uint8 member, bytes32 digest) internal returns (QuorumSignature memory) {
        (, uint256 key) = signerAt(member);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, digest);
        return QuorumSignature({ member: member, signature: abi.encodePacked(r, s, v) });
    }

    /// Signatures of the first so many members.
    function signAll(bytes32 structHash, uint8 count) internal returns (QuorumSignature[] memory signatures) {
        signatures = new QuorumSignature[](count);
        for (uint8 i = 0; i < count; ++i) {
            signatures[i] = signDigest(i, quorumDigestOf(structHash));
        }
    }

    /// Measured by the hash of the block before this one.
    function attestationOf(address provider, bytes32 nodeId, bytes32[] memory gpuIds)
        internal
        view
        returns (GpuAttestation memory)
    {
        uint64 seedBlock = uint64(vm.getBlockNumber() - 1);
        return GpuAttestation({
            unitId: keccak256(abi.encode(provider, nodeId, gpuIds)),
            provider: provider,
            nodeId: nodeId,
            gpuIds: gpuIds,
            gpuClass: "RTX 4090",
            vramMiB: 24_564,
            measuredGops: 330_000,
            seedBlock: seedBlock,
            seedBlockHash: blockhash(seedBlock),
            reportDigest: keccak256("report"),
            expiresAt: uint40(vm.getBlockTimestamp()) + VALID_SECONDS
        });
    }

    function signAttestation(GpuAttestation memory attestation) internal returns (QuorumSignature[] memory) {
        return signAll(digests.hashGpuAttestation(attestation), THRESHOLD);
    }

    function attest(GpuAttestation memory attestation) internal {
        QuorumSignature[] memory signatures = signAttestation(attestation);
        vm.prank(KEEPER);
        quorum.recordAttestation(attestation, signatures);
    }
}
