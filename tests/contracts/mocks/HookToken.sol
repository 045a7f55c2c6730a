// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token that calls somebody while it moves, as ERC-777 does
/// @notice The hook is called with the token as msg.sender, so the token itself plays the attacker.
contract HookToken is ERC20("Hook", "HOOK") {
    address private _target;
    bytes private _call;
    bool private _armed;

    uint256 public hookCalls;
    bool public hookSucceeded;
    bytes public hookResult;

    /// Arms the hook for the next transfer only.
    function arm(address target, bytes calldata call_) external {
        (_target, _call, _armed) = (target, call_, true);
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function execute(address target, bytes calldata call_) external returns (bytes memory result) {
        bool ok;
        (ok, result) = target.call(call_);
        require(ok, string(result));
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (!_armed || from == address(0)) return;
        _armed = false;
        ++hookCalls;
        (hookSucceeded, hookResult) = _target.call(_call);
    }
}
