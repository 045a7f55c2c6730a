"""Rows of the ledger's entries: written with the events that changed them, read by everything else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Table, bindparam, delete, select

from oracle.store import bulk
from oracle.store.engine import Transaction
from oracle.store.facts import replace_facts, write_facts
from oracle.store.offers import mask_row, term_row
from oracle.store.tables import credits, leases, offers, proofs, providers, units
from protocol.ledger import (
    Changes,
    CompensationEntry,
    CreditEntry,
    LeaseEntry,
    LedgerState,
    OfferEntry,
    ProofEntry,
    ProviderEntry,
    UnitEntry,
)
from protocol.logs import LogPosition
from protocol.structs import CompletionProof, LeaseStatus, Terms, Unit, from_json, to_json
from protocol.units import (
    Address,
    JobId,
    LeaseId,
    ProofHash,
    UnitId,
    hex_bytes,
    parse_address,
    to_hex,
    unpack_name,
)

_LEASE_NUMBERS = (
    "end",
    "settled_seconds",
    "pending_seconds",
    "matures_at",
    "penalty_seconds",
    "open_disputes",
    "moved_last_post",
    "answer_within",
    "lost_seconds",
    "hops",
)
_LEASE_FLAGS = ("accepted", "closing", "provider_failed", "failed_over", "bond_slashed", "hours_released")
_LEASE_UNITS = (
    "deposit_units",
    "paid_units",
    "fee_units",
    "moved_units",
    "refund_units",
    "compensation_units",
)
_COMPENSATION_TOKEN = ""
READ_LEASES = 4096
"""So many entries are kept as they were read: what is read again and again is the same rows."""

E = TypeVar("E")
Row = dict[str, Any]
Rows = Mapping[Table, Collection[Row]]


def write_changes(transaction: Transaction, changes: Sequence[Changes]) -> None:
    """Afterwards the rows are as the last of the changes left each entry."""
    write_rows(transaction, rows_of(changes))
    write_facts(transaction, changes)


def write_rows(transaction: Transaction, rows: Rows) -> None:
    """Rows as `rows_of` makes them."""
    for table, fresh in rows.items():
        bulk.put_rows(transaction, table, fresh)


def rows_of(changes: Sequence[Changes]) -> Rows:
    """Of each entry as the last of the changes left it."""
    owed = [entry for c in changes for entry in (*c.credits, *c.compensations)]
    return {
        providers: _rows(provider_row, {e.provider: e for c in changes for e in c.providers}),
        units: _rows(unit_row, {e.unit_id: e for c in changes for e in c.units}),
        offers: _rows(offer_row, {e.offer_hash: e for c in changes for e in c.offers}),
        leases: _rows(lease_row, {e.lease_id: e for c in changes for e in c.leases}),
        proofs: _rows(proof_row, {e.proof_hash: e for c in changes for e in c.proofs}),
        credits: _rows(credit_row, {(_token(e), e.account): e for e in owed}),
    }


def _rows(row_of: Callable[[E], Row], entries: Mapping[Any, E]) -> list[Row]:
    return [row_of(entry) for entry in entries.values()]


def replace_all(transaction: Transaction, state: LedgerState) -> None:
    """Afterwards the rows are those of this state and no others."""
    for table in (providers, units, offers, leases, proofs, credits):
        transaction.execute(delete(table))
    everything = Changes(
        providers=tuple(state.providers.values()),
        units=tuple(state.units.values()),
        offers=tuple(state.offers.values()),
        leases=tuple(state.leases.values()),
        proofs=tuple(state.proofs.values()),
        credits=tuple(CreditEntry(*key, amount) for key, amount in state.credits.items()),
        compensations=tuple(CompensationEntry(*item) for item in state.compensations.items()),
    )
    write_changes(transaction, [everything])
    replace_facts(transaction, state)


def _text(body: Row) -> str:
    return msgspec.json.encode(body).decode()


def provider_row(entry: ProviderEntry) -> Row:
    free_units = max(entry.free_units, 0)
    return {"provider": entry.provider, "epoch": entry.epoch, "free_units": free_units}


def unit_row(entry: UnitEntry) -> Row:
    body = {
        "unit": to_json(entry.unit),
        "gpu_ids": [to_hex(gpu_id) for gpu_id in entry.gpu_ids],
        "booked_hours": str(entry.booked_hours),
        "retired": entry.retired,
        "evicted": entry.evicted,
        "registered_at": entry.registered_at.to_json(),
    }
    return {
        "unit_id": entry.unit_id,
        "provider": entry.unit.provider,
        "worker": entry.unit.worker,
        "rentable": not entry.retired and not entry.evicted,
        "gpu_class": unpack_name(entry.unit.gpu_class),
        "gpu_count": entry.unit.gpu_count,
        "vram_mib": entry.unit.vram_mib,
        **mask_row("booked", entry.booked_hours),
        "body": _text(body),
    }


def offer_row(entry: OfferEntry) -> Row:
    offer = entry.offer
    body = {
        "offer": to_json(offer),
        "known_at": entry.known_at.to_json(),
        "taken_at": None if entry.taken_at is None else entry.taken_at.to_json(),
    }
    return {
        "offer_hash": entry.offer_hash,
        **term_row(offer, entry.known_since),
        "listed": entry.listed,
        "body": _text(body),
    }


def lease_row(entry: LeaseEntry) -> Row:
    body: Row = {
        "terms": to_json(entry.terms),
        "opened_at": entry.opened_at.to_json(),
        "renters": list(entry.renters),
        "proof_hash": to_hex(entry.proof_hash),
        "posted_order": to_hex(entry.posted_order),
    }
    body |= {name: getattr(entry, name) for name in (*_LEASE_NUMBERS, *_LEASE_FLAGS)}
    body |= {name: str(getattr(entry, name)) for name in _LEASE_UNITS}
    return {
        "lease_id": entry.lease_id,
        "renter": entry.renter,
        "provider": entry.terms.offer.provider,
        "unit_id": entry.terms.offer.unit_id,
        "status": entry.status.name.lower(),
        "opened_block": entry.opened_at.block_number,
        "body": _text(body),
    }


def proof_row(entry: ProofEntry) -> Row:
    body = {
        "proof": to_json(entry.proof),
        "posted_at": entry.posted_at.to_json(),
        "matures_at": entry.matures_at,
        "settled": entry.settled,
        "void": entry.void,
    }
    return {
        "proof_hash": entry.proof_hash,
        "lease_id": entry.lease_id,
        "body": _text(body),
    }


def credit_row(entry: CreditEntry | CompensationEntry) -> Row:
    return {"token": _token(entry), "account": entry.account, "units": entry.amount_units}


def _token(entry: CreditEntry | CompensationEntry) -> str:
    return entry.token if isinstance(entry, CreditEntry) else _COMPENSATION_TOKEN


_LEASE = select(leases).where(leases.c.lease_id == bindparam("wanted"))
_UNIT = select(units).where(units.c.unit_id == bindparam("wanted"))


def get_lease(transaction: Transaction, lease_id: LeaseId) -> LeaseEntry | None:
    row = transaction.execute(_LEASE, {"wanted": lease_id}).first()
    return None if row is None else read_lease(row)


def get_leases(transaction: Transaction, lease_ids: Iterable[LeaseId]) -> dict[LeaseId, LeaseEntry]:
    """Those that the chain holds."""
    wanted = list(lease_ids)
    found: dict[LeaseId, LeaseEntry] = {}
    if len(wanted) == 1:
        lease = get_lease(transaction, wanted[0])
        return {} if lease is None else {wanted[0]: lease}
    for start in range(0, len(wanted), 500):
        query = select(leases).where(leases.c.lease_id.in_(wanted[start : start + 500]))
        found.update({LeaseId(row.lease_id): read_lease(row) for row in transaction.execute(query)})
    return found


def list_leases(
    transaction: Transaction,
    renter: Address | None,
    provider: Address | None,
    after: tuple[int, bytes],
    limit: int,
) -> list[LeaseEntry]:
    """In the order of opening; `after` is block and id of the last one seen."""
    block, lease_id = after
    query = select(leases).where(
        (leases.c.opened_block > block) | ((leases.c.opened_block == block) & (leases.c.lease_id > lease_id))
    )
    if renter is not None:
        query = query.where(leases.c.renter == renter)
    if provider is not None:
        query = query.where(leases.c.provider == provider)
    query = query.order_by(leases.c.opened_block, leases.c.lease_id).limit(limit)
    return [read_lease(row) for row in transaction.execute(query)]


def list_leases_of_status(transaction: Transaction, statuses: Iterable[LeaseStatus]) -> list[LeaseEntry]:
    names = [status.name.lower() for status in statuses]
    query = select(leases).where(leases.c.status.in_(names)).order_by(leases.c.opened_block)
    return [read_lease(row) for row in transaction.execute(query)]


def get_unit(transaction: Transaction, unit_id: UnitId) -> UnitEntry | None:
    row = transaction.execute(_UNIT, {"wanted": unit_id}).first()
    return None if row is None else read_unit(row)


def get_proof(transaction: Transaction, proof_hash: ProofHash) -> ProofEntry | None:
    row = transaction.execute(select(proofs).where(proofs.c.proof_hash == proof_hash)).first()
    return None if row is None else read_proof(row)


def list_proofs(transaction: Transaction, lease_id: LeaseId) -> list[ProofEntry]:
    query = select(proofs).where(proofs.c.lease_id == lease_id)
    found = [read_proof(row) for row in transaction.execute(query)]
    return sorted(found, key=lambda entry: entry.posted_at)


def read_lease(row: Any) -> LeaseEntry:
    return _read_lease(row.lease_id, row.status, row.body)


@lru_cache(READ_LEASES)
def _read_lease(lease_id: bytes, status: str, text: str) -> LeaseEntry:
    """Of all that a row says: the same row is the same entry."""
    body = cast(Row, msgspec.json.decode(text))
    return LeaseEntry(
        lease_id=LeaseId(lease_id),
        terms=from_json(Terms, body["terms"]),
        opened_at=LogPosition.from_json(body["opened_at"]),
        renters=tuple(parse_address(renter) for renter in body["renters"]),
        proof_hash=ProofHash(hex_bytes(body["proof_hash"], 32)),
        posted_order=JobId(hex_bytes(body["posted_order"], 32)),
        status=LeaseStatus[status.upper()],
        **cast(Any, {name: body[name] for name in (*_LEASE_NUMBERS, *_LEASE_FLAGS)}),
        **cast(Any, {name: int(body[name]) for name in _LEASE_UNITS}),
    )


def read_unit(row: Any) -> UnitEntry:
    body = cast(Row, msgspec.json.decode(row.body))
    return UnitEntry(
        unit_id=UnitId(row.unit_id),
        unit=from_json(Unit, body["unit"]),
        gpu_ids=tuple(hex_bytes(gpu_id, 32) for gpu_id in body["gpu_ids"]),
        booked_hours=int(body["booked_hours"]),
        retired=body["retired"],
        evicted=body["evicted"],
        registered_at=LogPosition.from_json(body["registered_at"]),
    )


def read_proof(row: Any) -> ProofEntry:
    body = cast(Row, msgspec.json.decode(row.body))
    return ProofEntry(
        proof_hash=ProofHash(row.proof_hash),
        lease_id=LeaseId(row.lease_id),
        proof=from_json(CompletionProof, body["proof"]),
        posted_at=LogPosition.from_json(body["posted_at"]),
        matures_at=body["matures_at"],
        settled=body["settled"],
        void=body["void"],
    )
