// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";

import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { RelayedCall, Terms } from "../../../contracts/libraries/Types.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";
import { RelayBase } from "./RelayBase.sol";

/// The renter has 36 of credit, the stranger none: whoever could speak for the renter could take it.
contract RelayTest is RelayBase {
    uint96 private constant CREDIT = 36e6;

    bytes private withdrawal;

    function setUp() public override {
        super.setUp();
        _creditTo(RENTER);
        withdrawal = abi.encodeCall(market.withdraw, (address(token), RENTER));
    }

    function test_RevertWhen_DeadlineHasPassed() external {
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        bytes memory signature = signCall(RENTER_KEY, call);
        skip(1);
        vm.expectRevert(
            abi.encodeWithSelector(
                IRelayedContext.SignatureExpired.selector, call.deadline, uint256(call.deadline) + 1
            )
        );
        amendments.relay(call, signature);
    }

    function test_RevertWhen_NonceIsNotTheNext() external {
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        call.nonce = 1;
        bytes memory signature = signCall(RENTER_KEY, call);
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, RENTER, 0));
        amendments.relay(call, signature);
    }

    function test_RevertWhen_CallWasSentBefore() external {
        RelayedCall memory call = relayedCall(RENTER, abi.encodeCall(amendments.cancelSalt, (1)));
        bytes memory signature = signCall(RENTER_KEY, call);
        amendments.relay(call, signature);
        vm.expectRevert(abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, RENTER, 1));
        amendments.relay(call, signature);
    }

    function test_RevertWhen_AnotherSigned() external {
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        _expectInvalid(call, signCall(STRANGER_KEY, call));
    }

    function test_RevertWhen_DataIsNotTheSigned() external {
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        bytes memory signature = signCall(RENTER_KEY, call);
        call.data = abi.encodeCall(market.withdraw, (address(token), STRANGER));
        _expectInvalid(call, signature);
    }

    function test_RevertWhen_AccountIsZero() external {
        RelayedCall memory call = relayedCall(address(0), withdrawal);
        _expectInvalid(call, abi.encodePacked(bytes32(uint256(1)), bytes32(uint256(1)), uint8(29)));
        _expectInvalid(call, "");
    }

    function test_RevertWhen_AccountIsAPrecompile() external {
        // Of the others, some spend all gas that they are given. The fourth says back what it is told.
        for (uint160 i = 1; i <= 4; ++i) {
            RelayedCall memory call = relayedCall(address(i), withdrawal);
            _expectInvalid(call, signCall(STRANGER_KEY, call));
        }
    }

    function test_RevertWhen_AccountIsTheMarket() external {
        RelayedCall memory call = relayedCall(address(market), withdrawal);
        _expectInvalid(call, signCall(STRANGER_KEY, call));
        _expectInvalid(call, "");
    }

    function test_RevertWhen_CallItselfFails() external {
        bytes memory data = abi.encodeCall(market.withdraw, (address(token), STRANGER));
        RelayedCall memory call = relayedCall(STRANGER, data);
        call.deadline += 1 days;
        bytes memory signature = signCall(STRANGER_KEY, call);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, address(token), STRANGER)
        );
        amendments.relay(call, signature);
        assertEq(market.nonces(STRANGER), 0);
        // The same signature is good once the reason has gone.
        _creditTo(STRANGER);
        amendments.relay(call, signature);
        assertEq(token.balanceOf(STRANGER), CREDIT);
        assertEq(market.nonces(STRANGER), 1);
    }

    function test_RevertWhen_OneOfSeveralCallsFails() external {
        bytes[] memory calls = new bytes[](2);
        calls[0] = withdrawal;
        calls[1] = withdrawal;
        expectRelayRevert(
            RENTER_KEY,
            abi.encodeCall(amendments.multicall, (calls)),
            abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, address(token), RENTER)
        );
        assertEq(creditOf(RENTER), CREDIT);
    }

    function test_RevertWhen_NativeCoinComesAlong() external {
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        bytes memory data = abi.encodeCall(amendments.relay, (call, signCall(RENTER_KEY, call)));
        vm.deal(KEEPER, 1);
        vm.prank(KEEPER);
        (bool ok,) = address(market).call{ value: 1 }(data);
        assertFalse(ok);
        assertEq(creditOf(RENTER), CREDIT);
    }

    function test_RevertWhen_TheCourtSigns() external {
        (, uint256 courtKey) = makeAddrAndKey("court");
        Terms memory terms = currentTerms();
        openLease(terms);
        bytes memory notTheCourt =
            abi.encodeWithSelector(ILeaseBook.OnlyCourt.selector, COURT, address(market));
        bytes[4] memory calls = [
            abi.encodeCall(market.openDispute, (terms, 0)),
            abi.encodeCall(amendments.endDispute, (terms, 0, 0)),
            abi.encodeCall(amendments.breach, (terms, 0, 0, 0)),
            abi.encodeCall(amendments.slashBond, (terms, BOND, 0))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            expectRelayRevert(courtKey, calls[i], notTheCourt);
            expectRelayRevert(courtKey, abi.encodeCall(amendments.multicall, (one(calls[i]))), notTheCourt);
        }
    }

    function test_RevertWhen_AnotherThanTheOwnerSigns() external {
        bytes[3] memory calls = [
            abi.encodeCall(amendments.setToken, (address(token), false, 0)),
            abi.encodeCall(amendments.setTreasury, (STRANGER)),
            abi.encodeWithSelector(Ownable.transferOwnership.selector, STRANGER)
        ];
        bytes memory notTheOwner =
            abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER);
        for (uint256 i = 0; i < calls.length; ++i) {
            expectRelayRevert(STRANGER_KEY, calls[i], notTheOwner);
        }
        assertEq(market.owner(), OWNER);
    }

    function test_RevertWhen_DataIsEmpty() external {
        RelayedCall memory call = relayedCall(RENTER, "");
        bytes memory signature = signCall(RENTER_KEY, call);
        vm.expectRevert();
        amendments.relay(call, signature);
        assertEq(market.nonces(RENTER), 0);
    }

    function test_WhenTheOwnerSigns() external {
        (, uint256 ownerKey) = makeAddrAndKey("owner");
        relay(ownerKey, abi.encodeCall(amendments.setToken, (address(token), true, 100)));
        (, uint16 feeBps) = market.tokenTerms(address(token));
        assertEq(feeBps, 100);
    }

    function test_WhenAnybodySendsIt() external {
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        bytes memory signature = signCall(RENTER_KEY, call);
        uint256 before = token.balanceOf(RENTER);
        vm.expectEmit(address(market));
        emit IRelayedContext.Relayed(RENTER, 0, STRANGER);
        vm.prank(STRANGER);
        bytes memory result = amendments.relay(call, signature);
        assertEq(abi.decode(result, (uint256)), CREDIT);
        assertEq(token.balanceOf(RENTER) - before, CREDIT);
        assertEq(market.nonces(RENTER), 1);
    }

    function test_WhenSeveralCallsAreSigned() external {
        bytes[] memory calls = new bytes[](2);
        calls[0] = abi.encodeCall(amendments.cancelSalt, (5));
        calls[1] = withdrawal;
        relay(RENTER_KEY, abi.encodeCall(amendments.multicall, (calls)));
        assertTrue(market.saltCancelled(RENTER, 5));
        assertEq(creditOf(RENTER), 0);
    }

    function test_WhenMulticallsAreNested() external {
        bytes memory inner = abi.encodeCall(amendments.multicall, (one(withdrawal)));
        relay(RENTER_KEY, abi.encodeCall(amendments.multicall, (one(inner))));
        assertEq(creditOf(RENTER), 0);
    }

    function test_WhenARelayIsRelayed() external {
        _creditTo(STRANGER);
        RelayedCall memory inner =
            relayedCall(STRANGER, abi.encodeCall(market.withdraw, (address(token), STRANGER)));
        bytes memory data = abi.encodeCall(amendments.relay, (inner, signCall(STRANGER_KEY, inner)));
        vm.expectEmit(address(market));
        emit IRelayedContext.Relayed(RENTER, 0, KEEPER);
        vm.expectEmit(address(market));
        emit IRelayedContext.Relayed(STRANGER, 0, RENTER);
        relay(RENTER_KEY, data);
        assertEq(token.balanceOf(STRANGER), CREDIT, "the inner account's own");
        assertEq(creditOf(RENTER), CREDIT, "not the outer one's");
    }

    function test_WhenTheAccountIsAContract() external {
        SmartAccount account = new SmartAccount(RENTER);
        _creditTo(address(account));
        RelayedCall memory call =
            relayedCall(address(account), abi.encodeCall(market.withdraw, (address(token), STRANGER)));
        bytes memory signature = signCall(RENTER_KEY, call);
        account.setKey(STRANGER);
        _expectInvalid(call, signature);
        account.setKey(RENTER);
        amendments.relay(call, signature);
        assertEq(token.balanceOf(STRANGER), CREDIT);
    }

    /// Of 2023: each call in a multicall carries its own suffix.
    function test_Attack_AMulticallAppendsAnotherAccount() external {
        bytes memory spoofed =
            abi.encodePacked(abi.encodeCall(market.withdraw, (address(token), STRANGER)), RENTER);
        _expectNothing(STRANGER_KEY, abi.encodeCall(amendments.multicall, (one(spoofed))));
        bytes memory nested = abi.encodeCall(amendments.multicall, (one(spoofed)));
        _expectNothing(STRANGER_KEY, abi.encodeCall(amendments.multicall, (one(nested))));
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, address(token), STRANGER)
        );
        vm.prank(STRANGER);
        amendments.multicall(one(spoofed));
    }

    function test_Attack_ARelayedCallAppendsAnotherAccount() external {
        bytes memory spoofed =
            abi.encodePacked(abi.encodeCall(market.withdraw, (address(token), STRANGER)), RENTER);
        _expectNothing(STRANGER_KEY, spoofed);
        _expectNothing(
            STRANGER_KEY, abi.encodePacked(abi.encodeCall(amendments.multicall, (one(spoofed))), RENTER)
        );
    }

    function test_Attack_ADirectCallAppendsAnotherAccount() external {
        bytes memory spoofed =
            abi.encodePacked(abi.encodeCall(market.withdraw, (address(token), STRANGER)), RENTER);
        vm.prank(STRANGER);
        (bool ok, bytes memory reason) = address(market).call(spoofed);
        assertFalse(ok);
        assertEq(
            reason, abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, address(token), STRANGER)
        );
    }

    /// The codes behind the market hold nothing and answer for nobody.
    function test_Attack_TheCodesAreCalledAtTheirOwnAddress() external {
        address codes = market.AMENDMENTS();
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, STRANGER));
        vm.prank(STRANGER);
        ILeaseAmendments(codes).setToken(address(token), true, 0);
        RelayedCall memory call = relayedCall(RENTER, withdrawal);
        bytes memory signature = signCall(RENTER_KEY, call);
        vm.expectRevert();
        ILeaseAmendments(codes).relay(call, signature);
        assertEq(market.nonces(RENTER), 0);
    }

    /// A lease opened for the account and refunded.
    function _creditTo(address account) private {
        Terms memory terms = currentTerms();
        terms.renter = account;
        terms.start += 2 hours;
        terms.end += 2 hours;
        terms.salt = uint160(account);
        listOffer(terms.offer);
        vm.prank(RENTER);
        market.open(terms, LISTED);
        giveNoticeAs(PROVIDER, terms);
        skipPastLastPost(terms);
        closeAs(KEEPER, terms);
        assertEq(creditOf(account), CREDIT);
    }

    function _expectNothing(uint256 key, bytes memory data) private {
        expectRelayRevert(
            key,
            data,
            abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, address(token), vm.addr(key))
        );
        assertEq(creditOf(RENTER), CREDIT);
    }

    function _expectInvalid(RelayedCall memory call, bytes memory signature) private {
        bytes32 digest = digestOf(digests.hashRelayedCall(call));
        vm.expectRevert(
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, call.account, digest)
        );
        amendments.relay(call, signature);
    }
}
