"""The file that says where a deployment lives: written by `deploy`, read by all that talks to the chain."""

import os
import re
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, cast

from protocol.codec import exact_keys
from protocol.errors import BadInput
from protocol.json_text import canonical_json, parse_json
from protocol.units import Address, Digest, Seconds, Units, hex_bytes, parse_address, shorten, to_hex

V = TypeVar("V")

_MAX_INTEGER: Final = (1 << 48) - 1
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,28}", re.ASCII)
_KEYS: Final = (
    "chain_id",
    "block_number",
    "market",
    "amendments",
    "succession",
    "registry",
    "quorum",
    "court",
    "proceedings",
    "timelock",
    "owner",
    "treasury",
    "stake_token",
    "wrapped_native",
    "tokens",
    "code_hashes",
    "transactions",
    "parameters",
)
_PARAMETERS: Final = (
    "challenge_seconds",
    "proof_grace_seconds",
    "answer_seconds",
    "unbonding_seconds",
    "rotation_seconds",
    "exit_seconds",
    "fee_bps",
    "threshold",
    "committee_size",
    "draw_delay_blocks",
    "draw_seconds",
    "data_seconds",
    "commit_seconds",
    "reveal_seconds",
    "clock_seconds",
    "timelock_seconds",
)
_AMOUNTS: Final = ("member_bond", "challenge_bond", "absence_penalty")


@dataclass(frozen=True, slots=True)
class TokenInfo:
    address: Address
    decimals: int


@dataclass(frozen=True, slots=True)
class DeploymentParameters:
    """Immutables of the contracts; the fee of the market's tokens and the quorum's threshold as they began.

    `rotation_seconds`, `exit_seconds` and `member_bond` are the quorum's; from `committee_size` on, and
    `challenge_bond` and `absence_penalty`, the court's. Amounts are base units of the stake token.
    `timelock_seconds` is zero where there is no timelock.
    """

    challenge_seconds: Seconds
    proof_grace_seconds: Seconds
    answer_seconds: Seconds
    unbonding_seconds: Seconds
    rotation_seconds: Seconds
    exit_seconds: Seconds
    fee_bps: int
    threshold: int
    committee_size: int
    draw_delay_blocks: int
    draw_seconds: Seconds
    data_seconds: Seconds
    commit_seconds: Seconds
    reveal_seconds: Seconds
    clock_seconds: Seconds
    timelock_seconds: Seconds
    member_bond: Units
    challenge_bond: Units
    absence_penalty: Units


@dataclass(frozen=True, slots=True)
class DeploymentManifest:
    """`block_number` is where the first contract was made: no event of ours is older.

    `market` answers for `amendments` and `succession`, and `court` for `proceedings`, which hold their code
    and nothing else. `owner`, of market and quorum, and `treasury` are the first ones. `timelock` and
    `wrapped_native` are the zero address where there is none.
    """

    chain_id: int
    block_number: int
    market: Address
    amendments: Address
    succession: Address
    registry: Address
    quorum: Address
    court: Address
    proceedings: Address
    timelock: Address
    owner: Address
    treasury: Address
    stake_token: Address
    wrapped_native: Address
    tokens: Mapping[str, TokenInfo]
    code_hashes: Mapping[Address, Digest]
    transactions: Mapping[str, bytes]
    parameters: DeploymentParameters

    def to_json(self) -> dict[str, Any]:
        return {
            "chain_id": self.chain_id,
            "block_number": self.block_number,
            "market": self.market,
            "amendments": self.amendments,
            "succession": self.succession,
            "registry": self.registry,
            "quorum": self.quorum,
            "court": self.court,
            "proceedings": self.proceedings,
            "timelock": self.timelock,
            "owner": self.owner,
            "treasury": self.treasury,
            "stake_token": self.stake_token,
            "wrapped_native": self.wrapped_native,
            "tokens": {
                symbol: {"address": token.address, "decimals": token.decimals}
                for symbol, token in self.tokens.items()
            },
            "code_hashes": {address: to_hex(digest) for address, digest in self.code_hashes.items()},
            "transactions": {name: to_hex(digest) for name, digest in self.transactions.items()},
            "parameters": {
                **{name: getattr(self.parameters, name) for name in _PARAMETERS},
                **{name: str(getattr(self.parameters, name)) for name in _AMOUNTS},
            },
        }

    @classmethod
    def from_json(cls, data: object) -> "DeploymentManifest":
        """BadInput where anything is missing, unknown or malformed."""
        found = exact_keys(data, _KEYS, "manifest")
        return cls(
            chain_id=_integer(found["chain_id"], "manifest.chain_id"),
            block_number=_integer(found["block_number"], "manifest.block_number"),
            market=parse_address(found["market"], "manifest.market"),
            amendments=parse_address(found["amendments"], "manifest.amendments"),
            succession=parse_address(found["succession"], "manifest.succession"),
            registry=parse_address(found["registry"], "manifest.registry"),
            quorum=parse_address(found["quorum"], "manifest.quorum"),
            court=parse_address(found["court"], "manifest.court"),
            proceedings=parse_address(found["proceedings"], "manifest.proceedings"),
            timelock=parse_address(found["timelock"], "manifest.timelock"),
            owner=parse_address(found["owner"], "manifest.owner"),
            treasury=parse_address(found["treasury"], "manifest.treasury"),
            stake_token=parse_address(found["stake_token"], "manifest.stake_token"),
            wrapped_native=parse_address(found["wrapped_native"], "manifest.wrapped_native"),
            tokens=_mapping(found["tokens"], "manifest.tokens", _token),
            code_hashes={
                parse_address(address, "manifest.code_hashes"): digest
                for address, digest in _mapping(found["code_hashes"], "manifest.code_hashes", _hash).items()
            },
            transactions=_mapping(found["transactions"], "manifest.transactions", _hash),
            parameters=_parameters(found["parameters"]),
        )

    @property
    def contracts(self) -> tuple[Address, ...]:
        """Those that emit the events of the protocol."""
        return self.registry, self.quorum, self.court, self.market

    def token_symbol(self, address: str) -> str:
        """The symbol of a token of this deployment, else its address."""
        known = {token.address: symbol for symbol, token in self.tokens.items()}
        return known.get(cast(Address, address), address)


def load(path: Path) -> DeploymentManifest:
    """BadInput where the file is missing or not a manifest."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInput(f"manifest: cannot read {path}: {error.strerror}") from error
    return DeploymentManifest.from_json(parse_json(text, f"manifest {path}"))


def save(manifest: DeploymentManifest, path: Path) -> None:
    """Afterwards `path` holds the manifest, whole, whatever fails on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(canonical_json(manifest.to_json()))
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def _parameters(data: object) -> DeploymentParameters:
    found = exact_keys(data, (*_PARAMETERS, *_AMOUNTS), "manifest.parameters")
    values = {name: _integer(found[name], f"manifest.{name}") for name in _PARAMETERS}
    amounts = {name: _amount(found[name], f"manifest.{name}") for name in _AMOUNTS}
    return DeploymentParameters(**values, **amounts)  # type: ignore[arg-type]


def _token(data: object, subject: str) -> TokenInfo:
    found = exact_keys(data, ("address", "decimals"), subject)
    decimals = _integer(found["decimals"], f"{subject}.decimals")
    if decimals > 36:
        raise BadInput(f"{subject}.decimals: expected at most 36, got {decimals}")
    return TokenInfo(parse_address(found["address"], f"{subject}.address"), decimals)


def _hash(data: object, subject: str) -> Digest:
    return Digest(hex_bytes(data, 32, subject))


def _integer(data: object, subject: str) -> int:
    if type(data) is not int or not 0 <= data <= _MAX_INTEGER:
        raise BadInput(f"{subject}: expected an integer from 0 to {_MAX_INTEGER}, got {shorten(data)}")
    return data


def _amount(data: object, subject: str) -> int:
    if not isinstance(data, str) or not _DECIMAL.fullmatch(data) or int(data) >= 1 << 96:
        raise BadInput(f"{subject}: expected a decimal text below 2^96, got {shorten(data)}")
    return int(data)


def _mapping(data: object, subject: str, read: Callable[[object, str], V]) -> dict[str, V]:
    if not isinstance(data, dict):
        raise BadInput(f"{subject}: expected an object, got {shorten(data)}")
    found = cast(dict[str, object], data)
    return {key: read(value, f"{subject}[{shorten(key)}]") for key, value in found.items()}
