// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { TimelockController } from "@openzeppelin/contracts/governance/TimelockController.sol";

/// @title The owner of a production deployment: what it decides takes effect after a delay, for all to see before
/// @dev Nobody administers it from outside: its own roles change only through its own delay.
contract ProtocolTimelock is TimelockController {
    constructor(uint256 minDelaySeconds, address[] memory proposers, address[] memory executors)
        TimelockController(minDelaySeconds, proposers, executors, address(0))
    { }
}
