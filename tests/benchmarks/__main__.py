"""Runs every benchmark. N scales the number of rounds."""

import json
import os
import sys

from tests.benchmarks import offers_search, paths

BENCHMARKS = {
    "state_digest": (paths.state_digest, 7),
    "sign_transactions": (paths.sign, 7),
    "command_help": (paths.command_help, 7),
    "offers_search": (offers_search.offers_search, 7),
    "offers_search_in_vain": (offers_search.offers_search_in_vain, 7),
}


def main() -> int:
    scale = float(os.environ.get("N", "1"))
    figures = {}
    for name, (benchmark, rounds) in BENCHMARKS.items():
        figures[name] = benchmark(max(3, round(rounds * scale))).to_json()
        print(f"{name}: {figures[name]}", file=sys.stderr)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
