"""Rows of what else the ledger knows of the market: findings, reputations, tokens, cancelled salts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import delete, select

from oracle.store.bulk import put_rows
from oracle.store.engine import Transaction
from oracle.store.market_tables import (
    cancelled_salts,
    customs,
    findings,
    ledger_rows,
    reputations,
    tokens,
)
from oracle.store.tables import providers
from protocol.ledger import Changes, FindingEntry, LedgerState
from protocol.ledger.reputation import scores
from protocol.reputation import Custom
from protocol.structs import to_json
from protocol.units import Address

ROWS_VERSION = 2
"""Of the form of all rows of the ledger: raised with any change of it, so that old ones are written anew."""

Row = dict[str, Any]
Pair = tuple[Address, Address]


def write_facts(transaction: Transaction, changes: Sequence[Changes]) -> None:
    """Afterwards the rows are as the last of the changes left each entry."""
    found = {e.attestation.unit_id: _finding_row(e) for c in changes for e in c.findings}
    put_rows(transaction, findings, found.values())
    salts = {key: {"provider": key[0], "salt": str(key[1])} for c in changes for key in c.cancelled_salts}
    put_rows(transaction, cancelled_salts, salts.values())
    changed = {(e.provider, e.token, e.renter): e for c in changes for e in c.customs}
    put_rows(transaction, customs, [_custom_row(entry) for entry in changed.values()])
    _write_reputations(transaction, {key[:2] for key in changed})
    parameters = [c.parameters for c in changes if c.parameters is not None]
    if parameters:
        _write_tokens(transaction, parameters[-1].token_fees)


def replace_facts(transaction: Transaction, state: LedgerState) -> None:
    """Afterwards the rows are those of this state and no others."""
    for table in (findings, cancelled_salts, customs, reputations, tokens, ledger_rows):
        transaction.execute(delete(table))
    everything = Changes(
        findings=tuple(state.findings.values()),
        customs=tuple(state.customs.values()),
        cancelled_salts=tuple(state.cancelled_salts),
        parameters=state.parameters,
    )
    write_facts(transaction, [everything])
    transaction.execute(ledger_rows.insert().values(id=1, version=ROWS_VERSION))


def rows_are_current(transaction: Transaction) -> bool:
    """Whether the ledger's rows are in the form that this code reads."""
    return transaction.execute(select(ledger_rows.c.version)).scalar() == ROWS_VERSION


def list_reputations(
    transaction: Transaction, after: Pair | None, limit: int
) -> list[tuple[Address, Address, int]]:
    """Provider, token and weight, sorted."""
    query = select(reputations).order_by(reputations.c.provider, reputations.c.token).limit(limit)
    if after is not None:
        provider, token = after
        query = query.where(
            (reputations.c.provider > provider)
            | ((reputations.c.provider == provider) & (reputations.c.token > token))
        )
    return [(Address(r.provider), Address(r.token), r.weight) for r in transaction.execute(query)]


def list_tokens(transaction: Transaction) -> dict[Address, int]:
    """Tokens in which leases may be opened, and the fee of each in 1/10,000."""
    return {Address(row.token): row.fee_bps for row in transaction.execute(select(tokens))}


def is_cancelled(transaction: Transaction, provider: Address, salt: int) -> bool:
    query = select(cancelled_salts.c.salt).where(
        cancelled_salts.c.provider == provider, cancelled_salts.c.salt == str(salt)
    )
    return transaction.execute(query).first() is not None


def standing_of(transaction: Transaction, provider: Address) -> tuple[int, int]:
    """The provider's epoch and free stake in base units; both zero where nobody has staked."""
    query = select(providers.c.epoch, providers.c.free_units).where(providers.c.provider == provider)
    row = transaction.execute(query).first()
    return (0, 0) if row is None else (row.epoch, row.free_units)


def _write_reputations(transaction: Transaction, pairs: set[Pair]) -> None:
    rows: list[Row] = []
    for pair in sorted(pairs):
        query = select(customs).where(customs.c.provider == pair[0], customs.c.token == pair[1])
        found = [Custom(*pair, r.renter, r.fees, r.served, r.owed) for r in transaction.execute(query)]
        rows.append({"provider": pair[0], "token": pair[1], "weight": scores(found)[pair]})
    put_rows(transaction, reputations, rows)


def _write_tokens(transaction: Transaction, token_fees: Any) -> None:
    transaction.execute(delete(tokens))
    rows = [{"token": token, "fee_bps": fee_bps} for token, fee_bps in token_fees.items()]
    if rows:
        transaction.execute(tokens.insert(), rows)


def _finding_row(entry: FindingEntry) -> Row:
    attestation = entry.attestation
    return {
        "unit_id": attestation.unit_id,
        "gops": attestation.measured_gops,
        "attested_at": entry.attested_at,
        "expires_at": entry.expires_at,
        "body": json.dumps(to_json(attestation)),
    }


def _custom_row(entry: Custom) -> Row:
    return {
        "provider": entry.provider,
        "token": entry.token,
        "renter": entry.renter,
        "fees": entry.fees,
        "served": entry.served,
        "owed": entry.owed,
    }
