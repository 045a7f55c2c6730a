// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ILeaseBook } from "../../../contracts/interfaces/ILeaseBook.sol";
import { IProviderRegistry } from "../../../contracts/interfaces/IProviderRegistry.sol";
import { IRelayedContext } from "../../../contracts/interfaces/IRelayedContext.sol";
import { LeaseStatus, Terms, Unit } from "../../../contracts/libraries/Types.sol";
import { Base } from "../Base.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";

contract SignedOfferTest is Base {
    uint256 private constant CURVE_ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141;

    Terms private terms;
    bytes32 private offerHash;

    function setUp() public override {
        super.setUp();
        terms = defaultTerms();
        offerHash = digests.hashOffer(terms.offer);
    }

    function test_RevertWhen_AnotherSigned() external {
        _expectInvalid(signAs(WORKER_KEY, offerHash));
    }

    function test_RevertWhen_OneTermOfTheOfferDiffers() external {
        bytes memory signature = signOffer(terms.offer);
        terms.offer.pricePerHour -= 1;
        _expectInvalid(signature);
    }

    function test_RevertWhen_SignedForAnotherContract() external {
        _expectInvalid(_signIn(block.chainid, address(registry)));
        _open(_signIn(block.chainid, address(market)));
    }

    function test_RevertWhen_SignedForAnotherChain() external {
        _expectInvalid(_signIn(block.chainid + 1, address(market)));
    }

    function test_RevertWhen_SignatureIsTheOtherOfItsPair() external {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(PROVIDER_KEY, digestOf(offerHash));
        _expectInvalid(abi.encodePacked(r, CURVE_ORDER - uint256(s), v == 27 ? uint8(28) : uint8(27)));
        _open(abi.encodePacked(r, s, v));
    }

    function test_RevertWhen_OfferHasExpired() external {
        bytes memory signature = signOffer(terms.offer);
        vm.warp(terms.offer.validUntil + 1);
        _expectRevertOf(
            signature,
            abi.encodeWithSelector(
                ILeaseBook.OfferExpired.selector, terms.offer.validUntil, terms.offer.validUntil + 1
            )
        );
        vm.warp(terms.offer.validUntil);
        terms.start = terms.offer.validUntil;
        terms.end = terms.start + 10 hours;
        terms.maxEnd = terms.end;
        _open(signature);
    }

    function test_RevertWhen_SaltIsCancelled() external {
        bytes memory signature = signOffer(terms.offer);
        vm.expectEmit(address(market));
        emit ILeaseBook.SaltCancelled(PROVIDER, 1);
        vm.prank(PROVIDER);
        amendments.cancelSalt(1);
        assertTrue(market.saltCancelled(PROVIDER, 1));
        _expectRevertOf(signature, abi.encodeWithSelector(ILeaseBook.OfferCancelled.selector, PROVIDER, 1));
    }

    function test_RevertWhen_ProviderHasRaisedItsEpoch() external {
        bytes memory signature = signOffer(terms.offer);
        vm.prank(PROVIDER);
        registry.raiseEpoch();
        _expectRevertOf(signature, abi.encodeWithSelector(IProviderRegistry.EpochMismatch.selector, 1, 0));
    }

    function test_RevertWhen_OfferIsOfALaterEpoch() external {
        terms.offer.salt = uint256(1) << 232;
        _expectRevertOf(
            signOffer(terms.offer), abi.encodeWithSelector(IProviderRegistry.EpochMismatch.selector, 0, 1)
        );
    }

    function test_RevertWhen_MaxEndExceedsTheHorizon() external {
        // Such an offer cannot be listed, but it can be signed.
        terms.offer.maxSeconds = 500 days;
        terms.maxEnd = MONDAY + 400 days + 1;
        bytes memory signature = signOffer(terms.offer);
        _expectRevertOf(
            signature,
            abi.encodeWithSelector(
                ILeaseBook.MaxEndOutOfRange.selector, terms.end, MONDAY + 400 days, terms.maxEnd
            )
        );
        terms.maxEnd -= 1;
        _open(signature);
    }

    function test_RevertWhen_ItsLeaseIsClosed() external {
        terms.start = MONDAY + 2 hours;
        terms.end = terms.start + 10 hours;
        bytes memory signature = signOffer(terms.offer);
        bytes32 leaseId = _open(signature);
        giveNoticeAs(RENTER, terms);
        skipTo(terms.start);
        closeAs(KEEPER, terms);
        _expectRevertOf(signature, abi.encodeWithSelector(ILeaseBook.LeaseExists.selector, leaseId));
    }

    function test_RevertWhen_AContractHasChangedItsKey() external {
        SmartAccount account = _contractProvider();
        bytes memory signature = signOffer(terms.offer);
        account.setKey(STRANGER);
        _expectInvalid(signature);
    }

    function test_WhenProviderSigned() external {
        bytes memory signature = signOffer(terms.offer);
        bytes32 leaseId = market.leaseIdOf(terms);
        vm.expectEmit(address(market));
        emit ILeaseBook.OfferTaken(offerHash, PROVIDER, terms.offer);
        vm.expectEmit(address(market));
        emit ILeaseBook.LeaseOpened(leaseId, RENTER, PROVIDER, offerHash, leaseTermsOf(terms), 36e6);
        assertEq(_open(signature), leaseId);
        assertEq(market.listedBy(offerHash), address(0));
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.OPEN));
        assertEq(token.balanceOf(address(market)), 36e6);
        (, uint96 locked) = stakeOf(PROVIDER);
        assertEq(locked, BOND);
    }

    function test_WhenAContractSigned() external {
        SmartAccount account = _contractProvider();
        bytes32 leaseId = _open(signOffer(terms.offer));
        assertEq(uint8(market.leaseState(leaseId).status), uint8(LeaseStatus.OPEN));
        (, uint96 locked) = stakeOf(address(account));
        assertEq(locked, BOND);
    }

    function test_WhenOneSignatureIsTakenTwice() external {
        bytes memory signature = signOffer(terms.offer);
        terms.weeklyHours = 0x0f;
        bytes32 first = _open(signature);
        terms.weeklyHours = 0xf0;
        assertNotEq(_open(signature), first);
        assertEq(bookedHoursOf(unitId), 0xff);
    }

    function test_WhenSaltOfAListedOfferIsCancelled() external {
        listOffer(terms.offer);
        vm.prank(PROVIDER);
        amendments.cancelSalt(1);
        _open(LISTED);
    }

    function test_WhenAnotherCancelsTheSameSalt() external {
        vm.prank(STRANGER);
        amendments.cancelSalt(1);
        assertFalse(market.saltCancelled(PROVIDER, 1));
        _open(signOffer(terms.offer));
    }

    function test_WhenAnotherSaltIsCancelled() external {
        vm.prank(PROVIDER);
        amendments.cancelSalt(2);
        _open(signOffer(terms.offer));
    }

    /// A staked provider with a unit whose key is the default provider's.
    function _contractProvider() private returns (SmartAccount account) {
        account = new SmartAccount(PROVIDER);
        stakeAs(address(account), STAKE);
        bytes32[] memory gpuIds = gpuIdsOf("account", 2);
        Unit memory unit = unitOf(address(account), WORKER, "account", 2);
        bytes memory result =
            account.execute(address(registry), abi.encodeCall(registry.registerUnit, (unit, gpuIds)));
        terms.offer.unitId = abi.decode(result, (bytes32));
        terms.offer.provider = address(account);
    }

    function _open(bytes memory signature) private returns (bytes32) {
        vm.prank(RENTER);
        return market.open(terms, signature);
    }

    function _signIn(uint256 chainId, address verifyingContract) private view returns (bytes memory) {
        bytes32 domainSeparator = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("GPGPU"),
                keccak256("1"),
                chainId,
                verifyingContract
            )
        );
        (uint8 v, bytes32 r, bytes32 s) =
            vm.sign(PROVIDER_KEY, keccak256(abi.encodePacked(hex"1901", domainSeparator, offerHash)));
        return abi.encodePacked(r, s, v);
    }

    function _expectInvalid(bytes memory signature) private {
        bytes32 digest = digestOf(digests.hashOffer(terms.offer));
        _expectRevertOf(
            signature,
            abi.encodeWithSelector(IRelayedContext.SignatureInvalid.selector, terms.offer.provider, digest)
        );
    }

    function _expectRevertOf(bytes memory signature, bytes memory reason) private {
        vm.expectRevert(reason);
        vm.prank(RENTER);
        market.open(terms, signature);
    }
}
