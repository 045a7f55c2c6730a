"""Runs a command that dies with its parent: `leash.py PARENT_PID MEMORY_BYTES COMMAND ...`.

Run by path, so that it imports nothing of ours. The kernel's request to die with the parent survives the
exec; what the command starts itself stays in its process group, which the supervisor ends as a whole.
"""

import ctypes
import os
import resource
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie_to(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; without such a call nothing happens."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have ended before the request was made.
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str]) -> None:
    parent_pid, memory_bytes, command = int(arguments[0]), int(arguments[1]), arguments[2:]
    tie_to(parent_pid)
    if memory_bytes:
        resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    os.execvp(command[0], command)  # noqa: S606 - the caller's own command, no shell between


if __name__ == "__main__":
    main(sys.argv[1:])
