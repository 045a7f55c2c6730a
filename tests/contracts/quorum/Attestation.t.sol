// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IOracleQuorum, QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { GpuAttestation } from "../../../contracts/libraries/Types.sol";
import { QuorumBase } from "./QuorumBase.sol";

contract AttestationTest is QuorumBase {
    bytes32[] private ids;

    function setUp() public override {
        super.setUp();
        ids = gpuIdsOf("gpu", 2);
    }

    function test_RevertWhen_SignaturesAreTooFew() external {
        GpuAttestation memory attestation = _default();
        QuorumSignature[] memory signatures = signAll(digests.hashGpuAttestation(attestation), 1);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.TooFewSignatures.selector, 2, 1));
        quorum.recordAttestation(attestation, signatures);
    }

    function test_RevertWhen_AnotherFindingWasSigned() external {
        GpuAttestation memory attestation = _default();
        QuorumSignature[] memory signatures = signAttestation(attestation);
        ++attestation.measuredGops;
        (address signer,) = signerAt(0);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.SignatureInvalid.selector, 0, signer));
        quorum.recordAttestation(attestation, signatures);
    }

    function test_RevertWhen_UnitIdIsAnother() external {
        GpuAttestation memory attestation = _default();
        attestation.unitId = "another";
        _expectRefused(
            attestation,
            abi.encodeWithSelector(IOracleQuorum.UnitIdMismatch.selector, unitId, bytes32("another"))
        );
    }

    function test_RevertWhen_ExpiredAlready() external {
        GpuAttestation memory attestation = _default();
        attestation.expiresAt = uint40(vm.getBlockTimestamp());
        _expectRefused(
            attestation,
            abi.encodeWithSelector(
                IOracleQuorum.AttestationExpired.selector, attestation.expiresAt, vm.getBlockTimestamp()
            )
        );
    }

    function test_RevertWhen_ItWouldHoldForTooLong() external {
        GpuAttestation memory attestation = _default();
        uint256 latest = vm.getBlockTimestamp() + quorum.MAX_ATTESTATION_SECONDS();
        attestation.expiresAt = uint40(latest) + 1;
        _expectRefused(
            attestation, abi.encodeWithSelector(IOracleQuorum.AttestationTooLong.selector, latest, latest + 1)
        );
        attestation.expiresAt = uint40(latest);
        attest(attestation);
    }

    function test_RevertWhen_ThereAreNoGpus() external {
        _expectRefused(
            attestationOf(PROVIDER, "node", new bytes32[](0)),
            abi.encodeWithSelector(IOracleQuorum.GpuCountOutOfRange.selector, 0, 64)
        );
    }

    function test_RevertWhen_ThereAreMoreThanSixtyFourGpus() external {
        _expectRefused(
            attestationOf(PROVIDER, "node", gpuIdsOf("many", 65)),
            abi.encodeWithSelector(IOracleQuorum.GpuCountOutOfRange.selector, 65, 64)
        );
    }

    function test_RevertWhen_GpuIdsAreEqual() external {
        ids[1] = ids[0];
        _expectRefused(
            _default(), abi.encodeWithSelector(IOracleQuorum.GpuIdsNotAscending.selector, ids[0], ids[0])
        );
    }

    function test_RevertWhen_GpuIdsDescend() external {
        (ids[0], ids[1]) = (ids[1], ids[0]);
        _expectRefused(
            _default(), abi.encodeWithSelector(IOracleQuorum.GpuIdsNotAscending.selector, ids[0], ids[1])
        );
    }

    function test_RevertWhen_SeedBlockIsNotMined() external {
        GpuAttestation memory attestation = _default();
        attestation.seedBlock = 1000;
        _expectRefused(
            attestation,
            abi.encodeWithSelector(IOracleQuorum.SeedBlockOutOfRange.selector, 744, 999, uint64(1000))
        );
    }

    function test_RevertWhen_SeedBlockIsForgotten() external {
        GpuAttestation memory attestation = _default();
        vm.roll(999 + 257);
        _expectRefused(
            attestation,
            abi.encodeWithSelector(IOracleQuorum.SeedBlockOutOfRange.selector, 1000, 1255, uint64(999))
        );
    }

    function test_WhenSeedBlockIsTheOldestKnown() external {
        GpuAttestation memory attestation = _default();
        vm.roll(999 + 256);
        attest(attestation);
        assertEq(quorum.attestedUnitOf(ids[0]), unitId);
    }

    function test_RevertWhen_SeedBlockHasAnotherHash() external {
        GpuAttestation memory attestation = _default();
        bytes32 expected = attestation.seedBlockHash;
        assertNotEq(expected, 0);
        attestation.seedBlockHash = "forged";
        _expectRefused(
            attestation,
            abi.encodeWithSelector(IOracleQuorum.SeedBlockHashMismatch.selector, expected, bytes32("forged"))
        );
    }

    function test_WhenTheChainIsYoung() external {
        vm.roll(256);
        GpuAttestation memory attestation = _default();
        attestation.seedBlock = 0;
        attestation.seedBlockHash = blockhash(0);
        attest(attestation);
        assertEq(quorum.attestedUnitOf(ids[0]), unitId);
    }

    function test_RevertWhen_RecordedTwice() external {
        GpuAttestation memory attestation = _default();
        attest(attestation);
        _expectRefused(
            attestation,
            abi.encodeWithSelector(
                IOracleQuorum.AttestationOlder.selector, attestation.expiresAt, attestation.expiresAt
            )
        );
    }

    function test_RevertWhen_TheOldOneExpiresLater() external {
        GpuAttestation memory attestation = _default();
        attest(attestation);
        uint40 recorded = attestation.expiresAt--;
        _expectRefused(
            attestation,
            abi.encodeWithSelector(IOracleQuorum.AttestationOlder.selector, recorded, attestation.expiresAt)
        );
    }

    function test_WhenTheNewOneExpiresLater() external {
        attest(_default());
        GpuAttestation memory attestation = _default();
        ++attestation.expiresAt;
        attestation.measuredGops = 1;
        attest(attestation);
        assertEq(quorum.findingOf(unitId).measuredGops, 1);
        assertEq(quorum.findingOf(unitId).expiresAt, attestation.expiresAt);
    }

    function test_WhenTheQuorumSigned() external {
        GpuAttestation memory attestation = _default();
        QuorumSignature[] memory signatures = signAttestation(attestation);
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.GpusAttested(unitId, PROVIDER, attestation);
        vm.prank(STRANGER);
        quorum.recordAttestation(attestation, signatures);
        IOracleQuorum.Finding memory finding = quorum.findingOf(unitId);
        assertEq(finding.gpuClass, "RTX 4090");
        assertEq(finding.measuredGops, 330_000);
        assertEq(finding.vramMiB, 24_564);
        assertEq(finding.expiresAt, attestation.expiresAt);
        for (uint256 i = 0; i < 2; ++i) {
            assertEq(quorum.attestedUnitOf(ids[i]), unitId);
            assertEq(quorum.attestedProviderOf(ids[i]), PROVIDER);
        }
    }

    function test_WhenThereAreSixtyFourGpus() external {
        bytes32[] memory many = gpuIdsOf("many", 64);
        GpuAttestation memory attestation = attestationOf(PROVIDER, "node", many);
        attest(attestation);
        assertEq(quorum.attestedUnitOf(many[0]), attestation.unitId);
        assertEq(quorum.attestedUnitOf(many[63]), attestation.unitId);
    }

    function test_RevertWhen_AGpuWasMeasuredElsewhereSince() external {
        GpuAttestation memory earlier = attestationOf(STRANGER, "other", gpuIdsOf("gpu", 2));
        vm.roll(1001);
        attest(_default());
        _expectRefused(
            earlier,
            abi.encodeWithSelector(
                IOracleQuorum.MeasuredEarlier.selector, ids[0], unitId, uint64(1000), uint64(999)
            )
        );
    }

    function test_RevertWhen_AGpuWasMeasuredElsewhereByTheSameBlock() external {
        attest(_default());
        _expectRefused(
            attestationOf(STRANGER, "other", ids),
            abi.encodeWithSelector(
                IOracleQuorum.MeasuredEarlier.selector, ids[0], unitId, uint64(999), uint64(999)
            )
        );
    }

    function test_WhenAGpuWasMeasuredElsewhereBefore() external {
        attest(_default());
        vm.roll(1001);
        bytes32[] memory moved = new bytes32[](1);
        moved[0] = ids[1];
        GpuAttestation memory later = attestationOf(STRANGER, "other", moved);
        attest(later);
        assertEq(quorum.attestedUnitOf(ids[1]), later.unitId);
        assertEq(quorum.attestedProviderOf(ids[1]), STRANGER);
        // The unit of which it was one holds no longer, neither as a whole nor for the other GPU.
        assertEq(quorum.findingOf(unitId).expiresAt, 0);
        assertEq(quorum.attestedUnitOf(ids[0]), 0);
        assertEq(quorum.attestedProviderOf(ids[0]), address(0));
    }

    function test_WhenTheOtherFindingHasExpired() external {
        GpuAttestation memory short = _default();
        short.expiresAt = uint40(vm.getBlockTimestamp()) + 1;
        attest(short);
        skip(1);
        GpuAttestation memory other = attestationOf(STRANGER, "other", ids);
        attest(other);
        assertEq(quorum.attestedUnitOf(ids[0]), other.unitId);
    }

    function test_WhenAFindingExpires() external {
        GpuAttestation memory attestation = _default();
        attest(attestation);
        skipTo(attestation.expiresAt - 1);
        assertEq(quorum.attestedUnitOf(ids[0]), unitId);
        assertEq(quorum.findingOf(unitId).vramMiB, 24_564);
        skip(1);
        assertEq(quorum.attestedUnitOf(ids[0]), 0);
        assertEq(quorum.attestedProviderOf(ids[0]), address(0));
        IOracleQuorum.Finding memory nothing;
        assertEq(abi.encode(quorum.findingOf(unitId)), abi.encode(nothing));
    }

    function test_WhenNothingWasAttested() external view {
        assertEq(quorum.attestedUnitOf(ids[0]), 0);
        assertEq(quorum.attestedProviderOf(ids[0]), address(0));
        assertEq(quorum.findingOf(unitId).expiresAt, 0);
    }

    function _default() private view returns (GpuAttestation memory) {
        return attestationOf(PROVIDER, "node", ids);
    }

    function _expectRefused(GpuAttestation memory attestation, bytes memory why) private {
        QuorumSignature[] memory signatures = signAttestation(attestation);
        vm.expectRevert(why);
        quorum.recordAttestation(attestation, signatures);
    }
}
