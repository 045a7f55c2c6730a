"""A rebuild that is killed, and what is taken out of damaged files."""

import json
import random
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg.errors
import pytest

from oracle.store import attempts, files, jobs, nonces, rebuilding, salvage
from oracle.store.dialects import create_engine_of
from oracle.store.engine import Store, open_store
from oracle.store.failures import of_postgresql
from oracle.store.schema import DERIVED, KEPT, metadata
from protocol.errors import StoreBroken, StoreUnavailable
from tests.postgres import Postgres
from tests.unit.oracle import killed_rebuild as rig
from tests.unit.oracle import oracle_samples as samples

PAGE_BYTES = 4096


def test_rebuild__killed_at_every_step__old_or_new_store_and_the_next_one_completes(
    database_url: str,
) -> None:
    program = [sys.executable, "-m", "tests.unit.oracle.killed_rebuild", database_url]
    done = subprocess.run(program, capture_output=True, text=True, timeout=200, check=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["steps"] >= 12
    assert (said["differ"], said["wrong"]) == (True, [])


def test_tables__each__is_rebuilt_or_kept() -> None:
    assert {table.name for table in (*DERIVED, *KEPT)} == set(metadata.tables)
    assert not {key.column.table for table in KEPT for key in table.foreign_keys} & set(DERIVED)
    assert {table.name for table in DERIVED} == {
        *("cursor", "blocks", "events", "providers", "units", "offers", "leases", "proofs", "credits"),
        *("cancelled_salts", "tokens", "findings", "customs", "reputations", "ledger_rows"),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a store with an index, many nonces, jobs and attempts."""
    path = tmp_path / "store.sqlite"
    store = open_store(f"sqlite:///{path}")
    rig.fill(40)(store)
    with store.write() as transaction:
        for number in range(300):
            nonces.spend_nonce(transaction, samples.RENTER, bytes([number % 256, number // 256]) * 16, 1)
        for number in range(20):
            signed = samples.make_order(nonce=number)
            job_id = samples.job_of(signed)
            jobs.insert_job(transaction, job_id, samples.RENTER, samples.make_terms(), signed, samples.MONDAY)
            attempts.add_attempt(transaction, job_id, samples.UNIT_ID, samples.MONDAY)
    store.close()
    return path


def root_page(path: Path, name: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        return connection.execute(query, (name,)).fetchone()[0]


def damage(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(random.Random(page).randbytes(PAGE_BYTES))


def url_of(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.mark.parametrize("name", ["events", "offers", "ix_offers_price"])
def test_damaged_file__pages_of_the_index__refused_then_rebuilt_without_loss(path: Path, name: str) -> None:
    kept = rig.contents(url_of(path), KEPT)
    index = rig.contents(url_of(path), DERIVED)
    damage(path, root_page(path, name))
    with pytest.raises(StoreBroken) as caught:
        open_store(url_of(path))
    assert caught.value.code == "store_damaged"
    assert rebuilding.rebuild(url_of(path), rig.fill(40)) == []
    assert rig.contents(url_of(path), KEPT) == kept
    assert rig.contents(url_of(path), DERIVED) == index
    assert files.replaced_path(path).is_file()


def test_damaged_file__no_page_readable__index_rebuilt_and_every_loss_named(path: Path) -> None:
    index = rig.contents(url_of(path), DERIVED)
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))
    with pytest.raises(StoreBroken):
        open_store(url_of(path))
    assert rebuilding.rebuild(url_of(path), rig.fill(40)) == [table.name for table in KEPT]
    assert rig.contents(url_of(path), DERIVED) == index


def test_damaged_file__some_orders_lost__others_kept_and_no_fencing_token_given_twice(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT pageno FROM dbstat WHERE name = 'attempts' AND pagetype = 'leaf' ORDER BY pageno"
        try:
            leaves = [row[0] for row in connection.execute(query)]
        except sqlite3.OperationalError:  # built without dbstat
            leaves = [root_page(path, "attempts")]
    damage(path, leaves[-1])
    assert "attempts" in rebuilding.rebuild(url_of(path), rig.fill(40))
    store = open_store(url_of(path))
    with store.write() as transaction:
        found = jobs.list_jobs(transaction, samples.make_lease().lease_id, None, 0, 50)
        assert len(found) == 20
        fresh = attempts.add_attempt(transaction, found[0].job_id, samples.UNIT_ID, samples.MONDAY)
    assert fresh.fencing_token > salvage.SKIPPED_TOKENS
    store.close()


def test_store__damaged_while_it_is_open__store_broken(path: Path) -> None:
    store = Store(create_engine_of(url_of(path)))
    for name in ("jobs", "ix_jobs_state"):
        damage(path, root_page(path, name))
    with pytest.raises(StoreBroken), store.read() as transaction:
        jobs.count_states(transaction)
    store.close()


def test_store__connection_killed__unavailable_then_works_again(postgres: Postgres) -> None:
    store = open_store(postgres.new_database())
    with pytest.raises(StoreUnavailable), store.write() as transaction:
        transaction.exec_driver_sql("SELECT pg_terminate_backend(pg_backend_pid())")
    with store.write() as transaction:
        assert jobs.count_states(transaction) == {}
    store.close()


def test_failures__of_postgresql__told_apart() -> None:
    assert isinstance(of_postgresql(psycopg.errors.DiskFull()), StoreBroken)
    assert isinstance(of_postgresql(psycopg.errors.DataCorrupted()), StoreBroken)
    assert isinstance(of_postgresql(psycopg.errors.TooManyConnections()), StoreUnavailable)
    assert of_postgresql(psycopg.errors.UniqueViolation()) is None
