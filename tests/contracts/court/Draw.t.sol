// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { DisputeKey, ICourtBook, Outcome, Phase } from "../../../contracts/interfaces/ICourtBook.sol";
import { Terms } from "../../../contracts/libraries/Types.sol";
import { CourtBase } from "./CourtBase.sol";

contract DrawTest is CourtBase {
    function test_RevertWhen_NothingIsDisputed() external {
        DisputeKey memory key = segmentKey(3);
        vm.expectRevert(phaseMismatch(key, Phase.NONE));
        proceedings.draw(key, terms);
    }

    function test_RevertWhen_DrawBlockIsNotMined() external {
        DisputeKey memory key = challengeSegment();
        vm.roll(1004);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.DrawBlockNotMined.selector, 1004, 1004));
        proceedings.draw(key, terms);
    }

    function test_RevertWhen_TermsAreAnotherLeases() external {
        DisputeKey memory key = challengeSegment();
        Terms memory other = terms;
        other.salt = 2;
        bytes32 otherId = market.leaseIdOf(other);
        vm.roll(1005);
        vm.expectRevert(abi.encodeWithSelector(ICourtBook.LeaseMismatch.selector, leaseId, otherId));
        proceedings.draw(key, other);
    }

    function test_WhenDrawBlockIsMined() external {
        DisputeKey memory key = challengeSegment();
        skip(7);
        uint8[] memory members = drawCommittee(key);
        assertEq(members.length, COMMITTEE_SIZE);
        ICourtBook.Dispute memory dispute = court.disputeOf(idOf(key));
        assertEq(uint8(dispute.phase), uint8(Phase.FIRST_COMMITTEE));
        assertEq(dispute.since, vm.getBlockTimestamp());
    }

    function test_RevertWhen_CommitteeIsDrawnAlready() external {
        DisputeKey memory key = challengeSegment();
        drawCommittee(key);
        vm.expectRevert(phaseMismatch(key, Phase.FIRST_COMMITTEE));
        proceedings.draw(key, terms);
    }

    function test_WhenDrawBlockIs256BlocksAgo() external {
        DisputeKey memory key = challengeSegment();
        vm.roll(1004 + 256);
        proceedings.draw(key, terms);
        assertEq(uint8(phaseOf(key)), uint8(Phase.FIRST_COMMITTEE));
    }

    function test_WhenDrawBlocksHashIsGone() external {
        DisputeKey memory key = challengeSegment();
        uint40 since = court.disputeOf(idOf(key)).since;
        skip(7);
        vm.roll(1004 + 257);
        vm.expectEmit(address(court));
        emit ICourtBook.DrawArmed(idOf(key), 1004 + 257 + DRAW_DELAY_BLOCKS);
        proceedings.draw(key, terms);
        ICourtBook.Dispute memory dispute = court.disputeOf(idOf(key));
        assertEq(uint8(dispute.phase), uint8(Phase.FIRST_DRAW));
        assertEq(dispute.since, since, "re-arming gains no time");
        assertEq(drawCommittee(key).length, COMMITTEE_SIZE);
    }

    function test_RevertWhen_TimeToDrawIsOver() external {
        DisputeKey memory key = challengeSegment();
        uint256 until = vm.getBlockTimestamp() + DRAW_SECONDS;
        vm.roll(1005);
        skipTo(until);
        vm.expectRevert(tooLate(until));
        proceedings.draw(key, terms);
    }

    function test_WhenTimeToDrawIsAlmostOver() external {
        DisputeKey memory key = challengeSegment();
        skip(DRAW_SECONDS - 1);
        assertEq(drawCommittee(key).length, COMMITTEE_SIZE);
    }

    function test_WhenNobodyDraws() external {
        DisputeKey memory key = challengeSegment();
        uint256 until = vm.getBlockTimestamp() + DRAW_SECONDS;
        skipTo(until - 1);
        vm.expectRevert(tooEarly(until));
        resolve(key);
        skipTo(until);
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        resolve(key);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND);
        assertEq(market.leaseState(leaseId).openDisputes, 0);
        assertBooks(0);
    }

    function test_WhenThereAreFewerThanACommittee() external {
        _keep(4);
        DisputeKey memory key = challengeSegment();
        uint8[] memory members = drawCommittee(key);
        assertEq(members.length, 4);
        for (uint8 i = 0; i < 4; ++i) {
            assertTrue(isIn(members, i));
        }
    }

    function test_WhenThereAreFewerThanThree() external {
        _keep(2);
        DisputeKey memory key = challengeSegment();
        expectResolved(key, Outcome.INCONCLUSIVE, 0, 0, type(uint32).max);
        drawCommittee(key);
        assertEq(court.balanceOf(CHALLENGER), 10 * CHALLENGE_BOND);
        assertEq(uint8(phaseOf(key)), uint8(Phase.NONE));
        assertBooks(0);
    }

    function test_WhenAnArbiterIsTheProvider() external {
        _expectRecused(PROVIDER);
    }

    function test_WhenAnArbiterIsTheRenter() external {
        _expectRecused(RENTER);
    }

    function test_WhenAnArbiterIsTheChallenger() external {
        _expectRecused(CHALLENGER);
    }

    function test_WhenAnArbiterIsTheWorker() external {
        _expectRecused(WORKER);
    }

    function test_WhenAnArbiterIsTheRenterOfToday() external {
        address renter = makeAddr("renter of today");
        bytes32 slot = keccak256(abi.encode(leaseId, _leasesSlot()));
        bytes32 amended = bytes32(uint256(slot) + 2);
        vm.store(address(market), amended, bytes32(uint256(uint160(renter))));
        assertEq(market.leaseState(leaseId).renterOverride, renter, "slot of the lease");
        _expectRecused(renter);
    }

    function test_WhenAProviderNamesAnArbiterAsItsWorker() external {
        _keep(3);
        vm.prank(PROVIDER);
        registry.rotateWorker(unitId, arbiters[1], "key");
        DisputeKey memory key = challengeSegment();
        assertEq(drawCommittee(key).length, 3);
    }

    function testFuzz_Seats(bytes32 blockHash) external {
        DisputeKey memory key = challengeSegment();
        vm.roll(1005);
        vm.setBlockhash(1004, blockHash);
        vm.assume(blockHash != 0);
        uint256 snapshot = vm.snapshotState();
        vm.prank(STRANGER);
        proceedings.draw(key, terms);
        uint64 members = court.committeeOf(idOf(key)).members;
        assertTrue(vm.revertToState(snapshot));
        vm.prank(PROVIDER);
        proceedings.draw(key, terms);
        assertEq(court.committeeOf(idOf(key)).members, members, "whoever draws");
        assertEq(membersOf(key).length, COMMITTEE_SIZE);
        assertEq(members >> ARBITERS, 0, "only members");
    }

    /// All arbiters but the first ones leave.
    function _keep(uint8 count) private {
        for (uint8 i = count; i < ARBITERS; ++i) {
            vm.prank(OWNER);
            quorum.removeMember(i);
        }
        uint256 nowSeconds = vm.getBlockTimestamp();
        skip(ROTATION_SECONDS);
        assertEq(quorum.activeMembers(), (1 << count) - 1);
        vm.warp(nowSeconds);
        vm.mockCall(
            address(quorum), abi.encodeCall(quorum.activeMembers, ()), abi.encode(uint64((1 << count) - 1))
        );
    }

    /// Of four arbiters one is `party`, by its signer or its operator: the other three are drawn.
    function _expectRecused(address party) private {
        uint8 bySigner = addArbiter(party, 0, makeAddr("somebody"));
        uint8 byOperator = addArbiter(makeAddr("somebody else"), 0, party);
        uint64 active = 7 | uint64(1) << bySigner | uint64(1) << byOperator;
        vm.mockCall(address(quorum), abi.encodeCall(quorum.activeMembers, ()), abi.encode(active));
        DisputeKey memory key = challengeSegment();
        drawCommittee(key);
        assertEq(court.committeeOf(idOf(key)).members, 7);
    }

    /// Found by looking for the lease's first word.
    function _leasesSlot() private view returns (uint256) {
        uint256 deposit = market.leaseState(leaseId).deposit;
        for (uint256 slot = 0; slot < 40; ++slot) {
            uint256 word = uint256(vm.load(address(market), keccak256(abi.encode(leaseId, slot))));
            if (word != 0 && uint96(word) == deposit) return slot;
        }
        revert("no such slot");
    }
}
