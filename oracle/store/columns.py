"""Kinds of columns, and the metadata that the tables are in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    TypeDecorator,
)

UNITS_DIGITS = 30  # uint96 has 29
NO_UNITS = "0" * UNITS_DIGITS
HOUR_PARTS = 3
WHOLE = BigInteger().with_variant(Integer(), "sqlite")  # 64 bits in both


class UnitsText(TypeDecorator[int]):
    """An amount of money: wider than an SQL integer, compared as a number."""

    impl = String(UNITS_DIGITS)
    cache_ok = True
    digits = UNITS_DIGITS

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        if not 0 <= value < 10**self.digits:
            raise ValueError(f"units: expected 0 to 10**{self.digits}, got {value}")
        return str(value).zfill(self.digits)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class PlainText(TypeDecorator[str]):
    """Text of strangers: NUL, which PostgreSQL does not store, becomes the replacement character."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.replace("\0", "\ufffd")


def hour_columns(name: str) -> list[Column[int]]:
    """A mask of the 168 hours of the week as three integers of 56 bits, which SQL can compare."""
    return [
        Column(f"{name}_{part}", BigInteger, nullable=False, server_default="0") for part in range(HOUR_PARTS)
    ]


def hash_column(name: str, **options: Any) -> Column[bytes]:
    return Column(name, LargeBinary(32), nullable=options.pop("nullable", False), **options)


def account_column(name: str, **options: Any) -> Column[str]:
    return Column(name, String(42), nullable=False, **options)


def integer(name: str, **options: Any) -> Column[int]:
    return Column(name, WHOLE, nullable=options.pop("nullable", False), **options)


def text(name: str, **options: Any) -> Column[str]:
    return Column(name, PlainText, nullable=options.pop("nullable", False), **options)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    }
)
