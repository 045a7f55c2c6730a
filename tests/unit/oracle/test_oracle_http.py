"""The server's HTTP parser, and the migration that a timeline needs."""

import json
from pathlib import Path

from sqlalchemy import text

from oracle.http import refusal
from oracle.store.dialects import create_engine_of
from oracle.store.engine import Store, migrate
from protocol.bodies import ErrorBody
from protocol.events import HoursReleased, OfferUnlisted, to_json
from protocol.units import OfferHash
from tests.unit.oracle import oracle_samples as samples


def test_refusal__of_what_is_no_http__is_an_error_body_of_its_length() -> None:
    head, _, body = refusal("é").partition(b"\r\n\r\n")
    assert ErrorBody.model_validate_json(body) == ErrorBody(code="bad_request", message="é")
    assert f"content-length: {len(body)}".encode() in head


def test_migration__events_stored_before__get_the_lease_that_they_name(tmp_path: Path) -> None:
    store = Store(create_engine_of(f"sqlite:///{tmp_path / 'old.sqlite'}"))
    lease_id = samples.make_lease().lease_id
    stored = [
        HoursReleased(samples.position(5, 0), lease_id, samples.UNIT_ID),
        OfferUnlisted(samples.position(5, 1), OfferHash(bytes(32)), samples.PROVIDER),
    ]
    insert = text(
        "INSERT INTO events (block_hash, log_index, block_number, block_timestamp, transaction_hash, body) "
        "VALUES (:hash, :index, 5, 0, :hash, :body)"
    )
    with store.write() as transaction:
        migrate(transaction, "0001")
        for index, event in enumerate(stored):
            values = {"hash": bytes(32), "index": index, "body": json.dumps(to_json(event))}
            transaction.execute(insert, values)
        migrate(transaction)
        rows = transaction.execute(text("SELECT lease_id FROM events ORDER BY log_index")).all()
    assert [row[0] for row in rows] == [lease_id, None]
    store.close()


def test_migration__jobs_stored_before__numbered_limited_and_looked_at_anew(tmp_path: Path) -> None:
    store = Store(create_engine_of(f"sqlite:///{tmp_path / 'old.sqlite'}"))
    lease_id = samples.make_lease().lease_id
    insert = text(
        "INSERT INTO jobs (job_id, lease_id, renter, state, detail, terms, signed_order, bundle_digest, "
        "deadline, created_at, updated_at, not_before) "
        "VALUES (:job, :lease, 'x', :state, 'old', '{}', :order, :job, 9, 1, 1, 0)"
    )
    with store.write() as transaction:
        migrate(transaction, "0003")
        for nonce, state in enumerate(("waiting", "queued")):
            order = json.dumps(samples.make_order(nonce=nonce).to_json())
            values = {"job": bytes([nonce]) * 32, "lease": lease_id, "state": state, "order": order}
            transaction.execute(insert, values)
        migrate(transaction)
        found = text("SELECT number, rank, wall_seconds, detail FROM jobs ORDER BY sequence")
        assert transaction.execute(found).all() == [(1, 9, 60, ""), (2, 9, 60, "old")]
    store.close()
