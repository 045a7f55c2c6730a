"""The process of a TRACED job: loads the renter's class, runs it, writes leaves, checkpoints and outputs."""

import importlib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, cast

from protocol.bundle import SOURCE_EXCLUDED, write_bundle
from protocol.errors import BadInput, ProtocolError
from protocol.json_text import parse_json
from protocol.structs import JobClass, JobSpec, from_json
from protocol.units import ZERO_DIGEST, Digest

if TYPE_CHECKING:
    from torch import Tensor

    from protocol.trace import TraceLeaf
    from worker.sdk.job import TracedJob

LEAVES_FILE: Final = "leaves.jsonl"
USAGE_EXIT: Final = 2
_MAX_BUNDLE_BYTES: Final = 4 << 30
_MAX_BUNDLE_FILES: Final = 100_000
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True, slots=True)
class Folders:
    job: Path
    data: Path | None
    output: Path
    trace: Path


def main(arguments: Sequence[str]) -> int:
    """Exit code: 0 done, 2 the call or the specification is wrong. What the job itself raises goes
    through.
    """
    options = _parse(arguments)
    try:
        folders = _folders(options)
        spec = _read_spec(options, folders)
        threads = _fix_threads()
        run_traced(spec, folders, threads)
    except ProtocolError as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE_EXIT
    return 0


def run_traced(spec: JobSpec, folders: Folders, threads: int) -> None:
    """Afterwards the trace folder holds every leaf and checkpoint, the output folder the results."""
    # torch takes seconds to import: only once the call is known to be right, and with its threads fixed.
    import torch

    from worker.sdk.engine import Engine
    from worker.sdk.job import JobContext

    for folder in (folders.output, folders.trace):
        folder.mkdir(parents=True, exist_ok=True)
    context = JobContext(
        arguments=spec.arguments,
        seed=spec.seed,
        steps=spec.steps,
        precision=spec.precision,
        device="cuda" if torch.cuda.is_available() else "cpu",
        job_dir=folders.job,
        data=folders.data,
        output=folders.output,
    )
    engine = Engine(
        load_job(spec.entrypoint, folders.job), context, spec, _Recorder(folders.trace, spec), threads
    )
    engine.start()
    while engine.advance() is not None:
        pass
    engine.finish()


def load_job(entrypoint: str, folder: Path) -> "TracedJob":
    """An instance of the class that "module:attribute" names in `folder`. BadInput where there is none."""
    from worker.sdk.job import TracedJob

    module_name, _, attribute = entrypoint.partition(":")
    if not module_name or not attribute.isidentifier():
        raise BadInput(f"entrypoint: expected module:Class, got {entrypoint!r}")
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name != module_name:
            raise
        raise BadInput(f"entrypoint: no module {module_name} in the bundle") from error
    found: object = getattr(module, attribute, None)
    if not isinstance(found, type) or not issubclass(found, TracedJob):
        raise BadInput(f"entrypoint: expected a subclass of worker.sdk.TracedJob, got {found!r}")
    return found()


class _Recorder:
    """Writes each leaf and its checkpoint, and one line of progress."""

    def __init__(self, folder: Path, spec: JobSpec) -> None:
        self._folder = folder
        self._steps = spec.steps
        (folder / LEAVES_FILE).write_bytes(b"")

    def __call__(
        self, leaf: "TraceLeaf", state: "Mapping[str, Tensor]", metrics: Mapping[str, float]
    ) -> None:
        from protocol.trace import encode_leaves
        from worker.sdk.checkpoint import checkpoint_path, save_checkpoint

        save_checkpoint(checkpoint_path(self._folder, leaf.index), state)
        with (self._folder / LEAVES_FILE).open("ab") as file:
            file.write(encode_leaves([leaf]))
        shown = "".join(f" {name}={value:.6g}" for name, value in sorted(metrics.items()))
        print(f"step {leaf.step}/{self._steps} leaf {leaf.index}{shown}", flush=True)


def _parse(arguments: Sequence[str]) -> Namespace:
    parser = ArgumentParser(
        prog="python -m worker.sdk",
        description="Runs a TRACED job in the current folder. In a sandbox the specification comes with the "
        "order; elsewhere the options below make the same one, and so the same trace.",
    )
    parser.add_argument("--spec", type=Path, help="the job's specification, a JSON file")
    parser.add_argument(
        "--out", type=Path, help="where trace/ and output/ are written; outside the job's folder"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--checkpoint-every", type=int)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("entrypoint", metavar="MODULE:CLASS")
    # Everything after the entrypoint is the job's, options included.
    split = next(
        (i for i, word in enumerate(arguments) if ":" in word and not word.startswith("-")), len(arguments)
    )
    options = parser.parse_args(arguments[: split + 1])
    options.arguments = tuple(arguments[split + 1 :])
    return options


def _folders(options: Namespace) -> Folders:
    job = Path(os.environ.get("GPGPU_JOB_DIR", ".")).resolve()
    data = os.environ.get("GPGPU_DATA")
    output, trace = os.environ.get("GPGPU_OUTPUT"), os.environ.get("GPGPU_TRACE")
    if options.out is not None:
        output, trace = str(options.out / "output"), str(options.out / "trace")
    if output is None or trace is None:
        raise BadInput("--out: expected a folder for trace and output")
    folders = Folders(
        job, None if data is None else Path(data), Path(output).resolve(), Path(trace).resolve()
    )
    for folder in (folders.output, folders.trace):
        if folder.is_relative_to(job):
            raise BadInput(
                f"--out: expected a folder outside {job}, whose files make the bundle, got {folder}"
            )
    return folders


def _read_spec(options: Namespace, folders: Folders) -> JobSpec:
    path = options.spec or os.environ.get("GPGPU_SPEC")
    if path is None:
        return _spec_of_options(options, folders)
    spec = from_json(JobSpec, parse_json(Path(path).read_bytes(), "specification"))
    called = (options.entrypoint, *options.arguments)
    if (spec.entrypoint, *spec.arguments) != called:
        raise BadInput(
            f"call: expected {' '.join((spec.entrypoint, *spec.arguments))}, got {' '.join(called)}"
        )
    return spec


def _spec_of_options(options: Namespace, folders: Folders) -> JobSpec:
    if options.steps is None or options.checkpoint_every is None:
        raise BadInput("expected --spec, or --steps and --checkpoint-every")
    bundle = write_bundle(
        folders.job,
        cast(BinaryIO, _Discard()),
        _MAX_BUNDLE_BYTES,
        _MAX_BUNDLE_FILES,
        excluded_names=SOURCE_EXCLUDED,
    )
    return JobSpec(
        bundle_digest=Digest(bundle),
        entrypoint=options.entrypoint,
        arguments=options.arguments,
        data_root=ZERO_DIGEST,
        initial_state_root=ZERO_DIGEST,
        seed=options.seed,
        steps=options.steps,
        checkpoint_every=options.checkpoint_every,
        precision=options.precision,
        job_class=JobClass.TRACED,
        tolerance_profile=ZERO_DIGEST,
        environment_digest=ZERO_DIGEST,
    )


def _fix_threads() -> int:
    """GPGPU_THREADS is for experiments: float sums, and so the trace, change with it."""
    from worker.sdk.threads import CPU_THREADS

    threads = int(os.environ.get("GPGPU_THREADS", CPU_THREADS))
    for name in _THREAD_VARIABLES:
        os.environ[name] = str(threads)
    return threads


class _Discard:
    """A sink for a bundle of which only the digest is wanted."""

    def write(self, data: bytes, /) -> int:
        return len(data)
