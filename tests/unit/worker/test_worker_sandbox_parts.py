"""The parts of the sandbox that need no sandbox: mounts, command lines, counting, cgroups' files."""

import os
from pathlib import Path

import pytest

from protocol.structs import JobClass, JobOutcome
from tests.unit.worker.worker_samples import LIMITS, make_spec
from worker.folders import remove_folder
from worker.outcome import Outcome, collect, describe_ending, failed, outcome_without_run
from worker.sandbox import Ending, LimitName, SandboxUnavailable
from worker.sandbox.command import Bounds, joined, sandbox_command
from worker.sandbox.errors import explain
from worker.sandbox.layout import Mount, check_sealed, device_mounts, discover_runtime
from worker.sandbox.limits import Cgroup
from worker.sandbox.output_size import MAX_DEPTH, measure
from worker.sandbox.process_tree import descendants, tree_memory_bytes, tree_tasks

BOUNDS = Bounds(open_files=64, file_bytes=1024, tasks=8, tmp_bytes=4096)


@pytest.mark.parametrize("drop_to", [None, 62_000])
def test_command__for_user_and_root__closes_every_door(tmp_path: Path, drop_to: int | None) -> None:
    runtime = discover_runtime([])
    mounts = [Mount(tmp_path, "/job"), Mount(tmp_path, "/out", writable=True)]
    command = sandbox_command(
        runtime, mounts, ["python"], {"A": "1"}, BOUNDS, directory="/job", drop_to=drop_to, info_fd=5
    )
    for option in ("--unshare-all", "--unshare-user", "--disable-userns", "--new-session", "--clearenv"):
        assert option in command
    assert command.count("--die-with-parent") == (1 if drop_to is None else 2)
    assert (f"--reuid={drop_to}" in command) == (drop_to is not None)
    writable = [command[i + 2] for i, word in enumerate(command) if word == "--bind"]
    assert set(writable) - {"/proc"} == {"/out"}
    assert "--share-net" not in command
    assert command[-1] == "python"


def test_command__joined_to_cgroups__enters_each_of_them_first() -> None:
    assert joined(["bwrap"], []) == ["bwrap"]
    command = joined(["bwrap", "x"], ["/a/cgroup.procs", "/b/cgroup.procs"])
    assert command[:2] == ["/bin/sh", "-c"]
    assert command[3:] == ["join", "2", "/a/cgroup.procs", "/b/cgroup.procs", "bwrap", "x"]


def test_sealed__path_below_a_mount__is_refused(tmp_path: Path) -> None:
    mount = Mount(tmp_path / "shown", "/x")
    check_sealed([mount], [tmp_path / "hidden", tmp_path / "shown-not"])
    with pytest.raises(SandboxUnavailable, match="every job can read"):
        check_sealed([mount], [tmp_path / "shown" / "deep" / "key.json"])


def test_sealed__link_into_a_mount__is_refused(tmp_path: Path) -> None:
    (tmp_path / "shown").mkdir()
    (tmp_path / "alias").symlink_to(tmp_path / "shown")
    with pytest.raises(SandboxUnavailable):
        check_sealed([Mount(tmp_path / "shown", "/x")], [tmp_path / "alias" / "key.json"])


def test_devices__without_cards__shows_none() -> None:
    assert device_mounts([]) == []


def test_explain__refused_user_namespace__names_the_fix() -> None:
    said = explain("bwrap: setting up uid map: Permission denied")
    assert "kernel.apparmor_restrict_unprivileged_userns=0" in said
    assert "AppArmor" in said
    assert "apparmor" not in explain("bwrap: execvp nothing: No such file or directory")


def test_measure__links_and_depth__are_not_followed_and_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(10_000))
    (tmp_path / "link").symlink_to("/usr")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    size = measure(tmp_path)
    assert size.bytes >= (1 << 40) + 10_000
    assert (size.entries, size.too_deep) == (3, False)
    deep = tmp_path / "deep"
    for _ in range(MAX_DEPTH + 1):
        deep = deep / "d"
    deep.mkdir(parents=True)
    assert measure(tmp_path).exceeds(1 << 50)


def test_process_tree__of_this_process__counts_it() -> None:
    members = descendants(os.getpid())
    assert os.getpid() in members
    assert tree_tasks(members) >= 1
    assert tree_memory_bytes(members) > 1 << 20
    assert tree_memory_bytes([1 << 22]) == 0


def fill(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)


@pytest.mark.parametrize(
    ("events", "expected"),
    [("oom_kill 0\n", None), ("oom 3\noom_kill 1\n", LimitName.MEMORY)],
)
def test_cgroup__of_version_2__reads_its_events(
    tmp_path: Path, events: str, expected: LimitName | None
) -> None:
    group = Cgroup.__new__(Cgroup)
    group._folders, group._v2 = (tmp_path,), True  # type: ignore[attr-defined]  # the kernel makes such folders
    fill(tmp_path, memory__events=events, pids__events="max 0\n")
    assert group.exceeded() is expected
    fill(tmp_path, memory__events="oom_kill 0\n", pids__events="max 2\n")
    assert group.exceeded() is LimitName.PROCESSES


def ending(outcome: JobOutcome = JobOutcome.COMPLETED, limit: LimitName | None = None) -> Ending:
    return Ending(outcome, 0, limit, 100, 101, 900, 5)


def make_out(tmp_path: Path) -> Path:
    (tmp_path / "out" / "output").mkdir(parents=True)
    return tmp_path


def test_collect__output_and_no_trace__is_one_tar(tmp_path: Path) -> None:
    folder = make_out(tmp_path)
    (folder / "out" / "output" / "x").write_text("x")
    outcome, artifacts = collect(folder, make_spec(), ending(), 7, None)
    assert [artifact.name for artifact in artifacts] == ["output"]
    assert (outcome.outcome, outcome.energy_joules, outcome.leaf_count) == (JobOutcome.COMPLETED, 7, 0)


def test_collect__nothing_written__has_no_output(tmp_path: Path) -> None:
    assert collect(make_out(tmp_path), make_spec(), ending(), 0, None)[1] == []


def test_collect__traced_job_without_its_trace__counts_as_failed(tmp_path: Path) -> None:
    spec = make_spec(job_class=JobClass.TRACED)
    outcome, artifacts = collect(make_out(tmp_path), spec, ending(), 0, None)
    assert (outcome.outcome, artifacts) == (JobOutcome.FAILED, [])
    outcome, _ = collect(tmp_path, spec, ending(JobOutcome.CANCELLED), 0, None)
    assert (outcome.outcome, outcome.detail) == (JobOutcome.CANCELLED, "stopped: cancelled")


def test_outcome__through_the_journal__is_the_same() -> None:
    outcome = outcome_without_run(JobOutcome.REFUSED, 5, "bad_input: no")
    assert Outcome.from_text(outcome.to_text()) == outcome
    assert failed(outcome, "x").outcome is JobOutcome.REFUSED


def test_ending__by_a_limit__names_it_and_its_value() -> None:
    stopped = ending(JobOutcome.LIMIT_EXCEEDED, LimitName.MEMORY)
    value = getattr(LIMITS, LimitName.MEMORY)
    assert describe_ending(stopped, value) == f"stopped: limit memory_bytes of {1 << 30} exceeded"


@pytest.mark.parametrize("name", list(LimitName))
def test_limit__each_name__is_a_field_of_the_order(name: LimitName) -> None:
    assert getattr(LIMITS, name) > 0


def test_remove__folder_nested_beyond_what_python_walks__is_gone(tmp_path: Path) -> None:
    root = tmp_path / "attempt"
    root.mkdir()
    before = os.getcwd()
    try:
        os.chdir(root)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(before)
    remove_folder(root)
    assert not root.exists()
    remove_folder(root)
