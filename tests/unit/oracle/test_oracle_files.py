"""Artifacts and logs on the disk."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.artifact_folder import ArtifactFolder
from oracle.artifacts import (
    BLOCK_BYTES,
    StagedFile,
    Staging,
    hash_file,
    measure_blocks,
    read_checked,
)
from oracle.joblogs import JobLogs
from protocol.digests import sha256
from protocol.errors import DigestMismatch, LimitExceeded
from protocol.units import Digest, JobId, ProofHash

DATA = b"some bytes" * 1000
DIGEST = Digest(hashlib.sha256(DATA).digest())
JOB = JobId(b"\x07" * 32)


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def staged(root: Path, data: bytes) -> StagedFile:
    path = root / "staged"
    path.write_bytes(data)
    return hash_file(path, len(data), sha256(data))


def test_upload__right_digest__lies_under_it(tmp_path: Path) -> None:
    staging, folder = Staging(tmp_path / "incoming"), ArtifactFolder(tmp_path / "store")
    with staging.upload(len(DATA)) as upload:
        upload.write(DATA[:99])
        upload.write(DATA[99:])
        found = upload.complete(DIGEST)
        folder.keep(found.path, DIGEST)
        folder.keep(found.path, DIGEST)
    name = DIGEST.hex()
    assert files(tmp_path) == [f"store/sha256/{name[:2]}/{name}"]
    assert folder.read(DIGEST, 0, len(DATA)) == DATA
    assert list(folder.digests()) == [DIGEST]
    folder.remove(DIGEST)
    folder.remove(DIGEST)
    assert files(tmp_path) == []


def test_upload__wrong_digest__nothing_left(tmp_path: Path) -> None:
    with pytest.raises(DigestMismatch, match=DIGEST.hex()), Staging(tmp_path).upload(100) as upload:
        upload.write(b"other")
        upload.complete(DIGEST)
    assert files(tmp_path) == []


def test_upload__one_byte_too_many__refused_and_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(LimitExceeded) as caught, Staging(tmp_path).upload(len(DATA) - 1) as upload:
        upload.write(DATA)
    assert caught.value.code == "too_large"
    assert files(tmp_path) == []


def test_staging__of_a_killed_process__keeps_parts_that_are_known_or_young(tmp_path: Path) -> None:
    staging = Staging(tmp_path)
    (tmp_path / "upload-x").write_bytes(b"half")
    for name in ("known", "stray", "young"):
        staging.part(name).write_bytes(b"part")
    for name in ("known", "stray"):
        os.utime(staging.part(name), (0, 0))
    assert Staging(tmp_path).remove_unknown_parts({"known"}) == 1
    assert files(tmp_path) == ["known.part", "young.part"]


def test_folder__half_put_by_a_killed_process__is_no_artifact_and_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = ArtifactFolder(tmp_path)
    path = folder.path(DIGEST)
    path.parent.mkdir()
    half = path.with_name(".0123456789abcdef")
    half.write_bytes(DATA)
    (path.parent / "notes.txt").write_text("an operator's own")
    assert list(folder.digests()) == [] and half.exists()
    monkeypatch.setattr("oracle.artifact_folder.LEFTOVER_SECONDS", -1)
    assert list(folder.digests()) == []
    assert files(tmp_path) == [f"sha256/{path.parent.name}/notes.txt"]


def test_keep_evidence__twice__same_file(tmp_path: Path) -> None:
    folder = ArtifactFolder(tmp_path / "store")
    proof_hash = ProofHash(b"\x01" * 32)
    assert folder.read_evidence(proof_hash) is None
    for _ in range(2):
        folder.keep_evidence(proof_hash, staged(tmp_path, b"{}\n").path)
    assert files(tmp_path / "store") == [f"evidence/0x{'01' * 32}.json"]
    assert folder.read_evidence(proof_hash) == b"{}\n"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactFolder, StagedFile, bytes]:
    root = tmp_path_factory.mktemp("large")
    data = hashlib.shake_128(b"large").digest(2 * BLOCK_BYTES + 77)
    found = staged(root, data)
    folder = ArtifactFolder(root / "store")
    folder.keep(found.path, found.digest)
    return folder, found, data


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, 2 * BLOCK_BYTES + 77),
        (5, 6),
        (BLOCK_BYTES - 1, BLOCK_BYTES + 1),
        (BLOCK_BYTES, 2 * BLOCK_BYTES),
        (2 * BLOCK_BYTES + 76, 2 * BLOCK_BYTES + 77),
    ],
)
def test_read_checked__any_range__gives_these_bytes(
    large: tuple[ArtifactFolder, StagedFile, bytes], start: int, end: int
) -> None:
    folder, found, data = large
    assert len(found.blocks) == 3 * 32
    assert measure_blocks(folder, found.digest, found.size_bytes) == found.blocks
    pieces = read_checked(folder, found.digest, found.size_bytes, found.blocks, start, end)
    assert b"".join(pieces) == data[start:end]


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_read_checked__damaged_in_the_second_block__ends_after_the_first(tmp_path: Path, damage: str) -> None:
    data = bytes(range(256)) * (BLOCK_BYTES // 128)
    found = staged(tmp_path, data)
    folder = ArtifactFolder(tmp_path / "store")
    folder.keep(found.path, found.digest)
    path = folder.path(found.digest)
    path.unlink()
    altered = bytearray(data)
    altered[-1] ^= 1
    if damage != "gone":
        path.write_bytes(altered if damage == "flip" else data[:-1])
    pieces = read_checked(folder, found.digest, found.size_bytes, found.blocks, 0, len(data))
    if damage != "gone":
        assert next(pieces) == data[:BLOCK_BYTES]
        with pytest.raises(DigestMismatch):
            measure_blocks(folder, found.digest, found.size_bytes)
    with pytest.raises(DigestMismatch):
        next(pieces)


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
