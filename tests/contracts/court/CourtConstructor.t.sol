// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ComputeCourt } from "../../../contracts/ComputeCourt.sol";
import { OracleQuorum } from "../../../contracts/OracleQuorum.sol";
import { ProviderRegistry } from "../../../contracts/ProviderRegistry.sol";
import { CourtParameters, ICourtBook } from "../../../contracts/interfaces/ICourtBook.sol";
import { ILeaseMarket } from "../../../contracts/interfaces/ILeaseMarket.sol";
import { CourtBase } from "./CourtBase.sol";

contract CourtConstructorTest is CourtBase {
    function test_RevertWhen_RegistryIsOfAnotherMarket() external {
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.ContractsMismatch.selector, STRANGER, address(market))
        );
        new ComputeCourt(ILeaseMarket(STRANGER), registry, quorum, courtParameters());
    }

    function test_RevertWhen_RegistryIsOfAnotherQuorum() external {
        OracleQuorum other = _quorumOf(address(stakeToken), address(this), EXIT_SECONDS);
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.ContractsMismatch.selector, address(other), address(quorum))
        );
        new ComputeCourt(market, registry, other, courtParameters());
    }

    function test_RevertWhen_QuorumIsOfAnotherCourt() external {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)));
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.ContractsMismatch.selector, next, address(court)));
        new ComputeCourt(market, registry, quorum, courtParameters());
    }

    function test_RevertWhen_QuorumHasAnotherStakeToken() external {
        (OracleQuorum quorum_, ProviderRegistry registry_) = _around(address(token), EXIT_SECONDS);
        vm.expectRevert(
            abi.encodeWithSelector(ICourtBook.ContractsMismatch.selector, address(stakeToken), address(token))
        );
        new ComputeCourt(market, registry_, quorum_, courtParameters());
    }

    function test_RevertWhen_MembersMayLeaveBeforeADisputeEnds() external {
        uint32 longest = court.DISPUTE_MAX_SECONDS();
        (OracleQuorum quorum_, ProviderRegistry registry_) = _around(address(stakeToken), longest - 1);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.ExitTooShort.selector, longest, longest - 1));
        new ComputeCourt(market, registry_, quorum_, courtParameters());
    }

    function test_WhenMembersMayLeaveAsSoonAsADisputeEnds() external {
        uint32 longest = court.DISPUTE_MAX_SECONDS();
        (OracleQuorum quorum_, ProviderRegistry registry_) = _around(address(stakeToken), longest);
        ComputeCourt made = new ComputeCourt(market, registry_, quorum_, courtParameters());
        assertEq(made.DISPUTE_MAX_SECONDS(), longest);
    }

    function test_RevertWhen_ThereIsNoBond() external {
        CourtParameters memory parameters = courtParameters();
        parameters.challengeBond = 0;
        _expectInvalid("challengeBond", 0, parameters);
    }

    function test_RevertWhen_CommitteeIsTooSmall() external {
        CourtParameters memory parameters = courtParameters();
        parameters.committeeSize = 1;
        _expectInvalid("committeeSize", 1, parameters);
    }

    function test_RevertWhen_CommitteeIsTooGreat() external {
        CourtParameters memory parameters = courtParameters();
        parameters.committeeSize = 11;
        _expectInvalid("committeeSize", 11, parameters);
    }

    function test_RevertWhen_CommitteeIsEven() external {
        CourtParameters memory parameters = courtParameters();
        parameters.committeeSize = 4;
        _expectInvalid("committeeSize", 4, parameters);
    }

    function test_RevertWhen_DrawDoesNotWait() external {
        CourtParameters memory parameters = courtParameters();
        parameters.drawDelayBlocks = 0;
        _expectInvalid("drawDelayBlocks", 0, parameters);
    }

    function test_RevertWhen_DrawWaitsTooLong() external {
        CourtParameters memory parameters = courtParameters();
        parameters.drawDelayBlocks = 129;
        _expectInvalid("drawDelayBlocks", 129, parameters);
    }

    function test_RevertWhen_AWindowIsEmpty() external {
        CourtParameters memory parameters = courtParameters();
        parameters.drawSeconds = 0;
        _expectInvalid("drawSeconds", 0, parameters);
        parameters = courtParameters();
        parameters.dataSeconds = 0;
        _expectInvalid("dataSeconds", 0, parameters);
        parameters = courtParameters();
        parameters.commitSeconds = 0;
        _expectInvalid("commitSeconds", 0, parameters);
        parameters = courtParameters();
        parameters.revealSeconds = 0;
        _expectInvalid("revealSeconds", 0, parameters);
        parameters = courtParameters();
        parameters.clockSeconds = 0;
        _expectInvalid("clockSeconds", 0, parameters);
    }

    function test_WhenAllFits() external view {
        assertEq(address(court.MARKET()), address(market));
        assertEq(address(court.REGISTRY()), address(registry));
        assertEq(address(court.QUORUM()), address(quorum));
        assertEq(court.STAKE_TOKEN(), address(stakeToken));
        assertEq(court.CHALLENGE_BOND(), CHALLENGE_BOND);
        assertEq(court.ABSENCE_PENALTY(), ABSENCE_PENALTY);
        assertEq(court.COMMITTEE_SIZE(), COMMITTEE_SIZE);
        assertEq(court.DRAW_DELAY_BLOCKS(), DRAW_DELAY_BLOCKS);
        assertEq(court.DRAW_SECONDS(), DRAW_SECONDS);
        assertEq(court.DATA_SECONDS(), DATA_SECONDS);
        assertEq(court.COMMIT_SECONDS(), COMMIT_SECONDS);
        assertEq(court.REVEAL_SECONDS(), REVEAL_SECONDS);
        assertEq(court.CLOCK_SECONDS(), CLOCK_SECONDS);
        uint256 round = DRAW_SECONDS + DATA_SECONDS + COMMIT_SECONDS + REVEAL_SECONDS;
        assertEq(court.DISPUTE_MAX_SECONDS(), 2 * CLOCK_SECONDS + 2 * round + REVEAL_SECONDS);
        assertEq(court.disputeIdOf(jobKey()), idOf(jobKey()));
        bytes32 domain = keccak256(
            abi.encode(
                keccak256(
                    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
                ),
                keccak256("GPGPU"),
                keccak256("1"),
                block.chainid,
                address(court)
            )
        );
        assertEq(court.domainSeparator(), domain);
        assertLt(address(court).code.length, 24_576);
        assertLt(court.PROCEEDINGS().code.length, 24_576);
    }

    function _expectInvalid(bytes32 name, uint256 actual, CourtParameters memory parameters) private {
        (OracleQuorum quorum_, ProviderRegistry registry_) = _around(address(stakeToken), EXIT_SECONDS);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.ParameterInvalid.selector, name, actual));
        new ComputeCourt(market, registry_, quorum_, parameters);
    }

    /// A quorum and a registry for the court that this contract deploys next.
    function _around(address tokenOfQuorum, uint32 exitSeconds)
        private
        returns (OracleQuorum quorum_, ProviderRegistry registry_)
    {
        address next = vm.computeCreateAddress(address(this), vm.getNonce(address(this)) + 2);
        quorum_ = _quorumOf(tokenOfQuorum, next, exitSeconds);
        registry_ = new ProviderRegistry(address(stakeToken), address(market), quorum_, UNBONDING_SECONDS);
    }

    function _quorumOf(address stakeToken_, address court_, uint32 exitSeconds)
        private
        returns (OracleQuorum)
    {
        return new OracleQuorum(stakeToken_, court_, OWNER, MEMBER_BOND, ROTATION_SECONDS, exitSeconds, 1);
    }
}
