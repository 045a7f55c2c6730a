"""What the API says of itself: codes, bodies, and reads in batches."""

import ast
import asyncio
import shutil
from pathlib import Path

import pytest

import oracle.api
import protocol.errors
from oracle.api.batches import Batches
from oracle.api.codes import CODES
from oracle.quorum.examination import RefusalCode
from oracle.store import entities
from oracle.store.engine import Store, open_store
from protocol import bodies
from protocol.errors import StoreBroken
from protocol.ledger import Changes
from protocol.schemas import struct_schema
from protocol.structs import STRUCTS
from tests.unit.oracle import oracle_samples as samples

API = Path(oracle.api.__file__).parent
NOT_OF_THE_API = {
    *("protocol_error", "rejected", "retryable", "invariant_broken", "transaction_reverted", "wrong_chain"),
    *("no_code", "unknown_event", "limit_exceeded", "transaction_underpriced", "transaction_pending"),
    *("insufficient_funds", "service_unavailable", "key_contested", "seal_broken"),
}
"""Of the chain's side or of the parties', or roots of the tree."""


def codes_in(path: Path) -> set[str]:
    """Literals that are the code of an ApiError, or the keyword `code`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = node.func.id if isinstance(node.func, ast.Name) else ""
        given = node.args[{"ApiError": 1, "too_many": 0}.get(called, 99) :][:1]
        given += [keyword.value for keyword in node.keywords if keyword.arg == "code"]
        found |= {arg.value for arg in given if isinstance(arg, ast.Constant) and isinstance(arg.value, str)}
    return found


def test_codes__every_one_that_is_sent__is_documented() -> None:
    sources = [*API.glob("*.py"), *API.parent.glob("*.py")]
    sent = set[str]().union(*(codes_in(path) for path in sources))
    classes = [
        c for c in vars(protocol.errors).values() if isinstance(c, type) and hasattr(c, "default_code")
    ]
    sent |= {c.default_code for c in classes} - NOT_OF_THE_API
    sent |= set(RefusalCode)
    assert len(sent) > 30
    assert sent <= set(CODES)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_schema__of_a_struct__has_its_fields(name: str) -> None:
    schema = struct_schema(name)
    assert schema["required"] == list(schema["properties"])
    assert not schema["additionalProperties"]


def test_schema__of_bodies__money_is_text_and_structs_are_described() -> None:
    schema = bodies.LeaseBody.model_json_schema()["properties"]
    assert schema["deposit_units"]["type"] == "string"
    offer = schema["terms"]["properties"]["offer"]["properties"]
    assert offer["price_per_hour"]["type"] == "string"
    assert offer["kind"]["enum"] == ["reserved", "idle"]


def test_batches__many_at_once__each_its_own_answer_or_error(store: Store) -> None:
    with store.write() as transaction:
        entities.write_changes(transaction, [Changes(units=(samples.make_unit(),))])

    async def ask_all() -> list[object]:
        batches = Batches(store)
        good = [batches.read(lambda t: entities.get_unit(t, samples.UNIT_ID)) for _ in range(100)]
        bad = [batches.read(lambda _: 1 // 0) for _ in range(3)]
        cancelled = asyncio.ensure_future(batches.read(lambda _: 1))
        asyncio.get_running_loop().call_soon(cancelled.cancel)
        return await asyncio.gather(*good, *bad, cancelled, return_exceptions=True)

    answers = asyncio.run(ask_all())
    assert answers[:100] == [samples.make_unit()] * 100
    assert [type(answer) for answer in answers[100:]] == [ZeroDivisionError] * 3 + [asyncio.CancelledError]


def test_batches__store_gone__each_learns_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    store = open_store(f"sqlite:///{folder / 'store.sqlite'}")
    store.close()
    shutil.rmtree(folder)

    async def ask() -> list[object]:
        batches = Batches(store)
        return await asyncio.gather(*(batches.read(lambda _: 1) for _ in range(3)), return_exceptions=True)

    assert [type(answer) for answer in asyncio.run(ask())] == [StoreBroken] * 3
