// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title Calls that an account signed and anybody sends
interface IRelayedContext {
    event Relayed(address indexed account, uint256 nonce, address indexed relayer);

    /// @notice `account` neither called nor signed `digest`.
    error SignatureInvalid(address account, bytes32 digest);
    error SignatureExpired(uint256 deadline, uint256 nowSeconds);
}
