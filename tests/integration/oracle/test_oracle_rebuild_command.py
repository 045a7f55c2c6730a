"""`python -m oracle rebuild`, full disks and damaged files, with processes on a real chain."""

import json
import os
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from oracle.store.engine import open_store
from oracle.store.schema import KEPT
from protocol.orders import job_id
from protocol.units import to_hex
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.test_oracle_watcher import assert_equals_replay

INDEX_PAGES = 3


@pytest.fixture
def rental(still_deployment: Deployment) -> rig.Rental:
    return rig.make_rental(still_deployment)


@pytest.fixture
def oracle(rental: rig.Rental, tmp_path: Path, database_url: str) -> Iterator[rig.OracleProcess]:
    """With a lease, a bundle and an order."""
    with rig.run_oracle(tmp_path / "oracle", rental.deployment, database_url=database_url) as oracle:
        terms = rental.terms(seconds=36_000, delay_seconds=600)
        lease = rental.open(terms)
        renter = rig.Caller(oracle, rental.domain, rental.renter)
        rig.until(lambda: renter("GET", f"/v1/leases/{to_hex(lease)}").status_code == 200, "indexed")
        assert renter.upload(rig.BUNDLE).status_code == 201
        order = rental.order(terms)
        assert renter.post_order(terms, order).status_code == 201
        rig.until(lambda: renter.job(job_id(rental.domain, order.order))["detail"], "looked at")
        yield oracle


def command(oracle: rig.OracleProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [
            sys.executable,
            *rig.WARNINGS,
            "-m",
            "oracle",
            *arguments,
            "--settings",
            str(oracle.folder / "oracle.toml"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.environ["PATH"]},
        check=False,
    )


def kept(url: str) -> dict[str, list[tuple[object, ...]]]:
    """What exists nowhere else, but for what running oracles note meanwhile."""
    store = open_store(url)
    columns = {
        table.name: [c for c in table.columns if c.name not in ("detail", "updated_at")]
        for table in KEPT
        if table.name not in ("duties", "worker_links")
    }
    with store.read() as transaction:
        found = {name: sorted(map(tuple, transaction.execute(select(*cs)))) for name, cs in columns.items()}
    store.close()
    return found


def assert_index_is_the_chains(rental: rig.Rental, url: str, folder: Path) -> None:
    store = open_store(url)
    assert_equals_replay(rental.deployment, store, folder)
    store.close()


def spoil(url: str) -> None:
    """An index that no chain could have led to."""
    store = open_store(url)
    with store.write() as transaction:
        transaction.exec_driver_sql("DELETE FROM leases")
        transaction.exec_driver_sql("UPDATE offers SET listed = false")
        transaction.exec_driver_sql("DELETE FROM events WHERE log_index = 0")
    store.close()


def test_rebuild__index_is_wrong__as_a_fresh_one_and_nothing_else_changed(
    rental: rig.Rental, oracle: rig.OracleProcess, database_url: str, tmp_path: Path
) -> None:
    shared = "postgresql" in database_url
    if not shared:
        assert command(oracle, "rebuild").returncode == 2, "an oracle is running"
        assert oracle.terminate() == 0
    spoil(database_url)
    before = kept(database_url)
    done = command(oracle, "rebuild")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["incomplete"], said["events"] > 5) == ([], True)
    assert kept(database_url) == before
    if not shared:
        oracle.start()
    renter = rig.Caller(oracle, rental.domain, rental.renter)
    # Those that go on meanwhile, or start again, read on from there.
    rental.deployment.anvil.send(
        rental.provider, rental.deployment.market.build_list(replace(rental.offer, salt=5))
    )
    rig.until(lambda: len(renter("GET", "/v1/offers").json()["offers"]) == 2, "the new offer is indexed")
    assert oracle.terminate() == 0
    assert_index_is_the_chains(rental, database_url, tmp_path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_oracle__file_damaged__says_so_and_is_rebuilt(
    rental: rig.Rental, oracle: rig.OracleProcess, database_url: str, tmp_path: Path
) -> None:
    assert oracle.terminate() == 0
    before = kept(database_url)
    path = Path(database_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name IN ('events', 'leases', 'ix_offers_price')"
        pages = [row[0] for row in connection.execute(query)]
    assert len(pages) == INDEX_PAGES
    with path.open("r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(random.Random(page).randbytes(4096))
    refused = command(oracle)
    assert refused.returncode == 70
    assert json.loads(refused.stderr.splitlines()[-1])["code"] == "store_damaged"
    done = command(oracle, "rebuild")
    assert done.returncode == 0, done.stderr
    assert kept(database_url) == before
    assert_index_is_the_chains(rental, database_url, tmp_path)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_oracle__disk_full__stops_and_goes_on_from_there_when_there_is_room(
    rental: rig.Rental, oracle: rig.OracleProcess, database_url: str, tmp_path: Path
) -> None:
    assert oracle.process is not None
    log = Path(f"{database_url.removeprefix('sqlite:///')}-wal")
    limit = log.stat().st_size + 20_000
    resource.prlimit(oracle.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    market = rental.deployment.market
    for salt in range(1, 200):
        if oracle.process.poll() is not None:
            break
        rental.deployment.anvil.send(rental.provider, market.build_list(replace(rental.offer, salt=salt)))
    assert oracle.process.wait(20) == 70
    (halted,) = oracle.lines("halted")
    assert halted["reason"].startswith("store: expected room to write")
    oracle.start()
    renter = rig.Caller(oracle, rental.domain, rental.renter)
    head = int(rental.deployment.anvil.call("eth_blockNumber"), 16)
    rig.until(lambda: renter("GET", "/v1/health").json()["indexed_block"] >= head, "caught up")
    assert oracle.terminate() == 0
    assert_index_is_the_chains(rental, database_url, tmp_path)
