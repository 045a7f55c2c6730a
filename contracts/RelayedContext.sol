// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { Address } from "@openzeppelin/contracts/utils/Address.sol";
import { Context } from "@openzeppelin/contracts/utils/Context.sol";
import { ECDSA } from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import { EIP712 } from "@openzeppelin/contracts/utils/cryptography/EIP712.sol";
import { SignatureChecker } from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";

import { IRelayedContext } from "./interfaces/IRelayedContext.sol";
import { Hashing } from "./libraries/Hashing.sol";
import { RelayedCall } from "./libraries/Types.sol";

/// @title Who calls, if others may bring what an account signed
/// @dev ERC-2771 with the contract as its own and only forwarder: nothing else may ever make it call itself.
abstract contract RelayedContext is IRelayedContext, Context, EIP712, Nonces {
    /// Makes the call that its account signed.
    function _relay(RelayedCall calldata call, bytes calldata signature) internal returns (bytes memory) {
        if (block.timestamp > call.deadline) revert SignatureExpired(call.deadline, block.timestamp);
        _useCheckedNonce(call.account, call.nonce);
        _requireValid(call.account, _hashTypedDataV4(Hashing.hash(call)), signature);
        emit Relayed(call.account, call.nonce, _msgSender());
        return Address.functionCall(address(this), bytes.concat(call.data, bytes20(call.account)));
    }

    /// @dev An account that `relay` speaks for is appended to the calldata of this contract's call to itself.
    function _msgSender() internal view virtual override returns (address) {
        if (msg.sender != address(this)) return msg.sender;
        return address(bytes20(msg.data[msg.data.length - 20:]));
    }

    function _contextSuffixLength() internal pure virtual override returns (uint256) {
        return 20;
    }

    /// ECDSA first: asking whether an account has code costs as much as recovering its key.
    function _requireValid(address account, bytes32 digest, bytes calldata signature) internal view {
        // slither-disable-next-line unused-return (the third says no more than the second)
        (address signer, ECDSA.RecoverError failure,) = ECDSA.tryRecoverCalldata(digest, signature);
        if (failure == ECDSA.RecoverError.NoError && signer == account) return;
        if (!SignatureChecker.isValidERC1271SignatureNowCalldata(account, digest, signature)) {
            revert SignatureInvalid(account, digest);
        }
    }
}
