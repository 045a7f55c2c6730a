"""Ids of leases, gangs and jobs; which orders a worker must run: bound to a lease and a spec, authorised."""

from collections.abc import Sequence
from dataclasses import replace

from protocol.abi import canonical_type, struct_fields
from protocol.abi_bytes import abi_encode
from protocol.errors import BadInput, DigestMismatch, SignatureInvalid
from protocol.keccak import keccak256
from protocol.sealing import is_sealed
from protocol.structs import NO_ARTIFACT, JobOrder, JobSpec, LeaseTerms, Terms, abi_tuple
from protocol.typed_data import Domain, digest, hash_struct, recover
from protocol.units import ZERO_BYTES32, ZERO_DIGEST, Address, Digest, JobId, LeaseId, to_hex


def lease_id(domain: Domain, terms: Terms) -> LeaseId:
    """EIP-712 digest of a lease's opening terms."""
    return LeaseId(digest(domain, terms))


def job_id(domain: Domain, order: JobOrder) -> JobId:
    """EIP-712 digest of an order that names its lease."""
    return JobId(digest(domain, order))


def gang_id(drafts: Sequence[Terms]) -> Digest:
    """What all leases of a gang carry, the first one's terms first; whatever gang they name yet."""
    first = drafts[0]
    components = [field.component for field in struct_fields("LeaseTerms")]
    terms_type = canonical_type({"type": "tuple", "components": components})
    bare = abi_tuple(replace(LeaseTerms.of(first), gang_id=ZERO_DIGEST))
    hashes = [hash_struct(draft.offer) for draft in drafts]
    encoded = abi_encode(("bytes32[]", "address", terms_type), (hashes, first.renter, bare))
    return Digest(keccak256(encoded))


def first_order_hash(order: JobOrder) -> Digest:
    """What `Terms.first_order` carries: hashStruct with the lease's id, which depends on it, as zero."""
    return hash_struct(replace(order, lease_id=LeaseId(ZERO_BYTES32)))


def check_order(
    domain: Domain,
    terms: Terms,
    order: JobOrder,
    signature: bytes | None,
    spec: JobSpec,
    renters: Sequence[Address] | None = None,
) -> JobId:
    """The job's id, where the order is sound: DigestMismatch, BadInput or SignatureInvalid otherwise.

    `renters` are those who may order; None: the one of the terms, whose lease was never transferred.
    Says nothing of time: whether the lease runs and the order's deadline has passed is for the caller.
    """
    _equal("order's lease", lease_id(domain, terms), order.lease_id)
    _equal("order's spec digest", hash_struct(spec), order.spec_digest)
    _equal("order's bundle", spec.bundle_digest, order.bundle.plaintext_digest)
    _equal("order's data", spec.data_root, order.data.plaintext_digest)
    if is_sealed(order.bundle) != is_sealed(order.data) and order.data != NO_ARTIFACT:
        raise BadInput("order: expected bundle and data sealed both, or neither")
    allowed = (terms.renter,) if renters is None else renters
    if signature is not None:
        _signed_by_any(domain, order, signature, allowed)
    elif first_order_hash(order) != terms.first_order or terms.renter not in allowed:
        raise SignatureInvalid("order: expected the renter's signature, or to be the first one of its terms")
    return job_id(domain, order)


def _signed_by_any(domain: Domain, order: JobOrder, signature: bytes, renters: Sequence[Address]) -> None:
    signer = recover(domain, order, signature)
    if signer not in renters:
        raise SignatureInvalid(f"JobOrder: expected a signature by {' or '.join(renters)}, got {signer}")


def _equal(what: str, expected: bytes, actual: bytes) -> None:
    if expected != actual:
        raise DigestMismatch(f"{what}: expected {to_hex(expected)}, got {to_hex(actual)}")
