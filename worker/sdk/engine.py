"""Runs a TRACED job, makes its leaves, and re-executes any one segment from its checkpoint."""

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from protocol import merkle
from protocol.errors import BadInput, DigestMismatch
from protocol.structs import JobSpec
from protocol.trace import TraceLeaf, metrics_digest
from protocol.typed_data import hash_struct
from protocol.units import ZERO_DIGEST, Digest, to_hex
from worker.sdk.job import JobContext, StepResult, TracedJob
from worker.sdk.state import full_state, make_deterministic, restore_generators, root_of, split_state


class LeafSink(Protocol):
    def __call__(
        self, leaf: TraceLeaf, state: Mapping[str, Tensor], metrics: Mapping[str, float]
    ) -> None: ...


class Engine:
    """One run of one job. `start` or `resume`, then `advance` until it returns None."""

    def __init__(
        self, job: TracedJob, context: JobContext, spec: JobSpec, sink: LeafSink, threads: int
    ) -> None:
        if spec.checkpoint_every < 1:
            raise BadInput(f"checkpoint_every: expected at least 1, got {spec.checkpoint_every}")
        self._job = job
        self._context = context
        self._spec = spec
        self._spec_digest = Digest(hash_struct(spec))
        self._sink = sink
        self._threads = threads
        self._last: TraceLeaf | None = None

    def start(self) -> TraceLeaf:
        """Makes the initial state and leaf 0. DigestMismatch where the specification pins another state."""
        self._init()
        state = full_state(self._job.state())
        root = root_of(state)
        pinned = self._spec.initial_state_root
        if pinned not in (ZERO_DIGEST, root):
            raise DigestMismatch(f"initial state: expected {to_hex(pinned)}, got {to_hex(root)}")
        leaf = TraceLeaf(self._spec_digest, 0, 0, root, ZERO_DIGEST, ZERO_DIGEST, ZERO_DIGEST)
        return self._emit(leaf, state, {})

    def resume(self, leaf: TraceLeaf, state: Mapping[str, Tensor]) -> None:
        """Goes on after `leaf`, whose state is `state`. DigestMismatch where it is not."""
        root = root_of(state)
        if root != leaf.state_root:
            raise DigestMismatch(
                f"checkpoint {leaf.index}: expected {to_hex(leaf.state_root)}, got {to_hex(root)}"
            )
        if leaf.job_spec_digest != self._spec_digest:
            raise DigestMismatch(
                f"leaf {leaf.index}: expected the specification {to_hex(self._spec_digest)}, "
                f"got {to_hex(leaf.job_spec_digest)}"
            )
        self._init()
        job_state, generators = split_state(state)
        self._job.load_state(job_state)
        restore_generators(generators)
        self._last = leaf

    def advance(self) -> TraceLeaf | None:
        """Runs to the next checkpoint and makes its leaf; None after the last step."""
        previous = self._last
        if previous is None:
            raise BadInput("the run was neither started nor resumed")
        if previous.step >= self._spec.steps:
            return None
        end = min(previous.step + self._spec.checkpoint_every, self._spec.steps)
        results = [self._step(index) for index in range(previous.step, end)]
        state = full_state(self._job.state())
        leaf = TraceLeaf(
            self._spec_digest,
            previous.index + 1,
            end,
            root_of(state),
            Digest(merkle.root([batch for batch, _ in results])),
            Digest(merkle.root([merkle.leaf_hash(metrics_digest(metrics)) for _, metrics in results])),
            Digest(previous.hash()),
        )
        return self._emit(leaf, state, results[-1][1])

    def finish(self) -> None:
        self._job.finish(self._context)

    def _init(self) -> None:
        make_deterministic(self._spec.seed, self._threads)
        self._job.init(self._context)

    def _step(self, index: int) -> tuple[bytes, dict[str, float]]:
        """Digest of the batch as of the end of its step, and the metrics."""
        result: StepResult = self._job.step(index)
        batch = ZERO_DIGEST if result.batch is None else root_of(result.batch)
        return merkle.leaf_hash(batch), {name: float(value) for name, value in result.metrics.items()}

    def _emit(self, leaf: TraceLeaf, state: Mapping[str, Tensor], metrics: Mapping[str, float]) -> TraceLeaf:
        self._sink(leaf, state, metrics)
        self._last = leaf
        return leaf
