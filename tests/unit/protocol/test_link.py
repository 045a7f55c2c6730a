"""Messages of the link: strict both ways, and sized."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import link
from protocol.errors import BadInput, LimitExceeded, ProtocolError
from protocol.orders import job_id
from protocol.signed import SignedOffer, SignedReceipt
from protocol.units import Digest, to_hex
from tests.unit.protocol.parties import (
    DOMAIN,
    EVIDENCE,
    OFFER,
    ORDER,
    TERMS,
    WORKER,
    signed_order,
    signed_receipt,
)

HASH = to_hex(b"\xab" * 32)
SIGNATURE = to_hex(b"\xcd" * 65)
JOB = {"job_id": HASH, "attempt": 1, "fencing_token": 2}
INVENTORY = link.Inventory(device="cuda", gpus=(link.Gpu(id=HASH, name="RTX", vram_mib=24_564),), cpu_count=8)
ASSIGNMENT = link.Assignment.of(job_id(DOMAIN, ORDER), 1, 2, TERMS, signed_order())

FROM_SERVER: list[Any] = [
    link.Challenge(nonce=HASH, chain_id=1, market=WORKER.address),
    link.Welcome(server_time=5),
    link.Refused(code="signature_invalid", message="no"),
    link.Desired(assignments=(ASSIGNMENT,)),
    link.Desired(assignments=()),
    link.LogAck(job_id=HASH, attempt=1, next_offset=9),
    link.ReceiptAck(job_id=HASH, attempt=1, accepted=False, code="stale_attempt"),
    link.QuoteRequest(request_id=HASH, requirements={"gpu_class": "CPU"}, deadline=9),
]
FROM_WORKER: list[Any] = [
    link.Hello(
        worker=WORKER.address,
        unit_id=HASH,
        inventory=INVENTORY,
        expires_at=5,
        signature=SIGNATURE,
        attempts=(link.Attempt(**JOB, state="running"),),
    ),
    link.Heartbeat.of(EVIDENCE.heartbeats[0]),
    link.Status(**JOB, state="lost", detail="no process"),
    link.Log(**JOB, offset=3, data=b"\x00\xffline\n"),
    link.Receipt.of(signed_receipt(), 2),
    link.Quote(request_id=HASH, signed_offer=SignedOffer(OFFER, b"\x01" * 65).to_json()),
    link.Quote(request_id=HASH),
]
MESSAGES = FROM_SERVER + FROM_WORKER


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_message__encoded__comes_back_on_its_own_side_only(message: Any) -> None:
    frame = link.encode(message)
    ours, theirs = link.decode_from_server, link.decode_from_worker
    if message in FROM_WORKER:
        ours, theirs = theirs, ours
    assert link.decode(frame) == link.decode(frame.encode()) == ours(frame) == message
    assert json.loads(frame)["type"]
    with pytest.raises(BadInput):
        theirs(frame)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_decode__key_unknown_or_missing__is_refused(message: Any) -> None:
    data = json.loads(link.encode(message))
    with pytest.raises(BadInput, match="unknown field"):
        link.decode(json.dumps({**data, "surplus": 1}))
    defaults = (
        {"detail", "code", "quotes", "signed_offer"} if not isinstance(message, link.Refused) else set[str]()
    )
    for name in data.keys() - defaults:
        with pytest.raises(BadInput):
            link.decode(json.dumps({key: value for key, value in data.items() if key != name}))


def test_read__signed_values__come_back_typed() -> None:
    assert ASSIGNMENT.read_terms() == TERMS
    assert ASSIGNMENT.read_order() == signed_order()
    assert ASSIGNMENT.read_job_id() == job_id(DOMAIN, ORDER)
    assert FROM_WORKER[1].read() == EVIDENCE.heartbeats[0]
    assert FROM_WORKER[4].read() == signed_receipt()
    assert FROM_WORKER[0].read_worker() == WORKER.address
    assert FROM_WORKER[0].read_unit_id() == b"\xab" * 32


def test_read__malformed_struct_inside__is_refused() -> None:
    data = json.loads(link.encode(FROM_WORKER[4]))
    data["receipt"]["attempt"] = -1
    message = link.decode_from_worker(json.dumps(data))
    assert isinstance(message, link.Receipt)
    with pytest.raises(BadInput, match=r"JobReceipt\.attempt"):
        message.read()


@pytest.mark.parametrize(
    "changes",
    [
        {"attempt": 0},
        {"attempt": True},
        {"attempt": "1"},
        {"attempt": 1 << 48},
        {"job_id": HASH + "\n"},
        {"job_id": HASH.upper()},
        {"state": "bored"},
        {"detail": "x" * 4097},
        {"detail": None},
        {"type": "log"},
        {"type": None},
    ],
)
def test_decode__value_out_of_its_type__is_refused(changes: dict[str, Any]) -> None:
    data = json.loads(link.encode(FROM_WORKER[2]))
    with pytest.raises(BadInput):
        link.decode(json.dumps({**data, **changes}))


def test_log__too_much_at_once__is_refused() -> None:
    frame = link.encode(link.Log(**JOB, offset=0, data=bytes(link.MAX_LOG_BYTES + 1)))
    with pytest.raises(BadInput):
        link.decode(frame)


def test_frame__too_large__is_refused_on_both_ends() -> None:
    with pytest.raises(LimitExceeded):
        link.decode(" " * (link.MAX_FRAME_BYTES + 1))
    with pytest.raises(LimitExceeded):
        link.encode(link.Log(**JOB, offset=0, data=bytes(link.MAX_FRAME_BYTES)))


@given(st.one_of(st.binary(max_size=500), st.text(max_size=500)))
def test_decode__random_frame__never_fails_otherwise(frame: bytes | str) -> None:
    with pytest.raises(ProtocolError):
        link.decode(frame)


def test_decode__deep_nesting__is_refused() -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(BadInput):
        link.decode(f'{{"type":"heartbeat","signature":"{SIGNATURE}","heartbeat":{{"a":{deep}}}}}')


def test_receipt__sealed_artifacts__come_back_and_are_all_or_none() -> None:
    bare = signed_receipt()
    sealed = replace(bare, sealed={name: Digest(b"c" * 32) for name in bare.artifacts})
    for signed in (bare, sealed):
        message = link.decode_from_worker(link.encode(link.Receipt.of(signed, 1)))
        assert isinstance(message, link.Receipt)
        assert message.read() == signed
    assert (bare.stored, sealed.stored) == (bare.artifacts, sealed.sealed)
    for wrong in ({}, {"log": "0" * 64}, {**sealed.to_json()["sealed"], "trace": "0" * 64}):
        with pytest.raises(BadInput, match=r"sealed"):
            SignedReceipt.from_json({**bare.to_json(), "sealed": wrong})
