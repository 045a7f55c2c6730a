// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Ownable } from "@openzeppelin/contracts/access/Ownable.sol";
import { Errors } from "@openzeppelin/contracts/utils/Errors.sol";

import { LeaseAmendments } from "../../../contracts/LeaseAmendments.sol";
import { MarketParameters } from "../../../contracts/LeaseBook.sol";
import { LeaseMarket } from "../../../contracts/LeaseMarket.sol";
import { LeaseSuccession } from "../../../contracts/LeaseSuccession.sol";
import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { IOracleQuorum } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { LeaseState, Terms } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";

contract MarketConstructorTest is Base {
    MarketParameters private parameters;

    /// Of a market that this contract creates next but two: registry, succession and amendments come before.
    function setUp() public override {
        super.setUp();
        parameters = marketParameters(COURT);
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 3);
        parameters.registry = new ProviderRegistry(address(stakeToken), next, quorum, UNBONDING_SECONDS);
    }

    function test_RevertWhen_RegistryIsOfAnotherMarket() external {
        parameters.registry = registry;
        LeaseAmendments code = _amendments();
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ContractsMismatch.selector, next, address(market)));
        new LeaseMarket(parameters, code);
    }

    function test_RevertWhen_RegistryAsksAnotherQuorum() external {
        parameters.quorum = IOracleQuorum(STRANGER);
        LeaseAmendments code = _amendments();
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.ContractsMismatch.selector, STRANGER, address(quorum))
        );
        new LeaseMarket(parameters, code);
    }

    function test_RevertWhen_AmendmentsHaveOtherParameters() external {
        LeaseAmendments code = _amendments();
        bytes32 actual = keccak256(abi.encode(parameters));
        parameters.answerSeconds += 1;
        bytes32 expected = keccak256(abi.encode(parameters));
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ParametersMismatch.selector, expected, actual));
        new LeaseMarket(parameters, code);
    }

    function test_RevertWhen_SuccessionHasOtherParameters() external {
        LeaseSuccession code = new LeaseSuccession(parameters);
        bytes32 actual = keccak256(abi.encode(parameters));
        parameters.court = STRANGER;
        bytes32 expected = keccak256(abi.encode(parameters));
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.ParametersMismatch.selector, expected, actual));
        new LeaseAmendments(parameters, code);
    }

    function test_RevertWhen_ChallengeWindowIsZero() external {
        parameters.challengeSeconds = 0;
        _expectWindowsInvalid();
    }

    function test_RevertWhen_AnswerWindowIsZero() external {
        parameters.answerSeconds = 0;
        _expectWindowsInvalid();
    }

    function test_RevertWhen_ProofGraceIsShorterThanTheChallengeWindow() external {
        parameters.proofGraceSeconds = parameters.challengeSeconds - 1;
        _expectWindowsInvalid();
    }

    function test_RevertWhen_TreasuryIsZero() external {
        parameters.treasury = address(0);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ZeroAddress.selector));
    }

    function test_RevertWhen_CourtIsZero() external {
        parameters.court = address(0);
        _expectRevertOf(abi.encodeWithSelector(ILeaseBook.ZeroAddress.selector));
    }

    function test_RevertWhen_OwnerIsZero() external {
        parameters.owner = address(0);
        vm.expectRevert(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new LeaseSuccession(parameters);
    }

    function test_WhenArgumentsAreValid() external {
        parameters.proofGraceSeconds = parameters.challengeSeconds;
        LeaseAmendments code = _amendments();
        vm.expectEmit(parameters.registry.MARKET());
        emit ILeaseBook.TreasuryChanged(TREASURY);
        LeaseMarket other = new LeaseMarket(parameters, code);
        assertEq(address(other), parameters.registry.MARKET());
        assertEq(address(other.REGISTRY()), address(parameters.registry));
        assertEq(other.COURT(), COURT);
        assertEq(address(other.QUORUM()), address(quorum));
        assertEq(other.WRAPPED_NATIVE(), address(wrapped));
        assertEq(other.AMENDMENTS(), address(code));
        assertEq(other.PARAMETERS_HASH(), keccak256(abi.encode(parameters)));
        assertEq(other.owner(), OWNER);
        assertEq(other.treasury(), TREASURY);
        assertEq(other.CHALLENGE_SECONDS(), CHALLENGE_SECONDS);
        assertEq(other.PROOF_GRACE_SECONDS(), CHALLENGE_SECONDS);
        assertEq(other.ANSWER_SECONDS(), ANSWER_SECONDS);
        assertEq(other.MAX_FEE_BPS(), 300);
        assertEq(other.MAX_START_DELAY_SECONDS(), 7 days);
        assertEq(other.HORIZON_SECONDS(), 400 days);
        assertNotEq(other.domainSeparator(), market.domainSeparator());
    }

    function test_WhenACallIsUnknown() external {
        (bool ok, bytes memory result) = address(market).call(abi.encodeWithSignature("noSuchCall()"));
        assertFalse(ok);
        assertEq(result, abi.encodeWithSelector(Errors.FailedCall.selector));
        (ok,) = address(market).call("");
        assertFalse(ok);
    }

    function test_WhenNativeCoinComesWithACallThatTakesNone() external {
        vm.deal(address(this), 1);
        (bool ok,) = address(market).call{ value: 1 }("");
        assertFalse(ok);
        bytes memory call_ = abi.encodeCall(amendments.cancelSalt, (1));
        (ok,) = address(market).call{ value: 1 }(call_);
        assertFalse(ok);
        (ok,) = address(market).call(call_);
        assertTrue(ok);
        assertEq(address(market).balance, 0);
    }

    function test_WhenCodeBehindTheMarketIsCalledDirectly() external {
        // It has a storage of its own, in which there is no lease and no token.
        (Terms memory terms, bytes32 leaseId) = openDefault();
        ILeaseAmendments code = ILeaseAmendments(market.AMENDMENTS());
        LeaseState memory none;
        assertEq(abi.encode(code.leaseState(leaseId)), abi.encode(none));
        vm.expectRevert(abi.encodeWithSelector(ILeaseBook.TokenNotAllowed.selector, address(token)));
        code.usePermit(address(token), 1, 0, 0, 0, 0);
        vm.expectRevert(
            abi.encodeWithSelector(ILeaseBook.NothingToWithdraw.selector, address(token), address(0))
        );
        code.withdrawFees(address(token));
        bytes memory call_ = abi.encodeCall(ILeaseMarket.close, (terms));
        (bool ok,) = address(code).call(call_);
        assertFalse(ok);
    }

    function _amendments() private returns (LeaseAmendments) {
        return new LeaseAmendments(parameters, new LeaseSuccession(parameters));
    }

    function _expectWindowsInvalid() private {
        _expectRevertOf(
            abi.encodeWithSelector(
                ILeaseBook.WindowsInvalid.selector, parameters.challengeSeconds, parameters.proofGraceSeconds
            )
        );
    }

    function _expectRevertOf(bytes memory reason) private {
        LeaseAmendments code = _amendments();
        vm.expectRevert(reason);
        new LeaseMarket(parameters, code);
    }
}
