// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";

import { LeaseMarket } from "../../../contracts/LeaseMarket.sol";
import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { Base } from "../Base.sol";

contract MarketConstructorTest is Base {
    function test_RevertWhen_RegistryIsOfAnotherMarket() external {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseMarket.RegistryOfAnotherMarket.selector, next, address(market))
        );
        new LeaseMarket(registry, OWNER, TREASURY, 0, 1, 1);
    }

    function test_RevertWhen_ChallengeWindowIsZero() external {
        ProviderRegistry fresh = _registryForNext();
        vm.expectRevert(abi.encodeWithSelector(ILeaseMarket.WindowsInvalid.selector, 0, 60));
        new LeaseMarket(fresh, OWNER, TREASURY, 0, 0, 60);
    }

    function test_RevertWhen_ProofGraceIsShorterThanTheChallengeWindow() external {
        ProviderRegistry fresh = _registryForNext();
        vm.expectRevert(abi.encodeWithSelector(ILeaseMarket.WindowsInvalid.selector, 61, 60));
        new LeaseMarket(fresh, OWNER, TREASURY, 0, 61, 60);
    }

    function test_RevertWhen_FeeIsAboveTheCap() external {
        ProviderRegistry fresh = _registryForNext();
        vm.expectRevert(abi.encodeWithSelector(ILeaseMarket.FeeAboveCap.selector, 300, 301));
        new LeaseMarket(fresh, OWNER, TREASURY, 301, 1, 1);
    }

    function test_RevertWhen_TreasuryIsZero() external {
        ProviderRegistry fresh = _registryForNext();
        vm.expectRevert(ILeaseMarket.ZeroAddress.selector);
        new LeaseMarket(fresh, OWNER, address(0), 0, 1, 1);
    }

    function test_RevertWhen_OwnerIsZero() external {
        ProviderRegistry fresh = _registryForNext();
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new LeaseMarket(fresh, address(0), TREASURY, 0, 1, 1);
    }

    function test_WhenArgumentsAreValid() external {
        ProviderRegistry fresh = _registryForNext();
        vm.expectEmit(fresh.MARKET());
        emit ILeaseMarket.FeeChanged(300);
        vm.expectEmit(fresh.MARKET());
        emit ILeaseMarket.TreasuryChanged(TREASURY);
        LeaseMarket other = new LeaseMarket(fresh, OWNER, TREASURY, 300, 60, 60);
        assertEq(address(other.REGISTRY()), address(fresh));
        assertEq(other.owner(), OWNER);
        assertEq(other.treasury(), TREASURY);
        assertEq(other.feeBps(), 300);
        assertEq(other.CHALLENGE_SECONDS(), 60);
        assertEq(other.PROOF_GRACE_SECONDS(), 60);
        assertEq(other.MAX_FEE_BPS(), 300);
        assertEq(other.MAX_START_DELAY_SECONDS(), 7 days);
        assertEq(other.HORIZON_SECONDS(), 400 days);
        assertNotEq(other.domainSeparator(), market.domainSeparator());
    }

    function _registryForNext() private returns (ProviderRegistry) {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 1);
        return new ProviderRegistry(address(stakeToken), next, UNBONDING_SECONDS);
    }
}
