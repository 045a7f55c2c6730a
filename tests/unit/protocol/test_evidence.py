"""Evidence: one text for each value, and every lie in it is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import merkle
from protocol.digests import sha256
from protocol.errors import BadInput, LimitExceeded, ProtocolError
from protocol.evidence import (
    MAX_EVIDENCE_BYTES,
    Evidence,
    availability_root,
    check,
    decode,
    encode,
    jobs_root,
)
from protocol.orders import job_id
from protocol.structs import JobClass, LeaseId
from protocol.typed_data import digest, hash_struct
from protocol.units import ZERO_DIGEST, Address, JobId, ProofHash, UnitId
from tests.unit.protocol.parties import (
    DOMAIN,
    EVIDENCE,
    HEARTBEATS,
    LEASE_ID,
    ORDER,
    RECEIPT,
    SPEC,
    STRANGER,
    TERMS,
    WORKER,
    evidence_of,
    signed_heartbeat,
    signed_order,
    signed_receipt,
)

ORDERS = (signed_order(),)
RECEIPTS = (signed_receipt(),)
OTHER = sha256(b"other")


def codes(evidence: Evidence, previous: Any = None) -> set[str]:
    return {found.code for found in check(evidence, DOMAIN, Address(WORKER.address), TERMS, previous)}


def test_check__sound_evidence__finds_nothing() -> None:
    assert check(EVIDENCE, DOMAIN, Address(WORKER.address), TERMS) == []
    assert codes(evidence_of((), (), (), 0)) == set()


def test_roots__digests__are_leaves_with_the_prefix() -> None:
    value = digest(DOMAIN, RECEIPT)
    assert jobs_root([value]) == availability_root([value]) == merkle.leaf_hash(value)
    assert jobs_root([]) == bytes(32)


def test_evidence__encoded__comes_back() -> None:
    assert decode(encode(EVIDENCE)) == EVIDENCE
    text = json.loads(encode(EVIDENCE))
    assert set(text) == {"proof", "receipts", "heartbeats", "orders"}


def receipts_with(**changes: Any) -> Evidence:
    return evidence_of((signed_receipt(replace(RECEIPT, **changes)),), HEARTBEATS, ORDERS, 300)


def beats_with(**changes: Any) -> Evidence:
    beats = (*HEARTBEATS[:-1], signed_heartbeat(300, **changes))
    return evidence_of(RECEIPTS, beats, ORDERS, 270)


def foreign_receipt() -> Evidence:
    return evidence_of((signed_receipt(signer=STRANGER),), HEARTBEATS, ORDERS, 300)


def foreign_beat() -> Evidence:
    beats = (*HEARTBEATS[:-1], signed_heartbeat(300, signer=STRANGER))
    return evidence_of(RECEIPTS, beats, ORDERS, 270)


def foreign_order() -> Evidence:
    return evidence_of(RECEIPTS, HEARTBEATS, (signed_order(signer=STRANGER),), 300)


def unordered() -> Evidence:
    order = replace(ORDER, lease_id=LeaseId(OTHER))
    receipt = signed_receipt(replace(RECEIPT, order_digest=job_id(DOMAIN, order)))
    return evidence_of((receipt,), HEARTBEATS, (signed_order(order),), 300)


def unsigned_order() -> Evidence:
    return evidence_of(RECEIPTS, HEARTBEATS, (replace(ORDERS[0], signature=None),), 300)


def other_spec() -> Evidence:
    return evidence_of(RECEIPTS, HEARTBEATS, (replace(ORDERS[0], spec=replace(SPEC, seed=8)),), 300)


LIES: list[tuple[str, Callable[[], Evidence]]] = [
    ("proof_lease", lambda: evidence_of(RECEIPTS, HEARTBEATS, ORDERS, 300, lease_id=LeaseId(OTHER))),
    ("jobs_root", lambda: evidence_of(RECEIPTS, HEARTBEATS, ORDERS, 300, jobs_root=OTHER)),
    ("jobs_completed", lambda: evidence_of(RECEIPTS, HEARTBEATS, ORDERS, 300, jobs_completed=2)),
    ("availability_root", lambda: evidence_of(RECEIPTS, HEARTBEATS, ORDERS, 300, availability_root=OTHER)),
    ("proven_seconds", lambda: evidence_of(RECEIPTS, HEARTBEATS, ORDERS, 301)),
    ("receipt_signature", foreign_receipt),
    ("receipt_lease", lambda: receipts_with(lease_id=LeaseId(OTHER))),
    ("receipt_unit", lambda: receipts_with(unit_id=UnitId(OTHER))),
    ("receipt_output", lambda: receipts_with(output_digest=OTHER)),
    ("receipt_times", lambda: receipts_with(finished_at=RECEIPT.started_at - 1)),
    ("receipt_spec", lambda: receipts_with(spec_digest=OTHER)),
    ("receipt_input", lambda: receipts_with(input_digest=OTHER)),
    ("receipt_trace", lambda: receipts_with(trace_root=OTHER)),
    ("receipt_trace", lambda: receipts_with(leaf_count=1)),
    ("order_missing", lambda: receipts_with(order_digest=JobId(OTHER))),
    ("receipt_duplicate", lambda: evidence_of(RECEIPTS * 2, HEARTBEATS, ORDERS, 300)),
    ("order_missing", lambda: evidence_of(RECEIPTS, HEARTBEATS, (), 300)),
    ("order_superfluous", lambda: evidence_of(RECEIPTS, HEARTBEATS, ORDERS * 2, 300)),
    ("order_superfluous", lambda: evidence_of((), HEARTBEATS, ORDERS, 300)),
    ("order_invalid", foreign_order),
    ("order_invalid", unordered),
    ("order_invalid", unsigned_order),
    ("order_invalid", other_spec),
    ("heartbeat_signature", foreign_beat),
    ("heartbeat_lease", lambda: beats_with(lease_id=LeaseId(OTHER))),
    ("heartbeat_unit", lambda: beats_with(unit_id=UnitId(OTHER))),
    ("heartbeat_order", lambda: evidence_of(RECEIPTS, HEARTBEATS[::-1], ORDERS, 300)),
]


@pytest.mark.parametrize(("code", "lie"), LIES)
def test_check__one_lie__is_found_under_its_code(code: str, lie: Callable[[], Evidence]) -> None:
    assert code in codes(lie())


def test_check__every_code__has_a_lie_that_it_is_found_by() -> None:
    source = check.__globals__["_Findings"]
    names = {constant for code in _code_objects(source) for constant in code.co_consts if _is_code(constant)}
    assert len(names) > 15
    assert names - {"previous_proof", "output", "log"} <= {code for code, _ in LIES}


def _code_objects(cls: type) -> list[Any]:
    return [member.__code__ for member in vars(cls).values() if hasattr(member, "__code__")]


def _is_code(constant: object) -> bool:
    prefixes = ("proof_", "jobs_", "receipt_", "order_", "heartbeat_", "availability_", "proven_")
    return isinstance(constant, str) and " " not in constant and constant.startswith(prefixes)


def test_check__artifact_left_out__is_found() -> None:
    bare = signed_receipt(artifacts={})
    assert codes(evidence_of((bare,), HEARTBEATS, ORDERS, 300)) == {"receipt_output"}


def traced(**changes: Any) -> Evidence:
    spec = replace(SPEC, job_class=JobClass.TRACED)
    order = replace(ORDER, spec_digest=hash_struct(spec))
    fields = {"spec_digest": order.spec_digest, "order_digest": job_id(DOMAIN, order)}
    receipt = replace(RECEIPT, **{**fields, "trace_root": OTHER, "leaf_count": 3, **changes})
    artifacts = {"output": RECEIPT.output_digest, "trace": OTHER, "checkpoint/0": OTHER}
    signed = signed_receipt(receipt, artifacts)
    return evidence_of((signed,), HEARTBEATS, (signed_order(order, spec),), 300)


def test_check__traced_job__has_a_whole_trace_or_none() -> None:
    assert codes(traced()) == set()
    assert codes(traced(leaf_count=0)) == {"receipt_trace"}
    assert codes(traced(trace_root=ZERO_DIGEST)) == {"receipt_trace"}


def test_check__owner_had_the_gpus_back__counts_no_second() -> None:
    assert codes(beats_with(at_disposal=False)) == set()
    idle = evidence_of(RECEIPTS, tuple(signed_heartbeat(s, at_disposal=False) for s in (30, 60)), ORDERS, 1)
    assert codes(idle) == {"proven_seconds"}


def test_check__later_proof__is_measured_from_the_one_before() -> None:
    first = EVIDENCE.proof
    beats = tuple(signed_heartbeat(seconds) for seconds in (330, 360))
    before = ProofHash(hash_struct(first))
    assert codes(evidence_of((), beats, (), 360, previous_proof=before), first) == set()
    assert codes(evidence_of((), beats, (), 361, previous_proof=before), first) == {"proven_seconds"}
    assert codes(evidence_of((), beats, (), 299, previous_proof=before), first) == set()  # cut by a dispute
    assert codes(evidence_of((), beats, (), 360), first) == {"previous_proof"}


TEXT = encode(EVIDENCE)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        TEXT[:-1],
        TEXT + b"\n",
        b" " + TEXT,
        TEXT.replace(b'"attempt":1', b'"attempt":1.0'),
        TEXT.replace(b'"attempt":1', b'"attempt":1,"attempt":1'),
        TEXT.replace(b'"attempt":1', b'"attempt":true'),
        TEXT.replace(b'"log"', b'"../log"'),
        TEXT.replace(b'"log"', b'"checkpoint/01"'),
        TEXT.replace(b'"log"', b'"checkpoint/' + b"9" * 5000 + b'"'),
        b"[" * 1_000_000,
        b"\xff" + TEXT,
    ],
)
def test_decode__another_text__is_refused(text: bytes) -> None:
    with pytest.raises(BadInput):
        decode(text)


def test_decode__too_large__is_refused_before_it_is_read() -> None:
    with pytest.raises(LimitExceeded):
        decode(bytes(MAX_EVIDENCE_BYTES + 1))


@given(st.integers(0, len(TEXT) - 1), st.integers(0, 255))
def test_decode__one_byte_changed__is_refused_or_another_value(offset: int, byte: int) -> None:
    changed = TEXT[:offset] + bytes([byte]) + TEXT[offset + 1 :]
    try:
        evidence = decode(changed)
    except ProtocolError:
        return
    assert (evidence == EVIDENCE) == (changed == TEXT)


def test_lease_id__of_these_parties__is_in_all_of_it() -> None:
    assert RECEIPT.lease_id == ORDER.lease_id == LEASE_ID
