"""What a job can reach from inside the sandbox: nothing of the host."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from protocol.structs import JobOutcome
from tests.integration.worker.sandbox_rig import DROP_TO, Rig, make_rig
from worker.sandbox import SandboxUnavailable, Tier, self_test
from worker.sandbox import launch as launch_module
from worker.sandbox.limits import choose_tier
from worker.sandbox.process_tree import descendants

KILLED = "tests-killed"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return make_rig(tmp_path)


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def test_self_test__on_this_host__proves_every_check(rig: Rig) -> None:
    checks = self_test(rig.sandbox, rig.folder)
    assert len(checks) >= 12
    assert all(checks.values())


def test_self_test__network_shared__is_refused_by_name(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    build = launch_module.sandbox_command

    def shared(*arguments: object, **named: object) -> list[str]:
        command = build(*arguments, **named)  # type: ignore[arg-type]
        command.insert(command.index("--unshare-all") + 1, "--share-net")
        if "--unshare-net" in command:
            command.remove("--unshare-net")
        return command

    monkeypatch.setattr(launch_module, "sandbox_command", shared)
    with pytest.raises(SandboxUnavailable, match="network: the host is out of reach"):
        self_test(rig.sandbox, rig.folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root keeps root's power inside a user namespace")
def test_self_test__root_not_dropped__finds_the_kernel_settings_writable(rig: Rig) -> None:
    rig.sandbox._drop_to = None  # type: ignore[attr-defined]  # what the two levels of bwrap are for
    with pytest.raises(SandboxUnavailable, match="kernel's settings"):
        self_test(rig.sandbox, rig.folder)


def test_network__listener_on_the_host__is_out_of_reach(rig: Rig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        run = rig.run(
            """
            import socket, sys
            for family, address in ((socket.AF_INET, ("127.0.0.1", int(sys.argv[1]))),
                                    (socket.AF_INET, ("192.0.2.1", 80))):
                try:
                    socket.socket(family).connect(address)
                    print("REACHED", address)
                except OSError as error:
                    print("blocked", error.errno)
            """,
            arguments=(str(server.getsockname()[1]),),
        )
    assert run.ending.outcome is JobOutcome.COMPLETED
    assert run.log.count("blocked") == 2


def test_files__host_folders_and_secrets__are_invisible(rig: Rig, tmp_path: Path) -> None:
    secret = tmp_path / "keystore.json"
    secret.write_text("secret")
    run = rig.run(
        """
        import os, sys
        print([path for path in (sys.argv[1], "/root", "/home", "/srv", "/etc/passwd", "/etc/shadow", "/var")
               if os.path.lexists(path)])
        print(sorted(os.listdir("/")))
        """,
        arguments=(str(secret),),
    )
    assert run.log.splitlines()[0] == "[]"


def test_files__system_and_bundle__are_read_only(rig: Rig) -> None:
    run = rig.run(
        """
        import os
        for path in ("/usr/bin/x", "/job/x", "/job/main.py", "/opt/x", "/x", "/proc/sys/kernel/core_pattern"):
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
                print("WRITABLE", path)
            except OSError:
                pass
        open("/out/output/result", "w").write("kept")
        """
    )
    assert (run.ending.outcome, run.log) == (JobOutcome.COMPLETED, "")
    assert (run.out / "output" / "result").read_text() == "kept"


def test_environment__host_variables__are_invisible(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    run = rig.run("import os; print(sorted(os.environ))", environment={"EXTRA": "1"})
    assert "AWS_SECRET_ACCESS_KEY" not in run.log
    assert "EXTRA" in run.log
    assert "GPGPU_OUTPUT" in run.log


def test_processes__of_the_host__are_invisible_and_no_privilege_is_left(rig: Rig) -> None:
    run = rig.run(
        """
        import ctypes, os
        lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
        print(os.getuid(), lines["CapEff"].strip(), lines["CapBnd"].strip(), lines["NoNewPrivs"].strip())
        print(len([name for name in os.listdir("/proc") if name.isdigit()]))
        libc = ctypes.CDLL(None, use_errno=True)
        print("userns", libc.unshare(0x10000000), "mount", libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))
        print(sorted(os.listdir("/proc/self/fd")))
        """
    )
    first, count, namespaces, descriptors = run.log.splitlines()
    assert first == f"65534 {'0' * 16} {'0' * 16} 1"
    assert int(count) < 6
    assert namespaces == "userns -1 mount -1"
    assert descriptors == "['0', '1', '2', '3']"


def test_exit_code__of_the_job__is_reported(rig: Rig) -> None:
    run = rig.run("import sys; print('bye'); sys.exit(7)")
    assert (run.ending.outcome, run.ending.exit_code, run.log) == (JobOutcome.FAILED, 7, "bye\n")


def test_exit_code__of_a_job_killed_by_a_signal__is_128_and_the_signal(rig: Rig) -> None:
    run = rig.run("import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    assert (run.ending.outcome, run.ending.exit_code) == (JobOutcome.FAILED, 128 + signal.SIGTERM)


def test_cancel__while_it_runs__ends_every_process(rig: Rig) -> None:
    cancelled = threading.Event()
    started: list[int] = []
    timer = threading.Timer(0.5, cancelled.set)
    timer.start()
    run = rig.run(
        """
        import subprocess, time
        subprocess.Popen(["sleep", "300"], start_new_session=True)
        time.sleep(300)
        """,
        cancelled=cancelled,
        on_start=started.append,
    )
    timer.join()
    assert run.ending.outcome is JobOutcome.CANCELLED
    assert not Path(f"/proc/{started[0]}").exists()


def test_background_process__left_by_the_job__ends_with_it(rig: Rig) -> None:
    run = rig.run(
        """
        import os, subprocess
        subprocess.Popen(["sleep", "300"], start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        """
    )
    assert run.ending.outcome is JobOutcome.COMPLETED
    assert run.ending.run_milliseconds < 20_000


def test_keystore__inside_a_folder_that_jobs_see__is_refused(tmp_path: Path) -> None:
    import worker

    keystore = Path(worker.__file__).parent / "keys" / "worker.json"
    with pytest.raises(SandboxUnavailable, match="every job can read"):
        make_rig(tmp_path, sealed=(keystore,))


def test_worker_killed__while_a_job_runs__leaves_no_process_behind(tmp_path: Path) -> None:
    program = f"""
        import sys, threading
        from pathlib import Path
        from tests.integration.worker.sandbox_rig import make_rig
        rig = make_rig(Path({str(tmp_path)!r}), tag={KILLED!r})
        rig.run('''
            import subprocess, time
            for _ in range(3):
                subprocess.Popen(["sleep", "300"], start_new_session=True)
            open("/out/started", "w").close()
            time.sleep(300)
        ''', on_start=lambda pid: print(pid, flush=True))
        """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, cwd=ROOT, text=True
    )
    try:
        assert process.stdout is not None
        sandbox_pid = int(process.stdout.readline())
        wait_for(lambda: bool(list(tmp_path.glob("*/out/started"))))
        members = descendants(sandbox_pid)
        assert len(members) >= 5
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    wait_for(lambda: not any(_alive(pid) for pid in members))
    assert groups_of(KILLED) or choose_tier(KILLED).tier is Tier.WATCHDOG
    choose_tier(KILLED).sweep()
    assert groups_of(KILLED) == []


def test_worker_killed__before_the_gate_opens__starts_no_job(tmp_path: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from tests.integration.worker.sandbox_rig import make_rig
        rig = make_rig(Path({str(tmp_path)!r}), tag={KILLED!r})
        die = lambda pid: os.kill(os.getpid(), signal.SIGKILL)
        rig.run("open('/out/started', 'w').close()", on_start=die)
        """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=ROOT)
    assert done.returncode == -signal.SIGKILL
    # Nothing to wait for: what must not happen is that the file appears.
    time.sleep(0.3)
    assert not list(tmp_path.glob("*/out/started"))
    choose_tier(KILLED).sweep()


def groups_of(tag: str) -> list[Path]:
    return [path for folder in choose_tier(tag).folders for path in folder.glob(f"gpgpu-{tag}-*")]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_drop__for_root__is_to_an_ordinary_user_of_the_host(rig: Rig) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to drop")
    seen: list[int] = []

    def look(pid: int) -> None:
        seen.append(pid)

    cancelled = threading.Event()
    owners: set[int] = set()

    def watch() -> None:
        wait_for(lambda: bool(seen))
        wait_for(
            lambda: any("main.py" in _command(pid) and not _is_bwrap(pid) for pid in descendants(seen[0]))
        )
        owners.update(
            os.stat(f"/proc/{pid}").st_uid
            for pid in descendants(seen[0])
            if "main.py" in _command(pid) and not _is_bwrap(pid)
        )
        cancelled.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    rig.run("import time; time.sleep(60)", on_start=look, cancelled=cancelled)
    watcher.join()
    assert owners == {DROP_TO}


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _is_bwrap(pid: int) -> bool:
    return any(name in _command(pid) for name in ("bwrap", "setpriv", "/bin/sh"))
