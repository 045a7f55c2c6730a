"""The paths that are measured, each against what a user would pick instead."""

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from eth_keys.backends import CoinCurveECCBackend, NativeECCBackend
from eth_keys.datatypes import PrivateKey

from tests.benchmarks.harness import Figure, Goal, figure, median_seconds
from worker.sdk.state import root_of

STATE_BYTES = 100 << 20
SIGNATURES = 20


def state_digest(rounds: int) -> Figure:
    """State root of 100 MiB of float32 in 25 tensors, against torch.save and SHA-256 of what it wrote."""
    generator = torch.Generator().manual_seed(0)
    state = {f"layer.{i}": torch.randn(STATE_BYTES // 100, generator=generator) for i in range(25)}

    def saved() -> bytes:
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return hashlib.sha256(buffer.getbuffer()).digest()

    seconds = median_seconds({"ours": lambda: root_of(state), "torch.save + sha256": saved}, rounds)
    goal = Goal(">= 2.5x torch.save + sha256, in place without copy", times={"torch.save + sha256": 2.5})
    return figure({name: value * 1e3 for name, value in seconds.items()}, "ms", goal, less_is_better=True)


def sign(rounds: int) -> Figure:
    """Signatures a second of the backend that we pin, against the one that eth-account falls back to."""
    digests = [hashlib.sha256(bytes([i])).digest() for i in range(SIGNATURES)]

    def signer(key: PrivateKey) -> Callable[[], object]:
        return lambda: [key.sign_msg_hash(digest) for digest in digests]

    secret = hashlib.sha256(b"benchmark").digest()
    seconds = median_seconds(
        {
            "ours": signer(PrivateKey(secret, CoinCurveECCBackend())),
            "eth-account native": signer(PrivateKey(secret, NativeECCBackend())),
        },
        rounds,
    )
    goal = Goal(">= 7x eth_account's native backend (pin coincurve)", times={"eth-account native": 7})
    return figure({name: SIGNATURES / value for name, value in seconds.items()}, "signatures/s", goal)


def command_help(rounds: int) -> Figure:
    """`gpgpu --help` as a whole process."""
    program = str(Path(sys.executable).with_name("gpgpu"))

    def run() -> object:
        return subprocess.run([program, "--help"], env=dict(os.environ), capture_output=True, check=True)

    seconds = median_seconds({"ours": run}, rounds)
    return figure({**seconds}, "s", Goal("<= 0.3 s", at_most=0.3), less_is_better=True)
