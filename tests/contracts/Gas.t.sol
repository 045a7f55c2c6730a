// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { CompletionProof, Offer, Terms } from "../../contracts/libraries/Types.sol";
import { Base } from "./Base.sol";

/// @title What each call costs, base cost, calldata and cold storage included, refunds taken off
/// @notice Steady state: every party has dealt before (its balances, credits and locked stake are not zero), allowances
/// are unlimited, tokens are OpenZeppelin's ERC-20 without a proxy, the lease is of ten hours and reserved, with a bond
/// and a fee. Every call is a transaction of its own. The figures are committed in tests/benchmarks/gas.
contract GasTest is Base {
    string private constant GROUP = "contracts";

    Terms private terms;

    function setUp() public override {
        super.setUp();
        Terms memory earlier = defaultTerms();
        openLease(earlier);
        skipTo(earlier.end);
        prove(earlier, 6 hours);
        skipPastLastPost(earlier);
        closeAs(KEEPER, earlier);
        // Its bond stays locked beside ours.
        bytes32 otherUnit = registerUnitAs(PROVIDER, WORKER, "other", gpuIdsOf("other", 2));
        Terms memory beside = _fresh(2);
        beside.offer.unitId = otherUnit;
        openLease(beside);
        terms = _fresh(3);
        stakeToken.mint(PROVIDER, 2 * STAKE);
        vm.prank(PROVIDER);
        stakeToken.approve(address(registry), type(uint256).max);
        stakeToken.mint(STRANGER, 2 * STAKE);
        vm.prank(STRANGER);
        stakeToken.approve(address(registry), type(uint256).max);
    }

    function test_GasOfStake() external {
        vm.prank(STRANGER);
        registry.stake(STAKE);
        vm.snapshotGasLastCall(GROUP, "register_stake");
        vm.prank(STRANGER);
        registry.stake(STAKE / 2);
        vm.snapshotGasLastCall(GROUP, "stake_more");
    }

    function test_GasOfRegisterUnit() external {
        registerUnitAs(PROVIDER, WORKER, "new", gpuIdsOf("new", 2));
        vm.snapshotGasLastCall(GROUP, "register_unit_of_2");
    }

    function test_GasOfListOffer() external {
        listOffer(terms.offer);
        vm.snapshotGasLastCall(GROUP, "list_offer");
    }

    function test_GasOfALease() external {
        listOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        vm.snapshotGasLastCall(GROUP, "open_listed");

        skip(1 hours);
        _post(1 hours);
        vm.snapshotGasLastCall(GROUP, "post_proof_first");
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        vm.snapshotGasLastCall(GROUP, "settle");
        skip(1 hours);
        _post(2 hours);
        vm.snapshotGasLastCall(GROUP, "post_proof");
        skip(1 hours);
        _post(3 hours);
        vm.snapshotGasLastCall(GROUP, "post_proof_settling");

        skipTo(endOf(terms));
        amendments.releaseHours(terms);
        vm.snapshotGasLastCall(GROUP, "release_hours_settling");
        _post(9 hours);
        skipPastLastPost(terms);
        market.settle(terms);
        market.close(terms);
        vm.snapshotGasLastCall(GROUP, "close_released_compensating");
    }

    function test_GasOfClose() external {
        openLease(terms);
        skipTo(terms.end);
        prove(terms, 10 hours);
        market.close(terms);
        vm.snapshotGasLastCall(GROUP, "close");
    }

    function test_GasOfCloseWithRefund() external {
        openLease(terms);
        skipTo(terms.end);
        prove(terms, 9 hours);
        skipPastLastPost(terms);
        market.close(terms);
        vm.snapshotGasLastCall(GROUP, "close_refunding_compensating");
    }

    function test_GasOfAWholeLease() external {
        listOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        uint256 whole = vm.lastCallGas().gasTotalUsed;
        skipTo(terms.end);
        _post(10 hours);
        whole += vm.lastCallGas().gasTotalUsed;
        skip(CHALLENGE_SECONDS);
        market.close(terms);
        vm.snapshotGasLastCall(GROUP, "close_settling");
        whole += vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue(GROUP, "whole_lease", whole);
    }

    function test_GasOfNotice() external {
        openLease(terms);
        skip(1 hours);
        giveNoticeAs(PROVIDER, terms);
        vm.snapshotGasLastCall(GROUP, "give_notice_of_provider");
    }

    function test_GasOfWithdraw() external {
        token.mint(PROVIDER, 1);
        vm.prank(PROVIDER);
        market.withdraw(address(token), PROVIDER);
        vm.snapshotGasLastCall(GROUP, "withdraw");
    }

    function _post(uint32 provenSeconds) private {
        CompletionProof memory proof = proofOf(terms, provenSeconds);
        vm.prank(WORKER);
        market.postProof(terms, proof, "");
    }

    function _fresh(uint256 salt) private view returns (Terms memory fresh) {
        Offer memory offer = defaultOffer();
        offer.salt = salt;
        offer.validUntil = uint40(vm.getBlockTimestamp()) + 1 days;
        return termsFor(offer);
    }
}
