"""The outbox on disk: what a method returned from is there after a restart."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from oracle.store.engine import open_store
from oracle.store.outbox import StoreOutbox
from protocol.calls import Call
from protocol.errors import BadInput
from protocol.outbox import IntentState, Outbox, Receipt, Reservation, SignedAttempt, SqliteOutbox
from protocol.units import address_of

CALL = Call(address_of(b"\x0a" * 20), b"\1\2", 2**200)
SCOPE = b"scope"


def attempt(number: int, nonce: int = 0) -> SignedAttempt:
    return SignedAttempt(bytes([number]) * 32, b"raw", nonce, 2**70, 2**65, 5.5)


def receipt(status: int = 1) -> Receipt:
    raw: dict[str, Any] = {
        "transactionHash": "0x" + "01" * 32,
        "blockNumber": "0x5",
        "blockHash": "0x" + "02" * 32,
        "status": hex(status),
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x1",
        "logs": [],
    }
    return Receipt.of(raw)


class Files:
    """Opens the same outbox again and again, as restarts do."""

    def __init__(self, stack: ExitStack, place: Path | str) -> None:
        """`place`: a file, or the URL of a database."""
        self.stack = stack
        self.place = place

    def __call__(self, scope: bytes = SCOPE) -> Outbox:
        outbox = self.open()
        outbox.bind(scope)
        return outbox

    def open(self) -> Outbox:
        return self.stack.enter_context(closing(SqliteOutbox(Path(self.place), clock=lambda: 1.0)))


class Stores(Files):
    """The one in the oracle's store."""

    def open(self) -> Outbox:
        store = self.stack.enter_context(closing(open_store(str(self.place))))
        return StoreOutbox(store, clock=lambda: 1.0)


@pytest.fixture(params=["file", "sqlite", "postgresql"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Files]:
    with ExitStack() as stack:
        path = tmp_path / "folder" / "outbox.sqlite"
        if request.param == "file":
            yield Files(stack, path)
        elif request.param == "sqlite":
            path.parent.mkdir()
            yield Stores(stack, f"sqlite:///{path}")
        else:
            yield Stores(stack, request.getfixturevalue("postgres").new_database())


def test_reserve__nonces__follow_each_other_and_the_chain(reopen: Files) -> None:
    outbox = reopen()
    assert outbox.next_nonce() == 0
    assert [
        outbox.reserve([Reservation(f"i{n}", CALL, 21_000)], first)[0].nonce
        for n, first in enumerate((3, 0, 9))
    ] == [
        3,
        4,
        9,
    ]
    assert reopen().next_nonce() == 10


def test_reserve__same_intent_again__is_the_same_row(reopen: Files) -> None:
    first = reopen().reserve([Reservation("i", CALL, 21_000)], 0)[0]
    assert reopen().reserve([Reservation("i", CALL, 99_000)], 50)[0] == first
    assert reopen().next_nonce() == 1


def test_row__through_its_states__survives_restarts(reopen: Files) -> None:
    reopen().reserve([Reservation("i", CALL, 21_000)], 0)
    row = reopen().find("i")
    assert row is not None
    assert (row.call, row.gas_limit, row.state, row.attempts) == (CALL, 21_000, IntentState.RESERVED, ())
    reopen().save_signed([("i", attempt(1))])
    reopen().save_signed([("i", attempt(2))])
    reopen().save_signed([("i", attempt(2))])
    row = reopen().find("i")
    assert row is not None
    assert (row.state, row.attempts) == (IntentState.SIGNED, (attempt(1), attempt(2)))
    assert [found.intent for found in reopen().list_unconfirmed()] == ["i"]
    reopen().mark_mined("i", receipt())
    row = reopen().at_nonce(0)
    assert row is not None
    assert (row.state, row.receipt) == (IntentState.MINED, receipt())
    assert reopen().list_unconfirmed() == []


def test_mark_failed__error_and_receipt__are_kept(reopen: Files) -> None:
    outbox = reopen()
    outbox.reserve([Reservation("a", CALL, 1)], 0)
    outbox.reserve([Reservation("b", CALL, 1)], 0)
    assert outbox.mark_failed("a", "GpuTaken()", receipt(0)).receipt == receipt(0)
    row = outbox.mark_failed("b", "never", None)
    assert (row.state, row.error, row.receipt) == (IntentState.FAILED, "never", None)
    assert row.nonce < 0 and outbox.at_nonce(1) is None  # whoever took the nonce has it
    outbox.reserve([Reservation("c", CALL, 1)], 1)
    assert outbox.mark_failed("c", "never", None).nonce == row.nonce - 1


def test_move__nonce_taken__gives_a_later_one_and_keeps_what_was_signed(reopen: Files) -> None:
    outbox = reopen()
    outbox.reserve([Reservation("a", CALL, 1)], 0)
    outbox.save_signed([("a", attempt(1))])
    outbox.reserve([Reservation("b", CALL, 1)], 0)
    row = outbox.move("a", 1)
    assert (row.nonce, row.state, row.attempts) == (2, IntentState.RESERVED, (attempt(1),))
    assert outbox.move("b", 7).nonce == 7


def test_reserve_at__nonce_that_a_row_has__is_that_row(reopen: Files) -> None:
    outbox = reopen()
    first = outbox.reserve_at(Reservation("gap", CALL, 1), 5)
    assert outbox.reserve_at(Reservation("other", CALL, 1), 5) == first
    assert outbox.find("other") is None
    assert outbox.next_nonce() == 6


def test_spent_wei__until_mined_and_after__is_the_worst_case_and_then_the_cost(reopen: Files) -> None:
    outbox = reopen()
    outbox.reserve([Reservation("a", Call(CALL.to, b"", 7), 10), Reservation("b", CALL, 10)], 0)
    assert outbox.spent_wei(0) == 0
    outbox.save_signed([("a", attempt(1))])
    assert outbox.spent_wei(5.5) == 10 * 2**70 + 7 and outbox.spent_wei(5.6) == 0
    outbox.mark_mined("a", receipt())
    assert reopen().spent_wei(0) == 21_000 + 7
    assert outbox.newest_inclusion() == 5
    assert [row.intent for row in outbox.list_included(5)] == ["a"] and outbox.list_included(6) == []
    again = outbox.reopen("a")
    assert (again.state, again.receipt) == (IntentState.SIGNED, None)
    assert outbox.spent_wei(0) == 10 * 2**70 + 7 and outbox.newest_inclusion() is None
    outbox.mark_failed("a", "reverted", receipt(0))
    assert outbox.spent_wei(0) == 21_000  # its value stayed with us
    assert outbox.count_nonces(0, 2) == 2 and outbox.count_nonces(1, 9) == 1


def test_bind__other_scope__sees_no_rows_and_has_its_own_nonces(reopen: Files) -> None:
    reopen().reserve([Reservation("i", CALL, 1)], 4)
    other = reopen(b"another")
    assert other.find("i") is None
    assert other.reserve([Reservation("i", CALL, 1)], 0)[0].nonce == 0
    with pytest.raises(BadInput, match="one account of one chain"):
        other.bind(SCOPE)


def test_outbox__not_bound__is_of_no_use(reopen: Files) -> None:
    with pytest.raises(RuntimeError, match="bind"):
        reopen.open().find("i")


def test_update__unknown_intent__is_refused(reopen: Files) -> None:
    with pytest.raises(BadInput, match="expected a row for i"):
        reopen().mark_mined("i", receipt())


def test_file__settings__are_durable(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "outbox.sqlite"
    with closing(SqliteOutbox(path)) as outbox, closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert outbox._connection.execute("PRAGMA synchronous").fetchone() == (2,)
