// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IOracleQuorum, QuorumSignature } from "../../../contracts/interfaces/IOracleQuorum.sol";
import { SmartAccount } from "../mocks/SmartAccount.sol";
import { QuorumBase } from "./QuorumBase.sol";

contract SignaturesTest is QuorumBase {
    uint256 private constant CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141;
    bytes32 private constant STRUCT_HASH = keccak256("what the quorum found");
    bytes32 private constant PROFILE = keccak256("tolerance profile");
    uint64 private constant SPREAD = 24_000;

    function test_RevertWhen_SignaturesAreTooFew() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 1);
        _expectTooFew(2, 1);
        quorum.requireQuorum(STRUCT_HASH, signatures);
        _expectTooFew(2, 0);
        quorum.requireQuorum(STRUCT_HASH, new QuorumSignature[](0));
    }

    function test_RevertWhen_OneMemberSignsTwice() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        signatures[1] = signatures[0];
        _expectNotAscending(0, 0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_MembersDescend() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        (signatures[0], signatures[1]) = (signatures[1], signatures[0]);
        _expectNotAscending(1, 0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_TheMemberIsUnknown() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        signatures[1].member = 200;
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.MemberUnknown.selector, 200));
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_TheMemberIsNotActiveYet() external {
        setThreshold(3);
        addMember(3);
        depositBond(3, MEMBER_BOND);
        QuorumSignature[] memory signatures = _signedWithFourth();
        skip(ROTATION_SECONDS - 1);
        _expectNotActive(3);
        quorum.requireQuorum(STRUCT_HASH, signatures);
        skip(1);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_TheMemberHasLeft() external {
        removeMember(1);
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        skip(ROTATION_SECONDS - 1);
        quorum.requireQuorum(STRUCT_HASH, signatures);
        skip(1);
        _expectNotActive(1);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_TheBondIsShort() external {
        penalise(0, 1);
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        _expectNotActive(0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_AnotherMemberSigned() external {
        QuorumSignature[] memory signatures = _signedBy(0, 2);
        signatures[1].member = 1;
        _expectInvalid(1);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_AnotherStructWasSigned() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        _expectInvalid(0);
        quorum.requireQuorum(keccak256("something else"), signatures);
    }

    function test_RevertWhen_AnotherChainWasSigned() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        vm.chainId(block.chainid + 1);
        _expectInvalid(0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_AnotherContractWasSigned() external {
        QuorumSignature[] memory signatures = new QuorumSignature[](2);
        for (uint8 i = 0; i < 2; ++i) {
            signatures[i] = signDigest(i, digestOf(STRUCT_HASH));
        }
        _expectInvalid(0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_SIsHigh() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        (, uint256 key) = signerAt(1);
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, quorumDigestOf(STRUCT_HASH));
        signatures[1].signature = abi.encodePacked(r, bytes32(CURVE_ORDER - uint256(s)), v == 27 ? 28 : 27);
        _expectInvalid(1);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_TheSignatureIsMalformed() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        signatures[0].signature = "";
        _expectInvalid(0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
        signatures[0].signature = new bytes(65);
        _expectInvalid(0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
        signatures[0].signature = new bytes(66);
        _expectInvalid(0);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_OneOfMoreThanEnoughIsWrong() external {
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 3);
        signatures[2].signature = signatures[1].signature;
        _expectInvalid(2);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_RevertWhen_TheAccountDisowns() external {
        (SmartAccount account, QuorumSignature[] memory signatures) = _signedByAccount();
        account.setKey(STRANGER);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.SignatureInvalid.selector, 3, address(account)));
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_WhenTheAccountIsAContract() external {
        (, QuorumSignature[] memory signatures) = _signedByAccount();
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function test_WhenEnoughMembersSigned() external {
        quorum.requireQuorum(STRUCT_HASH, signAll(STRUCT_HASH, 2));
        quorum.requireQuorum(STRUCT_HASH, signAll(STRUCT_HASH, 3));
        quorum.requireQuorum(STRUCT_HASH, _signedBy(1, 2));
        setThreshold(3);
        skip(ROTATION_SECONDS);
        quorum.requireQuorum(STRUCT_HASH, signAll(STRUCT_HASH, 3));
        QuorumSignature[] memory signatures = signAll(STRUCT_HASH, 2);
        _expectTooFew(3, 2);
        quorum.requireQuorum(STRUCT_HASH, signatures);
    }

    function testFuzz_NothingElseIsASignature(bytes memory signature, bytes32 structHash) external {
        QuorumSignature[] memory signatures = signAll(structHash, 2);
        vm.assume(keccak256(signature) != keccak256(signatures[1].signature));
        signatures[1].signature = signature;
        _expectInvalid(1);
        quorum.requireQuorum(structHash, signatures);
    }

    function test_RevertWhen_SpreadIsZero() external {
        QuorumSignature[] memory signatures = signAll(_calibration(0), 2);
        vm.expectRevert(IOracleQuorum.ZeroAmount.selector);
        quorum.calibrate(PROFILE, 0, signatures);
    }

    function test_RevertWhen_AnotherSpreadWasSigned() external {
        QuorumSignature[] memory signatures = signAll(_calibration(SPREAD), 2);
        _expectInvalid(0);
        quorum.calibrate(PROFILE, SPREAD + 1, signatures);
    }

    function test_RevertWhen_CalibratedAlready() external {
        quorum.calibrate(PROFILE, SPREAD, signAll(_calibration(SPREAD), 2));
        QuorumSignature[] memory signatures = signAll(_calibration(SPREAD + 1), 2);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.CalibratedAlready.selector, PROFILE));
        quorum.calibrate(PROFILE, SPREAD + 1, signatures);
    }

    function test_WhenTheQuorumCalibrates() external {
        QuorumSignature[] memory signatures = signAll(_calibration(SPREAD), 2);
        assertEq(quorum.maxSpreadOf(PROFILE), 0);
        vm.expectEmit(address(quorum));
        emit IOracleQuorum.ProfileCalibrated(PROFILE, SPREAD);
        vm.prank(STRANGER);
        quorum.calibrate(PROFILE, SPREAD, signatures);
        assertEq(quorum.maxSpreadOf(PROFILE), SPREAD);
    }

    function _calibration(uint64 maxSpread) private pure returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("Calibration(bytes32 toleranceProfile,uint64 maxSpread)"), PROFILE, maxSpread
            )
        );
    }

    function _signedBy(uint8 first, uint8 second) private returns (QuorumSignature[] memory signatures) {
        signatures = new QuorumSignature[](2);
        signatures[0] = signDigest(first, quorumDigestOf(STRUCT_HASH));
        signatures[1] = signDigest(second, quorumDigestOf(STRUCT_HASH));
    }

    /// Members 0, 1 and 3: three of four decide.
    function _signedWithFourth() private returns (QuorumSignature[] memory signatures) {
        signatures = new QuorumSignature[](3);
        uint8[3] memory members = [0, 1, 3];
        for (uint256 i = 0; i < 3; ++i) {
            signatures[i] = signDigest(members[i], quorumDigestOf(STRUCT_HASH));
        }
    }

    /// Member 3 is a contract that a key of its own signs for.
    function _signedByAccount() private returns (SmartAccount account, QuorumSignature[] memory signatures) {
        (address keyAddress, uint256 key) = signerAt(3);
        account = new SmartAccount(keyAddress);
        setThreshold(3);
        vm.prank(OWNER);
        quorum.addMember(address(account), OPERATOR);
        depositBond(3, MEMBER_BOND);
        skip(ROTATION_SECONDS);
        signatures = _signedWithFourth();
        assertEq(vm.addr(key), account.key());
    }

    function _expectTooFew(uint256 threshold, uint256 actual) private {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.TooFewSignatures.selector, threshold, actual));
    }

    function _expectNotAscending(uint8 previous, uint8 next) private {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.SignaturesNotAscending.selector, previous, next));
    }

    function _expectNotActive(uint8 member) private {
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.MemberNotActive.selector, member));
    }

    function _expectInvalid(uint8 member) private {
        (address signer,) = signerAt(member);
        vm.expectRevert(abi.encodeWithSelector(IOracleQuorum.SignatureInvalid.selector, member, signer));
    }
}
