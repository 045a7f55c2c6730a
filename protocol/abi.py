"""The generated ABI of our contracts, and the structs, events and errors that it describes."""

import functools
import json
import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, cast

from protocol.keccak import keccak256

CONTRACTS: Final = ("ProviderRegistry", "LeaseMarket", "OracleQuorum", "ComputeCourt", "Digests", "DevToken")
_WORD_BREAK: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_STRUCT: Final = re.compile(r"struct (?:\w+\.)?(\w+)((?:\[\d*\])*)")
_ENUM: Final = re.compile(r"enum (?:\w+\.)?(\w+)")

Component = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One member of a struct, or one input of an event, error or function."""

    name: str  # snake_case, as in Python; words of the language end in an underscore
    abi_name: str  # camelCase, as in Solidity
    abi_type: str  # "uint96", "bytes32", "tuple", "bytes[]", ...
    struct: str | None  # name of the struct where abi_type is a tuple
    enum: str | None
    indexed: bool
    component: Component

    @property
    def canonical_type(self) -> str:
        """As in signatures: tuples spelled out."""
        return canonical_type(self.component)


@dataclass(frozen=True, slots=True)
class Entry:
    """An event, error or function of a contract."""

    kind: str
    name: str
    fields: tuple[Field, ...]
    outputs: tuple[Field, ...]

    @property
    def signature(self) -> str:
        return f"{self.name}({','.join(field.canonical_type for field in self.fields)})"

    @property
    def topic(self) -> bytes:
        """keccak-256 of the signature; its first four bytes are the selector."""
        return keccak256(self.signature.encode())


@functools.cache
def load_abi(name: str) -> list[dict[str, Any]]:
    """The ABI of one of CONTRACTS, as its compiler wrote it. Shared: do not change it."""
    text = resources.files("protocol").joinpath("abi", f"{name}.json").read_text()
    return cast(list[dict[str, Any]], json.loads(text))


@functools.cache
def entries(contract: str, kind: str) -> Mapping[str, Entry]:
    """Events, errors or functions of a contract by name (no name of ours is overloaded)."""
    found = (item for item in load_abi(contract) if item["type"] == kind)
    return {item["name"]: _entry(item) for item in found}


@functools.cache
def struct_fields(struct: str) -> tuple[Field, ...]:
    """Members of a struct of Types.sol in their order; KeyError where no contract uses it."""
    return _structs()[struct]


def snake_case(name: str) -> str:
    found = _WORD_BREAK.sub("_", name.replace("MiB", "Mib")).lower()
    return f"{found}_" if keyword.iskeyword(found) else found


def canonical_type(component: Component) -> str:
    kind: str = component["type"]
    if not kind.startswith("tuple"):
        return kind
    inner = ",".join(canonical_type(part) for part in component["components"])
    return f"({inner}){kind.removeprefix('tuple')}"


@functools.cache
def _structs() -> Mapping[str, tuple[Field, ...]]:
    found: dict[str, tuple[Field, ...]] = {}
    for contract in CONTRACTS:
        for item in load_abi(contract):
            for component in _walk([*item.get("inputs", []), *item.get("outputs", [])]):
                match = _STRUCT.fullmatch(component.get("internalType", ""))
                if match:
                    found.setdefault(match.group(1), _fields(component["components"]))
    return found


def _walk(components: list[Component]) -> Iterator[Component]:
    for component in components:
        yield component
        yield from _walk(component.get("components", []))


def _entry(item: Component) -> Entry:
    return Entry(item["type"], item["name"], _fields(item["inputs"]), _fields(item.get("outputs", [])))


def _fields(components: list[Component]) -> tuple[Field, ...]:
    return tuple(_field(component) for component in components)


def _field(component: Component) -> Field:
    internal: str = component.get("internalType", "")
    struct, enum = _STRUCT.fullmatch(internal), _ENUM.fullmatch(internal)
    return Field(
        name=snake_case(component["name"]),
        abi_name=component["name"],
        abi_type=component["type"],
        struct=struct.group(1) if struct else None,
        enum=enum.group(1) if enum else None,
        indexed=component.get("indexed", False),
        component=component,
    )
