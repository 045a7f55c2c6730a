"""Calls of contracts as data: what they encode, what they would return, and why they revert."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
from eth_abi.exceptions import DecodingError, EncodingError
from web3 import Web3

from protocol.abi import CONTRACTS, Entry, Field, entries
from protocol.abi_bytes import abi_decode, abi_encode
from protocol.blocks import BlockTag
from protocol.errors import BadInput, ProtocolError, RpcError, TransactionReverted
from protocol.rpc import rpc_bytes, rpc_typed_batch, sound
from protocol.structs import REGISTRY
from protocol.units import Address, to_hex

CALLS_PER_BATCH: Final = 100

_TEXT: Final = msgspec.json.Decoder(str)
_PANIC: Final = bytes.fromhex("4e487b71")
_ERROR: Final = bytes.fromhex("08c379a0")
_REVERT_CODE: Final = 3


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction to be: `value` in wei."""

    to: Address
    data: bytes
    value: int = 0


def encode_call(function: Entry, arguments: Sequence[Any]) -> bytes:
    """Selector and arguments. BadInput where one does not fit its type."""
    values = [
        REGISTRY.codec_of(field).to_abi(argument)
        for field, argument in zip(function.fields, arguments, strict=True)
    ]
    try:
        encoded = abi_encode([field.canonical_type for field in function.fields], values)
    except EncodingError as error:
        raise BadInput(f"{function.name}: {error}") from error
    return function.topic[:4] + encoded


def eth_call(web3: Web3, call: Call, block: BlockTag = "latest", sender: Address | None = None) -> bytes:
    """What a call would return. TransactionReverted with the contract's reason, ChainUnavailable."""
    tag = hex(block) if isinstance(block, int) else block
    try:
        return rpc_bytes(web3, "eth_call", [call_object(call, sender), tag])
    except RpcError as error:
        raise revert_of(error) from error


def eth_calls(web3: Web3, calls: Sequence[Call], block: BlockTag = "latest") -> list[bytes]:
    """As `eth_call`, for any number of calls, asked in batches."""
    tag = hex(block) if isinstance(block, int) else block
    found: list[bytes] = []
    for start in range(0, len(calls), CALLS_PER_BATCH):
        params = [(call_object(call, None), tag) for call in calls[start : start + CALLS_PER_BATCH]]
        try:
            answers = rpc_typed_batch(web3, "eth_call", params, _TEXT)
        except RpcError as error:
            raise revert_of(error) from error
        with sound("eth_call"):
            found += [bytes.fromhex(answer[2:]) for answer in answers]
    return found


def call_object(call: Call, sender: Address | None) -> dict[str, str]:
    """As JSON-RPC takes it."""
    fields = {"to": call.to, "data": to_hex(call.data), "value": hex(call.value)}
    return fields if sender is None else {**fields, "from": sender}


def revert_of(error: RpcError) -> ProtocolError:
    """TransactionReverted where the node's error is a revert, else the error itself."""
    data = _revert_data(error.data)
    if data is None and error.rpc_code != _REVERT_CODE and "revert" not in error.rpc_message.lower():
        return error
    return decode_revert(data or b"", error.rpc_message)


def decode_revert(data: bytes, message: str = "execution reverted") -> TransactionReverted:
    """The custom error of our contracts, Error(string) or Panic(uint256) that the data holds."""
    selector, payload = data[:4], data[4:]
    try:
        if selector == _ERROR:
            reason = abi_decode(["string"], payload)[0]
            return TransactionReverted(reason, name="Error", arguments={"reason": reason})
        if selector == _PANIC:
            code = abi_decode(["uint256"], payload)[0]
            return TransactionReverted(f"panic {code:#x}", name="Panic", arguments={"code": code})
        entry = _errors().get(selector)
        if entry is not None:
            raw = abi_decode([field.canonical_type for field in entry.fields], payload)
            values = {
                field.name: _from_abi(field, item) for field, item in zip(entry.fields, raw, strict=True)
            }
            shown = ", ".join(f"{name}={_shown(value)}" for name, value in values.items())
            return TransactionReverted(f"{entry.name}({shown})", name=entry.name, arguments=values)
    except (DecodingError, UnicodeDecodeError):
        pass  # data of a foreign contract that begins like ours: shown as it is
    return TransactionReverted(f"{message} (data {to_hex(data[:68])})" if data else message)


def decode_outputs(function: Entry, data: bytes) -> tuple[Any, ...]:
    """BadInput where the data is not what the function returns: another contract lives there."""
    try:
        raw = abi_decode([field.canonical_type for field in function.outputs], data)
    except DecodingError as error:
        raise BadInput(f"{function.name}: expected its outputs, got {len(data)} bytes") from error
    return tuple(_from_abi(field, item) for field, item in zip(function.outputs, raw, strict=True))


def _from_abi(field: Field, item: Any) -> Any:
    """A struct that has no class of its own stays a tuple."""
    if field.struct is not None and field.struct not in REGISTRY.structs:
        return item
    return REGISTRY.codec_of(field).from_abi(item)


def _shown(value: object) -> str:
    return to_hex(value) if isinstance(value, bytes) else str(value)


@functools.cache
def _errors() -> Mapping[bytes, Entry]:
    """Every custom error of our contracts by its selector."""
    return {entry.topic[:4]: entry for contract in CONTRACTS for entry in entries(contract, "error").values()}


def _revert_data(data: object) -> bytes | None:
    """Nodes put a revert's data into the error itself or into an object in it."""
    if isinstance(data, dict):
        return _revert_data(cast(dict[str, object], data).get("data"))
    if isinstance(data, str) and data.startswith("0x"):
        try:
            return bytes.fromhex(data[2:])
        except ValueError:
            return None
    return None
