// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC1271 } from "@openzeppelin/contracts/interfaces/IERC1271.sol";
import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";

/// @title An account whose signatures are EIP-1271's: whatever its key signs, until the key is changed
contract SmartAccount is IERC1271 {
    address public key;

    constructor(address key_) {
        key = key_;
    }

    receive() external payable { }

    function setKey(address key_) external {
        key = key_;
    }

    function execute(address target, bytes calldata call_) external payable returns (bytes memory) {
        return Address.functionCallWithValue(target, call_, msg.value);
    }

    function isValidSignature(bytes32 digest, bytes calldata signature)
        external
        view
        override
        returns (bytes4)
    {
        (address signer, ECDSA.RecoverError problem,) = ECDSA.tryRecoverCalldata(digest, signature);
        bool valid = problem == ECDSA.RecoverError.NoError && signer == key;
        return valid ? IERC1271.isValidSignature.selector : bytes4(0);
    }
}
