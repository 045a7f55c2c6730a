// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Vm } from "forge-std/Vm.sol";

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { GpuAttestation, Unit } from "../../../contracts/libraries/Types.sol";
import { RegistryBase } from "./RegistryBase.sol";

/// The provider squats on two GPUs of the stranger's.
contract EvictionTest is RegistryBase {
    bytes32[] private ids;

    function setUp() public override {
        super.setUp();
        ids = gpuIdsOf("gpu", 2);
    }

    function test_RevertWhen_TheAttestationHasExpired() external {
        GpuAttestation memory attestation = _attestTrueOwner();
        skipTo(attestation.expiresAt);
        _expectTaken(ids[0], unitId);
        _registerTrueOwner();
    }

    function test_RevertWhen_AttestedToAnotherUnitOfTheSameProvider() external {
        _attestTrueOwner();
        _expectTaken(ids[0], unitId);
        vm.prank(STRANGER);
        registry.registerUnit(unitOf(STRANGER, STRANGER, "another", 2), ids);
    }

    function test_WhenTheGpusAreAttestedToTheNewUnit() external {
        GpuAttestation memory attestation = _attestTrueOwner();
        vm.recordLogs();
        assertEq(_registerTrueOwner(), attestation.unitId);
        assertEq(registry.unitOfGpu(ids[0]), attestation.unitId);
        assertEq(registry.unitOfGpu(ids[1]), attestation.unitId);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        // Once a unit, though both its GPUs are taken; then UnitRegistered.
        assertEq(logs.length, 2);
        assertEq(logs[0].topics[0], IProviderRegistry.UnitEvicted.selector);
        assertEq(logs[0].topics[1], unitId);
        assertEq(logs[0].topics[2], attestation.unitId);
    }

    function test_RevertWhen_ItsOwnUnitIsBooked() external {
        lockAsMarket(bookingOf(unitId, 1, BOND));
        bytes32[] memory first = _attestPartOfItsOwn();
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.UnitBooked.selector, unitId, 1));
        vm.prank(PROVIDER);
        registry.registerUnit(unitOf(PROVIDER, WORKER, "node", 1), first);
    }

    function test_WhenItsOwnUnitIsFree() external {
        bytes32[] memory first = _attestPartOfItsOwn();
        bytes32 part = registerUnitAs(PROVIDER, WORKER, "node", first);
        assertEq(registry.unitOfGpu(first[0]), part);
        _expectMismatch(unitId);
        lockAsMarket(bookingOf(unitId, 1, BOND));
    }

    function test_WhenTwoUnitsAreEvicted() external {
        bytes32 second = registerUnitAs(PROVIDER, WORKER, "second", gpuIdsOf("second", 1));
        bytes32[] memory both = new bytes32[](2);
        (both[0], both[1]) = (ids[0], gpuIdsOf("second", 1)[0]);
        if (both[0] > both[1]) (both[0], both[1]) = (both[1], both[0]);
        attest(attestationOf(STRANGER, "other", both));
        vm.expectEmit(true, false, false, false, address(registry));
        emit IProviderRegistry.UnitEvicted(registry.unitOfGpu(both[0]), 0);
        vm.expectEmit(true, false, false, false, address(registry));
        emit IProviderRegistry.UnitEvicted(registry.unitOfGpu(both[1]), 0);
        vm.prank(STRANGER);
        registry.registerUnit(unitOf(STRANGER, STRANGER, "other", 2), both);
        _expectMismatch(unitId);
        lockAsMarket(bookingOf(unitId, 1, 0));
        _expectMismatch(second);
        lockAsMarket(bookingOf(second, 1, 0));
    }

    function test_RevertWhen_AnEvictedUnitIsLeased() external {
        _attestTrueOwner();
        _registerTrueOwner();
        _expectMismatch(unitId);
        lockAsMarket(bookingOf(unitId, 1, BOND));
    }

    function test_WhenAnEvictedUnitHasLeases() external {
        lockAsMarket(bookingOf(unitId, 3, BOND));
        _attestTrueOwner();
        _registerTrueOwner();
        assertEq(registry.workerOf(unitId), WORKER);
        vm.startPrank(address(market));
        registry.releaseHours(unitId, 1);
        registry.release(PROVIDER, unitId, 2, BOND, RENTER, 5);
        vm.stopPrank();
        assertEq(bookedHoursOf(unitId), 0);
        assertEq(registry.freeStakeOf(PROVIDER), STAKE - 5);
    }

    function test_WhenAnEvictedUnitIsRetired() external {
        bytes32 other = _evictByOneGpu(1);
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, ids);
        // Only the one that was still its own is free.
        assertEq(registry.unitOfGpu(ids[0]), 0);
        assertEq(registry.unitOfGpu(ids[1]), other);
        (Unit memory gone,) = registry.unitOf(unitId);
        assertEq(gone.provider, address(0));
    }

    function test_RevertWhen_TheEvictedUnitHoldsTheGpuStill() external {
        _evictByOneGpu(1);
        bytes32[] memory first = new bytes32[](1);
        first[0] = ids[0];
        _expectTaken(ids[0], unitId);
        vm.prank(STRANGER);
        registry.registerUnit(unitOf(STRANGER, STRANGER, "another", 1), first);
    }

    function test_RevertWhen_TheSquatterRegistersAgain() external {
        GpuAttestation memory attestation = _attestTrueOwner();
        _registerTrueOwner();
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, ids);
        _expectTaken(ids[0], attestation.unitId);
        vm.prank(PROVIDER);
        registry.registerUnit(unitOf(PROVIDER, WORKER, "node", 2), ids);
    }

    function test_RevertWhen_TheSquatterComesBeforeTheOwner() external {
        GpuAttestation memory attestation = _attestTrueOwner();
        vm.startPrank(PROVIDER);
        registry.retireUnit(unitId, ids);
        // In no unit, yet attested.
        _expectTaken(ids[0], attestation.unitId);
        registry.registerUnit(unitOf(PROVIDER, WORKER, "node", 2), ids);
    }

    function test_RevertWhen_TheSquatterComesWhileTheOwnerRegroups() external {
        GpuAttestation memory attestation = _attestTrueOwner();
        bytes32 old = _registerTrueOwner();
        vm.prank(STRANGER);
        registry.retireUnit(old, ids);
        _expectTaken(ids[0], attestation.unitId);
        vm.prank(PROVIDER);
        registry.registerUnit(unitOf(PROVIDER, WORKER, "squat", 2), ids);
    }

    function test_WhenTheOwnerRegroups() external {
        _attestTrueOwner();
        bytes32 old = _registerTrueOwner();
        bytes32[] memory one = new bytes32[](1);
        one[0] = ids[1];
        vm.startPrank(STRANGER);
        registry.retireUnit(old, ids);
        bytes32 regrouped = registry.registerUnit(unitOf(STRANGER, STRANGER, "regrouped", 1), one);
        assertEq(registry.unitOfGpu(ids[1]), regrouped);
        assertEq(registry.unitOfGpu(ids[0]), 0);
    }

    function test_WhenTheAttestationOfFreeGpusHasExpired() external {
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, ids);
        GpuAttestation memory attestation = _attestTrueOwner();
        skipTo(attestation.expiresAt);
        vm.prank(PROVIDER);
        assertEq(registry.registerUnit(unitOf(PROVIDER, WORKER, "node", 2), ids), unitId);
    }

    function _attestTrueOwner() private returns (GpuAttestation memory attestation) {
        attestation = attestationOf(STRANGER, "other", ids);
        attest(attestation);
    }

    /// One of its two GPUs, as a unit.
    function _attestPartOfItsOwn() private returns (bytes32[] memory first) {
        first = new bytes32[](1);
        first[0] = ids[0];
        attest(attestationOf(PROVIDER, "node", first));
    }

    function _registerTrueOwner() private returns (bytes32) {
        vm.prank(STRANGER);
        return registry.registerUnit(unitOf(STRANGER, STRANGER, "other", 2), ids);
    }

    function _evictByOneGpu(uint256 index) private returns (bytes32 other) {
        bytes32[] memory one = new bytes32[](1);
        one[0] = ids[index];
        attest(attestationOf(STRANGER, "other", one));
        vm.prank(STRANGER);
        other = registry.registerUnit(unitOf(STRANGER, STRANGER, "other", 1), one);
    }

    function _expectTaken(bytes32 gpuId, bytes32 holder) private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuTaken.selector, gpuId, holder));
    }

    function _expectMismatch(bytes32 id) private {
        (Unit memory unit,) = registry.unitOf(id);
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.UnitMismatch.selector, id, PROVIDER, unit.gpuClass, unit.gpuCount
            )
        );
    }
}
