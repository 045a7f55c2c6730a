// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { Terms, Unit } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract UnitsTest is Base {
    bytes32 private constant NEW_KEY = keccak256("new encryption key");

    function test_RevertWhen_CallerIsNotProvider() external {
        bytes32[] memory ids = gpuIdsOf("new", 1);
        _expectOnlyProvider();
        vm.prank(STRANGER);
        registry.registerUnit(unitOf(PROVIDER, WORKER, "new", 1), ids);
    }

    function test_RevertWhen_WorkerIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        _register(unitOf(PROVIDER, address(0), "new", 1), gpuIdsOf("new", 1));
    }

    function test_RevertWhen_ThereAreNoGpus() external {
        _expectCountOutOfRange(0);
        _register(unitOf(PROVIDER, WORKER, "new", 0), new bytes32[](0));
    }

    function test_RevertWhen_ThereAreMoreThanSixtyFourGpus() external {
        _expectCountOutOfRange(65);
        _register(unitOf(PROVIDER, WORKER, "new", 65), gpuIdsOf("new", 65));
    }

    function test_RevertWhen_GpuCountDiffers() external {
        _expectCountOutOfRange(2);
        _register(unitOf(PROVIDER, WORKER, "new", 1), gpuIdsOf("new", 2));
    }

    function test_RevertWhen_UnitExists() external {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.UnitExists.selector, unitId));
        _register(unitOf(PROVIDER, STRANGER, "node", 2), gpuIdsOf("gpu", 2));
    }

    function test_RevertWhen_GpuIdsAreEqual() external {
        bytes32[] memory ids = gpuIdsOf("new", 2);
        ids[1] = ids[0];
        _expectNotAscending(ids[0], ids[1]);
        _register(unitOf(PROVIDER, WORKER, "new", 2), ids);
    }

    function test_RevertWhen_GpuIdsDescend() external {
        bytes32[] memory ids = gpuIdsOf("new", 2);
        (ids[0], ids[1]) = (ids[1], ids[0]);
        _expectNotAscending(ids[0], ids[1]);
        _register(unitOf(PROVIDER, WORKER, "new", 2), ids);
    }

    function test_RevertWhen_AGpuIdIsZero() external {
        _expectNotAscending(0, 0);
        _register(unitOf(PROVIDER, WORKER, "new", 1), new bytes32[](1));
    }

    function test_RevertWhen_AGpuIsInAnotherUnit() external {
        bytes32[] memory ids = gpuIdsOf("gpu", 3);
        uint256 taken = registry.unitOfGpu(ids[0]) == unitId ? 0 : 1;
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuTaken.selector, ids[taken], unitId));
        _register(unitOf(PROVIDER, WORKER, "node", 3), ids);
    }

    function test_RevertWhen_AGpuIsInAUnitOfAnotherProvider() external {
        bytes32[] memory ids = gpuIdsOf("gpu", 2);
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuTaken.selector, ids[0], unitId));
        vm.prank(STRANGER);
        registry.registerUnit(unitOf(STRANGER, WORKER, "node", 2), ids);
    }

    function test_WhenGpusAreFree() external {
        bytes32[] memory ids = gpuIdsOf("new", 3);
        Unit memory unit = unitOf(PROVIDER, WORKER, "new", 3);
        bytes32 expected = keccak256(abi.encode(PROVIDER, bytes32("new"), ids));
        vm.expectEmit(address(registry));
        emit IProviderRegistry.UnitRegistered(expected, PROVIDER, unit, ids);
        assertEq(_register(unit, ids), expected);
        (Unit memory kept, uint168 bookedHours) = registry.unitOf(expected);
        assertEq(abi.encode(kept), abi.encode(unit));
        assertEq(bookedHours, 0);
        assertEq(registry.workerOf(expected), WORKER);
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(registry.unitOfGpu(ids[i]), expected);
        }
    }

    function test_WhenThereAreSixtyFourGpus() external {
        bytes32 id = _register(unitOf(PROVIDER, WORKER, "new", 64), gpuIdsOf("new", 64));
        (Unit memory kept,) = registry.unitOf(id);
        assertEq(kept.gpuCount, 64);
    }

    function test_RevertWhen_RetiredUnitIsUnknown() external {
        _expectUnknown();
        vm.prank(PROVIDER);
        registry.retireUnit("unknown", gpuIdsOf("gpu", 2));
    }

    function test_RevertWhen_RetiredByAnother() external {
        _expectOnlyProvider();
        vm.prank(STRANGER);
        registry.retireUnit(unitId, gpuIdsOf("gpu", 2));
    }

    function test_RevertWhen_UnitIsBooked() external {
        (Terms memory terms,) = openDefault();
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.UnitBooked.selector, unitId, ALWAYS));
        _retire();
        skipTo(endOf(terms));
        amendments.releaseHours(terms);
        _retire();
    }

    function test_RevertWhen_GpuIdsAreOthers() external {
        bytes32[] memory ids = gpuIdsOf("gpu", 1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IProviderRegistry.GpuIdsMismatch.selector,
                keccak256(abi.encode(gpuIdsOf("gpu", 2))),
                keccak256(abi.encode(ids))
            )
        );
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, ids);
    }

    function test_WhenUnitIsFree() external {
        vm.expectEmit(address(registry));
        emit IProviderRegistry.UnitRetired(unitId, PROVIDER);
        _retire();
        (Unit memory gone,) = registry.unitOf(unitId);
        Unit memory nothing;
        assertEq(abi.encode(gone), abi.encode(nothing));
        bytes32[] memory ids = gpuIdsOf("gpu", 2);
        assertEq(registry.unitOfGpu(ids[0]), 0);
        vm.prank(STRANGER);
        bytes32 other = registry.registerUnit(unitOf(STRANGER, WORKER, "node", 2), ids);
        assertEq(registry.unitOfGpu(ids[0]), other);
        assertNotEq(other, unitId);
    }

    function test_WhenTheSameSetIsRegisteredAgain() external {
        _retire();
        assertEq(_register(unitOf(PROVIDER, STRANGER, "node", 2), gpuIdsOf("gpu", 2)), unitId);
        assertEq(registry.workerOf(unitId), STRANGER);
    }

    function test_RevertWhen_NewWorkerIsZero() external {
        vm.expectRevert(IProviderRegistry.ZeroAddress.selector);
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, address(0), NEW_KEY);
    }

    function test_RevertWhen_RotatedUnitIsUnknown() external {
        _expectUnknown();
        vm.prank(PROVIDER);
        registry.rotateWorker("unknown", STRANGER, NEW_KEY);
    }

    function test_RevertWhen_RotatedByAnother() external {
        _expectOnlyProvider();
        vm.prank(STRANGER);
        registry.rotateWorker(unitId, STRANGER, NEW_KEY);
    }

    function test_WhenRotatedByTheProvider() external {
        openDefault();
        vm.expectEmit(address(registry));
        emit IProviderRegistry.WorkerRotated(unitId, STRANGER, NEW_KEY);
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, STRANGER, NEW_KEY);
        (Unit memory unit, uint168 bookedHours) = registry.unitOf(unitId);
        assertEq(unit.worker, STRANGER);
        assertEq(unit.encryptionKey, NEW_KEY);
        assertEq(unit.provider, PROVIDER);
        assertEq(bookedHours, ALWAYS);
    }

    function _register(Unit memory unit, bytes32[] memory ids) private returns (bytes32) {
        vm.prank(PROVIDER);
        return registry.registerUnit(unit, ids);
    }

    function _retire() private {
        vm.prank(PROVIDER);
        registry.retireUnit(unitId, gpuIdsOf("gpu", 2));
    }

    function _expectOnlyProvider() private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.OnlyProvider.selector, PROVIDER, STRANGER));
    }

    function _expectUnknown() private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.UnitUnknown.selector, bytes32("unknown")));
    }

    function _expectCountOutOfRange(uint256 count) private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuCountOutOfRange.selector, count, 64));
    }

    function _expectNotAscending(bytes32 previous, bytes32 next) private {
        vm.expectRevert(abi.encodeWithSelector(IProviderRegistry.GpuIdsNotAscending.selector, previous, next));
    }
}
