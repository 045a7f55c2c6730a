"""Tasks that tests of the whole system launch: quick ones, slow ones, ones that misbehave."""

from pathlib import Path

HELLO = """
import os, pathlib, sys
print("hello", *sys.argv[1:], flush=True)
out = pathlib.Path(os.environ["GPGPU_OUTPUT"])
(out / "hello.txt").write_text(" ".join(sys.argv[1:]) + os.environ.get("GREETING", "") + "\\n")
"""
FAILING = """
import sys
print("about to fail", flush=True)
sys.exit(7)
"""
# Says where it is, once a tick, for as many ticks as it is told.
SLOW = """
import os, pathlib, sys, time
for tick in range(int(sys.argv[1])):
    print("tick", tick, flush=True)
    time.sleep(0.5)
(pathlib.Path(os.environ["GPGPU_OUTPUT"]) / "done.txt").write_text("done")
"""
TASK = """
name: {name}
workdir: code
{envs}run: python {run}
config:
  gpgpu:
    lease_seconds: {lease_seconds}
    limits: {{wall_seconds: {wall_seconds}, memory_gib: 1, processes: 16, output_mib: 4, log_mib: 1}}
{more}"""


def write_task(
    folder: Path,
    script: str,
    run: str = "job.py",
    lease_seconds: int = 600,
    wall_seconds: int = 120,
    envs: str = "",
    more: str = "",
) -> Path:
    """A task.yaml beside a folder with the script as `job.py`."""
    (folder / "code").mkdir(parents=True, exist_ok=True)
    (folder / "code" / "job.py").write_text(script)
    path = folder / "task.yaml"
    path.write_text(
        TASK.format(
            name="test", envs=envs, run=run, lease_seconds=lease_seconds, wall_seconds=wall_seconds, more=more
        )
    )
    return path
