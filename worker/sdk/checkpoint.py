"""Checkpoints: one safetensors file for each leaf of the trace. Nothing is ever unpickled."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import safetensors
import safetensors.torch as safetensors_torch
from torch import Tensor

from protocol.errors import BadInput

# Its types are partly unknown.
_FORMAT: Final[Any] = safetensors
_FORMAT_OF_TORCH: Final[Any] = safetensors_torch


def checkpoint_path(folder: Path, index: int) -> Path:
    return folder / f"checkpoint-{index}.safetensors"


def save_checkpoint(path: Path, state: Mapping[str, Tensor]) -> None:
    """Afterwards `path` holds the whole state, or is as it was."""
    temporary = path.with_suffix(".partial")
    _FORMAT_OF_TORCH.save_file(_storable(state), str(temporary))
    os.replace(temporary, path)


def load_checkpoint(path: Path) -> dict[str, Tensor]:
    """BadInput where the file is no checkpoint."""
    try:
        with _FORMAT.safe_open(str(path), framework="pt", device="cpu") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  it is no mapping
    except (OSError, _FORMAT.SafetensorError) as error:
        raise BadInput(f"{path.name}: expected a safetensors checkpoint, got {error}") from error


def _storable(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The format wants contiguous tensors that share no memory: only those that break this are copied."""
    storable: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in sorted(state.items()):
        plain = tensor.detach().contiguous()
        address = plain.untyped_storage().data_ptr()
        alone = plain.untyped_storage().nbytes() == plain.numel() * plain.element_size()
        storable[name] = plain if alone and address not in seen else plain.clone()
        seen.add(address)
    return storable
