// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { Nonces } from "@openzeppelin/contracts/utils/Nonces.sol";

import { ILeaseAmendments } from "../../../contracts/interfaces/ILeaseAmendments.sol";
import { LeaseStatus, RelayedCall } from "../../../contracts/libraries/Types.sol";
import { DevToken } from "../../../contracts/test/DevToken.sol";
import { Followers } from "./Followers.sol";
import { Shadow } from "./Shadows.sol";

/// @title How the campaign calls: by the account itself, or by a call that it signed and somebody relays
/// @notice Each call comes with what it must revert with, or nothing where it must succeed.
abstract contract Calls is Followers {
    /// Whether the calls of this step are relayed.
    bool private _relaying;

    /// @param seed whose upper bits say whether calls are relayed
    modifier acting(uint256 seed) {
        delete _touched;
        _relaying = (seed >> 240) % 4 == 0;
        _;
    }

    /// The market's, relayed at times.
    function _call(address account, bytes memory data, bytes memory reason, string memory action)
        internal
        returns (bytes memory result)
    {
        return _callOrRelay(address(MARKET), MARKET.domainSeparator(), account, data, reason, action);
    }

    /// The court's, relayed at times.
    function _callCourt(address account, bytes memory data, bytes memory reason, string memory action)
        internal
        returns (bytes memory result)
    {
        return _callOrRelay(address(COURT), COURT.domainSeparator(), account, data, reason, action);
    }

    function _callOrRelay(
        address target,
        bytes32 domain,
        address account,
        bytes memory data,
        bytes memory reason,
        string memory action
    ) private returns (bytes memory result) {
        if (!_relaying || _keyOf[account] == 0) {
            return _callAt(target, account, 0, data, reason, action);
        }
        uint256 nonce = nonceOf[target][account];
        RelayedCall memory relayed =
            RelayedCall({ account: account, data: data, nonce: nonce, deadline: uint40(_now()) });
        bytes memory signature = _signIn(domain, account, DIGESTS.hashRelayedCall(relayed));
        bytes memory relay = abi.encodeCall(ILeaseAmendments.relay, (relayed, signature));
        result = _callAt(target, KEEPER, 0, relay, reason, action);
        assertEq(Nonces(target).nonces(account), reason.length == 0 ? nonce + 1 : nonce, "nonce");
        if (reason.length != 0) return result;
        nonceOf[target][account] = nonce + 1;
        reason = abi.encodeWithSelector(Nonces.InvalidAccountNonce.selector, account, nonce + 1);
        _callAt(target, KEEPER, 0, relay, reason, "relay");
        ++calls[string.concat(action, " relayed")];
        return abi.decode(result, (bytes));
    }

    function _callAt(
        address target,
        address account,
        uint256 value,
        bytes memory data,
        bytes memory reason,
        string memory action
    ) internal returns (bytes memory result) {
        vm.recordLogs();
        vm.prank(account);
        bool ok;
        (ok, result) = target.call{ value: value }(data);
        if (reason.length == 0) {
            if (!ok) {
                emit log_named_bytes(action, result);
                assertTrue(ok, string.concat(action, ": reverted"));
            }
            _absorb(vm.getRecordedLogs());
            ++calls[action];
        } else {
            // What a reverted call has logged never happened.
            vm.getRecordedLogs();
            assertFalse(ok, action);
            assertEq(result, reason, action);
            ++calls[string.concat(action, " refused")];
        }
    }

    /// A signature in the market's domain.
    function _sign(address account, bytes32 structHash) internal view returns (bytes memory) {
        return _signIn(MARKET.domainSeparator(), account, structHash);
    }

    function _signIn(bytes32 domain, address account, bytes32 structHash)
        internal
        view
        returns (bytes memory)
    {
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", domain, structHash));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(_keyOf[account], digest);
        return abi.encodePacked(r, s, v);
    }

    function _fund(address token, address account, uint256 amount) internal {
        if (token != address(WRAPPED)) {
            DevToken(token).mint(account, amount);
            return;
        }
        vm.deal(address(this), amount);
        WRAPPED.deposit{ value: amount }();
        assertTrue(WRAPPED.transfer(account, amount));
    }

    function _account(string memory name) internal returns (address account) {
        uint256 key;
        (account, key) = makeAddrAndKey(name);
        _keyOf[account] = key;
    }

    function _approveAll(address account) internal {
        for (uint256 i = 0; i < tokens.length; ++i) {
            vm.prank(account);
            tokens[i].approve(address(MARKET), type(uint256).max);
        }
    }

    /// A running lease in most cases, else an open one, else any; none is found where there is none at all.
    function _pick(uint256 pick) internal view returns (bool found, uint256 index) {
        uint256 count = _shadows.length;
        if (count == 0) return (false, 0);
        uint256 kind = pick % 8;
        for (uint256 i = 0; i < count; ++i) {
            index = ((pick >> 8) % count + i) % count;
            Shadow storage shadow = _shadows[index];
            bool open = shadow.status == LeaseStatus.OPEN;
            if (kind == 0 || (open && (kind < 3 || _now() < shadow.end))) return (true, index);
        }
        return (true, index);
    }

    function _renter(uint256 seed) internal view returns (address) {
        return renters[seed % ACTORS];
    }

    function _anyone(uint256 seed) internal view returns (address) {
        address[5] memory callers = [ATTACKER, OWNER, renters[0], providers[0], workers[0]];
        return callers[seed % 5];
    }

    function _token(uint256 seed) internal view returns (IERC20) {
        return tokens[seed % tokens.length];
    }
}
