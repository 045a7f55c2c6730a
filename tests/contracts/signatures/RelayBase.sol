// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { RelayedCall } from "../../../contracts/libraries/Types.sol";
import { GangBase } from "../succession/GangBase.sol";

/// @title Calls that one account signs and the keeper sends
abstract contract RelayBase is GangBase {
    /// The account's next one, good until now.
    function relayedCall(address account, bytes memory data) internal view returns (RelayedCall memory) {
        return RelayedCall({
            account: account,
            data: data,
            nonce: market.nonces(account),
            deadline: uint40(vm.getBlockTimestamp())
        });
    }

    function signCall(uint256 key, RelayedCall memory call) internal view returns (bytes memory) {
        return signAs(key, digests.hashRelayedCall(call));
    }

    function relay(uint256 key, bytes memory data) internal returns (bytes memory) {
        RelayedCall memory call = relayedCall(vm.addr(key), data);
        bytes memory signature = signCall(key, call);
        vm.prank(KEEPER);
        return amendments.relay(call, signature);
    }

    /// Expects that the call's own error comes through, and that its nonce stays.
    function expectRelayRevert(uint256 key, bytes memory data, bytes memory reason) internal {
        RelayedCall memory call = relayedCall(vm.addr(key), data);
        bytes memory signature = signCall(key, call);
        vm.expectRevert(reason);
        vm.prank(KEEPER);
        amendments.relay(call, signature);
        assertEq(market.nonces(call.account), call.nonce, "a failed call spends no nonce");
    }

    function one(bytes memory data) internal pure returns (bytes[] memory calls) {
        calls = new bytes[](1);
        calls[0] = data;
    }
}
