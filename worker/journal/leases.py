"""Offers and leases of this worker's unit, how far the chain was searched, and the heartbeats under each."""

import sqlite3
from dataclasses import dataclass

from protocol.json_text import canonical_json, parse_json
from protocol.signed import SignedHeartbeat
from protocol.structs import Offer, Terms, from_json, to_json
from protocol.units import Address, LeaseId, OfferHash, parse_address
from worker.journal.attempts import Begin


@dataclass(frozen=True, slots=True)
class LeaseRow:
    """`done`: nothing is left to be claimed."""

    lease_id: LeaseId
    terms: Terms
    energy_joules: int
    done: bool
    renters: tuple[Address, ...]
    """The one of the terms, and those to whom the lease was transferred."""


class LeaseRows:
    def __init__(self, begin: Begin) -> None:
        self._begin = begin

    def add(self, lease_id: LeaseId, terms: Terms) -> None:
        with self._begin() as db:
            db.execute(
                "INSERT INTO leases (lease_id, terms) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (lease_id, canonical_json(to_json(terms)).decode()),
            )

    def live(self) -> list[LeaseRow]:
        """Those that are not done."""
        with self._begin() as db:
            rows = db.execute("SELECT * FROM leases WHERE done = 0 ORDER BY rowid").fetchall()
            return [_lease(db, row) for row in rows]

    def add_offer(self, offer_hash: OfferHash, offer: Offer) -> None:
        with self._begin() as db:
            db.execute(
                "INSERT INTO offers (offer_hash, offer) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (offer_hash, canonical_json(to_json(offer)).decode()),
            )

    def get_offer(self, offer_hash: OfferHash) -> Offer | None:
        with self._begin() as db:
            row = db.execute("SELECT offer FROM offers WHERE offer_hash = ?", (offer_hash,)).fetchone()
        return None if row is None else from_json(Offer, parse_json(row["offer"], "offer"))

    def add_renter(self, lease_id: LeaseId, account: Address) -> None:
        """To whom the lease was transferred."""
        with self._begin() as db:
            db.execute(
                "INSERT INTO renters (lease_id, account) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (lease_id, account),
            )

    def renters(self, lease_id: LeaseId, terms: Terms) -> tuple[Address, ...]:
        """As `LeaseRow.renters`, whether the lease is known yet or not."""
        with self._begin() as db:
            return _renters(db, lease_id, terms)

    def set_done(self, lease_id: LeaseId, *, done: bool) -> None:
        with self._begin() as db:
            db.execute("UPDATE leases SET done = ? WHERE lease_id = ?", (int(done), lease_id))

    def cursor(self) -> int | None:
        """The last block that was searched for leases."""
        with self._begin() as db:
            row = db.execute("SELECT block_number FROM cursor").fetchone()
        return None if row is None else int(row["block_number"])

    def set_cursor(self, block_number: int) -> None:
        with self._begin() as db:
            db.execute(
                "INSERT INTO cursor (id, block_number) VALUES (1, ?) "
                "ON CONFLICT (id) DO UPDATE SET block_number = excluded.block_number",
                (block_number,),
            )

    def add_heartbeat(self, signed: SignedHeartbeat, joules: int) -> bool:
        """Counts `joules` to the lease; False where the block has its heartbeat already."""
        heartbeat = signed.heartbeat
        with self._begin() as db:
            db.execute(
                "UPDATE leases SET energy_joules = energy_joules + ? WHERE lease_id = ?",
                (joules, heartbeat.lease_id),
            )
            cursor = db.execute(
                "INSERT INTO heartbeats (lease_id, block_number, block_timestamp, signed) "
                "VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (
                    heartbeat.lease_id,
                    heartbeat.block_number,
                    heartbeat.block_timestamp,
                    canonical_json(signed.to_json()),
                ),
            )
            return cursor.rowcount == 1

    def unproven_heartbeats(self, lease_id: LeaseId) -> list[SignedHeartbeat]:
        """In no proof, in the chain's order."""
        with self._begin() as db:
            rows = db.execute(
                "SELECT signed FROM heartbeats WHERE lease_id = ? AND proof_hash IS NULL "
                "ORDER BY block_number",
                (lease_id,),
            ).fetchall()
        return [SignedHeartbeat.from_json(parse_json(row["signed"], "heartbeat")) for row in rows]

    def heartbeat_timestamps(self, lease_id: LeaseId) -> list[int]:
        """Of all heartbeats of the lease, proven or not."""
        with self._begin() as db:
            rows = db.execute(
                "SELECT block_timestamp FROM heartbeats WHERE lease_id = ? ORDER BY block_number", (lease_id,)
            ).fetchall()
        return [int(row["block_timestamp"]) for row in rows]

    def drop_heartbeat(self, lease_id: LeaseId, block_number: int) -> None:
        """Its block is not on the chain any more."""
        with self._begin() as db:
            db.execute(
                "DELETE FROM heartbeats WHERE lease_id = ? AND block_number = ? AND proof_hash IS NULL",
                (lease_id, block_number),
            )


def _lease(db: sqlite3.Connection, row: sqlite3.Row) -> LeaseRow:
    lease_id, terms = LeaseId(row["lease_id"]), from_json(Terms, parse_json(row["terms"], "terms"))
    return LeaseRow(lease_id, terms, row["energy_joules"], bool(row["done"]), _renters(db, lease_id, terms))


def _renters(db: sqlite3.Connection, lease_id: LeaseId, terms: Terms) -> tuple[Address, ...]:
    rows = db.execute("SELECT account FROM renters WHERE lease_id = ? ORDER BY rowid", (lease_id,)).fetchall()
    return (terms.renter, *(parse_address(row["account"]) for row in rows))
