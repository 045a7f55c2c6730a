// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { ERC20 } from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";

import { IWrappedNative } from "../interfaces/IWrappedNative.sol";

/// @title The native coin as an ERC-20 token, for development chains and tests; it works as WETH9 does
contract DevWrappedNative is ERC20, IWrappedNative {
    constructor() ERC20("Wrapped native coin", "WNC") { }

    /// @inheritdoc IWrappedNative
    function deposit() external payable override {
        _mint(msg.sender, msg.value);
    }

    /// Burns the caller's tokens and sends it as much native coin.
    function withdraw(uint256 amount) external {
        _burn(msg.sender, amount);
        Address.sendValue(payable(msg.sender), amount);
    }
}
