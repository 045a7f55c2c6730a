"""The folders in which attempts live: where they are, and how they go."""

import os
import subprocess
from pathlib import Path

from worker.journal import AttemptRow


def attempt_folder(root: Path, row: AttemptRow) -> Path:
    return root / f"{row.job_id.hex()}-{row.attempt}"


def remove_folder(folder: Path) -> None:
    """Whatever a job has made of it: folders without permissions, or nested beyond what Python walks."""
    if not folder.exists():
        return
    if os.geteuid() != 0:
        subprocess.run(["/bin/chmod", "-R", "u+rwX", "--", str(folder)], check=False)  # noqa: S603  a path of ours
    subprocess.run(["/bin/rm", "-rf", "--", str(folder)], check=True)  # noqa: S603  a path of ours
