// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title The one function of a wrapped native coin (WETH9) beyond ERC-20 that is used here
interface IWrappedNative {
    /// @notice Mints as many base units to the caller as native coin was sent.
    function deposit() external payable;
}
