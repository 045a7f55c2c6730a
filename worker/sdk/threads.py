"""How many threads a job whose result must be reproducible computes with."""

from typing import Final

CPU_THREADS: Final = 1
"""Sums of floats depend on how many threads share them: traces are made with one."""
