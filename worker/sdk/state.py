"""The state of a run: the job's tensors and the random generators', digested in place."""

import os
import random
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from protocol.digests import state_root, tensor_digest
from protocol.errors import BadInput
from protocol.units import Digest

RNG_PREFIX: Final = "rng/"
# Their types are partly unknown.
_TORCH: Final[Any] = torch


def make_deterministic(seed: int, threads: int) -> None:
    """From now on this process computes alike on equal hardware: seeds, algorithms, threads."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    _TORCH.manual_seed(seed)


def full_state(job_state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The job's tensors beside the generators' states. BadInput for a name that the runner keeps for
    itself.
    """
    for name in job_state:
        if not name or name.startswith(RNG_PREFIX):
            raise BadInput(f"state: expected a name that does not start with {RNG_PREFIX!r}, got {name!r}")
    return {**job_state, **_generator_state()}


def split_state(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inverse of `full_state`: the job's part and the generators'."""
    job = {name: tensor for name, tensor in state.items() if not name.startswith(RNG_PREFIX)}
    return job, {name: tensor for name, tensor in state.items() if name.startswith(RNG_PREFIX)}


def restore_generators(state: Mapping[str, Tensor]) -> None:
    """Sets the generators back to what `full_state` saw."""
    torch.set_rng_state(state["rng/torch"])
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        torch.cuda.set_rng_state(state[f"rng/cuda/{index}"], index)
    version, flag, gauss = _numbers(state["rng/python/rest"])
    words = tuple(int(word) for word in _numbers(state["rng/python/words"]))
    random.setstate((int(version), words, gauss if flag else None))
    position, has_gauss, cached = _numbers(state["rng/numpy/rest"])
    keys = np.array(_numbers(state["rng/numpy/words"]), dtype=np.uint32)
    np.random.set_state(("MT19937", keys, int(position), int(has_gauss), cached))


def root_of(tensors: Mapping[str, Tensor]) -> Digest:
    """State root of VERIFICATION.md. CPU tensors are read where they lie; only strided views are copied."""
    return state_root({name: _digest(name, tensor) for name, tensor in tensors.items()})


def _digest(name: str, tensor: Tensor) -> Digest:
    flat: Any = tensor.detach().cpu().contiguous().reshape(-1)
    buffer = memoryview(flat.view(torch.uint8).numpy())
    dtype = str(tensor.dtype).removeprefix("torch.")
    return tensor_digest(name, dtype, tuple(tensor.shape), buffer)


def _generator_state() -> dict[str, Tensor]:
    version, words, gauss = random.getstate()
    # NumPy's legacy generator is the one that unseeded library code draws from.
    _, keys, position, has_gauss, cached = _numpy_state()
    state = {
        "rng/torch": torch.get_rng_state(),
        "rng/python/words": torch.tensor(words, dtype=torch.int64),
        "rng/python/rest": torch.tensor([version, gauss is not None, gauss or 0.0], dtype=torch.float64),
        "rng/numpy/words": torch.tensor(keys.tolist(), dtype=torch.int64),
        "rng/numpy/rest": torch.tensor([position, has_gauss, cached], dtype=torch.float64),
    }
    for index in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        state[f"rng/cuda/{index}"] = torch.cuda.get_rng_state(index)
    return state


def _numpy_state() -> tuple[str, "np.ndarray[Any, np.dtype[np.uint32]]", int, int, float]:
    state: Any = np.random.get_state(legacy=True)
    return state


def _numbers(tensor: Any) -> list[Any]:
    return tensor.tolist()
