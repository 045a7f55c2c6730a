"""What an audit found: comparisons by section, differences by stable codes, and what was not checked."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from protocol.chain import Block
from protocol.difference import Difference
from protocol.errors import ProtocolError
from protocol.units import Address, to_hex

SCHEMA = "gpgpu.audit/1"


@dataclass(slots=True)
class Section:
    """One subject of an audit: how many comparisons were made, and those that failed."""

    name: str
    compared: int = 0
    differences: list[Difference] = field(default_factory=list[Difference])

    def compare(self, code: str, subject: str, expected: object, actual: object) -> bool:
        """Count a comparison; where the two differ, keep the difference. Returns whether they agree."""
        self.compared += 1
        if expected == actual:
            return True
        self.differences.append(Difference(code, subject, text_of(expected), text_of(actual)))
        return False

    def at_most(self, code: str, subject: str, limit: int, actual: int) -> bool:
        """As `compare`, for a value that may not exceed a limit."""
        self.compared += 1
        if actual <= limit:
            return True
        self.differences.append(Difference(code, subject, f"at most {limit}", str(actual)))
        return False

    def fail(self, code: str, subject: str, expected: object, actual: object) -> None:
        """Keep a difference that is found by other means than comparing two values."""
        self.compared += 1
        self.differences.append(Difference(code, subject, text_of(expected), text_of(actual)))

    def fail_with(self, code: str, subject: str, error: ProtocolError) -> None:
        """Keep what raised an error as a difference."""
        self.fail(code, subject, "sound", error.message)

    def extend(self, differences: Iterable[Difference], compared: int = 1) -> None:
        """Take over the differences that a function of the protocol found in so many comparisons."""
        self.compared += compared
        self.differences.extend(differences)


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Something that this audit did not look at, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reputation:
    """A provider's score in base units of a token as of the audited block, and the weight it comes from."""

    provider: Address
    token: Address
    weight: int
    score_units: int

    def to_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "token": self.token,
            "weight": str(self.weight),
            "score_units": str(self.score_units),
        }


@dataclass(frozen=True, slots=True)
class Report:
    """A whole audit at one block."""

    chain_id: int
    block: Block
    market: str
    registry: str
    counts: Mapping[str, int]
    sections: tuple[Section, ...]
    not_checked: tuple[NotChecked, ...]
    reputations: tuple[Reputation, ...] = ()

    @property
    def differences(self) -> tuple[Difference, ...]:
        return tuple(difference for section in self.sections for difference in section.differences)

    @property
    def is_clean(self) -> bool:
        return not self.differences

    def to_json(self) -> dict[str, Any]:
        """The stable document of `--json`; a new schema number where its meaning changes."""
        return {
            "schema": SCHEMA,
            "verdict": "clean" if self.is_clean else "differences",
            "chain_id": self.chain_id,
            "block": {
                "number": self.block.number,
                "hash": to_hex(self.block.hash),
                "timestamp": self.block.timestamp,
            },
            "market": self.market,
            "registry": self.registry,
            "counts": dict(self.counts),
            "sections": [
                {"name": item.name, "compared": item.compared, "differences": len(item.differences)}
                for item in self.sections
            ],
            "differences": [
                {
                    "section": section.name,
                    "code": item.code,
                    "subject": item.subject,
                    "expected": text_of(item.expected),
                    "actual": text_of(item.actual),
                }
                for section in self.sections
                for item in section.differences
            ],
            "reputations": [item.to_json() for item in self.reputations],
            "not_checked": [{"what": item.what, "reason": item.reason} for item in self.not_checked],
        }


def text_of(value: object) -> str:
    """A value as reports show it."""
    return to_hex(value) if isinstance(value, bytes) else str(value)
