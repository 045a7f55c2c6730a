"""Artifacts and logs on the disk."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.artifacts import ArtifactFolder
from oracle.joblogs import JobLogs
from protocol.errors import DigestMismatch, LimitExceeded
from protocol.units import Digest, JobId, ProofHash

DATA = b"some bytes" * 1000
DIGEST = Digest(hashlib.sha256(DATA).digest())
JOB = JobId(b"\x07" * 32)


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_upload__right_digest__lies_under_it(tmp_path: Path) -> None:
    folder = ArtifactFolder(tmp_path)
    with folder.upload(len(DATA)) as upload:
        upload.write(DATA[:99])
        upload.write(DATA[99:])
        upload.complete(DIGEST)
        folder.keep(upload, DIGEST)
    name = DIGEST.hex()
    assert files(tmp_path) == [f"sha256/{name[:2]}/{name}"]
    assert folder.path(DIGEST).read_bytes() == DATA


def test_upload__wrong_digest__nothing_left(tmp_path: Path) -> None:
    folder = ArtifactFolder(tmp_path)
    with pytest.raises(DigestMismatch, match=DIGEST.hex()), folder.upload(100) as upload:
        upload.write(b"other")
        upload.complete(DIGEST)
    assert files(tmp_path) == []


def test_upload__one_byte_too_many__refused_and_nothing_left(tmp_path: Path) -> None:
    folder = ArtifactFolder(tmp_path)
    with pytest.raises(LimitExceeded) as caught, folder.upload(len(DATA) - 1) as upload:
        upload.write(DATA)
    assert caught.value.code == "too_large"
    assert files(tmp_path) == []


def test_folder__leftovers_of_a_killed_process__gone_at_start(tmp_path: Path) -> None:
    ArtifactFolder(tmp_path)
    (tmp_path / "incoming" / "upload-x").write_bytes(b"half")
    ArtifactFolder(tmp_path)
    assert files(tmp_path) == []


def test_keep_evidence__twice__same_file(tmp_path: Path) -> None:
    folder = ArtifactFolder(tmp_path)
    proof_hash = ProofHash(b"\x01" * 32)
    for _ in range(2):
        folder.keep_evidence(proof_hash, b"{}\n")
    assert files(tmp_path) == [f"evidence/0x{'01' * 32}.json"]


def test_logs__resent_overlap_and_gap__each_byte_once(tmp_path: Path) -> None:
    logs = JobLogs(tmp_path)
    assert logs.append(JOB, 1, 0, b"hello ", 1000) == 6
    assert logs.append(JOB, 1, 0, b"hello ", 1000) == 6
    assert logs.append(JOB, 1, 3, b"lo world", 1000) == 11
    assert logs.append(JOB, 1, 50, b"late", 1000) == 11
    assert logs.read(JOB, 1, 0, 1000) == b"hello world"


def test_logs__beyond_the_limit__kept_to_the_limit_and_acknowledged(tmp_path: Path) -> None:
    logs = JobLogs(tmp_path)
    assert logs.append(JOB, 1, 0, b"x" * 15, 10) == 15
    assert logs.append(JOB, 1, 15, b"y" * 5, 10) == 20
    assert logs.read(JOB, 1, 0, 1000) == b"x" * 10


@given(
    st.lists(st.binary(max_size=30), max_size=4),
    st.integers(0, 130),
    st.integers(0, 40),
)
def test_logs__several_attempts__read_as_one(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], offset: int, limit: int
) -> None:
    logs = JobLogs(tmp_path_factory.mktemp("logs"))
    for attempt, part in enumerate(parts, start=1):
        logs.append(JOB, attempt, 0, part, 1000)
    whole = b"".join(parts)
    assert logs.total_bytes(JOB, len(parts)) == len(whole)
    assert logs.read(JOB, len(parts), offset, limit) == whole[offset : offset + limit]
