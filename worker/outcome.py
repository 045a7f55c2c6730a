"""What an attempt left behind, read with care: the job wrote it, and the job is hostile."""

import os
import stat
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from protocol.bundle import write_bundle
from protocol.digests import sha256_file
from protocol.errors import BadInput, DigestMismatch, LimitExceeded, RejectedError
from protocol.json_text import canonical_json, parse_json
from protocol.structs import JobClass, JobOutcome, JobSpec
from protocol.trace import TraceLeaf, check_chain, decode_leaves, trace_root
from protocol.typed_data import hash_struct
from protocol.units import ZERO_DIGEST, Digest, hex_bytes, to_hex
from worker.journal import ArtifactRow
from worker.sandbox import Ending, LimitName
from worker.sandbox.output_size import MAX_ENTRIES, measure

MAX_LEAVES_BYTES: Final = 64 << 20
LEAVES_FILE: Final = "leaves.jsonl"
OUTPUT_ARTIFACT: Final = "output"
TRACE_ARTIFACT: Final = "trace"
LOG_ARTIFACT: Final = "log"
# Headers and padding of one file in a tar, long names included, and the end of the tar.
_TAR_ENTRY_BYTES: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the receipt will say of the run. `detail` is for people."""

    outcome: JobOutcome
    exit_code: int
    started_at: int
    finished_at: int
    run_milliseconds: int
    energy_joules: int
    trace_root: Digest = ZERO_DIGEST
    leaf_count: int = 0
    detail: str = ""

    def to_text(self) -> str:
        """For the journal."""
        values = asdict(self) | {"outcome": self.outcome.name, "trace_root": to_hex(self.trace_root)}
        return canonical_json(values).decode()

    @classmethod
    def from_text(cls, text: str) -> "Outcome":
        values: Any = parse_json(text, "outcome")
        values["outcome"] = JobOutcome[values["outcome"]]
        values["trace_root"] = Digest(hex_bytes(values["trace_root"], 32, "trace_root"))
        return cls(**values)


def outcome_without_run(outcome: JobOutcome, now: int, detail: str) -> Outcome:
    """Of an attempt whose job never started."""
    return Outcome(outcome, 0, now, now, 0, 0, detail=detail)


def describe_ending(ending: Ending, limit_value: int | None) -> str:
    """One line for people: why the run ended as it did. Empty where all went well."""
    if ending.limit is not None:
        return f"stopped: limit {ending.limit} of {limit_value} exceeded"
    if ending.outcome is JobOutcome.CANCELLED:
        return "stopped: cancelled"
    return "" if ending.exit_code == 0 else f"ended with exit code {ending.exit_code}"


def collect(
    folder: Path, spec: JobSpec, ending: Ending, energy_joules: int, limit_value: int | None
) -> tuple[Outcome, list[ArtifactRow]]:
    """The outcome of a run in `folder`, and the files to upload, all inside it. Nothing of the job runs any
    more.
    """
    outcome = Outcome(
        ending.outcome,
        ending.exit_code,
        ending.started_at,
        ending.finished_at,
        ending.run_milliseconds,
        energy_joules,
        detail=describe_ending(ending, limit_value),
    )
    artifacts: list[ArtifactRow] = []
    if ending.limit is not LimitName.OUTPUT:
        try:
            artifacts += _pack_output(folder)
            leaves, files = _read_trace(folder / "out" / "trace", spec, outcome.outcome)
            artifacts += files
            outcome = replace(outcome, trace_root=trace_root(leaves), leaf_count=len(leaves))
        except (BadInput, LimitExceeded, DigestMismatch) as error:
            artifacts = []
            outcome = failed(outcome, f"outputs refused: {error.message}")
    return outcome, artifacts


def failed(outcome: Outcome, detail: str) -> Outcome:
    """The same run, whose results count for nothing."""
    kept = JobOutcome.FAILED if outcome.outcome is JobOutcome.COMPLETED else outcome.outcome
    joined = f"{outcome.detail}; {detail}" if outcome.detail else detail
    return replace(outcome, outcome=kept, trace_root=ZERO_DIGEST, leaf_count=0, detail=joined)


def artifact_of(name: str, path: Path) -> ArtifactRow:
    return ArtifactRow(name, sha256_file(path), path, path.stat().st_size, uploaded=False)


def _pack_output(folder: Path) -> list[ArtifactRow]:
    """One tar of /out/output; none where the job wrote nothing there."""
    output = folder / "out" / "output"
    if not _is_folder(output) or not any(output.iterdir()):
        return []
    packed = folder / "output.tar"
    with packed.open("wb") as file:
        write_bundle(output, file, _room_bytes(output), MAX_ENTRIES)
        file.flush()
        os.fsync(file.fileno())
    return [artifact_of(OUTPUT_ARTIFACT, packed)]


def _read_trace(
    folder: Path, spec: JobSpec, outcome: JobOutcome
) -> tuple[tuple[TraceLeaf, ...], list[ArtifactRow]]:
    """The leaves and their files: all of them or none. BadInput where a completed TRACED job's trace is not
    whole.
    """
    if spec.job_class is not JobClass.TRACED:
        return (), []
    try:
        leaves, files = _read_leaves(folder, spec)
        if outcome is JobOutcome.COMPLETED and (not leaves or leaves[-1].step != spec.steps):
            last = leaves[-1].step if leaves else None
            raise BadInput(f"trace: expected to end at step {spec.steps}, got {last}")
    except RejectedError:
        if outcome is JobOutcome.COMPLETED:
            raise
        return (), []  # stopped in the middle of a write, or before the first
    return leaves, files


def _read_leaves(folder: Path, spec: JobSpec) -> tuple[tuple[TraceLeaf, ...], list[ArtifactRow]]:
    if not _is_folder(folder):
        raise BadInput("trace: expected a folder /out/trace, got none")
    path = _regular(folder / LEAVES_FILE)
    if path.stat().st_size > MAX_LEAVES_BYTES:
        raise LimitExceeded(f"trace: expected at most {MAX_LEAVES_BYTES} bytes, got {path.stat().st_size}")
    leaves = decode_leaves(path.read_bytes())
    check_chain(leaves, hash_struct(spec))
    if not leaves:
        return (), []
    files = [artifact_of(TRACE_ARTIFACT, path)]
    for leaf in leaves:
        checkpoint = _regular(folder / f"checkpoint-{leaf.index}.safetensors")
        files.append(artifact_of(f"checkpoint/{leaf.index}", checkpoint))
    return leaves, files


def _regular(path: Path) -> Path:
    """BadInput for links and whatever else is no plain file: following it would read the host."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError as error:
        raise BadInput(f"{path.name}: expected a file, got none") from error
    if not stat.S_ISREG(mode):
        raise BadInput(f"{path.name}: expected a regular file, got a link or another kind")
    return path


def _is_folder(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISDIR(mode):
        raise BadInput(f"{path.name}: expected a folder, got a link or another kind")
    return True


def _room_bytes(folder: Path) -> int:
    """The sandbox has bounded what lies there; what is left is a tar's own overhead."""
    size = measure(folder)
    return size.bytes + size.entries * _TAR_ENTRY_BYTES + _TAR_ENTRY_BYTES
