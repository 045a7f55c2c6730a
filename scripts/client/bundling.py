"""A task's folder as one content-addressed bundle, with a start script where the task has `envs`."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from protocol.bundle import SOURCE_EXCLUDED, write_bundle
from protocol.errors import BadInput
from protocol.structs import ArtifactRef, JobClass
from protocol.units import Digest
from scripts.task import Task

MAX_BUNDLE_BYTES = 1 << 30
MAX_BUNDLE_FILES = 20_000
START = "gpgpu_start"

# The environment is part of the bundle, hence of its digest: what runs is what the spec pins.
TRACED_START = """import os

os.environ.update({envs!r})

from {module} import {attribute}  # noqa: E402,F401
"""
SCRIPT_START = """import os
import runpy
import sys

os.environ.update({envs!r})
here = os.path.dirname(os.path.abspath(__file__))
script = os.path.join(here, {script!r})
sys.path[0] = os.path.dirname(script)
sys.argv[0] = script
runpy.run_path(script, run_name="__main__")
"""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle on disk and what runs in it."""

    path: Path
    digest: Digest
    size_bytes: int
    entrypoint: str

    @property
    def reference(self) -> ArtifactRef:
        return ArtifactRef(self.digest, self.digest, self.size_bytes, ())


@contextmanager
def bundle_of(task: Task) -> Iterator[Bundle]:
    """The task's bundle in a temporary file. BadInput where its folder holds what a bundle may not."""
    with tempfile.TemporaryDirectory(prefix="gpgpu-bundle-") as name:
        folder = Path(name)
        source, entrypoint = task.workdir, task.entrypoint()
        _require_script(task, entrypoint)
        if task.file.envs:
            source = folder / "source"
            entrypoint = _with_environment(task, source, entrypoint)
        path = folder / "bundle.tar"
        with path.open("wb") as out:
            digest = write_bundle(
                source, out, MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES, excluded_names=SOURCE_EXCLUDED
            )
        yield Bundle(path, digest, path.stat().st_size, entrypoint)


def _require_script(task: Task, entrypoint: str) -> None:
    name = entrypoint
    if _is_traced(task):
        name = entrypoint.partition(":")[0].replace(".", "/") + ".py"
        if (task.workdir / name.removesuffix(".py") / "__init__.py").is_file():
            return
    if not (task.workdir / name).is_file():
        raise BadInput(f"run: expected {name} in {task.workdir}, found none")


def _with_environment(task: Task, target: Path, entrypoint: str) -> str:
    """Copy the folder, add the start script; the entrypoint that sets the environment first."""
    excluded = shutil.ignore_patterns(*SOURCE_EXCLUDED)
    shutil.copytree(task.workdir, target, symlinks=True, ignore=excluded)
    start = target / f"{START}.py"
    if start.exists():
        raise BadInput(f"workdir: a task with `envs` may not hold a file {start.name}")
    start.write_text(start_script(task.file.envs, entrypoint, _is_traced(task)), encoding="utf-8")
    return f"{START}:{entrypoint.partition(':')[2]}" if _is_traced(task) else start.name


def start_script(envs: Mapping[str, str], entrypoint: str, is_traced: bool) -> str:
    """Sets the environment, then is the entrypoint; the same for equal environments in any order."""
    ordered = dict(sorted(envs.items()))
    if is_traced:
        module, _, attribute = entrypoint.partition(":")
        return TRACED_START.format(envs=ordered, module=module, attribute=attribute)
    return SCRIPT_START.format(envs=ordered, script=entrypoint)


def _is_traced(task: Task) -> bool:
    return JobClass[task.section.job_class.upper()] is JobClass.TRACED
