// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Hashing } from "../../contracts/libraries/Hashing.sol";
import { CompletionProof, Offer, ProofClaim, Terms } from "../../contracts/libraries/Types.sol";
import { Base } from "./Base.sol";

/// @title What each call costs, base cost, calldata and cold storage included, refunds taken off
/// @notice Allowances are unlimited, tokens are OpenZeppelin's ERC-20 without a proxy, the lease is of ten hours and
/// reserved, with a bond, a fee and a first order. Every call is a transaction of its own. The figures are committed
/// in tests/benchmarks/gas; `make -s gas` measures them afresh.
abstract contract GasScenarios is Base {
    uint256 internal constant BATCH = 10;

    string internal group;
    Terms internal terms;

    function setUp() public virtual override {
        super.setUp();
        vm.prank(RENTER);
        wrapped.approve(address(market), type(uint256).max);
        vm.deal(RENTER, 1000 ether);
        for (uint256 i = 0; i < 2; ++i) {
            address staker = i == 0 ? PROVIDER : STRANGER;
            stakeToken.mint(staker, 100 * STAKE);
            vm.prank(staker);
            stakeToken.approve(address(registry), type(uint256).max);
        }
    }

    function test_GasOfStake() external {
        vm.prank(STRANGER);
        registry.stake(STAKE);
        vm.snapshotGasLastCall(group, "register_stake");
        vm.prank(STRANGER);
        registry.stake(STAKE / 2);
        vm.snapshotGasLastCall(group, "stake_more");
    }

    function test_GasOfRegisterUnit() external {
        registerUnitAs(PROVIDER, WORKER, "new", gpuIdsOf("new", 2));
        vm.snapshotGasLastCall(group, "register_unit_of_2");
    }

    function test_GasOfListOffer() external {
        listOffer(terms.offer);
        vm.snapshotGasLastCall(group, "list_offer");
    }

    function test_GasOfALease() external {
        listOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        vm.snapshotGasLastCall(group, "open_listed");

        skip(1 hours);
        _post(terms, 1 hours);
        vm.snapshotGasLastCall(group, "post_proof_first");
        skip(CHALLENGE_SECONDS);
        market.settle(terms);
        vm.snapshotGasLastCall(group, "settle");
        skip(1 hours);
        _post(terms, 2 hours);
        vm.snapshotGasLastCall(group, "post_proof");
        skip(1 hours);
        _post(terms, 3 hours);
        vm.snapshotGasLastCall(group, "post_proof_settling");
        vm.prank(RENTER);
        market.topUp(terms, terms.end + 1 hours);
        vm.snapshotGasLastCall(group, "top_up");
    }

    function test_GasOfOpeningOnASignedOffer() external {
        bytes memory signature = signAs(PROVIDER_KEY, digests.hashOffer(terms.offer));
        vm.prank(RENTER);
        market.open(terms, signature);
        vm.snapshotGasLastCall(group, "open_signed");
    }

    function test_GasOfOpeningWithNativeCoin() external {
        terms.offer.token = address(wrapped);
        listOffer(terms.offer);
        uint256 deposit = 36e6;
        vm.prank(RENTER);
        market.open{ value: deposit }(terms, LISTED);
        vm.snapshotGasLastCall(group, "open_native");
    }

    function test_GasOfClose() external {
        openLease(terms);
        skipTo(terms.end);
        prove(terms, 10 hours);
        market.close(terms);
        vm.snapshotGasLastCall(group, "close_settled");
    }

    function test_GasOfCloseWithRefund() external {
        openLease(terms);
        skipTo(terms.end);
        prove(terms, 9 hours);
        skipPastLastPost(terms);
        market.close(terms);
        vm.snapshotGasLastCall(group, "close_refunding_compensating");
    }

    function test_GasOfAWholeLease() external {
        listOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        uint256 whole = vm.lastCallGas().gasTotalUsed;
        skipTo(terms.end);
        _post(terms, 10 hours);
        whole += vm.lastCallGas().gasTotalUsed;
        skip(CHALLENGE_SECONDS);
        market.close(terms);
        vm.snapshotGasLastCall(group, "close");
        whole += vm.lastCallGas().gasTotalUsed;
        vm.snapshotValue(group, "whole_lease", whole);
    }

    function test_GasOfNotice() external {
        openLease(terms);
        skip(1 hours);
        giveNoticeAs(PROVIDER, terms);
        vm.snapshotGasLastCall(group, "give_notice_of_provider");
    }

    /// One provider's ten units and one worker; what one more lease costs.
    function test_GasOfBatches() external {
        Terms[] memory many = new Terms[](BATCH);
        for (uint256 i = 0; i < BATCH; ++i) {
            bytes32 nodeId = keccak256(abi.encode("node of a batch", i));
            bytes32[] memory gpuIds = gpuIdsOf(string(abi.encode("batch", i)), 2);
            many[i] = terms;
            many[i].offer = _copy(terms.offer);
            many[i].offer.unitId = registerUnitAs(PROVIDER, WORKER, nodeId, gpuIds);
            openLease(many[i]);
        }
        skip(1 hours);
        _postMany(_some(many, 0, 1), 1 hours);
        uint256 one = vm.lastCallGas().gasTotalUsed;
        _postMany(_some(many, 1, BATCH), 1 hours);
        _snapshotMarginal("post_proofs_first_marginal", one);
        skip(CHALLENGE_SECONDS);
        // The first one pays for the credits' slots.
        market.settleMany(_some(many, 0, 1));
        market.settleMany(_some(many, 1, 2));
        one = vm.lastCallGas().gasTotalUsed;
        market.settleMany(_some(many, 2, BATCH));
        vm.snapshotValue(group, "settle_many_marginal", (vm.lastCallGas().gasTotalUsed - one) / (BATCH - 3));
        skip(1 hours);
        _postMany(_some(many, 0, 1), 2 hours);
        one = vm.lastCallGas().gasTotalUsed;
        _postMany(_some(many, 1, BATCH), 2 hours);
        _snapshotMarginal("post_proofs_marginal", one);
    }

    /// A lease as clients open them: salts of eight bytes, a first order.
    function _fresh(uint256 salt) internal view returns (Terms memory fresh) {
        Offer memory offer = defaultOffer();
        offer.salt = 0x18a4b6c7d8e9f001 + salt;
        offer.validUntil = uint40(vm.getBlockTimestamp()) + 1 days;
        fresh = termsFor(offer);
        fresh.salt = 0x28a4b6c7d8e9f001 + salt;
        fresh.firstOrder = keccak256("order");
    }

    function _post(Terms memory terms_, uint32 provenSeconds) internal {
        CompletionProof memory proof = proofOf(terms_, provenSeconds);
        vm.prank(WORKER);
        market.postProof(terms_, proof, "");
    }

    function _postMany(Terms[] memory many, uint32 provenSeconds) private {
        ProofClaim[] memory claims = new ProofClaim[](many.length);
        for (uint256 i = 0; i < many.length; ++i) {
            claims[i] =
                ProofClaim({ provenSeconds: provenSeconds, jobsCompleted: 3, energyJoules: 1_000_000 });
        }
        vm.prank(WORKER);
        market.postProofs(many, claims, 30, keccak256("jobs"), keccak256("heartbeats"));
    }

    /// The last call was for all but one lease.
    function _snapshotMarginal(string memory name, uint256 ofOne) private {
        vm.snapshotValue(group, name, (vm.lastCallGas().gasTotalUsed - ofOne) / (BATCH - 2));
    }

    function _some(Terms[] memory many, uint256 from, uint256 to) private pure returns (Terms[] memory some) {
        some = new Terms[](to - from);
        for (uint256 i = from; i < to; ++i) {
            some[i - from] = many[i];
        }
    }

    function _copy(Offer memory offer) private pure returns (Offer memory) {
        return abi.decode(abi.encode(offer), (Offer));
    }
}

/// @notice Steady state: every party has dealt before; its balances, credits and locked stake are not zero.
contract GasTest is GasScenarios {
    function setUp() public override {
        super.setUp();
        group = "steady";
        _dealBefore(address(token), 1);
        vm.deal(address(this), 1 ether);
        wrapped.deposit{ value: 1 ether }();
        // forge-lint: disable-next-line(erc20-unchecked-transfer)
        wrapped.transfer(RENTER, 1 ether);
        _dealBefore(address(wrapped), 2);
        // Its bond stays locked beside ours.
        bytes32 otherUnit = registerUnitAs(PROVIDER, WORKER, "other", gpuIdsOf("other", 2));
        Terms memory beside = _fresh(3);
        beside.offer.unitId = otherUnit;
        openLease(beside);
        terms = _fresh(4);
    }

    function test_GasOfWithdraw() external {
        token.mint(PROVIDER, 1);
        vm.prank(PROVIDER);
        market.withdraw(address(token), PROVIDER);
        vm.snapshotGasLastCall(group, "withdraw");
    }

    function _dealBefore(address payment, uint256 salt) private {
        Terms memory earlier = _fresh(salt);
        earlier.offer.token = payment;
        openLease(earlier);
        skipTo(earlier.end);
        prove(earlier, 6 hours);
        skipPastLastPost(earlier);
        closeAs(KEEPER, earlier);
    }
}

/// @notice First time: nobody was ever paid, nothing was ever locked, no token ever held.
contract GasFirstTimeTest is GasScenarios {
    function setUp() public override {
        super.setUp();
        group = "first_time";
        terms = _fresh(1);
    }
}
