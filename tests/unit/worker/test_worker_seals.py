"""Keys on the worker's disk, orders sealed to them, results and logs sealed for their readers."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from protocol import sealing
from protocol.digests import sha256
from protocol.errors import BadInput, DigestMismatch, RejectedError, SealBroken
from protocol.sealing import log_cipher, public_bytes
from protocol.structs import ArtifactRef, JobOrder, Terms
from protocol.units import JobId
from tests.unit.worker.worker_samples import DOMAIN, make_assignment
from worker.keys import add_key, check_registered, newest_key, read_keys
from worker.logs import LOG_FILE, LogFile, read_log
from worker.outcome import artifact_of
from worker.seals import open_input, open_order, seal_results

KEY, JOB = b"k" * 32, JobId(b"j" * 32)
PLAIN = b"the renter's code"


def test_keys__made_rotated_and_read__newest_last_and_private(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert read_keys(folder) == ()
    first = newest_key(folder)
    assert public_bytes(newest_key(folder)) == public_bytes(first)
    second = newest_key(folder, rotate=True)
    assert [public_bytes(key) for key in read_keys(folder)] == [public_bytes(first), public_bytes(second)]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    check_registered(read_keys(folder), public_bytes(first))
    check_registered((), bytes(32))
    with pytest.raises(RejectedError, match="encryption key") as refused:
        check_registered(read_keys(folder), b"x" * 32)
    assert refused.value.code == "encryption_key_missing"


@pytest.mark.parametrize(("text", "mode"), [("zz\n", 0o600), ("a" * 64 + "\n", 0o644), ("", 0o600)])
def test_keys__not_a_private_key__is_refused(tmp_path: Path, text: str, mode: int) -> None:
    add_key(tmp_path)
    path = tmp_path / "encryption-0002.key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(BadInput, match="encryption-0002"):
        read_keys(tmp_path)


def sealed_order(folder: Path, reader: bytes) -> tuple[Terms, JobOrder, Path]:
    assignment = make_assignment()
    terms, order = assignment.read_terms(), assignment.read_order().order
    path = folder / "bundle.sealed"
    with path.open("wb") as out:
        sealed = sealing.seal(io.BytesIO(PLAIN), out, KEY, sealing.BUNDLE, b"s" * 32)
    order = replace(order, bundle=sealed.reference([reader]))
    binding = sealing.order_binding(DOMAIN, terms, order, sealing.BUNDLE)
    return terms, replace(order, bundle=sealed.reference([sealing.wrap_key(KEY, reader, binding)])), path


def test_order__sealed_to_an_older_key__opens_and_its_bundle_too(tmp_path: Path) -> None:
    old, new = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    terms, order, path = sealed_order(tmp_path, public_bytes(old))
    keys = open_order(DOMAIN, terms, order, (old, new))
    assert keys.bundle == KEY and keys.data is None
    open_input(path, tmp_path / "bundle.tar", order.bundle, KEY, sealing.BUNDLE)
    assert (tmp_path / "bundle.tar").read_bytes() == PLAIN
    lying = replace(order.bundle, plaintext_digest=sha256(b"other"))
    with pytest.raises(DigestMismatch, match="bundle"):
        open_input(path, tmp_path / "bundle.tar", lying, KEY, sealing.BUNDLE)


def test_order__for_others_or_moved_from_another_order__does_not_open(tmp_path: Path) -> None:
    key = X25519PrivateKey.generate()
    terms, order, _ = sealed_order(tmp_path, public_bytes(key))
    with pytest.raises(SealBroken) as refused:
        open_order(DOMAIN, terms, order, (X25519PrivateKey.generate(),))
    assert refused.value.code == "not_a_reader"
    moved = (
        (terms, replace(order, nonce=order.nonce + 1)),
        (replace(terms, salt=terms.salt + 1), order),
        (terms, replace(order, bundle=replace(order.bundle, wrapped_keys=order.bundle.wrapped_keys * 2))),
        (terms, replace(order, bundle=replace(order.bundle, ciphertext_digest=sha256(b"other")))),
    )
    for other_terms, other_order in moved:
        with pytest.raises(SealBroken, match="this order"):
            open_order(DOMAIN, other_terms, other_order, (key,))


def test_order__plain__needs_no_key_and_half_sealed_is_refused() -> None:
    assignment = make_assignment()
    order = assignment.read_order().order
    assert open_order(DOMAIN, assignment.read_terms(), order, ()).bundle is None
    torn = replace(order, bundle=ArtifactRef(order.bundle.plaintext_digest, sha256(b"x"), 1, ()))
    with pytest.raises(BadInput):
        open_order(DOMAIN, assignment.read_terms(), torn, ())


def test_results__sealed__open_by_name_and_attempt_alone(tmp_path: Path) -> None:
    for name in ("output.tar", "log"):
        (tmp_path / name).write_bytes(PLAIN)
    rows = [artifact_of("output", tmp_path / "output.tar"), artifact_of("log", tmp_path / "log")]
    sealed = seal_results(tmp_path, rows, KEY, JOB, 2)
    assert [row.digest for row in sealed] == [row.digest for row in rows]
    assert sealed[0].file_digest != sealed[1].file_digest
    for row in sealed:
        data = row.path.read_bytes()
        assert sha256(data) == row.sealed == row.file_digest
        assert PLAIN not in data and row.size_bytes == len(data)
        out = io.BytesIO()
        sealing.unseal(io.BytesIO(data), out, KEY, sealing.result_context(JOB, 2, row.name), 1 << 20)
        assert out.getvalue() == PLAIN
        for attempt, name in ((1, row.name), (2, "trace")):
            with pytest.raises(SealBroken):
                context = sealing.result_context(JOB, attempt, name)
                sealing.unseal(io.BytesIO(data), io.BytesIO(), KEY, context, 1 << 20)


def test_log__of_a_sealed_order__is_sent_enciphered_and_kept_in_the_clear(tmp_path: Path) -> None:
    assert read_log(tmp_path, 0) == b""
    log = LogFile(tmp_path, JOB, 1, KEY)
    log.write(b"step 1\n")
    log.write(b"step 2\n")
    log.note("ended")
    log.close()
    sent = read_log(tmp_path, 0)
    assert read_log(tmp_path, 5) == sent[5:]
    plain = (tmp_path / LOG_FILE).read_bytes()
    assert plain == b"step 1\nstep 2\n\n[worker] ended\n"
    assert b"step" not in sent
    assert log_cipher(KEY, JOB, 1, sent[:32]).apply(sent[32:], 0) == plain


def test_log__of_a_plain_order__is_sent_as_it_is(tmp_path: Path) -> None:
    log = LogFile(tmp_path, JOB, 1, None)
    log.write(b"step 1\n")
    log.close()
    assert read_log(tmp_path, 0) == b"step 1\n"
