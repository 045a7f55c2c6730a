// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {
    AllowedProvider,
    CompletionProof,
    FailoverPolicy,
    LeaseStatus,
    LeaseTransfer,
    NoticeReason,
    OfferKind,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import { RelayBase } from "./RelayBase.sol";

/// Everything that an account may do in the market, done by one that holds the payment token and no native coin.
contract GaslessTest is RelayBase {
    uint96 private constant DEPOSIT = 36e6;

    Terms private terms;
    bytes32 private leaseId;

    function setUp() public override {
        super.setUp();
        vm.prank(RENTER);
        token.approve(address(market), 0);
        terms = currentTerms();
        listOffer(terms.offer);
        leaseId = market.leaseIdOf(terms);
        assertEq(RENTER.balance, 0);
        _withPermit(DEPOSIT, abi.encodeCall(market.open, (terms, LISTED)));
    }

    function test_WhenOpening() external view {
        assertEq(uint8(stateOf(terms).status), uint8(LeaseStatus.OPEN));
        assertEq(token.balanceOf(address(market)), DEPOSIT);
        assertEq(token.allowance(RENTER, address(market)), 0);
    }

    function test_WhenOpeningAGang() external {
        Terms[] memory gang = gangOf(3);
        Terms[] memory two = new Terms[](2);
        (two[0], two[1]) = (gang[1], gang[2]);
        nameGang(two);
        _withPermit(2 * DEPOSIT, abi.encodeCall(succession.openGang, (two, new bytes[](2))));
        assertEq(uint8(stateOf(two[1]).status), uint8(LeaseStatus.OPEN));

        giveNoticeAs(NEXT_PROVIDER, two[0]);
        _asRenter(abi.encodeCall(amendments.giveNoticeInGang, (two[1], two[0], 0)));
        assertEq(endOf(two[1]), vm.getBlockTimestamp() + 1 hours);
    }

    function test_WhenToppingUp() external {
        _withPermit(3.6e6, abi.encodeCall(market.topUp, (terms, terms.end + 1 hours)));
        assertEq(stateOf(terms).deposit, DEPOSIT + 3.6e6);
    }

    function test_WhenExtending() external {
        uint40 end = terms.maxEnd + 1 hours;
        _withPermit(39.6e6, abi.encodeCall(amendments.extend, (terms, end)));
        assertEq(endOf(terms), end);
    }

    function test_WhenGivingNotice() external {
        _asRenter(abi.encodeCall(amendments.giveNotice, (terms, NoticeReason.WORK_DONE, 0)));
        assertEq(endOf(terms), terms.start + 2 hours);
    }

    function test_WhenAccepting() external {
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        _asRenter(abi.encodeCall(amendments.accept, (terms, proofHash, "")));
        assertEq(stateOf(terms).settledSeconds, 1 hours);
    }

    function test_WhenPostingAnOrder() external {
        _asRenter(abi.encodeCall(amendments.postOrder, (terms, "order")));
        assertEq(market.postedOrderOf(leaseId).orderDigest, "order");
    }

    function test_WhenAnsweringAnOrder() external {
        vm.prank(RENTER);
        amendments.postOrder(terms, "order");
        relay(WORKER_KEY, abi.encodeCall(amendments.answerOrder, (terms, "order", true, "")));
        assertEq(market.postedOrderOf(leaseId).orderDigest, 0);
    }

    function test_WhenSelling() external {
        LeaseTransfer memory sale = _sale(0);
        bytes memory buyers = signAs(STRANGER_KEY, digests.hashLeaseTransfer(sale));
        _asRenter(abi.encodeCall(succession.transfer, (terms, sale, "", buyers)));
        assertEq(stateOf(terms).renterOverride, STRANGER);
    }

    function test_WhenBuying() external {
        LeaseTransfer memory sale = _sale(0);
        bytes memory sellers = signAs(RENTER_KEY, digests.hashLeaseTransfer(sale));
        succession.transfer(terms, sale, sellers, signAs(STRANGER_KEY, digests.hashLeaseTransfer(sale)));
        sale = _sale(5e6);
        (sale.from, sale.to, sale.transfers) = (STRANGER, RENTER, 1);
        sellers = signAs(STRANGER_KEY, digests.hashLeaseTransfer(sale));
        _withPermit(5e6, abi.encodeCall(succession.transfer, (terms, sale, sellers, "")));
        assertEq(stateOf(terms).renterOverride, RENTER);
        assertEq(creditOf(STRANGER), 5e6);
    }

    function test_WhenWithdrawing() external {
        giveNoticeAs(RENTER, terms);
        skipPastLastPost(terms);
        relay(STRANGER_KEY, abi.encodeCall(market.close, (terms)));
        uint256 before = token.balanceOf(RENTER);
        _asRenter(abi.encodeCall(market.withdraw, (address(token), RENTER)));
        assertEq(token.balanceOf(RENTER) - before, DEPOSIT);
    }

    function test_WhenListing() external {
        Terms memory other = currentTerms();
        other.offer.salt = 9;
        bytes32 offerHash =
            abi.decode(relay(PROVIDER_KEY, abi.encodeCall(market.list, (other.offer))), (bytes32));
        assertEq(market.listedBy(offerHash), PROVIDER);
        relay(PROVIDER_KEY, abi.encodeCall(market.unlist, (offerHash)));
        assertEq(market.listedBy(offerHash), address(0));
        relay(PROVIDER_KEY, abi.encodeCall(amendments.cancelSalt, (9)));
        assertTrue(market.saltCancelled(PROVIDER, 9));
    }

    function test_WhenProving() external {
        skip(1 hours);
        CompletionProof memory proof = proofOf(terms, 1 hours);
        relay(WORKER_KEY, abi.encodeCall(market.postProof, (terms, proof, "")));
        skip(CHALLENGE_SECONDS);
        relay(STRANGER_KEY, abi.encodeCall(market.settle, (terms)));
        assertEq(stateOf(terms).settledSeconds, 1 hours);
    }

    function test_WhenReleasingHours() external {
        skipTo(terms.end);
        relay(STRANGER_KEY, abi.encodeCall(amendments.releaseHours, (terms)));
        assertEq(bookedHoursOf(unitId), 0);
    }

    function test_WhenFailingOver() external {
        (address delegate, uint256 delegateKey) = makeAddrAndKey("delegate");
        FailoverPolicy memory policy = FailoverPolicy({
            delegate: delegate,
            maxPricePerHour: 3.6e6,
            gpuClass: "RTX 4090",
            minBond: 0,
            allowedProvidersRoot: 0,
            allowedProvidersCount: 0,
            maxHops: 1,
            deadline: terms.end
        });
        Terms memory leased = termsOfAnotherUnit("third");
        leased.offer.validUntil = terms.offer.validUntil;
        leased.offer.kind = OfferKind.IDLE;
        leased.policyHash = digests.hashFailoverPolicy(policy);
        listOffer(leased.offer);
        _withPermit(DEPOSIT, abi.encodeCall(market.open, (leased, LISTED)));
        Terms memory next = currentTerms();
        next.offer.provider = NEXT_PROVIDER;
        next.offer.unitId = nextUnitId;
        next.policyHash = leased.policyHash;
        next.previousLeaseId = market.leaseIdOf(leased);
        listOffer(next.offer);
        FailureProof memory failure = yieldProof(next.previousLeaseId, vm.getBlockTimestamp());
        AllowedProvider memory allowed;
        relay(
            delegateKey, abi.encodeCall(succession.failover, (leased, policy, next, LISTED, allowed, failure))
        );
        assertEq(stateOf(next).deposit, DEPOSIT);
    }

    function _sale(uint96 price) private view returns (LeaseTransfer memory) {
        return LeaseTransfer({
            leaseId: leaseId,
            from: RENTER,
            to: STRANGER,
            price: price,
            deposit: DEPOSIT,
            end: terms.end,
            settledSeconds: 0,
            transfers: 0,
            deadline: terms.end
        });
    }

    function _asRenter(bytes memory data) private {
        relay(RENTER_KEY, data);
        assertEq(RENTER.balance, 0);
    }

    /// In one signed call: the permit, then what needs the money.
    function _withPermit(uint256 amount, bytes memory data) private {
        (uint8 v, bytes32 r, bytes32 s) = signPermit(token, address(market), amount);
        bytes[] memory calls = new bytes[](2);
        calls[0] =
            abi.encodeCall(amendments.usePermit, (address(token), amount, vm.getBlockTimestamp(), v, r, s));
        calls[1] = data;
        _asRenter(abi.encodeCall(amendments.multicall, (calls)));
        assertEq(token.allowance(RENTER, address(market)), 0, "spent to the unit");
    }
}
