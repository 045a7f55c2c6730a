"""`make faults`: kills at every point, bad nodes, reorganisations, bad requests, wrong callers.

N scales the counts: so many leases with kills, and so many by a bad node. The last line is one JSON object.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from tests.faults import killing, reorganising, requests
from tests.faults.nodes import by_a_bad_node

PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "kills": killing.figures,
    "nodes": by_a_bad_node,
    "reorganisations": reorganising.figures,
    "requests": requests.figures,
}


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    count = int(os.environ.get("N") or "50")
    figures: dict[str, Any] = {}
    for name in sys.argv[1:] or PARTS:
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="gpgpu-faults-") as folder:
            figures |= PARTS[name](Path(folder), count)
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
