"""Who will be able to read a launch, and the bundle sealed for them."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import sealing
from protocol.errors import BadInput
from protocol.readers import ReaderKey, ReaderRole, check_reader_key
from protocol.sealing import Sealed, public_bytes
from protocol.structs import ArtifactRef, JobClass, JobOrder, Terms
from protocol.typed_data import Domain
from protocol.units import Address, Digest, UnitId, to_hex
from scripts.client.api import OracleClient
from scripts.client.bundling import Bundle
from scripts.client.chain import Chain
from scripts.task import Task


@dataclass(frozen=True, slots=True)
class Privacy:
    """`worker_key` None: not sealed, and `why`. `checkers`: who reads it besides renter and worker."""

    job_class: JobClass
    worker_key: bytes | None
    why: str = ""
    checkers: tuple[ReaderKey, ...] = ()

    @property
    def checked_as(self) -> JobClass:
        """By which class the jobs can be checked."""
        if self.worker_key is None or self.checkers:
            return self.job_class
        return JobClass.OPAQUE

    def describe(self) -> str:
        """One line for people."""
        if self.worker_key is None:
            return f"not encrypted: {self.why}; the oracle can read code, logs and results"
        text = "encrypted: you and the worker can read code, logs and results, the oracle cannot"
        if self.checkers:
            named = ", ".join(f"{reader.role.value} {reader.account}" for reader in self.checkers)
            return f"{text}; so can {named}, to check the work"
        if self.job_class is JobClass.OPAQUE:
            return text
        return f"{text}; nor can any verifier: the {self.job_class.name} job is treated as OPAQUE"


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is uploaded, and how orders refer to it. `content_key` None: the bundle as it is."""

    path: Path
    digest: Digest
    reference: ArtifactRef
    content_key: bytes | None

    def wrap(self, domain: Domain, terms: Terms, order: JobOrder) -> JobOrder:
        """The order with the content key wrapped for each reader, for this order of this lease alone."""
        if self.content_key is None:
            return order
        binding = sealing.order_binding(domain, terms, order, sealing.BUNDLE)
        wrapped = [
            sealing.wrap_key(self.content_key, reader, binding)
            for reader in sealing.readers_of(self.reference)
        ]
        return replace(order, bundle=replace(self.reference, wrapped_keys=tuple(wrapped)))


def privacy_of(chain: Chain, oracle: OracleClient, task: Task, unit_id: UnitId) -> Privacy:
    """As the task asks and the unit allows, its key read from the chain. BadInput where the two disagree."""
    job_class = JobClass[task.section.job_class.upper()]
    if task.section.encrypt is False:
        return Privacy(job_class, None, "the task says so")
    unit, _ = chain.registry.unit_of(unit_id)
    if not any(unit.encryption_key):
        if task.section.encrypt:
            raise BadInput(f"encrypt: expected a unit with an encryption key, {to_hex(unit_id)} has none")
        return Privacy(job_class, None, "the unit has no encryption key")
    checkers: tuple[ReaderKey, ...] = ()
    if job_class is not JobClass.OPAQUE and task.section.verifiers:
        checkers = checked_readers(chain.domain, oracle.readers(), active_signers(chain))
    return Privacy(job_class, unit.encryption_key, checkers=checkers)


def active_signers(chain: Chain) -> frozenset[Address]:
    """Keys of the quorum's active members, from the chain."""
    active = chain.quorum.active_members()
    return frozenset(
        chain.quorum.member_at(member).signer for member in range(active.bit_length()) if active >> member & 1
    )


def checked_readers(
    domain: Domain, published: Sequence[ReaderKey], members: frozenset[Address]
) -> tuple[ReaderKey, ...]:
    """Those to seal to. SignatureInvalid where the oracle gives a key that its account has not published.

    Arbiters must sit on the quorum today; a verifier may be anybody, hence its account is shown.
    """
    for reader in published:
        check_reader_key(domain, reader)
    return tuple(
        reader for reader in published if reader.role is ReaderRole.VERIFIER or reader.account in members
    )


def make_parcel(bundle: Bundle, privacy: Privacy, renter_key: X25519PrivateKey) -> Parcel:
    """The bundle sealed, beside the plain one, under a content key of its own."""
    if privacy.worker_key is None:
        return Parcel(bundle.path, bundle.digest, bundle.reference, None)
    readers = dict.fromkeys(
        (public_bytes(renter_key), privacy.worker_key, *(reader.key for reader in privacy.checkers))
    )
    content_key = secrets.token_bytes(sealing.KEY_BYTES)
    path = bundle.path.with_suffix(".sealed")
    sealed = _seal(bundle.path, path, content_key)
    if sealed.plaintext_digest != bundle.digest:
        raise BadInput(f"bundle {bundle.path.name}: it changed while it was sealed")
    return Parcel(path, sealed.ciphertext_digest, sealed.reference(tuple(readers)), content_key)


def _seal(source: Path, target: Path, content_key: bytes) -> Sealed:
    salt = secrets.token_bytes(sealing.SALT_BYTES)
    with source.open("rb") as plain, target.open("wb") as out:
        return sealing.seal(plain, out, content_key, sealing.BUNDLE, salt)
