"""What jobs run in, as one digest: interpreter, libraries, driver, device class and processor family."""

import hashlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from protocol.json_text import canonical_json
from protocol.units import Digest
from worker.inventory import Inventory

_LIBRARIES: Final = ("torch", "numpy", "safetensors")


def describe_environment(inventory: Inventory) -> dict[str, str]:
    """Names and versions of all that decides how floats come out."""
    facts = {name: _version(name) for name in _LIBRARIES}
    facts["python"] = platform.python_version()
    facts["machine"] = platform.machine()
    facts["device"] = inventory.device
    facts["driver"] = inventory.driver
    facts["gpus"] = ",".join(sorted({gpu.name for gpu in inventory.gpus}))
    return facts


def environment_digest(inventory: Inventory) -> Digest:
    """SHA-256 over the canonical JSON of the description."""
    return Digest(hashlib.sha256(canonical_json(describe_environment(inventory))).digest())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
