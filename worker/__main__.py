"""`python -m worker`: the daemon, the list of this host's devices, and the sandbox's self-test."""

import json
import logging
import signal
import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import structlog

from protocol.errors import BadInput, ProtocolError, RetryableError
from protocol.units import to_hex
from worker.inventory import InventoryError, open_inventory
from worker.sandbox.errors import SandboxError
from worker.settings import load_settings

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNAVAILABLE = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 0 done, 1 the sandbox or a device does not work, 2 wrong input, 3 a service is out
    of reach.
    """
    options = _parser().parse_args(arguments)
    _configure_logging()
    try:
        options.action(options)
    except (SandboxError, InventoryError) as error:
        return _fail(str(error), EXIT_FAILED)
    except RetryableError as error:
        return _fail(error.message, EXIT_UNAVAILABLE)
    except ProtocolError as error:
        return _fail(error.message, EXIT_USAGE)
    return 0


def _run(options: Namespace) -> None:
    # The daemon's imports take a second; the list of devices should not.
    from worker.daemon import run_worker

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _setter(stop))
    run_worker(load_settings(options.settings), stop)


def _setter(stop: threading.Event) -> Callable[[int, FrameType | None], None]:
    def handle(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    return handle


def _identify(options: Namespace) -> None:
    inventory = open_inventory(options.device, options.cpu_device)
    try:
        found = inventory.read()
    finally:
        inventory.close()
    facts: dict[str, Any] = {
        "device": found.device,
        "gpu_class": found.gpus[0].name if found.gpus else "",
        "gpu_count": len(found.gpus),
        "gpus": [
            {"id": to_hex(gpu.gpu_id), "uuid": gpu.uuid, "name": gpu.name, "vram_mib": gpu.vram_mib}
            for gpu in found.gpus
        ],
        "cpu_count": found.cpu_count,
        "driver": found.driver,
        "lost": list(found.lost),
        "encryption_key": _encryption_key(options.key_dir, options.new_key),
    }
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    print(f"device {facts['device']}, {facts['cpu_count']} processor cores {facts['driver']}".rstrip())
    for gpu in found.gpus:
        print(f"{to_hex(gpu.gpu_id)}  {gpu.name}  {gpu.vram_mib} MiB")
    if facts["encryption_key"] is not None:
        print(f"encryption key {facts['encryption_key']}")
    for lost in found.lost:
        print(f"lost: {lost}", file=sys.stderr)


def _encryption_key(key_dir: Path | None, new_key: bool) -> str | None:
    """The public half of the key to register. None: jobs of this unit are not sealed."""
    if key_dir is None:
        if new_key:
            raise BadInput("--new-key: expected --key-dir beside it")
        return None
    from protocol.sealing import public_bytes
    from worker.keys import newest_key

    return to_hex(public_bytes(newest_key(key_dir, rotate=new_key)))


def _self_test(options: Namespace) -> None:
    from worker.daemon import open_sandbox
    from worker.sandbox import self_test

    settings = load_settings(options.settings)
    sandbox = open_sandbox(settings)
    for check in self_test(sandbox, settings.data_dir):
        print(f"ok  {check}")
    print(f"limits on memory and processes: {sandbox.tier}")


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m worker", description=__doc__)
    parser.set_defaults(action=_run)
    parser.add_argument("--settings", type=Path, help="TOML file")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    identify = commands.add_parser("identify", help="list this host's devices")
    identify.add_argument("--json", action="store_true")
    identify.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    identify.add_argument("--cpu-device", default="0", metavar="NAME", help="tells several CPU devices apart")
    identify.add_argument(
        "--key-dir",
        type=Path,
        metavar="FOLDER",
        help="the worker's key_dir: shows its newest encryption key, and makes the first",
    )
    identify.add_argument("--new-key", action="store_true", help="make another encryption key, to rotate to")
    identify.set_defaults(action=_identify)
    test = commands.add_parser("self-test", help="prove that the sandbox isolates on this host")
    test.add_argument("--settings", type=Path, required=True, help="TOML file")
    test.set_defaults(action=_self_test)
    return parser


def _configure_logging() -> None:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _fail(message: str, code: int) -> int:
    print(f"error: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
