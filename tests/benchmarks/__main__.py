"""Runs every benchmark, or those that are named. N scales the number of rounds."""

import gc
import json
import logging
import os
import sys

import structlog

from tests.benchmarks import api_reads, chain_paths, dispatch, offers_search, paths, sending, store_paths

BENCHMARKS = {
    "state_digest": (paths.state_digest, 7),
    "sign_transactions": (paths.sign, 7),
    "send_proofs": (sending.send_proofs, 5),
    "send_proofs_batched": (sending.send_proofs_batched, 5),
    "command_help": (paths.command_help, 7),
    "index_events": (chain_paths.index_events, 3),
    "transaction_to_row": (chain_paths.transaction_to_row, 3),
    "dispatch_latency": (dispatch.dispatch_latency, 5),
    "dispatch_rate": (dispatch.dispatch_rate, 3),
    "audit_replay": (chain_paths.audit_replay, 3),
    "rebuild": (store_paths.rebuild, 1),
    "read_offers": (api_reads.read_offers, 3),
    "read_own_job": (api_reads.read_own_job, 3),
    "offers_search": (offers_search.offers_search, 7),
    "offers_search_in_vain": (offers_search.offers_search_in_vain, 7),
}


def main() -> int:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    gc.freeze()  # what is imported for one path costs no other one time
    scale = float(os.environ.get("N", "1"))
    figures = {}
    for name in sys.argv[1:] or BENCHMARKS:
        benchmark, rounds = BENCHMARKS[name]
        figures[name] = benchmark(max(3, round(rounds * scale))).to_json()
        print(f"{name}: {figures[name]}", file=sys.stderr)
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
