"""Oracle and workers killed once at every point of theirs, while leases run."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from protocol.bodies import json_of
from protocol.market_bodies import QuoteRequestBody, RequirementsBody, SignedOfferBody
from protocol.matching import Requirements
from protocol.signed import SignedOffer
from protocol.typed_data import sign
from tests.faults.market import FaultyMarket, Tally, faulty_market, insist
from tests.faults.points import ROOMS, points_of
from tests.faults.victims import is_ready, watched
from tests.integration.oracle.oracle_world import sign_in
from tests.postgres import run_postgres

UNITS = 4
LEASE_SECONDS = 30
REBUILD_TRIES = 40
QUOTE_SECONDS = 20
REORGANISED_BLOCKS = 2

NOT_COME_TO: dict[str, str] = {}
"""Steps that these runs do not come to, and which test kills or fails there instead."""


@dataclass(frozen=True, slots=True)
class Killed:
    tallies: list[Tally]
    points: frozenset[str]
    missed: frozenset[str]


def figures(folder: Path, leases: int) -> dict[str, Any]:
    killed = run(folder, leases)
    tallies = killed.tallies
    for tally in tallies:
        for line in (*tally.unfinished, *tally.dispatched_twice, *tally.paid_twice, *tally.strange):
            print(line, file=sys.stderr)
        print(f"{tally.proven} of {tally.leases} jobs proven, {tally.kills} kills", file=sys.stderr)
    for name in sorted(killed.missed):
        print(f"not come to: {name}", file=sys.stderr)
    return {
        "kill_points": len(killed.points),
        "kill_points_missed": len(killed.missed),
        "leases": sum(tally.leases for tally in tallies),
        "lost": sum(len(tally.unfinished) + len(tally.strange) for tally in tallies),
        "dispatched_twice": sum(len(tally.dispatched_twice) for tally in tallies),
        "paid_twice": sum(len(tally.paid_twice) for tally in tallies),
        "recovery_seconds_max": round(max(tally.recovery_seconds_max for tally in tallies), 1),
    }


def run(folder: Path, leases: int) -> Killed:
    """Half of the leases with one oracle on SQLite, the others with two on PostgreSQL."""
    record = folder / "points"
    record.touch()
    first = _run(folder / "sqlite", record, (leases + 1) // 2)
    with run_postgres() as postgres:
        settings = {"database_url": postgres.new_database(), "duty_seconds": 1.5, "standby": 1}
        second = _run(folder / "postgresql", record, leases // 2, **settings) if leases > 1 else None
    known = frozenset[str]().union(*(points_of(program) for program in ROOMS))
    points = frozenset(record.read_text().splitlines())
    expected = {name for name in known if name.partition(" ")[2].partition(" ")[2] not in NOT_COME_TO}
    return Killed([each for each in (first, second) if each], points, frozenset(expected - points))


def _run(folder: Path, record: Path, leases: int, **settings: Any) -> Tally:
    folder.mkdir()
    with faulty_market(folder, min(UNITS, leases), record, **settings) as market:
        with watched(market.victims):
            _reorganise(market)
            _sign_in_and_out(market)
            _trade(market)
            market.rent(leases, LEASE_SECONDS)
            after_seconds = market.await_end()
        _rebuild(market)
        return market.count(after_seconds)


def _reorganise(market: FaultyMarket) -> None:
    """Once, of blocks that hold nothing, while the oracle knows them."""
    anvil = market.deployment.anvil
    insist(lambda: is_ready(market.oracle))
    ready_at = anvil.web3.eth.block_number
    insist(lambda: anvil.web3.eth.block_number > ready_at + REORGANISED_BLOCKS and is_ready(market.oracle))
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


def _trade(market: FaultyMarket) -> None:
    """An offer for the book, and a request for quotes."""
    rental, renter = market.rentals[0], market.renter
    offer = replace(rental.offer, salt=1 << 20, price_per_hour=1)
    body = SignedOfferBody.of(SignedOffer(offer, sign(rental.domain, offer, rental.provider)))
    provider = replace(renter, account=rental.provider)
    insist(lambda: provider("POST", "/v1/offers", json.dumps(json_of(body)).encode()).status_code < 300)
    wanted = RequirementsBody.of(Requirements("CPU", 1))

    def asked() -> bool:
        deadline = int(time.time()) + QUOTE_SECONDS
        request = QuoteRequestBody(requirements=wanted, deadline=deadline)
        answer = renter("POST", "/v1/quotes", json.dumps(json_of(request)).encode())
        return answer.status_code < 300

    insist(asked)


def _rebuild(market: FaultyMarket) -> None:
    """The store is made anew, until that, too, has been killed at each of its points."""
    oracle = market.oracle
    for _ in range(REBUILD_TRIES):
        oracle.start("rebuild")
        assert oracle.process is not None
        oracle.process.join(120)
        code = oracle.process.exitcode
        if code == 0:
            return
        oracle.deaths += 1
        if code != -9:
            oracle.strange.append(f"rebuild ended with {code}")
            return
    oracle.strange.append(f"rebuild died {REBUILD_TRIES} times")
