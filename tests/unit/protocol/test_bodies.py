"""Bodies of the HTTP API: strict, and their structs are read as strictly as anywhere."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from protocol.bodies import ArtifactBody, ErrorBody, JobBody, LeaseBody, OrderBody, json_of
from protocol.errors import DigestMismatch
from protocol.structs import to_json
from protocol.units import to_hex
from tests.unit.protocol.parties import LEASE_ID, ORDER, SPEC, TERMS, signed_order, signed_receipt

ORDER_JSON: dict[str, Any] = json_of(OrderBody.of(TERMS, signed_order()))


def test_order_body__from_its_json__is_the_signed_order() -> None:
    body = OrderBody.model_validate_json(json.dumps(ORDER_JSON))
    assert (body.terms, body.signed_order()) == (TERMS, signed_order())
    unsigned = OrderBody.model_validate({**ORDER_JSON, "signature": None})
    assert unsigned.signed_order().signature is None


@pytest.mark.parametrize(
    "changes",
    [
        {"surplus": 1},
        {"signature": "0x00"},
        {"signature": 5},
        {"terms": None},
        {"terms": {**to_json(TERMS), "start": "1"}},
        {"order": {**to_json(ORDER), "surplus": 1}},
        {"spec": {**to_json(SPEC), "job_class": "TRACED"}},
        {"spec": {**to_json(SPEC), "entrypoint": "\ud800"}},
        {"spec": []},
    ],
)
def test_order_body__malformed__is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        OrderBody.model_validate({**ORDER_JSON, **changes})


def lease_body(**changes: Any) -> LeaseBody:
    zero = to_hex(bytes(32))
    fields: dict[str, Any] = {
        "lease_id": to_hex(LEASE_ID),
        "terms": TERMS,
        "renter": TERMS.renter,
        "status": "open",
        "opened_block": 5,
        "end": TERMS.end,
        "deposit_units": 2**96 - 1,
        "settled_seconds": 0,
        "pending_seconds": 0,
        "matures_at": 0,
        "proof_hash": zero,
        "open_disputes": 0,
        "closing": False,
        "penalty_seconds": 0,
        "lost_seconds": 0,
        "paid_units": 0,
        "fee_units": 0,
        "moved_units": 0,
        "refund_units": 0,
        "compensation_units": 0,
        "bond_slashed": False,
        "hours_released": False,
    }
    return LeaseBody.model_validate({**fields, **changes})


def test_lease_body__money__is_decimal_text_on_the_wire() -> None:
    data = json_of(lease_body())
    assert data["deposit_units"] == str(2**96 - 1)
    assert LeaseBody.model_validate_json(json.dumps(data)) == lease_body()


@pytest.mark.parametrize("money", [-1, "-1", "1e5", "0x1", "٣", "1.0", "9" * 79, 1.5, None, ""])
def test_lease_body__not_an_amount__is_refused(money: object) -> None:
    with pytest.raises(ValidationError):
        lease_body(paid_units=money)


def test_job_body__with_a_receipt__comes_back() -> None:
    body = JobBody(
        job_id=to_hex(bytes(32)),
        lease_id=to_hex(LEASE_ID),
        state="finished",
        detail="",
        order=ORDER,
        spec=SPEC,
        checked_as="OPAQUE",
        attempt=1,
        created_at=1,
        updated_at=2,
        log_bytes=3,
        receipt=signed_receipt(),
        proof_hash=None,
    )
    assert JobBody.model_validate_json(json.dumps(json_of(body))) == body


@pytest.mark.parametrize("digest", ["A" * 64, "a" * 63, "a" * 64 + "\n", "0x" + "a" * 62])
def test_artifact_body__not_a_sha256__is_refused(digest: str) -> None:
    with pytest.raises(ValidationError):
        ArtifactBody(digest=digest, size_bytes=1, created=True)


def test_error_body__of_an_error__has_its_code() -> None:
    body = ErrorBody.of(DigestMismatch("expected a, got b"))
    assert json_of(body) == {"code": "digest_mismatch", "message": "expected a, got b"}
