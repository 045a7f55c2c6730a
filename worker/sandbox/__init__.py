"""Where renters' code runs: namespaces by bubblewrap, bounds by cgroup or watchdog, nothing of the host
inside.
"""

from worker.sandbox.errors import SandboxError, SandboxUnavailable
from worker.sandbox.launch import Ending, Sandbox, SandboxJob
from worker.sandbox.limits import LimitName, Tier
from worker.sandbox.selftest import self_test

__all__ = [
    "Ending",
    "LimitName",
    "Sandbox",
    "SandboxError",
    "SandboxJob",
    "SandboxUnavailable",
    "Tier",
    "self_test",
]
