// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

interface ITokenReceiver {
    function tokensReceived(uint256 amount) external;
}

/// @title A token that refuses to pay those on its list, as stable coins do, and asks contracts whether they take it
contract BlockingToken is ERC20("Blocking", "BLK") {
    mapping(address account => bool) public blocked;

    error Blocked(address account);

    function setBlocked(address account, bool blocked_) external {
        blocked[account] = blocked_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        if (blocked[from]) revert Blocked(from);
        if (blocked[to]) revert Blocked(to);
        super._update(from, to, value);
        if (from != address(0) && to.code.length != 0 && to != msg.sender) {
            ITokenReceiver(to).tokensReceived(value);
        }
    }
}

/// @title A token whose balances all change at once
contract RebasingToken is ERC20("Rebasing", "RBS") {
    /// Of everybody's shares, in a hundredth.
    uint256 public percent = 100;

    function setPercent(uint256 percent_) external {
        percent = percent_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function balanceOf(address account) public view override returns (uint256) {
        return super.balanceOf(account) * percent / 100;
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value * 100 / percent);
    }
}

/// @title A party that takes no tokens
contract Refuser is ITokenReceiver {
    error Refused();

    function tokensReceived(uint256) external pure override {
        revert Refused();
    }

    function execute(address target, bytes calldata call_) external returns (bool ok, bytes memory result) {
        return target.call(call_);
    }
}
