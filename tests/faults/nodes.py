"""Leases whose oracle and workers have a node that fails, hangs and lags."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.faults.market import faulty_market, insist
from tests.faults.points import ROOMS, points_of
from tests.faults.victims import is_linked, is_ready, watched
from tests.faulty_node import Faults, faulty_node

UNITS = 4
LEASE_SECONDS, GRACE_SECONDS = 30, 25
ERRORS, TIMEOUTS, STALE = 0.3, 0.1, 0.05
RPC_TIMEOUT_SECONDS = 1.0


def by_a_bad_node(folder: Path, leases: int) -> dict[str, Any]:
    """`rpc_fault_incomplete`: leases not closed, jobs without proof, and whatever else went wrong."""
    record = folder / "points"
    # Nobody is killed here.
    record.write_text("".join(f"{name}\n" for program in ROOMS for name in points_of(program)))
    faults = Faults(hang_seconds=1.5)
    with ExitStack() as stack:

        def through_faults(honest_url: str) -> str:
            return stack.enter_context(faulty_node(honest_url, faults)).url

        with faulty_market(
            folder,
            min(UNITS, leases),
            record,
            through_faults,
            grace_seconds=GRACE_SECONDS,
            rpc_timeout_seconds=RPC_TIMEOUT_SECONDS,
        ) as market:
            with watched(market.victims):
                insist(lambda: is_ready(market.oracle) and all(map(is_linked, market.workers)))
                faults.errors, faults.timeouts, faults.stale = ERRORS, TIMEOUTS, STALE
                market.rent(leases, LEASE_SECONDS)
                after_seconds = market.await_end()
            tally = market.count(after_seconds)
    wrong = (*tally.unfinished, *tally.dispatched_twice, *tally.paid_twice, *tally.strange)
    for line in wrong:
        print(line, file=sys.stderr)
    return {
        "rpc_fault_leases": tally.leases,
        "rpc_fault_incomplete": max(len(wrong), tally.leases - tally.proven),
    }
