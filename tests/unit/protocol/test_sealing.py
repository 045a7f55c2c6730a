"""Sealed files and wrapped keys: what goes in comes out, and nothing that was touched does."""

import hashlib
import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from Crypto.Protocol import HPKE
from Crypto.PublicKey import ECC
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from protocol import sealing
from protocol.errors import BadInput, LimitExceeded, SealBroken
from protocol.sealing import CHUNK_BYTES, HEADER_BYTES, TAG_BYTES, seal, unseal
from protocol.structs import ArtifactRef
from protocol.typed_data import Domain
from protocol.units import Digest, JobId, address_of
from tests.unit.oracle.oracle_samples import make_order, make_terms

KEY, SALT, CONTEXT = b"k" * 32, b"s" * 32, b"bundle"
DOMAIN = Domain(31337, address_of(b"\x09" * 20))
READER, STRANGER = (X25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2))
BINDING = b"an order"
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "sealing.json").read_text())
SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES)
BINDING_OF_SAMPLE = (
    "d4680a977fe393773df1feecf879041c781e68934e2268684830277cbe844c7c"
    "460ef4662349a7e81ee575e7c9d2715e06c31035871377f579efbff23865ed43" + b"bundle".hex()
)
SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES


def patterned(size_bytes: int) -> bytes:
    return hashlib.shake_128(b"plain").digest(size_bytes)


def sealed(plaintext: bytes, key: bytes = KEY, context: bytes = CONTEXT) -> tuple[bytes, sealing.Sealed]:
    out = io.BytesIO()
    told = seal(io.BytesIO(plaintext), out, key, context, SALT)
    return out.getvalue(), told


def unsealed(data: bytes, key: bytes = KEY, context: bytes = CONTEXT, max_bytes: int = 1 << 30) -> bytes:
    out = io.BytesIO()
    digest = unseal(io.BytesIO(data), out, key, context, max_bytes)
    assert digest == hashlib.sha256(out.getvalue()).digest()
    return out.getvalue()


@pytest.mark.parametrize("size_bytes", SIZES)
def test_seal__any_size__comes_back_with_its_digests(size_bytes: int) -> None:
    plaintext = patterned(size_bytes)
    data, told = sealed(plaintext)
    assert unsealed(data) == plaintext
    assert told.plaintext_digest == hashlib.sha256(plaintext).digest()
    assert told.ciphertext_digest == hashlib.sha256(data).digest()
    assert told.size_bytes == len(data)
    chunks = max(1, -(-size_bytes // CHUNK_BYTES))
    assert len(data) == HEADER_BYTES + size_bytes + chunks * TAG_BYTES


@given(st.binary(max_size=200), st.data())
def test_unseal__any_byte_altered__refused(plaintext: bytes, data: st.DataObject) -> None:
    whole, _ = sealed(plaintext)
    index = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    altered = bytearray(whole)
    altered[index] ^= 1 << bit
    with pytest.raises(SealBroken):
        unsealed(bytes(altered))


@given(st.binary(max_size=200), st.data())
def test_unseal__cut_or_longer__refused(plaintext: bytes, data: st.DataObject) -> None:
    whole, _ = sealed(plaintext)
    cut = data.draw(st.integers(0, len(whole) - 1))
    for changed in (whole[:cut], whole + data.draw(st.binary(min_size=1, max_size=40))):
        with pytest.raises(SealBroken):
            unsealed(changed)


def test_unseal__chunks_moved_repeated_dropped_or_spliced__refused() -> None:
    plaintext = patterned(3 * CHUNK_BYTES)
    whole, _ = sealed(plaintext)
    header, body = whole[:HEADER_BYTES], whole[HEADER_BYTES:]
    first, second, third = (body[i : i + SEALED_CHUNK_BYTES] for i in range(0, len(body), SEALED_CHUNK_BYTES))
    other = io.BytesIO()
    seal(io.BytesIO(plaintext), other, KEY, CONTEXT, b"t" * 32)
    foreign = other.getvalue()[HEADER_BYTES : HEADER_BYTES + SEALED_CHUNK_BYTES]
    assert unsealed(header + first + second + third) == plaintext
    for chunks in (
        (second, first, third),
        (first, first, second, third),
        (first, third),
        (first, second),
        (third,),
        (foreign, second, third),
        (first, second, third, third),
    ):
        with pytest.raises(SealBroken):
            unsealed(header + b"".join(chunks))


def test_unseal__other_key_or_context__refused_and_limit_kept() -> None:
    whole, _ = sealed(b"plain")
    for key, context in ((b"x" * 32, CONTEXT), (KEY, b"data")):
        with pytest.raises(SealBroken):
            unsealed(whole, key, context)
    with pytest.raises(LimitExceeded):
        unsealed(whole, max_bytes=4)


def test_wrap__reader__gets_the_key_and_nobody_else() -> None:
    wrapped = sealing.wrap_key(KEY, sealing.public_bytes(READER), BINDING)
    assert len(wrapped) == sealing.WRAPPED_BYTES
    assert sealing.unwrap_key(wrapped, READER, BINDING) == KEY
    for changed, key, binding in (
        (wrapped, STRANGER, BINDING),
        (wrapped, READER, b"another order"),
        (wrapped[:-1] + bytes([wrapped[-1] ^ 1]), READER, BINDING),
    ):
        with pytest.raises(SealBroken):
            sealing.unwrap_key(changed, key, binding)


def test_wrap__another_implementation__agrees_both_ways() -> None:
    """pycryptodome's HPKE opens what we wrap, and we open what it wraps."""
    info = b"gpgpu wrapped key 1\x00" + BINDING
    wrapped = sealing.wrap_key(KEY, sealing.public_bytes(READER), BINDING)
    theirs = ECC.construct(curve="Curve25519", seed=READER.private_bytes_raw())
    receiver = HPKE.new(receiver_key=theirs, aead_id=HPKE.AEAD.AES256_GCM, enc=wrapped[32:64], info=info)
    assert receiver.unseal(wrapped[64:]) == KEY
    sender = HPKE.new(receiver_key=theirs.public_key(), aead_id=HPKE.AEAD.AES256_GCM, info=info)
    made = sealing.public_bytes(READER) + sender.enc + sender.seal(KEY)
    assert sealing.unwrap_key(made, READER, BINDING) == KEY


@pytest.mark.parametrize("reader", [b"", bytes(32), b"\x01" + bytes(31), b"a" * 31])
def test_wrap__key_of_nobody__refused(reader: bytes) -> None:
    with pytest.raises(BadInput):
        sealing.wrap_key(KEY, reader, BINDING)


def test_vectors__frozen__open_as_ever() -> None:
    for vector in VECTORS["files"]:
        data = bytes.fromhex(vector["sealed"])
        assert unsealed(
            data, bytes.fromhex(vector["key"]), bytes.fromhex(vector["context"])
        ) == bytes.fromhex(vector["plaintext"])
    wrapped = VECTORS["wrapped"]
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(wrapped["private_key"]))
    binding = bytes.fromhex(wrapped["binding"])
    assert sealing.unwrap_key(bytes.fromhex(wrapped["wrapped"]), private, binding).hex() == wrapped["key"]
    log = VECTORS["log"]
    cipher = sealing.log_cipher(
        bytes.fromhex(log["key"]),
        JobId(bytes.fromhex(log["job_id"])),
        log["attempt"],
        bytes.fromhex(log["salt"]),
    )
    assert cipher.apply(log["plaintext"].encode(), 0).hex() == log["ciphertext"]
    assert order_binding().hex() == BINDING_OF_SAMPLE


def order_binding(**changes: object) -> bytes:
    terms = make_terms()
    order = make_order(terms).order
    bundle = ArtifactRef(order.bundle.plaintext_digest, Digest(b"c" * 32), 100, (b"r" * 32, b"q" * 32))
    order = replace(order, bundle=bundle)
    part = changes.pop("part", sealing.BUNDLE)
    terms = replace(terms, **{k: v for k, v in changes.items() if k in ("salt", "renter", "first_order")})
    order = replace(order, **{k: v for k, v in changes.items() if k in ("nonce", "bundle", "lease_id")})
    return sealing.order_binding(DOMAIN, terms, order, part)


def test_binding__whatever_differs_of_order_or_lease__differs() -> None:
    order = make_order(make_terms()).order
    bundle = ArtifactRef(order.bundle.plaintext_digest, Digest(b"c" * 32), 100, (b"r" * 32,))
    found = {
        order_binding(),
        order_binding(salt=7),
        order_binding(renter=address_of(b"\x05" * 20)),
        order_binding(nonce=5),
        order_binding(bundle=bundle),
        order_binding(part=sealing.DATA),
        sealing.order_binding(Domain(1, DOMAIN.market), make_terms(), order, sealing.BUNDLE),
    }
    assert len(found) == 7


def test_binding__wrapped_keys_and_first_order__leave_it_as_it_is() -> None:
    order = make_order(make_terms()).order
    wrapped = ArtifactRef(
        order.bundle.plaintext_digest, Digest(b"c" * 32), 100, (b"r" * 32 + b"x" * 80, b"q" * 32 + b"y" * 80)
    )
    same = {order_binding(), order_binding(bundle=wrapped), order_binding(first_order=Digest(b"f" * 32))}
    assert len(same) == 1


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4))
def test_log_cipher__any_split__is_one_stream(text: bytes, cuts: list[int]) -> None:
    cipher = sealing.log_cipher(KEY, JobId(b"j" * 32), 1, SALT)
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    whole = b"".join(cipher.apply(text[start:end], start) for start, end in pairwise(edges))
    assert whole == cipher.apply(text, 0)
    assert cipher.apply(whole, 0) == text
    if len(text) > 16:
        assert whole != text


def test_sealed__half_an_encryption__is_refused() -> None:
    plain = ArtifactRef(Digest(b"a" * 32), Digest(b"a" * 32), 1, ())
    assert not sealing.is_sealed(plain)
    for wrong in (
        replace(plain, ciphertext_digest=Digest(b"b" * 32)),
        replace(plain, wrapped_keys=(b"short",)),
    ):
        with pytest.raises(BadInput):
            sealing.is_sealed(wrong)
