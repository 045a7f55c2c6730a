"""Bundles: the same files, the same bytes; nothing hostile leaves its folder or takes more than it may."""

import hashlib
import io
import os
import socket
import struct
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.bundle import SOURCE_EXCLUDED, extract_bundle, write_bundle
from protocol.errors import BadInput, LimitExceeded, ProtocolError

MIB = 1 << 20
FILES = {"train.py": b"print(1)\n", "data/a.bin": bytes(1000), "data/b.bin": b"", "z" * 120 + "/ü.txt": b"u"}


def make_tree(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def read_tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def bundle_of(root: Path, max_bytes: int = MIB, max_files: int = 100) -> bytes:
    out = io.BytesIO()
    digest = write_bundle(root, out, max_bytes, max_files)
    assert digest == hashlib.sha256(out.getvalue()).digest()
    return out.getvalue()


def extract(tar: bytes, target: Path, max_bytes: int = MIB, max_files: int = 100) -> int:
    return extract_bundle(io.BytesIO(tar), target, max_bytes, max_files)


def tar_of(*members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def test_bundle__tree__comes_back_with_its_x_bits(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "in", FILES)
    (root / "train.py").chmod(0o750)
    assert extract(bundle_of(root), tmp_path / "out") == 4
    assert read_tree(tmp_path / "out") == FILES
    assert (tmp_path / "out" / "train.py").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "out" / "data" / "a.bin").stat().st_mode & 0o777 == 0o644


def test_bundle__same_files_elsewhere__are_the_same_bytes(tmp_path: Path) -> None:
    first = make_tree(tmp_path / "a", FILES)
    second = make_tree(tmp_path / "b", dict(reversed(FILES.items())))
    os.utime(second / "train.py", (5, 5))
    (second / "train.py").chmod(0o600)
    (second / "empty").mkdir()
    assert bundle_of(first) == bundle_of(second)


def test_bundle__known_tree__has_the_frozen_digest(tmp_path: Path) -> None:
    tar = bundle_of(make_tree(tmp_path, {"a/b.py": b"x = 1\n", "é.txt": b""}))
    assert hashlib.sha256(tar).hexdigest() == GOLDEN_DIGEST


GOLDEN_DIGEST = "cbbeea86cd62bdb09d3fd84d12c291b917c2400a3e0d60c10fa9115e8f2e9bb0"

NAME = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=60
)
NAMES = NAME.filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)
TREES = st.dictionaries(
    st.tuples(st.sampled_from(("", "d/", "d/e/")), NAMES), st.binary(max_size=2000), max_size=6
)


@given(TREES)
def test_bundle__any_tree__comes_back(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[str, str], bytes]
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    files = {prefix + name: content for (prefix, name), content in tree.items()}
    taken = {"d", "d/e"} & files.keys()
    files = {name: content for name, content in files.items() if name not in taken}
    (folder / "in").mkdir()
    root = make_tree(folder / "in", files)
    assert extract(bundle_of(root), folder / "out") == len(files)
    assert read_tree(folder / "out") == files


def test_write_bundle__excluded_names__are_left_out(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a.py": b"", ".git/config": b"", "sub/__pycache__/a.pyc": b""})
    out = io.BytesIO()
    write_bundle(tmp_path, out, MIB, 100, excluded_names=SOURCE_EXCLUDED)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getnames() == ["a.py"]


def make_special(kind: str, path: Path) -> None:
    if kind == "link":
        path.symlink_to("/etc/passwd")
    elif kind == "folder link":
        path.symlink_to("/etc")
    elif kind == "dangling link":
        path.symlink_to("nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))


@pytest.mark.parametrize("kind", ["link", "folder link", "dangling link", "pipe", "socket"])
def test_write_bundle__not_a_regular_file__is_refused_or_skipped(tmp_path: Path, kind: str) -> None:
    make_tree(tmp_path, {"a.py": b"x"})
    make_special(kind, tmp_path / "odd")
    with pytest.raises(BadInput, match="regular files only, got 'odd'"):
        bundle_of(tmp_path)
    out = io.BytesIO()
    write_bundle(tmp_path, out, MIB, 100, skip_special=True)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as archive:
        assert archive.getnames() == ["a.py"]


def test_write_bundle__limits__are_kept(tmp_path: Path) -> None:
    make_tree(tmp_path, {"a": bytes(5000), "b": b""})
    size = len(bundle_of(tmp_path))
    assert bundle_of(tmp_path, max_bytes=size, max_files=2)
    with pytest.raises(LimitExceeded, match="at most 1 files"):
        bundle_of(tmp_path, max_files=1)
    with pytest.raises(LimitExceeded, match=f"at most {size - 1} bytes"):
        bundle_of(tmp_path, max_bytes=size - 1)


def test_write_bundle__huge_sparse_file__is_refused_unread(tmp_path: Path) -> None:
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    out = io.BytesIO()
    with pytest.raises(LimitExceeded):
        write_bundle(tmp_path, out, MIB, 10)
    assert len(out.getvalue()) < MIB


def test_write_bundle__name_that_is_not_utf8__is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff")).write_bytes(b"")
    with pytest.raises(BadInput, match="UTF-8"):
        bundle_of(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "/etc/cron.d/x",
        "../x",
        "a/../../x",
        "..",
        ".",
        "./x",
        "a//b",
        "a/./b",
        "a\nb",
        "a\x7f",
        "x" * 300,
        "a/" * 40,
    ],
)
def test_extract_bundle__path_that_is_not_plain__is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput):
        extract(tar_of((member(name), b"x")), tmp_path / "out" / "in")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        b"S",
    ],
)
def test_extract_bundle__link_or_device__is_refused(tmp_path: Path, kind: bytes) -> None:
    tar = tar_of((member("odd", type=kind, linkname="/etc/passwd"), b""))
    with pytest.raises(BadInput, match="regular files only"):
        extract(tar, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_extract_bundle__file_through_a_link__is_refused_at_the_link(tmp_path: Path) -> None:
    tar = tar_of((member("d", type=tarfile.SYMTYPE, linkname="/tmp"), b""), (member("d/x"), b"x"))
    with pytest.raises(BadInput):
        extract(tar, tmp_path / "out")


@pytest.mark.parametrize("names", [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")])
def test_extract_bundle__same_path_twice__is_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(BadInput, match="again"):
        extract(tar_of(*((member(name), b"x") for name in names)), tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_extract_bundle__folders_and_plain_tars_of_others__are_taken(tmp_path: Path, kind: int) -> None:
    tar = tar_of((member("d", type=tarfile.DIRTYPE), b""), (member("d/x", mode=0o4777), b"x"), kind=kind)
    assert extract(tar, tmp_path / "out") == 1
    assert (tmp_path / "out" / "d" / "x").stat().st_mode & 0o7777 == 0o755


def test_extract_bundle__limits__are_kept(tmp_path: Path) -> None:
    tar = bundle_of(make_tree(tmp_path / "in", FILES))
    assert extract(tar, tmp_path / "a", max_bytes=1010, max_files=4) == 4
    with pytest.raises(LimitExceeded, match="at most 1009 bytes"):
        extract(tar, tmp_path / "b", max_bytes=1009)
    with pytest.raises(LimitExceeded, match="at most 3 files"):
        extract(tar, tmp_path / "c", max_files=3)


def test_extract_bundle__header_that_promises_terabytes__allocates_nothing(tmp_path: Path) -> None:
    info = member("x")
    info.size = 1 << 42
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(LimitExceeded):
        extract(header, tmp_path / "a")
    pax = member("pax", type=tarfile.XHDTYPE)
    pax.size = 1 << 40
    with pytest.raises(LimitExceeded, match="pax header"):
        extract(pax.tobuf(tarfile.GNU_FORMAT), tmp_path / "b")


def pax_tar(records: bytes) -> bytes:
    header = member("pax", type=tarfile.XHDTYPE)
    header.size = len(records)
    padded = records + bytes(-len(records) % 512)
    body = member("x").tobuf(tarfile.USTAR_FORMAT)
    return header.tobuf(tarfile.USTAR_FORMAT) + padded + body + bytes(1024)


@pytest.mark.parametrize(
    "records",
    [
        b"14 path=../xy\n",
        b"13 path=/abc\n",
        b"99 path=x\n",
        b"0 path=x\n",
        b"-9 path=x\n",
        b"path=x\n",
        b"10 path=xy",
        b"12 size=-1\x00\n",
        b"12 size=0x1\n",
        b"15 linkpath=xy\n",
        b"20 GNU.sparse.a=123\n",
        b"10 path=\xff\n",
        b"9 path=\xc2\n",
    ],
)
def test_extract_bundle__hostile_pax_records__are_refused(tmp_path: Path, records: bytes) -> None:
    with pytest.raises(BadInput):
        extract(pax_tar(records), tmp_path / "out")


def test_extract_bundle__cut_or_followed_by_more__is_refused(tmp_path: Path) -> None:
    tar = bundle_of(make_tree(tmp_path / "in", FILES))
    for index, length in enumerate((0, 1, 511, 512, 700, 1500)):
        with pytest.raises(BadInput, match="more bytes, got the end"):
            extract(tar[:length], tmp_path / str(index))
    with pytest.raises(BadInput, match="nothing after the end"):
        extract(tar + b"x", tmp_path / "more")


def test_extract_bundle__folder_in_use__is_refused(tmp_path: Path) -> None:
    make_tree(tmp_path / "out", {"a": b""})
    with pytest.raises(BadInput, match="empty folder"):
        extract(bundle_of(tmp_path / "out"), tmp_path / "out")


@given(st.binary(max_size=3000), st.integers(0, 3000), st.binary(max_size=20))
def test_extract_bundle__random_or_damaged_bytes__never_fail_otherwise(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, offset: int, patch: bytes
) -> None:
    folder = tmp_path_factory.mktemp("noise")
    tar = bytearray(tar_of((member("a"), b"x" * 700), (member("é" * 80), b"y")))
    tar[offset : offset + len(patch)] = patch
    for index, data in enumerate((noise, bytes(tar), struct.pack("512s", noise) + noise)):
        try:
            extract(data, folder / str(index))
        except ProtocolError:
            continue
