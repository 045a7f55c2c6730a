// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { ReentrancyGuardTransient } from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { FailureProof } from "../../../contracts/interfaces/ILeaseSuccession.sol";
import {
    AllowedProvider,
    FailoverPolicy,
    LeaseStatus,
    LeaseTransfer,
    NoticeReason,
    RelayedCall,
    Terms
} from "../../../contracts/libraries/Types.sol";
import { HookToken } from "../mocks/HookToken.sol";
import { RelayBase } from "./RelayBase.sol";

/// A payment token that calls whatever it wants while it moves or is permitted, with the signatures of every party.
contract ReentrancyTest is RelayBase {
    uint256 private constant GUARDED = 8;
    uint96 private constant DEPOSIT = 36e6;

    PermittedHookToken private hook;
    /// Runs, with a proof that has matured.
    Terms private running;
    /// Can be closed.
    Terms private over;
    Terms[] private opened;

    function setUp() public override {
        super.setUp();
        hook = new PermittedHookToken();
        allowToken(address(hook));
        hook.mint(RENTER, 100 * DEPOSIT);
        hook.mint(STRANGER, DEPOSIT);
        vm.prank(RENTER);
        hook.approve(address(market), type(uint256).max);
        vm.prank(STRANGER);
        hook.approve(address(market), type(uint256).max);

        over = _terms("over");
        openLease(over);
        skip(1 hours);
        postProof(over, 1 hours);
        skipTo(endOf(over) + PROOF_GRACE_SECONDS - 2 hours);
        running = _terms("running");
        openLease(running);
        skip(3 hours);
        // Credits and fees that a second withdrawal could take.
        Terms memory first = _terms("first");
        first.offer.minSeconds = 0;
        listOffer(first.offer);
        first.end = first.start + 1 hours;
        openLease(first);
        skip(30 minutes);
        prove(first, 30 minutes);
        skip(30 minutes);
        prove(first, 1 hours);
        closeAs(KEEPER, first);
        Terms memory unstarted = _terms("unstarted");
        unstarted.start += 2 hours;
        unstarted.maxEnd = unstarted.end += 2 hours;
        openLease(unstarted);
        giveNoticeAs(RENTER, unstarted);
        skipTo(unstarted.start);
        closeAs(KEEPER, unstarted);
        postProof(running, 1 hours);
        skip(CHALLENGE_SECONDS);
        opened.push(running);
        opened.push(over);
        assertGt(market.creditOf(address(hook), RENTER), 0);
        assertGt(market.feesOf(address(hook)), 0);
        _assertSolvent();
    }

    function test_WhenADepositIsPulled() external {
        Terms memory terms = _terms("fresh");
        listOffer(terms.offer);
        opened.push(terms);
        _tryAll(RENTER, abi.encodeCall(market.open, (terms, LISTED)));
    }

    function test_WhenATopUpIsPulled() external {
        _tryAll(RENTER, abi.encodeCall(market.topUp, (running, running.maxEnd)));
    }

    function test_WhenAnExtensionIsPulled() external {
        _tryAll(RENTER, abi.encodeCall(amendments.extend, (running, running.maxEnd + 1 hours)));
    }

    function test_WhenAGangsDepositsArePulled() external {
        Terms[] memory gang = new Terms[](2);
        (gang[0], gang[1]) = (_terms("a"), _terms("b"));
        listOffer(gang[0].offer);
        listOffer(gang[1].offer);
        nameGang(gang);
        opened.push(gang[0]);
        opened.push(gang[1]);
        _tryAll(RENTER, abi.encodeCall(succession.openGang, (gang, new bytes[](2))));
    }

    function test_WhenAPriceIsPulled() external {
        market.settle(running);
        (LeaseTransfer memory sale, bytes memory sellers, bytes memory buyers) = _sale();
        _tryAll(KEEPER, abi.encodeCall(succession.transfer, (running, sale, sellers, buyers)));
    }

    function test_WhenACreditIsPushed() external {
        uint256 credit = market.creditOf(address(hook), RENTER);
        address receiver = makeAddr("receiver");
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < _innerCount(); ++i) {
            _tryOne(RENTER, abi.encodeCall(market.withdraw, (address(hook), receiver)), i);
            assertEq(hook.balanceOf(receiver), credit, "once");
            vm.revertToState(before);
        }
    }

    function test_WhenFeesArePushed() external {
        uint256 fees = market.feesOf(address(hook));
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < _innerCount(); ++i) {
            _tryOne(KEEPER, abi.encodeCall(amendments.withdrawFees, (address(hook))), i);
            assertEq(hook.balanceOf(TREASURY), fees, "once");
            vm.revertToState(before);
        }
    }

    /// A permit is spent before anything of the market's changes: what it calls runs as if it came first.
    function test_WhenAPermitCallsBack() external {
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < _innerCount(); ++i) {
            bytes[] memory calls = new bytes[](2);
            calls[0] = abi.encodeCall(amendments.usePermit, (address(hook), 0, 0, 0, 0, 0));
            calls[1] = abi.encodeCall(market.withdraw, (address(hook), RENTER));
            (bytes memory inner,) = _inner(i);
            hook.armPermit(address(market), inner);
            vm.prank(RENTER);
            (bool ok,) = address(market).call(abi.encodeCall(amendments.multicall, (calls)));
            // Only where the permit has withdrawn already there is nothing left.
            assertEq(ok, i != 6);
            _assertSolvent();
            vm.revertToState(before);
        }
    }

    function test_WhenAWalletCallsBackFromItsSignature() external {
        ReentrantWallet wallet = new ReentrantWallet();
        Terms memory terms = _terms("wallet");
        terms.renter = address(wallet);
        listOffer(terms.offer);
        opened.push(terms);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        skip(1 hours);
        bytes32 proofHash = postProof(terms, 1 hours);
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < _innerCount(); ++i) {
            (bytes memory inner,) = _inner(i);
            wallet.arm(address(market), inner);
            amendments.accept(terms, proofHash, hex"01");
            assertEq(stateOf(terms).settledSeconds, 1 hours, "it signed, and its own call was refused");
            assertEq(uint8(stateOf(over).status), uint8(LeaseStatus.OPEN));
            _assertSolvent();
            vm.revertToState(before);
        }
    }

    function _tryAll(address caller, bytes memory outer) private {
        uint256 before = vm.snapshotState();
        for (uint256 i = 0; i < _innerCount(); ++i) {
            _tryOne(caller, outer, i);
            vm.revertToState(before);
        }
    }

    /// The outer call goes through; the inner one is refused where it is guarded; the money adds up.
    function _tryOne(address caller, bytes memory outer, uint256 i) private {
        (bytes memory inner, bool succeeds) = _inner(i);
        uint256 hooksBefore = hook.hookCalls();
        hook.arm(address(market), inner);
        vm.prank(caller);
        (bool ok, bytes memory reason) = address(market).call(outer);
        assertTrue(ok, string.concat(vm.toString(i), vm.toString(reason)));
        assertEq(hook.hookCalls(), hooksBefore + 1, "the hook ran");
        if (i < GUARDED) {
            assertFalse(hook.hookSucceeded());
            assertEq(
                hook.hookResult(),
                abi.encodeWithSelector(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector)
            );
        } else if (succeeds) {
            assertTrue(hook.hookSucceeded(), string.concat(vm.toString(i), vm.toString(hook.hookResult())));
        }
        _assertSolvent();
    }

    function _innerCount() private pure returns (uint256) {
        return 20;
    }

    /// @return inner the i-th call, relayed for whoever may make it; the first ones are guarded
    /// @return succeeds whatever the outer call does
    function _inner(uint256 i) private view returns (bytes memory inner, bool succeeds) {
        if (i < GUARDED) return (_relayed(RENTER_KEY, _guarded(i)), false);
        if (i == 8) return (abi.encodeCall(market.settle, (running)), true);
        if (i == 9) return (abi.encodeCall(market.settleMany, (_many(running))), true);
        if (i == 10) return (abi.encodeCall(market.close, (over)), true);
        if (i == 11) return (abi.encodeCall(amendments.releaseHours, (over)), true);
        if (i == 12) return (_relayed(RENTER_KEY, abi.encodeCall(amendments.cancelSalt, (1))), true);
        if (i == 13) return (_relayed(PROVIDER_KEY, _closeAndSettle()), true);
        if (i == 14) return (_relayed(WORKER_KEY, _nextProof()), true);
        if (i == 15) {
            bytes32 offerHash = digests.hashOffer(running.offer);
            return (_relayed(PROVIDER_KEY, abi.encodeCall(market.unlist, (offerHash))), true);
        }
        NoticeReason reason = NoticeReason.WORK_DONE;
        bytes memory notice = abi.encodeCall(amendments.giveNotice, (running, reason, 0));
        if (i == 16) return (_relayed(PROVIDER_KEY, notice), true);
        if (i == 17) return (_relayed(RENTER_KEY, notice), false);
        if (i == 18) {
            return (_relayed(RENTER_KEY, abi.encodeCall(amendments.postOrder, (running, "order"))), false);
        }
        bytes32 proofHash = market.leaseState(market.leaseIdOf(running)).proofHash;
        return (_relayed(RENTER_KEY, abi.encodeCall(amendments.accept, (running, proofHash, ""))), false);
    }

    function _guarded(uint256 i) private view returns (bytes memory) {
        if (i == 0) return abi.encodeCall(market.open, (running, LISTED));
        if (i == 1) return abi.encodeCall(market.topUp, (running, running.maxEnd));
        if (i == 2) return abi.encodeCall(amendments.extend, (running, running.maxEnd));
        if (i == 3) return abi.encodeCall(succession.openGang, (_many(running), new bytes[](1)));
        if (i == 4) {
            (LeaseTransfer memory sale, bytes memory sellers, bytes memory buyers) = _sale();
            return abi.encodeCall(succession.transfer, (running, sale, sellers, buyers));
        }
        if (i == 5) return _failover();
        bytes memory withdrawal = abi.encodeCall(market.withdraw, (address(hook), RENTER));
        if (i == 6) return withdrawal;
        return abi.encodeCall(amendments.withdrawFees, (address(hook)));
    }

    function _failover() private view returns (bytes memory) {
        FailoverPolicy memory policy;
        AllowedProvider memory allowed;
        FailureProof memory failure;
        return abi.encodeCall(succession.failover, (running, policy, over, LISTED, allowed, failure));
    }

    function _closeAndSettle() private view returns (bytes memory) {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(market.close, (over));
        calls[1] = abi.encodeCall(market.settle, (running));
        return abi.encodeCall(amendments.multicall, (calls));
    }

    function _nextProof() private view returns (bytes memory) {
        return abi.encodeCall(market.postProof, (running, proofOf(running, 2 hours), ""));
    }

    function _many(Terms memory terms) private pure returns (Terms[] memory many) {
        many = new Terms[](1);
        many[0] = terms;
    }

    function _relayed(uint256 key, bytes memory data) private view returns (bytes memory) {
        RelayedCall memory call = relayedCall(vm.addr(key), data);
        return abi.encodeCall(ILeaseAmendments.relay, (call, signCall(key, call)));
    }

    function _sale()
        private
        view
        returns (LeaseTransfer memory sale, bytes memory sellers, bytes memory buyers)
    {
        sale = LeaseTransfer({
            leaseId: market.leaseIdOf(running),
            from: RENTER,
            to: STRANGER,
            price: 5e6,
            deposit: DEPOSIT,
            end: running.end,
            settledSeconds: 1 hours,
            transfers: 0,
            deadline: running.end
        });
        bytes32 structHash = digests.hashLeaseTransfer(sale);
        return (sale, signAs(RENTER_KEY, structHash), signAs(STRANGER_KEY, structHash));
    }

    /// What the market holds is what it owes: deposits not settled, credits, fees.
    function _assertSolvent() private view {
        address token_ = address(hook);
        uint256 owed = market.creditOf(token_, RENTER) + market.creditOf(token_, PROVIDER)
            + market.creditOf(token_, STRANGER) + market.feesOf(token_);
        for (uint256 i = 0; i < opened.length; ++i) {
            owed += stateOf(opened[i]).deposit - uint256(stateOf(opened[i]).settledSeconds) * 1000;
        }
        assertEq(hook.balanceOf(address(market)), owed);
    }

    function _terms(string memory host) private returns (Terms memory terms) {
        terms = termsOfAnotherUnit(host);
        terms.offer.token = address(hook);
        terms.offer.validUntil = uint40(vm.getBlockTimestamp()) + 30 days;
    }
}

/// Its permits call too.
contract PermittedHookToken is HookToken {
    address private _permitTarget;
    bytes private _permitCall;

    function armPermit(address target, bytes calldata call_) external {
        (_permitTarget, _permitCall) = (target, call_);
    }

    function permit(address, address, uint256, uint256, uint8, bytes32, bytes32) external {
        (bool ok,) = _permitTarget.call(_permitCall);
        ok;
    }
}

/// Signs everything, and tries a call while it does: an IERC1271 that does not keep to `view`.
contract ReentrantWallet {
    address private _target;
    bytes private _call;

    function arm(address target, bytes calldata call_) external {
        (_target, _call) = (target, call_);
    }

    /// The signature is good only if the call was refused, which costs all gas that it is given.
    function isValidSignature(bytes32, bytes calldata) external returns (bytes4) {
        (bool ok,) = _target.call{ gas: 1_000_000 }(_call);
        return ok ? bytes4(0) : IERC1271.isValidSignature.selector;
    }
}
