"""Entry point: `python -m oracle [serve | rebuild] --settings FILE.toml`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import structlog

from oracle.logs import configure_logging
from oracle.rebuild import run_rebuild
from oracle.service import run
from oracle.settings import load_settings
from protocol.errors import InvariantBroken, ProtocolError, RejectedError

BAD_INPUT, UNAVAILABLE, INCOMPLETE, HALTED = 2, 3, 4, 70


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="oracle", description="Indexes the chain and dispatches jobs to workers."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "rebuild"),
        default="serve",
        help="serve until told to stop (default), or read the whole chain into the store anew",
    )
    parser.add_argument("--settings", type=Path, metavar="FILE.toml")
    arguments = parser.parse_args()
    configure_logging("info")
    try:
        settings = load_settings(arguments.settings)
        configure_logging(settings.log_level)
        if arguments.command == "rebuild":
            return 0 if run_rebuild(settings) else INCOMPLETE
        failure = run(settings)
    except ProtocolError as error:
        structlog.get_logger(__name__).error("not_started", code=error.code, reason=error.message)
        if isinstance(error, InvariantBroken):
            return HALTED
        return BAD_INPUT if isinstance(error, RejectedError) else UNAVAILABLE
    return 0 if failure is None else HALTED


if __name__ == "__main__":
    sys.exit(main())
