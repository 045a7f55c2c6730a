"""Oracle and workers killed once at every point of theirs, while leases run."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from protocol.bodies import json_of
from protocol.market_bodies import QuoteRequestBody, RequirementsBody, SignedOfferBody
from protocol.matching import Requirements
from protocol.signed import SignedOffer
from protocol.typed_data import sign
from tests.faults.market import FaultyMarket, Tally, faulty_market, insist
from tests.faults.points import MOMENTS, ROOMS, points_of
from tests.faults.victims import OracleVictim, is_ready, watched
from tests.integration.oracle import oracle_tus
from tests.integration.oracle.oracle_rig import Caller
from tests.integration.oracle.oracle_world import sign_in
from tests.postgres import run_postgres

UNITS = 4
TIDY: Final = {"unused_artifact_seconds": 1, "stray_sweep_seconds": 1}
LEASE_SECONDS = 40
REBUILD_TRIES = 40
TRY_SECONDS, TRY_SECONDS_A_LEASE = 90.0, 6.0
QUOTE_SECONDS = 20
REORGANISED_BLOCKS = 2

_NO_QUORUM = "no oracle is of a quorum here; tests/integration/oracle/test_oracle_quorum.py kills signers"
_NO_TROUBLE = "nobody drops, outbids or forks away; test_sender_troubles.py, test_outbox.py"
NOT_COME_TO: Final[dict[str, str]] = {
    "commit oracle.api.artifacts._checked": "no file is damaged; test_oracle_objects.py",
    "commit oracle.api.artifacts._checked #2": "no file is damaged; test_oracle_objects.py",
    "commit oracle.quorum.collector.Collector._take": _NO_QUORUM,
    "commit oracle.quorum.collector.Collector.collect": _NO_QUORUM,
    "commit oracle.quorum.signer.QuorumSigner._keep": _NO_QUORUM,
    "sign oracle.quorum.signer.QuorumSigner._try": _NO_QUORUM,
    "commit oracle.quotes.Quotes.answer": "no worker bids here; test_worker_quotes.py",
    "commit oracle.uploads.Uploads.find": "no piece is lost; test_oracle_uploads.py",
    "commit oracle.store.outbox.StoreOutbox.mark_failed": _NO_TROUBLE,
    "commit oracle.store.outbox.StoreOutbox.move": _NO_TROUBLE,
    "commit oracle.store.outbox.StoreOutbox.reopen": _NO_TROUBLE,
    "commit oracle.store.outbox.StoreOutbox.reserve_at": _NO_TROUBLE,
    "commit protocol.outbox.SqliteOutbox.move": _NO_TROUBLE,
    "commit protocol.outbox.SqliteOutbox.reopen": _NO_TROUBLE,
    "commit protocol.outbox.SqliteOutbox.reserve_at": _NO_TROUBLE,
    "commit worker.journal.attempts.AttemptRows.drop_artifacts": "no upload is refused",
    "commit worker.journal.leases.LeaseRows.add_renter": "no lease is transferred; test_worker_leases.py",
    "commit worker.journal.leases.LeaseRows.drop_heartbeat": "no fork takes one; test_worker_journal.py",
    "deliver worker.artifacts.ArtifactClient._take": "no output is so large; test_oracle_uploads.py",
}
"""Steps that these runs do not come to, why, and which tests do come to them."""
OF_THE_OTHER: Final = frozenset(
    {
        "oracle: before sign protocol.request_auth.sign_link",
        "oracle: after sign protocol.request_auth.sign_link",
        "oracle: before sign protocol.request_auth.sign_request",
        "oracle: after sign protocol.request_auth.sign_request",
    }
)
"""What the one program never does, though both have the code."""


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
    expected = {name for name in known if _step(name) not in NOT_COME_TO}
    return Killed(
        [each for each in (first, second) if each], points, frozenset(expected - points - OF_THE_OTHER)
    )


def _run(folder: Path, record: Path, leases: int, **settings: Any) -> Tally:
    folder.mkdir()
    with faulty_market(folder, min(UNITS, leases), record, **TIDY, **settings) as market:
        with watched(market.victims):
            insist(lambda: is_ready(market.oracle))
            for action, modules in _EXERCISES:
                _exhaust(market, record, leases, action, modules)
            market.rent(leases, LEASE_SECONDS)
            after_seconds = market.await_end()
        if market.standby:
            _stop_cleanly(market.oracle)
        _rebuild(market)
        return market.count(after_seconds)


def _exhaust(
    market: FaultyMarket,
    record: Path,
    leases: int,
    action: Callable[[FaultyMarket], None],
    modules: tuple[str, ...],
) -> None:
    """Does it again until all points of these modules that are reached have been died at."""
    wanted = {name for name in points_of("oracle") if _step(name).startswith(modules)}
    deadline = time.monotonic() + min(TRY_SECONDS, TRY_SECONDS_A_LEASE * leases)
    while time.monotonic() < deadline:
        known = set(record.read_text().splitlines())
        if wanted <= known | {name for name in wanted if _step(name) in NOT_COME_TO}:
            return
        action(market)


def _step(name: str) -> str:
    """Of a point's name, what follows the program and the moment."""
    return name.split(" ", 2)[2]


def _reorganise(market: FaultyMarket) -> None:
    """Of blocks that hold nothing, while the oracle knows them."""
    anvil = market.deployment.anvil
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


def _upload_in_pieces(market: FaultyMarket) -> None:
    """One upload that ends, and one that is given up."""
    renter = market.renter
    for whole in (True, False):
        data = secrets.token_bytes(64)
        target = insist(lambda data=data: oracle_tus.create(renter, data).headers.get("Location"))
        insist(lambda target=target, data=data: _take_piece(renter, target, data[:32]))
        if whole:
            insist(lambda target=target, data=data: _take_piece(renter, target, data))
        else:
            insist(
                lambda target=target: (
                    renter("DELETE", target, b"", **oracle_tus.TUS).status_code in (204, 404)
                )
            )


def _take_piece(renter: Caller, target: str, data: bytes) -> bool:
    """Up to the end of `data`, from where the oracle has come to; true too where the upload is over."""
    head = renter("HEAD", target, b"", **oracle_tus.TUS)
    if head.status_code == 404:
        return True
    offset = int(head.headers.get("Upload-Offset", len(data)))
    return offset >= len(data) or oracle_tus.patch(renter, target, offset, data[offset:]).status_code == 204


_EXERCISES: Final = (
    (_reorganise, ("commit oracle.watcher",)),
    (_sign_in_and_out, ("commit oracle.api.sessions",)),
    (_trade, ("commit oracle.book", "commit oracle.quotes.Quotes.ask")),
    (_upload_in_pieces, ("commit oracle.uploads", "commit oracle.housekeeping")),
)


def _stop_cleanly(oracle: OracleVictim) -> None:
    """It dies before it gives up its duties, and the next time after."""
    for _ in MOMENTS:
        oracle.start()
        insist(lambda: is_ready(oracle))
        oracle.stop()


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
