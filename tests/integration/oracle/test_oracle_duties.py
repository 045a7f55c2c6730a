"""One holder of a duty at a time, whatever happens to it: real processes on one PostgreSQL."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select

from oracle.duties import Duty
from oracle.store.engine import Store, open_store
from oracle.store.outbox import StoreOutbox
from oracle.store.tables import duties, request_nonces
from protocol.calls import Call
from protocol.errors import DutyLost
from protocol.outbox import Reservation
from protocol.units import address_of
from tests.integration.oracle import oracle_rig as rig
from tests.postgres import Postgres

SECONDS = 1.0
QUIET: dict[str, Any] = {"text": True, "stderr": subprocess.DEVNULL}


@pytest.fixture
def url(postgres: Postgres) -> str:
    return postgres.new_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url)
    yield opened
    opened.close()


@contextmanager
def run_holder(url: str, holder: str, place: str) -> "Iterator[subprocess.Popen[str]]":
    """A process that holds the duty and stands still at that place."""
    program = [sys.executable, "-m", "tests.integration.oracle.duty_holder", url, holder, str(SECONDS), place]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **QUIET) as process:
        try:
            assert said(process) == "ready"
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: "subprocess.Popen[str]") -> str:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return said(process)


def written(store: Store) -> list[str]:
    with store.read() as transaction:
        found = transaction.execute(select(request_nonces.c.nonce)).scalars()
        return sorted(nonce.decode().strip() for nonce in found)


def holder_of(store: Store) -> tuple[str, int]:
    with store.read() as transaction:
        row = transaction.execute(select(duties)).one()
    return row.holder, row.fencing_token


@pytest.mark.parametrize("place", ["before", "inside", "written"])
def test_duty__holder_paused_beyond_its_end__late_write_refused(store: Store, url: str, place: str) -> None:
    second = Duty(store, "work", "second", SECONDS)
    with run_holder(url, "first", place) as first:
        os.kill(first.pid, signal.SIGSTOP)
        rig.until(second.hold, "the second takes over", 20)
        assert holder_of(store) == ("second", 2)
        os.kill(first.pid, signal.SIGCONT)
        assert go_on(first) == ("duty_lost" if place == "before" else "store_unavailable")
    assert written(store) == []
    assert second.hold()
    assert holder_of(store) == ("second", 2)


def test_duty__holder_killed_in_a_transaction__nothing_of_it_kept_and_next_takes_over(
    store: Store, url: str
) -> None:
    second = Duty(store, "work", "second", SECONDS)
    with run_holder(url, "first", "written") as first:
        first.kill()
        first.wait()
        rig.until(second.hold, "the second takes over", 20)
    assert written(store) == []
    assert holder_of(store) == ("second", 2)


def test_duty__renewed_in_time__stays_with_its_holder(store: Store) -> None:
    clock = [0.0]
    first = Duty(store, "work", "first", 30, lambda: clock[0])
    second = Duty(store, "work", "second", 30)
    assert first.hold()
    clock[0] = 29.0
    assert first.hold()
    assert not second.hold()
    assert holder_of(store) == ("first", 1)
    assert first.held_seconds == 29
    first.give_up()
    assert second.hold()
    with pytest.raises(DutyLost), first.store.write():
        raise AssertionError("written without the duty")


def test_duty__several_processes_want_it__one_at_a_time(store: Store, url: str) -> None:
    with run_holder(url, "first", "before") as first:
        program = [sys.executable, "-m", "tests.integration.oracle.duty_holder", url, "x", "30", "none"]
        with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **QUIET) as other:
            while (answer := said(other)) == "busy":
                assert other.stdin is not None
                other.stdin.write("\n")
                other.stdin.flush()
            assert answer == "written"
        assert go_on(first) == "duty_lost"
    assert written(store) == ["x"]


def test_duty__store_of_one_oracle__always_held(tmp_path: rig.Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    duty = Duty(store, "work", "only", SECONDS)
    assert duty.hold()
    assert duty.store is store
    store.close()


def test_outbox__of_an_oracle_off_duty__is_read_and_not_written(store: Store) -> None:
    first, second = (Duty(store, "keeper", holder, 60) for holder in ("first", "second"))
    own, other = StoreOutbox(first.store), StoreOutbox(second.store)
    for outbox in (own, other):
        outbox.bind(bytes(32))
    calls = [Reservation(name, Call(address_of(bytes(20)), b""), 21_000) for name in ("a", "b")]
    assert first.hold() and not second.hold()
    rows = own.reserve(calls[:1], 0)
    with pytest.raises(DutyLost):
        other.reserve(calls[1:], 0)
    assert other.list_unconfirmed() == rows
    first.give_up()
    assert second.hold()
    with pytest.raises(DutyLost):
        own.move("a", 7)
    assert [row.nonce for row in other.reserve(calls, 0)] == [0, 1]
