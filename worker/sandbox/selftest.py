"""Proof, at each start of the worker, that the sandbox isolates on this very host."""

import json
import os
import secrets
import socket
import tempfile
import threading
from pathlib import Path
from typing import Final

from protocol.structs import JobLimits
from worker.sandbox.errors import SandboxUnavailable, explain
from worker.sandbox.launch import Ending, Sandbox, SandboxJob

_LIMITS: Final = JobLimits(
    wall_seconds=30, memory_bytes=256 << 20, processes=16, output_bytes=1 << 20, log_bytes=1 << 16
)
_ENVIRONMENT_CANARY: Final = "GPGPU_SANDBOX_CANARY"

_PROBE: Final = r"""
import json, os, socket, sys

port, canary, worker_pid = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def fails(action):
    try:
        action()
    except OSError:
        return True
    return False

def write(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT))

def status(name):
    with open("/proc/self/status") as lines:
        return next(line.split(":", 1)[1].split() for line in lines if line.startswith(name + ":"))

def processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]

checks = {
    "network: the host is out of reach": fails(lambda: socket.create_connection(("127.0.0.1", port), 2)),
    "network: only loopback is there": [name for _, name in socket.if_nameindex()] == ["lo"],
    "files: the host's are invisible": fails(lambda: os.stat(canary)),
    "files: the system is read-only": all(
        fails(lambda p=p: write(p)) for p in ("/usr/x", "/x", "/job/x", "/dev/x")
    ),
    "files: the kernel's settings are read-only": fails(lambda: write("/proc/sys/kernel/core_pattern")),
    "files: outputs and /tmp are writable": not fails(lambda: (write("/out/x"), write("/tmp/x"))),
    "processes: the host's are invisible": len(processes()) < 6 and os.getppid() < 6,
    "processes: no privilege": status("CapEff") == ["0" * 16] and status("CapBnd") == ["0" * 16],
    "processes: no privilege to be gained": status("NoNewPrivs") == ["1"],
    "processes: an ordinary user": os.getuid() == 65534 and os.getgid() == 65534,
    "environment: the host's is invisible": "GPGPU_SANDBOX_CANARY" not in os.environ,
    "descriptors: none is inherited": sorted(map(int, os.listdir("/proc/self/fd")))[:3] == [0, 1, 2]
    and all(fails(lambda n=n: os.fstat(n)) for n in range(4, 64)),
}
print(json.dumps(checks))
"""


def self_test(sandbox: Sandbox, scratch: Path) -> dict[str, bool]:
    """What was proven. SandboxUnavailable names each check that failed: then nothing may run here."""
    with tempfile.TemporaryDirectory(dir=scratch, prefix="selftest-") as name:
        folder = Path(name)
        checks = _probe(sandbox, folder)
    failed = [check for check, passed in checks.items() if not passed]
    if failed:
        raise SandboxUnavailable(f"the sandbox does not isolate on this host: {'; '.join(failed)}")
    return checks


def _probe(sandbox: Sandbox, folder: Path) -> dict[str, bool]:
    bundle, out, canary = folder / "bundle", folder / "out", folder / "canary"
    bundle.mkdir()
    out.mkdir()
    canary.write_text(secrets.token_hex())
    (bundle / "probe.py").write_text(_PROBE)
    os.environ[_ENVIRONMENT_CANARY] = "1"
    log = bytearray()
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            arguments = (str(server.getsockname()[1]), str(canary), str(os.getpid()))
            job = SandboxJob(
                name=f"selftest-{secrets.token_hex(4)}",
                command=(sandbox.python, "-I", "/job/probe.py", *arguments),
                bundle=bundle,
                out=out,
                limits=_LIMITS,
            )
            ending = sandbox.run(job, log.extend, threading.Event())
    finally:
        del os.environ[_ENVIRONMENT_CANARY]
    return _read_checks(ending, bytes(log))


def _read_checks(ending: Ending, log: bytes) -> dict[str, bool]:
    text = log.decode(errors="replace")
    if ending.exit_code != 0:
        raise SandboxUnavailable(
            f"the sandbox's self-test ended with exit code {ending.exit_code}: {explain(text)}"
        )
    checks = json.loads(text.splitlines()[-1])
    return {str(check): passed is True for check, passed in checks.items()}
