// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Test } from "forge-std/Test.sol";

import { CourtHandler } from "./CourtHandler.sol";

/// Whatever everybody does, in whatever order:
/// 1. tokens of the court + its credit in the registry = balances + bonds of open disputes + burned
/// 2. the market counts just the disputes that are open here
/// 3. after its longest time every dispute can be ended by anybody, in one call
contract CourtInvariantsTest is Test {
    CourtHandler private handler;

    function setUp() external {
        handler = new CourtHandler();
        handler.setUp();
        bytes4[] memory actions = new bytes4[](20);
        actions[0] = CourtHandler.challenge.selector;
        actions[1] = CourtHandler.draw.selector;
        actions[2] = CourtHandler.vote.selector;
        actions[3] = CourtHandler.commit.selector;
        actions[4] = CourtHandler.judgeAll.selector;
        actions[5] = CourtHandler.revealSeat.selector;
        actions[6] = CourtHandler.resolveOne.selector;
        actions[7] = CourtHandler.resolveMootOne.selector;
        actions[8] = CourtHandler.bisect.selector;
        actions[9] = CourtHandler.claimTimeout.selector;
        actions[10] = CourtHandler.post.selector;
        actions[11] = CourtHandler.wait.selector;
        actions[12] = CourtHandler.withdraw.selector;
        actions[13] = CourtHandler.sweep.selector;
        actions[14] = CourtHandler.topUp.selector;
        // Twice, so that more disputes than not come to a verdict.
        actions[15] = CourtHandler.draw.selector;
        actions[16] = CourtHandler.judgeAll.selector;
        actions[17] = CourtHandler.resolveOne.selector;
        actions[18] = CourtHandler.resolveUndrawn.selector;
        actions[19] = CourtHandler.challenge.selector;
        targetSelector(FuzzSelector({ addr: address(handler), selectors: actions }));
        targetContract(address(handler));
    }

    /// forge-config: default.invariant.runs = 16
    function invariant_BooksBalance() external view {
        handler.checkBooks();
        handler.checkOpenDisputes();
    }

    function afterInvariant() external {
        handler.endAll();
    }
}
