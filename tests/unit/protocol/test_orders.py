"""Which orders are authorised: by the renter's signature, or by the terms of their lease."""

from dataclasses import replace
from typing import Any

import pytest

from protocol.digests import sha256
from protocol.errors import DigestMismatch, RejectedError, SignatureInvalid
from protocol.orders import check_order, first_order_hash, gang_id, job_id, lease_id
from protocol.structs import ArtifactRef, LeaseId, Terms
from protocol.typed_data import digest, hash_struct, sign
from protocol.units import ZERO_DIGEST
from tests.unit.protocol.parties import DOMAIN, ORDER, RENTER, SPEC, STRANGER, TERMS

OTHER = sha256(b"other")
SIGNATURE = sign(DOMAIN, ORDER, RENTER)


def first_order_terms() -> Terms:
    """Terms that carry the order: its hash must not depend on the lease's id."""
    return replace(TERMS, first_order=first_order_hash(ORDER))


def test_check_order__signed_by_the_renter__gives_the_job_id() -> None:
    assert (
        check_order(DOMAIN, TERMS, ORDER, SIGNATURE, SPEC) == job_id(DOMAIN, ORDER) == digest(DOMAIN, ORDER)
    )


def test_check_order__first_order_of_its_terms__needs_no_signature() -> None:
    terms = first_order_terms()
    order = replace(ORDER, lease_id=lease_id(DOMAIN, terms))
    assert first_order_hash(order) == terms.first_order
    assert check_order(DOMAIN, terms, order, None, SPEC) == job_id(DOMAIN, order)


def test_check_order__same_first_order_in_two_leases__are_two_jobs() -> None:
    one, two = first_order_terms(), replace(first_order_terms(), salt=9)
    ids = {
        check_order(DOMAIN, terms, replace(ORDER, lease_id=lease_id(DOMAIN, terms)), None, SPEC)
        for terms in (one, two)
    }
    assert len(ids) == 2


def test_gang_id__terms_of_any_lease__are_bound() -> None:
    drafts = [replace(TERMS, salt=salt) for salt in (1, 2)]
    found = gang_id(drafts)
    assert gang_id([replace(draft, gang_id=found) for draft in drafts]) == found
    others = [
        [drafts[0], replace(drafts[1], offer=replace(TERMS.offer, salt=9))],
        [replace(drafts[0], salt=9), drafts[1]],
        [replace(drafts[0], end=TERMS.end - 1), drafts[1]],
        [replace(draft, renter=TERMS.offer.provider) for draft in drafts],
        [*drafts, drafts[1]],
    ]
    assert len({found, *map(gang_id, others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"lease_id": LeaseId(OTHER)}, DigestMismatch),
        ({"lease_id": LeaseId(ZERO_DIGEST)}, DigestMismatch),
        ({"spec_digest": OTHER}, DigestMismatch),
        ({"bundle": ArtifactRef(OTHER, OTHER, 8)}, DigestMismatch),
        ({"data": ArtifactRef(OTHER, OTHER, 8)}, DigestMismatch),
        ({"nonce": 1}, SignatureInvalid),
        ({"deadline": 0}, SignatureInvalid),
    ],
)
def test_check_order__order_changed__is_refused(change: dict[str, Any], error: type[RejectedError]) -> None:
    with pytest.raises(error):
        check_order(DOMAIN, TERMS, replace(ORDER, **change), SIGNATURE, SPEC)


def test_check_order__spec_changed__is_refused() -> None:
    with pytest.raises(DigestMismatch, match="spec digest"):
        check_order(DOMAIN, TERMS, ORDER, SIGNATURE, replace(SPEC, seed=8))


def test_check_order__spec_of_another_bundle__is_refused() -> None:
    spec = replace(SPEC, bundle_digest=OTHER)
    order = replace(ORDER, spec_digest=hash_struct(spec))
    with pytest.raises(DigestMismatch, match="bundle"):
        check_order(DOMAIN, TERMS, order, sign(DOMAIN, order, RENTER), spec)


def test_check_order__signed_by_a_stranger__is_refused() -> None:
    with pytest.raises(SignatureInvalid, match=f"expected a signature by {RENTER.address}"):
        check_order(DOMAIN, TERMS, ORDER, sign(DOMAIN, ORDER, STRANGER), SPEC)


def test_check_order__neither_signed_nor_the_first__is_refused() -> None:
    with pytest.raises(SignatureInvalid, match="the first one of its terms"):
        check_order(DOMAIN, TERMS, ORDER, None, SPEC)
    terms = first_order_terms()
    second = replace(ORDER, lease_id=lease_id(DOMAIN, terms), nonce=1)
    with pytest.raises(SignatureInvalid):
        check_order(DOMAIN, terms, second, None, SPEC)
