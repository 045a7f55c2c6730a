"""Sealing a launch and reading what came of it, with the renter's keys and the worker's in one process."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from eth_account import Account
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import sealing
from protocol.bodies import LogsBody
from protocol.digests import sha256
from protocol.errors import BadInput, DigestMismatch, SealBroken, SignatureInvalid
from protocol.orders import job_id, lease_id
from protocol.readers import ReaderKey, ReaderRole, sign_reader_key
from protocol.sealing import log_cipher, public_bytes
from protocol.structs import JobClass, JobOrder
from protocol.typed_data import Domain
from protocol.units import JobId, address_of, to_hex
from scripts.client.bundling import Bundle
from scripts.client.privacy import Parcel, Privacy, checked_readers, make_parcel
from scripts.client.reader_files import open_reader_key, read_reader_key
from scripts.client.unsealing import JobLog, Opener
from tests.unit.oracle.oracle_samples import make_order, make_terms

DOMAIN = Domain(31337, address_of(b"\x09" * 20))
RENTER, WORKER, VERIFIER, STRANGER = (
    X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in range(1, 5)
)
ACCOUNT, MEMBER = Account.from_key(b"\x01" * 32), Account.from_key(b"\x02" * 32)
TERMS = make_terms()
PLAIN = b"print('what the renter computes')"


def reader(role: ReaderRole = ReaderRole.VERIFIER, account: Any = ACCOUNT) -> ReaderKey:
    return sign_reader_key(DOMAIN, role, public_bytes(VERIFIER), account)


def parcel_in(folder: Path, privacy: Privacy) -> Parcel:
    path = folder / "bundle.tar"
    path.write_bytes(PLAIN)
    bundle = Bundle(path, sha256(PLAIN), len(PLAIN), "train.py")
    return make_parcel(bundle, privacy, RENTER)


def ordered(parcel: Parcel) -> JobOrder:
    draft = replace(make_order(TERMS).order, bundle=parcel.reference, lease_id=lease_id(DOMAIN, TERMS))
    return parcel.wrap(DOMAIN, TERMS, draft)


def opener(*keys: X25519PrivateKey) -> Opener:
    return Opener(DOMAIN, keys, lambda _: TERMS)


def test_parcel__sealed__opens_for_its_readers_and_nobody_else(tmp_path: Path) -> None:
    parcel = parcel_in(tmp_path, Privacy(JobClass.TRACED, public_bytes(WORKER), checkers=(reader(),)))
    assert PLAIN not in parcel.path.read_bytes()
    order = ordered(parcel)
    for key in (RENTER, WORKER, VERIFIER):
        content_key = opener(STRANGER, key).content_key(order)
        assert content_key is not None
        out = io.BytesIO()
        with parcel.path.open("rb") as sealed:
            sealing.unseal(sealed, out, content_key, sealing.BUNDLE, 1 << 20)
        assert out.getvalue() == PLAIN
    with pytest.raises(SealBroken) as refused:
        opener(STRANGER).content_key(order)
    assert refused.value.code == "not_a_reader"
    with pytest.raises(DigestMismatch, match="terms"):
        Opener(DOMAIN, (RENTER,), lambda _: make_terms(salt=9)).content_key(order)


def test_parcel__two_launches__share_no_key_and_two_orders_no_wrapped_key(tmp_path: Path) -> None:
    privacy = Privacy(JobClass.OPAQUE, public_bytes(WORKER))
    first, second = parcel_in(tmp_path, privacy), parcel_in(tmp_path, privacy)
    assert first.content_key != second.content_key and first.digest != second.digest
    one = ordered(first)
    other = first.wrap(DOMAIN, TERMS, replace(one, nonce=one.nonce + 1, bundle=first.reference))
    assert not set(one.bundle.wrapped_keys) & set(other.bundle.wrapped_keys)
    with pytest.raises(SealBroken):
        opener(RENTER).content_key(replace(other, bundle=one.bundle))


def test_parcel__not_sealed__is_the_bundle(tmp_path: Path) -> None:
    parcel = parcel_in(tmp_path, Privacy(JobClass.EXACT, None, "the task says so"))
    assert parcel.path.read_bytes() == PLAIN
    assert opener().content_key(ordered(parcel)) is None


@pytest.mark.parametrize(
    ("privacy", "job_class", "words"),
    [
        (
            Privacy(JobClass.TRACED, None, "the unit has no encryption key"),
            JobClass.TRACED,
            "not encrypted: the",
        ),
        (Privacy(JobClass.TRACED, b"w" * 32), JobClass.OPAQUE, "the TRACED job is treated as OPAQUE"),
        (Privacy(JobClass.TRACED, b"w" * 32, checkers=(reader(),)), JobClass.TRACED, "so can verifier 0x"),
        (Privacy(JobClass.OPAQUE, b"w" * 32), JobClass.OPAQUE, "the oracle cannot"),
    ],
)
def test_privacy__any__says_who_reads_and_what_it_counts_as(
    privacy: Privacy, job_class: JobClass, words: str
) -> None:
    assert privacy.checked_as is job_class
    assert words in privacy.describe()


def test_checked_readers__forged_or_of_no_member__are_refused_or_left_out() -> None:
    arbiter = reader(ReaderRole.COMMITTEE, MEMBER)
    member = frozenset({arbiter.account})
    assert checked_readers(DOMAIN, [reader(), arbiter], member) == (reader(), arbiter)
    assert checked_readers(DOMAIN, [reader(), arbiter], frozenset()) == (reader(),)
    with pytest.raises(SignatureInvalid):
        checked_readers(DOMAIN, [replace(arbiter, key=public_bytes(STRANGER))], member)


def test_reader_file__made_once__is_private_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "verifier.reader"
    made = open_reader_key(path)
    assert public_bytes(open_reader_key(path)) == public_bytes(read_reader_key(path)) == public_bytes(made)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(BadInput, match="0640"):
        read_reader_key(path)
    path.chmod(0o600)
    path.write_text("no key")
    with pytest.raises(BadInput, match="64 hex"):
        read_reader_key(path)
    with pytest.raises(BadInput, match="cannot be read"):
        read_reader_key(tmp_path / "absent")


@dataclass(slots=True)
class Logs:
    """An oracle's end of a log: so many bytes at once, of the attempts one after the other."""

    sent: Sequence[bytes]
    part_bytes: int

    def log_part(self, _: JobId, offset: int, wait_seconds: int = 0) -> LogsBody:
        whole = b"".join(self.sent)
        data = whole[offset : offset + self.part_bytes]
        starts = tuple(len(b"".join(self.sent[:index])) for index in range(len(self.sent)))
        return LogsBody(
            offset=offset,
            next_offset=offset + len(data),
            attempt_offsets=starts,
            data=base64.b64encode(data).decode(),
            complete=offset + len(data) >= len(whole),
        )

    def follow_log(self, of_job: JobId) -> Iterator[LogsBody]:
        part = self.log_part(of_job, 0)
        yield part
        while not part.complete:
            part = self.log_part(of_job, part.next_offset)
            yield part


@dataclass(frozen=True, slots=True)
class Body:
    job_id: str
    order: JobOrder


@pytest.fixture(scope="module")
def sealed_order(tmp_path_factory: pytest.TempPathFactory) -> JobOrder:
    return ordered(parcel_in(tmp_path_factory.mktemp("log"), Privacy(JobClass.OPAQUE, public_bytes(WORKER))))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.binary(max_size=90), st.integers(0, 122)), min_size=1, max_size=3),
    st.integers(33, 200),
)
def test_log__attempts_cut_anywhere__read_as_what_was_printed(
    sealed_order: JobOrder, attempts: list[tuple[bytes, int]], part_bytes: int
) -> None:
    """Of each attempt but the last, the log may end anywhere, in its salt too."""
    of_job = job_id(DOMAIN, sealed_order)
    content_key = opener(RENTER).content_key(sealed_order)
    assert content_key is not None
    sent: list[bytes] = []
    expected: list[bytes] = []
    for number, (text, kept_bytes) in enumerate(attempts, 1):
        salt = bytes([number]) * sealing.SALT_BYTES
        whole = salt + log_cipher(content_key, of_job, number, salt).apply(text, 0)
        kept = whole if number == len(attempts) else whole[:kept_bytes]
        sent.append(kept)
        expected.append(text[: max(0, len(kept) - sealing.SALT_BYTES)])
    body = Body(to_hex(of_job), sealed_order)
    log = JobLog(cast(Any, Logs(sent, part_bytes)), cast(Any, body), opener(RENTER))
    found, offset, is_complete = b"", 0, False
    while not is_complete:
        data, offset, is_complete = log.read(offset)
        found += data
    assert found == b"".join(expected) == b"".join(log.pieces(is_following=True))


def test_log__sealed_without_a_key__is_refused_once_there_is_some(sealed_order: JobOrder) -> None:
    body = Body(to_hex(job_id(DOMAIN, sealed_order)), sealed_order)
    log = JobLog(cast(Any, Logs([b"x" * 40], 100)), cast(Any, body), None)
    with pytest.raises(BadInput, match="a key is needed"):
        log.read(0)
    with pytest.raises(DigestMismatch, match="order"):
        swapped = Body("0x" + "1" * 64, sealed_order)
        JobLog(cast(Any, Logs([b"x" * 40], 100)), cast(Any, swapped), opener(RENTER)).read(0)
