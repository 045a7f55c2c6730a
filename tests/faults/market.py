"""A market whose processes fail: units with real workers, one lease after the other on each, a job each."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from sqlalchemy import select

from oracle.jobs import ACTIVE_ATTEMPTS, UNFINISHED_JOBS, JobState
from oracle.store import history
from oracle.store.engine import open_store
from oracle.store.tables import attempts, jobs
from protocol import manifest
from protocol.bodies import OrdersBody, QueuedOrderBody
from protocol.calls import call_object
from protocol.errors import RpcError
from protocol.events.market import LeaseClosed, Settled
from protocol.orders import job_id
from protocol.structs import LeaseStatus, Terms
from protocol.units import JobId, LeaseId, parse_address, to_hex
from scripts.audit.replay import Scope, replay
from scripts.audit.sources import FolderSource
from tests.anvil import Deployment, deploy, run_anvil
from tests.faults.victims import OracleVictim, Victim, is_linked
from tests.integration.oracle.oracle_rig import Caller, Rental, SignedOrder
from tests.integration.worker.worker_rig import make_cpu_rental, make_worker, pack, write_keystore

T = TypeVar("T")

WORKER_ACCOUNTS = (2, 4, 5, 6)
KEEPER_ACCOUNT = 8
AFTER_SECONDS = 60.0
"""So soon after the last lease's end everything has come to its end."""
TERMINAL = frozenset(state for state in JobState if state not in UNFINISHED_JOBS | {JobState.FINISHED})
JOB = """
import os
print("at work")
open(os.environ["GPGPU_OUTPUT"] + "/out", "w").write("done")
"""
BUNDLE = pack({"train.py": JOB})
START_DELAY_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Ordered:
    lease_id: LeaseId
    terms: Terms
    job_id: JobId
    signed: SignedOrder
    surplus_id: JobId
    surplus: SignedOrder

    @classmethod
    def make(cls, rental: Rental, terms: Terms) -> Ordered:
        signed, surplus = (rental.order(terms, nonce, BUNDLE) for nonce in (0, 1))
        ids = [job_id(rental.domain, each.order) for each in (signed, surplus)]
        return cls(signed.order.lease_id, terms, ids[0], signed, ids[1], surplus)


@dataclass(frozen=True, slots=True)
class Tally:
    """How it went. `recovery_seconds_max`: from a start to ready, or from the last end until all was closed.

    `paid_twice`: what was closed or settled more than once, and what an auditor finds."""

    leases: int
    proven: int
    unfinished: tuple[str, ...]
    dispatched_twice: tuple[str, ...]
    paid_twice: tuple[str, ...]
    strange: tuple[str, ...]
    recovery_seconds_max: float
    kills: int


@dataclass(slots=True)
class FaultyMarket:
    """`rentals` share a provider and a renter; each has a unit and a worker of its own."""

    deployment: Deployment
    oracle: OracleVictim
    standby: list[OracleVictim]
    """On the same database, to do the work when the first one dies."""
    workers: list[Victim]
    rentals: list[Rental]
    renter: Caller
    ordered: list[Ordered] = field(default_factory=list)
    refused: set[JobId] = field(default_factory=set)
    sending: threading.Lock = field(default_factory=threading.Lock)

    @property
    def victims(self) -> list[Victim]:
        return [self.oracle, *self.standby, *self.workers]

    def rent(self, leases: int, lease_seconds: int) -> None:
        """On each unit one lease after the other, each with a job; returns when the last one is over."""
        insist(lambda: self.renter.upload(BUNDLE).status_code in (200, 201))
        units = len(self.rentals)
        shares = [range(leases)[unit::units] for unit in range(units)]
        with ThreadPoolExecutor(units) as pool:
            for done in [
                pool.submit(self._rent_in_turn, rental, share, lease_seconds)
                for rental, share in zip(self.rentals, shares, strict=True)
            ]:
                done.result()

    def _rent_in_turn(self, rental: Rental, salts: Sequence[int], lease_seconds: int) -> None:
        for salt in salts:
            # The unit is free once somebody has released the hours of the lease before.
            ordered = insist(lambda salt=salt: self._open(rental, salt, lease_seconds))
            self.ordered.append(ordered)
            insist(lambda ordered=ordered: self._answered(ordered))
            insist(lambda ordered=ordered: self._managed(ordered))
            insist(lambda ordered=ordered: self.deployment.anvil.now() >= ordered.terms.end)

    def _open(self, rental: Rental, salt: int, lease_seconds: int) -> Ordered | None:
        anvil, renter = self.deployment.anvil, self.renter.account
        with self.sending:
            start = anvil.now() + START_DELAY_SECONDS
            end = start + lease_seconds
            terms = rental.terms(salt=salt, start=start, end=end, max_end=end)
            call = self.deployment.market.build_open(terms)
            try:
                # Of what is mined: who releases the hours may still be behind us in the next block.
                anvil.call("eth_call", call_object(call, parse_address(renter.address)), "latest")
            except RpcError:
                return None
            anvil.send(renter, call)
        return Ordered.make(rental, terms)

    def _answered(self, ordered: Ordered) -> bool:
        response = self.renter.post_order(ordered.terms, ordered.signed)
        if response.status_code == 422 and response.json()["code"] == "expired":
            self.refused.add(ordered.job_id)  # the oracle came too late, and said so
            return True
        assert response.status_code < 300 or response.status_code >= 500, response.text
        return response.status_code < 300

    def _managed(self, ordered: Ordered) -> bool:
        """A second job beside it that is ordered in a batch and cancelled, and the first goes before it."""
        if ordered.job_id in self.refused:
            return True
        surplus = QueuedOrderBody.of(ordered.surplus)
        batch = OrdersBody(terms=ordered.terms, orders=(surplus,)).model_dump_json().encode()
        first, second = (f"/v1/jobs/{to_hex(job)}" for job in (ordered.job_id, ordered.surplus_id))
        answers = (
            self.renter("POST", "/v1/orders/batch", batch),
            self.renter("PUT", f"{first}/priority", b'{"priority": 9}'),
            self.renter("POST", f"{second}/cancel"),
        )
        return all(answer.status_code < 500 for answer in answers)

    def await_end(self) -> float:
        """Until all leases are closed and all jobs have ended, or it is too late; in seconds."""
        began = time.monotonic()
        with suppress(AssertionError):  # what has not ended is counted
            insist(lambda: not self.open_leases() and self._all_terminal(), AFTER_SECONDS)
        return time.monotonic() - began

    def open_leases(self) -> list[LeaseId]:
        market = self.deployment.market
        return [
            o.lease_id
            for o in self.ordered
            if market.lease_state(o.lease_id).status is not LeaseStatus.CLOSED
        ]

    def _all_terminal(self) -> bool:
        taken = [ordered.job_id for ordered in self.ordered if ordered.job_id not in self.refused]
        return all(self.renter.job(job)["state"] in TERMINAL for job in taken)

    def count(self, after_seconds: float) -> Tally:
        """Out of the store, the chain and an audit, once all processes have stopped."""
        store = open_store(self.database_url)
        try:
            with store.read() as transaction:
                states = {
                    JobId(row[0]): row[1] for row in transaction.execute(select(jobs.c.job_id, jobs.c.state))
                }
                tried = list(
                    transaction.execute(select(attempts).order_by(attempts.c.job_id, attempts.c.attempt))
                )
                events = [event for event, _ in history.list_events(transaction)]
        finally:
            store.close()
        open_leases = set(self.open_leases())
        unfinished = [
            f"{to_hex(o.job_id)}: {states.get(o.job_id, 'unknown')}, lease open: {o.lease_id in open_leases}"
            for o in self.ordered
            if (states.get(o.job_id) not in TERMINAL and o.job_id not in self.refused)
            or o.lease_id in open_leases
        ]
        closed = Counter(event.lease_id for event in events if isinstance(event, LeaseClosed))
        settled = Counter((e.lease_id, e.settled_seconds) for e in events if isinstance(e, Settled))
        twice = [f"closed {n} times" for n in closed.values() if n != 1]
        twice += [f"settled {n} times at {key[1]} s" for key, n in settled.items() if n != 1]
        return Tally(
            leases=len(self.ordered),
            proven=sum(states.get(ordered.job_id) == JobState.PROVEN for ordered in self.ordered),
            unfinished=tuple(unfinished),
            dispatched_twice=tuple(_overlapping(tried)),
            paid_twice=(*twice, *self._differences()),
            strange=tuple(line for victim in self.victims for line in victim.strange),
            recovery_seconds_max=max(after_seconds, *self.oracle.recoveries_seconds, 0.0),
            kills=sum(victim.deaths for victim in self.victims),
        )

    @property
    def database_url(self) -> str:
        return str(self.oracle.settings["database_url"])

    def _differences(self) -> list[str]:
        source = FolderSource(Path(str(self.oracle.settings["data_dir"])) / "artifacts")
        # Where the oracle throws away at once what nobody needs, an auditor comes too late for artifacts.
        scope = Scope(source=source, with_artifacts="unused_artifact_seconds" not in self.oracle.settings)
        report = replay(self.deployment.anvil.web3, self.deployment.manifest, scope, lambda _: None)
        return [str(difference) for difference in report.differences]


def _overlapping(tried: list[Any]) -> Iterator[str]:
    """Attempts at a job that began before the one before them had ended."""
    for earlier, later in itertools.pairwise(tried):
        if earlier.job_id == later.job_id and (
            earlier.state in ACTIVE_ATTEMPTS or earlier.updated_at > later.created_at
        ):
            yield f"{to_hex(later.job_id)}: attempts {earlier.attempt} and {later.attempt}"


def insist(action: Callable[[], T | None], seconds: float = 240.0) -> T:
    """The action's first true answer, however often the other side dies meanwhile."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            found = action()
            if found:
                return found
        except httpx2.TransportError:
            pass
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {action}")
        time.sleep(0.1)


@contextmanager
def faulty_market(
    folder: Path,
    units: int,
    record: Path,
    rpc_url: Callable[[str], str] = str,
    standby: int = 0,
    grace_seconds: int = 5,
    **settings: Any,
) -> Iterator[FaultyMarket]:
    """All is made ready; nothing runs yet but the chain, a block a second."""
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil, proof_grace_seconds=grace_seconds)
        rentals = [
            make_cpu_rental(deployment, f"unit-{n}", accounts=(1, WORKER_ACCOUNTS[n], 3))
            for n in range(units)
        ]
        anvil.call("evm_setIntervalMining", 1)
        anvil.block_time_seconds = 1
        node = rpc_url(anvil.rpc_url)
        oracle, *others = [
            OracleVictim.make(place, _oracle_settings(place, deployment, node, settings), record)
            for place in (folder / f"oracle-{n}" for n in range(1 + standby))
        ]
        with ExitStack() as stack:
            renter = Caller(oracle, rentals[0].domain, rentals[0].renter)  # type: ignore[arg-type]
            stack.callback(renter.http.close)
            workers = [
                _worker(folder / f"worker-{n}", rental, oracle.url, f"unit-{n}", node, record)
                for n, rental in enumerate(rentals)
            ]
            yield FaultyMarket(deployment, oracle, others, workers, rentals, renter)


def _worker(folder: Path, rental: Rental, url: str, device: str, rpc_url: str, record: Path) -> Victim:
    made = make_worker(
        folder, rental, url, cpu_device=device, rpc_url=rpc_url, proof_interval_seconds=3600, cpu_threads=1
    )
    return Victim("worker", folder, made.settings, record, is_linked)


def _oracle_settings(
    folder: Path, deployment: Deployment, rpc_url: str, more: Mapping[str, Any]
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    keystore, password = write_keystore(folder, deployment.anvil.accounts[KEEPER_ACCOUNT])
    manifest.save(deployment.manifest, folder / "manifest.json")
    return {
        "rpc_url": rpc_url,
        "chain_id": deployment.manifest.chain_id,
        "manifest": str(folder / "manifest.json"),
        "data_dir": str(folder / "data"),
        "database_url": f"sqlite:///{folder / 'store.sqlite'}",
        "keystore": str(keystore),
        "password_file": str(password),
        "confirmations": 0,
        "poll_seconds": 0.2,
        "dispatch_seconds": 0.2,
        "desired_seconds": 1.0,
        "keeper_seconds": 0.5,
        "worker_timeout_seconds": 5.0,
        "housekeeping_seconds": 1.0,
        "address_requests_per_second": 100_000,
        "address_burst": 100_000,
        "account_requests_per_second": 100_000,
        "account_burst": 100_000,
        **more,
    }
