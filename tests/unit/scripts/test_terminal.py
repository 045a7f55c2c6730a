"""Exit codes, lazy commands, progress lines, folders of networks."""

import io
import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console

from protocol.errors import (
    BadInput,
    ChainUnavailable,
    DigestMismatch,
    Expired,
    InsufficientFunds,
    InvariantBroken,
    ProtocolError,
    TransactionReverted,
)
from scripts.localnet.folder import MARK, fresh_folder
from scripts.localnet.processes import ProcessFailed
from scripts.terminal.failures import Group, exit_code_of, fail
from scripts.terminal.options import AddressText, Bytes32
from scripts.terminal.progress import Steps
from scripts.terminal.signals import ending_like_ctrl_c


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("x"), 2),
        (DigestMismatch("x"), 2),
        (Expired("x"), 2),
        (TransactionReverted("x"), 2),
        (InsufficientFunds("x"), 2),
        (InvariantBroken(1, 2), 1),
        (ChainUnavailable("x"), 3),
        (ProcessFailed("oracle", 1, Path("none")), 1),
    ],
)
def test_exit_code__error__is_of_its_kind(error: ProtocolError, code: int) -> None:
    @click.group(cls=Group)
    def group() -> None: ...

    @group.command()
    def command() -> None:
        raise error

    assert exit_code_of(error) == code
    result = CliRunner(mix_stderr=False).invoke(group, ["command"])
    assert result.exit_code == code
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert f"[{error.code}]" in result.stderr


def test_fail__called__says_why_and_exits_1() -> None:
    @click.group(cls=Group)
    def group() -> None: ...

    @group.command()
    def command() -> None:
        fail("jobs failed")

    result = CliRunner(mix_stderr=False).invoke(group, ["command"])
    assert (result.exit_code, result.stderr) == (1, "jobs failed\n")


@pytest.mark.parametrize("text", ["", "0x", "0x12", "zz", "0x" + "1" * 63, "0x" + "g" * 64])
def test_bytes32__malformed__is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter):
        Bytes32().convert(text, None, None)


def test_bytes32__hex__is_bytes() -> None:
    assert Bytes32().convert("0x" + "AB" * 32, None, None) == b"\xab" * 32


def test_address__wrong_checksum__is_a_usage_error() -> None:
    right = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
    assert AddressText().convert(right, None, None) == right
    with pytest.raises(click.BadParameter, match="checksum"):
        AddressText().convert(right.lower(), None, None)


def _lines(out: io.StringIO) -> list[str]:
    return [line.partition(" s  ")[2] for line in out.getvalue().splitlines()]


def test_steps__not_a_terminal__are_plain_lines() -> None:
    out = io.StringIO()
    steps = Steps({"one": "First", "two": "Second"}, Console(file=out, width=100))
    with steps.shown():
        with steps.step("one") as step:
            step.detail("[halfway]")
            step.detail("[halfway]")
            step.passing("not worth a line")
            step.advance_to(1, 2)
        with pytest.raises(RuntimeError), steps.step("two"):
            raise RuntimeError("no")
    lines = _lines(out)
    assert lines[:3] == ["First: started", "First: [halfway]", "First: 1 of 2"]
    assert lines[3].startswith("First: done in ")
    assert lines[4:] == ["Second: started", "Second: failed"]


def test_steps__at_a_terminal__show_bars_and_take_brackets_literally() -> None:
    out = io.StringIO()
    steps = Steps({"one": "First"}, Console(file=out, width=120, force_terminal=True))
    with steps.shown(), steps.step("one") as step:
        step.detail("loss [0.5]\nsecond line")
        step.advance_to(3, 8, "x" * 200)
        steps.progress.refresh()
    assert "✓" in out.getvalue()
    assert "…" in out.getvalue()


def test_ending_like_ctrl_c__terminated__raises_and_restores() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), ending_like_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_fresh_folder__used_before__is_emptied(tmp_path: Path) -> None:
    root = tmp_path / "net"
    with fresh_folder(root) as folder:
        (folder.root / "old").mkdir()
        (folder.root / "old" / "file").write_text("x")
        address = folder.make_key("a")
        assert folder.keystore("a").is_file()
    with fresh_folder(root) as folder:
        assert sorted(entry.name for entry in root.iterdir()) == [".gitignore", MARK]
        assert folder.make_key("a") != address


def test_fresh_folder__others_files__are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("x")
    with pytest.raises(BadInput, match="found other files"), fresh_folder(tmp_path):
        pass
    assert (tmp_path / "mine").read_text() == "x"


def test_fresh_folder__in_use__is_refused_untouched(tmp_path: Path) -> None:
    with fresh_folder(tmp_path / "net") as folder:
        (folder.root / "file").write_text("x")
        with pytest.raises(BadInput, match="another network runs in it"), fresh_folder(tmp_path / "net"):
            pass
        assert (folder.root / "file").read_text() == "x"


def test_fresh_folder__link_in_it__loses_the_link_and_not_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    with fresh_folder(tmp_path / "net") as folder:
        (folder.root / "link").symlink_to(tmp_path / "precious")
    with fresh_folder(tmp_path / "net"):
        pass
    assert (tmp_path / "precious" / "file").read_text() == "x"
