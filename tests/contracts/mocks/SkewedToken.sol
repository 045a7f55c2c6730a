// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";

/// @title A token whose recipient gets another amount than was asked for: a fee on transfer, or a bonus
contract SkewedToken is ERC20("Skewed", "SKW") {
    int256 public skew;
    /// Whether it is the sender who pays the difference, beside the amount.
    bool public senderPays;

    function setSkew(int256 skew_, bool senderPays_) external {
        skew = skew_;
        senderPays = senderPays_;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function _update(address from, address to, uint256 value) internal override {
        super._update(from, to, value);
        if (from == address(0) || to == address(0) || skew == 0) return;
        address bearer = senderPays ? from : to;
        if (skew < 0) super._update(bearer, address(0), uint256(-skew));
        else super._update(address(0), bearer, uint256(skew));
    }
}
