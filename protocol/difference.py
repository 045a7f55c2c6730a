"""One disagreement between what is claimed and what is found."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """`code` is stable, in snake_case; `subject` says of what."""

    code: str
    subject: str
    expected: str
    actual: str

    def __str__(self) -> str:
        return f"{self.code}: {self.subject}: expected {self.expected}, got {self.actual}"
