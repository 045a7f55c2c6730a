"""Traces of real training: the same on every run, and re-executable segment by segment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from protocol.errors import BadInput, DigestMismatch
from protocol.json_text import canonical_json
from protocol.structs import JobClass, JobSpec, to_json
from protocol.trace import TraceLeaf, check_chain, decode_leaves, trace_root
from protocol.typed_data import hash_struct
from protocol.units import ZERO_DIGEST, Digest
from worker.sdk import JobContext, StepResult, TracedJob
from worker.sdk.checkpoint import checkpoint_path, load_checkpoint, save_checkpoint
from worker.sdk.engine import Engine
from worker.sdk.runner import load_job
from worker.sdk.state import full_state, restore_generators, root_of

ROOT = Path(__file__).resolve().parents[3]
DIGITS = ROOT / "examples" / "digits"
INTEGERS = """
import random
import numpy, torch
from worker.sdk import StepResult, TracedJob

class Walk(TracedJob):
    def init(self, context):
        self.place = torch.zeros(1000, dtype=torch.int64)
    def step(self, index):
        drawn = torch.tensor([random.randrange(9), int(numpy.random.randint(9)), int(torch.randint(9, ()))])
        self.place += drawn.sum() * torch.arange(1000)
        return StepResult(batch={"drawn": drawn}, metrics={"first": float(self.place[1])})
    def state(self):
        return {"place": self.place}
    def load_state(self, state):
        self.place = state["place"].clone()
    def finish(self, context):
        (context.output / "place.txt").write_text(str(int(self.place.sum())))
"""


def sdk(
    folder: Path, out: Path, entrypoint: str, *options: str, threads: int | None = None
) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "worker.sdk", "--out", str(out), *options, entrypoint]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    if threads is not None:
        environment["GPGPU_THREADS"] = str(threads)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def leaves_of(out: Path) -> tuple[TraceLeaf, ...]:
    return decode_leaves((out / "trace" / "leaves.jsonl").read_bytes())


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short training of the digits example."""
    out = tmp_path_factory.mktemp("digits")
    done = sdk(DIGITS, out, "train:DigitsCnn", "--seed", "7", "--steps", "12", "--checkpoint-every", "5")
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture
def walk(tmp_path: Path) -> Path:
    folder = tmp_path / "walk"
    folder.mkdir()
    (folder / "walk.py").write_text(INTEGERS)
    return folder


def digits_spec(out: Path) -> JobSpec:
    """The specification that the command line made: its digest is in every leaf."""
    from protocol.bundle import SOURCE_EXCLUDED, write_bundle

    with open(os.devnull, "wb") as sink:
        bundle = write_bundle(DIGITS, sink, 1 << 30, 100, excluded_names=SOURCE_EXCLUDED)
    spec = make_spec(bundle_digest=bundle, entrypoint="train:DigitsCnn", seed=7, steps=12, checkpoint_every=5)
    assert hash_struct(spec) == leaves_of(out)[0].job_spec_digest
    return spec


def make_spec(**changes: Any) -> JobSpec:
    values: dict[str, Any] = {
        "bundle_digest": ZERO_DIGEST,
        "entrypoint": "walk:Walk",
        "arguments": (),
        "data_root": ZERO_DIGEST,
        "initial_state_root": ZERO_DIGEST,
        "seed": 1,
        "steps": 10,
        "checkpoint_every": 4,
        "precision": "fp32",
        "job_class": JobClass.TRACED,
        "tolerance_profile": ZERO_DIGEST,
        "environment_digest": ZERO_DIGEST,
    }
    return JobSpec(**{**values, **changes})


def make_engine(spec: JobSpec, folder: Path, job: TracedJob | None = None, threads: int = 1) -> Engine:
    context = JobContext(
        spec.arguments, spec.seed, spec.steps, spec.precision, "cpu", folder, None, folder / "output"
    )
    loaded = job if job is not None else load_job(spec.entrypoint, folder)
    return Engine(loaded, context, spec, lambda leaf, state, metrics: None, threads)


def test_trace__two_runs__have_one_root(trained: Path, tmp_path: Path) -> None:
    done = sdk(DIGITS, tmp_path, "train:DigitsCnn", "--seed", "7", "--steps", "12", "--checkpoint-every", "5")
    assert done.returncode == 0, done.stderr
    first, second = leaves_of(trained), leaves_of(tmp_path)
    assert trace_root(first) == trace_root(second)
    assert (trained / "trace" / "checkpoint-3.safetensors").read_bytes() == (
        tmp_path / "trace" / "checkpoint-3.safetensors"
    ).read_bytes()


def test_trace__of_a_training__is_a_chain_that_ends_at_the_last_step(trained: Path) -> None:
    leaves = leaves_of(trained)
    check_chain(leaves, hash_struct(digits_spec(trained)))
    assert [leaf.step for leaf in leaves] == [0, 5, 10, 12]
    assert leaves[0].batch_root == ZERO_DIGEST
    assert len({leaf.state_root for leaf in leaves}) == 4
    for leaf in leaves:
        state = load_checkpoint(checkpoint_path(trained / "trace", leaf.index))
        assert root_of(state) == leaf.state_root
    metrics = json.loads((trained / "output" / "metrics.json").read_text())
    assert metrics["test_images"] == 359


def test_trace__another_seed_or_argument__is_another(trained: Path, tmp_path: Path) -> None:
    done = sdk(DIGITS, tmp_path, "train:DigitsCnn", "--seed", "8", "--steps", "1", "--checkpoint-every", "1")
    assert done.returncode == 0, done.stderr
    assert leaves_of(tmp_path)[0].state_root != leaves_of(trained)[0].state_root


@pytest.mark.parametrize("index", [0, 1, 2])
def test_resume__from_each_checkpoint__reproduces_the_next_leaf(trained: Path, index: int) -> None:
    leaves, spec = leaves_of(trained), digits_spec(trained)
    engine = make_engine(spec, DIGITS)
    engine.resume(leaves[index], load_checkpoint(checkpoint_path(trained / "trace", index)))
    assert engine.advance() == leaves[index + 1]


def test_resume__from_a_tampered_checkpoint__is_refused(trained: Path, tmp_path: Path) -> None:
    leaves, spec = leaves_of(trained), digits_spec(trained)
    state = load_checkpoint(checkpoint_path(trained / "trace", 1))
    state["model/layers.0.bias"][0] += 1e-6
    save_checkpoint(tmp_path / "tampered.safetensors", state)
    with pytest.raises(DigestMismatch, match="checkpoint 1"):
        make_engine(spec, DIGITS).resume(leaves[1], load_checkpoint(tmp_path / "tampered.safetensors"))


def test_trace__exact_job_under_other_thread_counts__is_the_same(walk: Path, tmp_path: Path) -> None:
    roots: set[bytes] = set()
    for threads in (1, 2):
        out = tmp_path / str(threads)
        done = sdk(walk, out, "walk:Walk", "--steps", "10", "--checkpoint-every", "4", threads=threads)
        assert done.returncode == 0, done.stderr
        roots.add(trace_root(leaves_of(out)))
    assert len(roots) == 1


def test_trace__training_under_another_thread_count__has_the_same_format(tmp_path: Path) -> None:
    options = ("--seed", "7", "--steps", "4", "--checkpoint-every", "2")
    done = sdk(DIGITS, tmp_path, "train:DigitsCnn", *options, threads=2)
    assert done.returncode == 0, done.stderr
    leaves = leaves_of(tmp_path)
    check_chain(leaves)
    assert [leaf.step for leaf in leaves] == [0, 2, 4]


def test_specification__from_a_file__gives_the_same_trace_as_the_options(walk: Path, tmp_path: Path) -> None:
    done = sdk(walk, tmp_path / "a", "walk:Walk", "--seed", "1", "--steps", "10", "--checkpoint-every", "4")
    assert done.returncode == 0, done.stderr
    from protocol.bundle import write_bundle

    with open(os.devnull, "wb") as sink:
        spec = make_spec(bundle_digest=Digest(write_bundle(walk, sink, 1 << 20, 10)))
    (tmp_path / "spec.json").write_bytes(canonical_json(to_json(spec)))
    done = sdk(walk, tmp_path / "b", "walk:Walk", "--spec", str(tmp_path / "spec.json"))
    assert done.returncode == 0, done.stderr
    assert leaves_of(tmp_path / "a") == leaves_of(tmp_path / "b")


@pytest.mark.parametrize(
    ("entrypoint", "options", "words"),
    [
        ("walk:Nothing", ("--steps", "1", "--checkpoint-every", "1"), "expected a subclass"),
        ("absent:Walk", ("--steps", "1", "--checkpoint-every", "1"), "no module absent"),
        ("walk:Walk", (), "--steps"),
        ("walk:Walk", ("--steps", "1", "--checkpoint-every", "0"), "expected at least 1, got 0"),
    ],
)
def test_call__wrong__ends_with_code_2_and_says_why(
    walk: Path, tmp_path: Path, entrypoint: str, options: tuple[str, ...], words: str
) -> None:
    done = sdk(walk, tmp_path / "out", entrypoint, *options)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr


def test_out__inside_the_bundle__is_refused(walk: Path) -> None:
    done = sdk(walk, walk / "out", "walk:Walk", "--steps", "1", "--checkpoint-every", "1")
    assert (done.returncode, "outside" in done.stderr) == (2, True)


def test_call__other_arguments_than_the_specification__is_refused(walk: Path, tmp_path: Path) -> None:
    spec = make_spec(arguments=("--lr", "1"))
    (tmp_path / "spec.json").write_bytes(canonical_json(to_json(spec)))
    done = sdk(walk, tmp_path / "out", "walk:Walk", "--spec", str(tmp_path / "spec.json"))
    assert (done.returncode, "expected walk:Walk --lr 1" in done.stderr) == (2, True)


class Fixed(TracedJob):
    """Its state is what the test puts there."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self.tensors = state

    def init(self, context: JobContext) -> None:
        del context

    def step(self, index: int) -> StepResult:
        del index
        return StepResult()

    def state(self) -> dict[str, torch.Tensor]:
        return self.tensors

    def load_state(self, state: dict[str, torch.Tensor]) -> None:  # type: ignore[override]
        self.tensors = dict(state)


def test_initial_state__other_than_pinned__is_refused(tmp_path: Path) -> None:
    spec = make_spec(initial_state_root=Digest(b"\1" * 32))
    with pytest.raises(DigestMismatch, match="initial state"):
        make_engine(spec, tmp_path, Fixed({"x": torch.zeros(1)})).start()


def test_state__name_of_the_runner__is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="rng/"):
        make_engine(make_spec(), tmp_path, Fixed({"rng/torch": torch.zeros(1)})).start()


def test_root__strided_shared_and_half_precision_tensors__binds_their_bytes(tmp_path: Path) -> None:
    base = torch.arange(12, dtype=torch.float32).reshape(3, 4)
    state = {
        "strided": base.t(),
        "shared": base,
        "half": base.to(torch.bfloat16),
        "scalar": torch.tensor(3),
        "flags": base > 5,
        "empty": torch.empty(0, 3),
    }
    path = tmp_path / "state.safetensors"
    save_checkpoint(path, full_state(state))
    loaded = load_checkpoint(path)
    assert root_of(loaded) == root_of(full_state(state))
    loaded["half"][0, 0] = 1
    assert root_of(loaded) != root_of(full_state(state))


def test_root__large_tensor__is_digested_without_a_copy() -> None:
    # A thousandth of this state as a copy would show in the process's peak.
    program = (
        "import resource, torch\n"
        "from worker.sdk.state import root_of\n"
        "root_of({'warm': torch.zeros(1 << 20)})\n"
        "state = {'x': torch.ones(64 << 20)}\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "root_of(state)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16 << 10  # KiB, of 256 MiB


def test_generators__restored__draw_again_what_they_drew() -> None:
    import random

    import numpy as np

    torch.manual_seed(5)
    random.gauss(0, 1)
    np.random.standard_normal()
    state = full_state({})

    def draw() -> list[float]:
        return [random.gauss(0, 1), random.random(), float(np.random.standard_normal()), torch.rand(1).item()]

    first = draw()
    restore_generators(state)
    assert draw() == first
    restore_generators(state)
    assert root_of(full_state({})) == root_of(state)


@pytest.mark.parametrize("content", [b"", b"\x80\x04cos\nsystem\n", b"\xff" * 64])
def test_checkpoint__of_foreign_bytes__is_bad_input(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "checkpoint-0.safetensors"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="checkpoint"):
        load_checkpoint(path)
