"""Oracle and workers killed once at every point of theirs, while leases run."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.market import FaultyMarket, Tally, faulty_market, insist
from tests.faults.points import ROOMS, points_of
from tests.faults.victims import is_ready, watched
from tests.integration.oracle.oracle_world import sign_in

UNITS = 3
LEASE_SECONDS = 25
REBUILD_TRIES = 40
REORGANISED_BLOCKS = 2

NOT_COME_TO: dict[str, str] = {}
"""Steps that these runs do not come to, and which test kills or fails there instead."""


@dataclass(frozen=True, slots=True)
class Killed:
    tally: Tally
    points: frozenset[str]
    missed: frozenset[str]


def figures(folder: Path, leases: int) -> dict[str, Any]:
    killed = run(folder, leases)
    tally = killed.tally
    for line in (*tally.unfinished, *tally.dispatched_twice, *tally.paid_twice, *tally.strange):
        print(line, file=sys.stderr)
    for name in sorted(killed.missed):
        print(f"not come to: {name}", file=sys.stderr)
    print(f"{tally.proven} of {tally.leases} jobs proven, {tally.kills} kills", file=sys.stderr)
    return {
        "kill_points": len(killed.points),
        "kill_points_missed": len(killed.missed),
        "leases": tally.leases,
        "lost": len(tally.unfinished) + len(tally.strange),
        "dispatched_twice": len(tally.dispatched_twice),
        "paid_twice": len(tally.paid_twice),
        "recovery_seconds_max": round(max(tally.recovery_seconds_max, tally.after_seconds), 1),
    }


def run(folder: Path, leases: int) -> Killed:
    record = folder / "points"
    record.touch()
    with faulty_market(folder, min(UNITS, leases), record) as market:
        market.book(leases, LEASE_SECONDS)
        booked = market.deployment.anvil.web3.eth.block_number
        with watched(market.victims):
            _reorganise(market, booked)
            market.order_all()
            _sign_in_and_out(market)
            after_seconds = market.await_end()
        _rebuild(market)
        tally = market.count(after_seconds)
    known = frozenset[str]().union(*(points_of(program) for program in ROOMS))
    points = frozenset(record.read_text().splitlines())
    expected = {name for name in known if name.partition(" ")[2].partition(" ")[2] not in NOT_COME_TO}
    return Killed(tally, points, frozenset(expected - points))


def _reorganise(market: FaultyMarket, booked: int) -> None:
    """Once, of blocks that hold nothing of the leases, while the oracle knows them."""
    anvil = market.deployment.anvil
    insist(lambda: anvil.web3.eth.block_number > booked + REORGANISED_BLOCKS)
    insist(lambda: is_ready(market.oracle))
    anvil.call("anvil_reorg", REORGANISED_BLOCKS, [])


def _sign_in_and_out(market: FaultyMarket) -> None:
    caller = market.renter

    def session() -> str:
        response = sign_in(caller.http, market.oracle.url, caller.account)
        return response.json()["token"] if response.status_code == 201 else ""

    def leave(path: str) -> bool:
        headers = {"Authorization": f"Bearer {insist(session)}"}
        return caller.http.delete(market.oracle.url + path, headers=headers).status_code == 204

    insist(lambda: leave("/v1/sessions/current"))
    insist(lambda: leave("/v1/sessions"))


def _rebuild(market: FaultyMarket) -> None:
    """The store is made anew, until that, too, has been killed at each of its points."""
    oracle = market.oracle
    for _ in range(REBUILD_TRIES):
        oracle.start("rebuild")
        assert oracle.process is not None
        code = oracle.process.wait(120)
        if code == 0:
            return
        oracle.deaths += 1
        if code != -9:
            oracle.strange.append(f"rebuild ended with {code}")
            return
    oracle.strange.append(f"rebuild died {REBUILD_TRIES} times")
