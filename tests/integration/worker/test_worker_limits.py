"""Each bound of an order, kept by each tier that this host has, and named in the ending."""

import os
import shutil
from pathlib import Path

import pytest

from protocol.structs import JobClass, JobOutcome, JobSpec
from protocol.units import ZERO_DIGEST
from tests.integration.worker.sandbox_rig import Rig, make_rig
from worker.attempt import remove_folder
from worker.outcome import collect
from worker.sandbox import LimitName, Tier
from worker.sandbox.limits import choose_tier

HERE = choose_tier("tests").tier
TIERS = list(dict.fromkeys([HERE, Tier.WATCHDOG]))


@pytest.fixture(params=TIERS, ids=str)
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Rig:
    return make_rig(tmp_path, request.param)


def test_memory__above_the_bound__is_limit_exceeded(rig: Rig) -> None:
    run = rig.run(
        """
        import time
        kept = []
        for _ in range(100):
            kept.append(bytearray(16 << 20))
            time.sleep(0.05)
        """,
        memory_bytes=128 << 20,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.MEMORY)
    assert run.ending.exit_code != 0


def test_memory__of_a_child__counts(rig: Rig) -> None:
    run = rig.run(
        """
        import subprocess, sys
        code = "import time; x = bytearray(200 << 20); time.sleep(20)"
        subprocess.run([sys.executable, "-c", code])
        """,
        memory_bytes=128 << 20,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.MEMORY)


def test_memory__below_the_bound__is_granted(rig: Rig) -> None:
    run = rig.run("x = bytearray(100 << 20); print(len(x))", memory_bytes=256 << 20)
    assert run.ending.outcome is JobOutcome.COMPLETED


def test_processes__fork_bomb__is_limit_exceeded(rig: Rig) -> None:
    run = rig.run(
        """
        import os, time
        while True:
            try:
                if os.fork() == 0:
                    time.sleep(60)
                    os._exit(0)
            except OSError:
                time.sleep(0.1)
        """,
        processes=16,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.PROCESSES)
    assert run.ending.run_milliseconds < 15_000


def test_processes__threads__count(rig: Rig) -> None:
    run = rig.run(
        """
        import threading, time
        for _ in range(64):
            try:
                threading.Thread(target=time.sleep, args=(30,), daemon=True).start()
            except RuntimeError:
                pass
        time.sleep(30)
        """,
        processes=16,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.PROCESSES)


def test_wall__sleeper__is_limit_exceeded_in_time(rig: Rig) -> None:
    run = rig.run("import time; time.sleep(60)", wall_seconds=1)
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.WALL)
    assert 1_000 <= run.ending.run_milliseconds < 6_000


def test_output__one_large_file__is_limit_exceeded_and_cut(rig: Rig) -> None:
    run = rig.run(
        """
        import time
        with open("/out/output/x", "wb") as file:
            for _ in range(1000):
                file.write(bytes(1 << 20))
                file.flush()
                time.sleep(0.005)
        """,
        output_bytes=4 << 20,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.OUTPUT)
    assert (run.out / "output" / "x").stat().st_size <= 512 << 20


def test_output__file_without_a_name__counts(rig: Rig) -> None:
    run = rig.run(
        """
        import os, time
        file = open("/out/x", "wb")
        os.unlink("/out/x")
        for _ in range(40):
            file.write(bytes(1 << 20))
            file.flush()
            time.sleep(0.05)
        time.sleep(20)
        """,
        output_bytes=4 << 20,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.OUTPUT)


def test_output__folders_nested_without_end__is_limit_exceeded(rig: Rig) -> None:
    run = rig.run(
        """
        import os
        os.chdir("/out/output")
        for _ in range(2000):
            os.mkdir("d")
            os.chdir("d")
        """
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.OUTPUT)
    remove_folder(rig.folder)  # shutil.rmtree, with which pytest tidies up, would recurse too deep
    assert not rig.folder.exists()


def test_output__exactly_the_bound__is_granted(rig: Rig) -> None:
    run = rig.run("open('/out/output/x', 'wb').write(bytes(1 << 20))", output_bytes=1 << 20)
    assert run.ending.outcome is JobOutcome.COMPLETED


def test_log__gigabytes__are_cut_and_the_job_killed(rig: Rig) -> None:
    free_before = shutil.disk_usage(rig.folder).free
    run = rig.run(
        """
        import os
        line = b"x" * (1 << 20)
        for _ in range(4096):
            os.write(1, line)
        """,
        log_bytes=100_000,
    )
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.LOG)
    assert (len(run.log), run.ending.log_bytes) == (100_000, 100_000)
    assert free_before - shutil.disk_usage(rig.folder).free < 256 << 20


def test_log__exactly_the_bound__is_granted(rig: Rig) -> None:
    run = rig.run("print('x' * 999)", log_bytes=1000)
    assert (run.ending.outcome, run.ending.log_bytes) == (JobOutcome.COMPLETED, 1000)


def test_tmp__file_system_of_memory__is_bounded(rig: Rig) -> None:
    run = rig.run(
        """
        for path in ("/tmp/x", "/dev/shm/x"):
            try:
                with open(path, "wb") as file:
                    for _ in range(64):
                        file.write(bytes(1 << 20))
                print("WRITTEN", path)
            except OSError as error:
                print("full", error.errno)
        """,
        memory_bytes=48 << 20,
    )
    assert "WRITTEN" not in run.log


def test_disk__free_space_below_the_floor__stops_the_job(tmp_path: Path) -> None:
    floor = shutil.disk_usage(tmp_path).free + (1 << 40)
    run = make_rig(tmp_path, min_free_disk_bytes=floor).run("import time; time.sleep(60)")
    assert (run.ending.outcome, run.ending.limit) == (JobOutcome.LIMIT_EXCEEDED, LimitName.OUTPUT)


@pytest.mark.parametrize("target", ["/etc/passwd", "/proc/self/environ", ".."])
def test_outputs__symbolic_link__is_not_followed(rig: Rig, target: str) -> None:
    run = rig.run(f"import os; os.symlink({target!r}, '/out/output/link')")
    outcome, artifacts = collect(run.out.parent, spec(JobClass.OPAQUE), run.ending, 0, None)
    assert (outcome.outcome, artifacts) == (JobOutcome.FAILED, [])
    assert "outputs refused" in outcome.detail


def test_outputs__folder_replaced_by_a_link__is_not_followed(rig: Rig) -> None:
    run = rig.run("import os; os.rmdir('/out/output'); os.symlink('/etc', '/out/output')")
    outcome, artifacts = collect(run.out.parent, spec(JobClass.OPAQUE), run.ending, 0, None)
    assert (outcome.outcome, artifacts) == (JobOutcome.FAILED, [])


def test_trace__leaves_behind_a_link__are_not_followed(rig: Rig) -> None:
    run = rig.run("import os; os.mkdir('/out/trace'); os.symlink('/etc/passwd', '/out/trace/leaves.jsonl')")
    outcome, artifacts = collect(run.out.parent, spec(JobClass.TRACED), run.ending, 0, None)
    assert (outcome.outcome, outcome.leaf_count, artifacts) == (JobOutcome.FAILED, 0, [])


def test_cgroups__after_a_run__are_gone(tmp_path: Path) -> None:
    if HERE is Tier.WATCHDOG:
        pytest.skip("this host lets nobody make cgroups")
    rig = make_rig(tmp_path)
    rig.run("print(1)")
    limiters = rig.sandbox._limiters  # type: ignore[attr-defined]
    assert not [path for folder in limiters.folders for path in folder.glob(f"gpgpu-{limiters.tag}-*")]


def test_tier__wanted_and_absent__falls_to_the_watchdog() -> None:
    absent = Tier.CGROUP_V2 if HERE is not Tier.CGROUP_V2 else Tier.CGROUP_V1
    assert choose_tier(f"tests-{os.getpid()}", absent).tier is Tier.WATCHDOG


def spec(job_class: JobClass) -> JobSpec:
    return JobSpec(
        bundle_digest=ZERO_DIGEST,
        entrypoint="main.py",
        arguments=(),
        data_root=ZERO_DIGEST,
        initial_state_root=ZERO_DIGEST,
        seed=0,
        steps=1,
        checkpoint_every=1,
        precision="fp32",
        job_class=job_class,
        tolerance_profile=ZERO_DIGEST,
        environment_digest=ZERO_DIGEST,
    )
