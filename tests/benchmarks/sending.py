"""Proofs sent to a node, each in a transaction of its own or many in one, against what web3.py does.

Measured until the node has accepted them; that each was then mined and took effect is checked outside the
time. Ours are on disk before they leave. What a proof needs of gas at most is known, unlike to web3.py.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from web3 import Web3
from web3.middleware import SignAndSendRawMiddlewareBuilder

from protocol.calls import Call
from protocol.chain import connect, disconnect
from protocol.outbox import IntentState, SqliteOutbox
from protocol.sender import Intent, Sender, SenderSettings
from protocol.structs import Terms
from tests.anvil import CHAIN_ID, deploy, run_anvil
from tests.benchmarks.harness import Figure, Goal, figure
from tests.integration.oracle.oracle_fleet import Fleet
from tests.integration.oracle.oracle_rig import make_rental

PEER_PROOFS = 20
OUR_PROOFS = 100
PROOF_GAS = 150_000
FURTHER_PROOF_GAS = 70_000
WEB3 = "web3.py"
GOAL = ">= 10x default web3.py; batched >= 100x"


def send_proofs(rounds: int) -> Figure:
    """Proofs a second, each its own transaction, in JSON-RPC batches."""

    def many(sender: Sender, fleet: Fleet, terms: Sequence[Terms]) -> float:
        calls = fleet.single_calls(list(terms))
        intents = [Intent(f"{fleet.jobs}/{index}", call, PROOF_GAS) for index, call in enumerate(calls)]
        began = time.perf_counter()
        states = sender.submit_many(intents)
        seconds = time.perf_counter() - began
        assert states == [IntentState.SIGNED] * len(intents), states
        return seconds

    return _compare(many, rounds, times=10)


def send_proofs_batched(rounds: int) -> Figure:
    """Proofs a second, a hundred leases in one transaction."""

    def one(sender: Sender, fleet: Fleet, terms: Sequence[Terms]) -> float:
        call = fleet.one_call(list(terms))
        gas_limit = PROOF_GAS + FURTHER_PROOF_GAS * len(terms)
        began = time.perf_counter()
        state = sender.submit(f"batch {fleet.jobs}", call, gas_limit)
        seconds = time.perf_counter() - began
        assert state is IntentState.SIGNED
        return seconds

    return _compare(one, rounds, times=100)


def _compare(ours: Callable[[Sender, Fleet, Sequence[Terms]], float], rounds: int, times: float) -> Figure:
    """Median seconds a proof, both sides in turn; one uncounted round first."""
    seconds: dict[str, list[float]] = {"ours": [], WEB3: []}
    with _ground() as (sender, fleet, web3):
        peers, own = fleet.terms[:PEER_PROOFS], fleet.terms[PEER_PROOFS:]
        for turn in range(rounds + 1):
            theirs = _web3_py(web3, fleet.rental.worker.address, fleet.single_calls(peers)) / len(peers)
            _mined(fleet, peers)
            taken = ours(sender, fleet, own) / len(own)
            _mined(fleet, own)
            sender.turn()
            if turn:
                seconds[WEB3].append(theirs)
                seconds["ours"].append(taken)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    goal = Goal(GOAL, times={WEB3: times})
    return figure({name: 1 / value for name, value in medians.items()}, "proofs/s", goal)


@contextmanager
def _ground() -> Iterator[tuple[Sender, Fleet, Web3]]:
    with tempfile.TemporaryDirectory() as folder, run_anvil(block_time_seconds=None) as anvil:
        rental = make_rental(deploy(anvil))
        fleet = Fleet.open(rental, PEER_PROOFS + OUR_PROOFS)
        web3 = connect(anvil.rpc_url, CHAIN_ID)
        outbox = SqliteOutbox(Path(folder) / "outbox.sqlite")
        # Its peer sends with the same key.
        sender = Sender(web3, rental.worker, outbox, CHAIN_ID, SenderSettings(shared_key=True))
        theirs = Web3(Web3.HTTPProvider(anvil.rpc_url))
        theirs.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(rental.worker), layer=0)
        try:
            yield sender, fleet, theirs
        finally:
            outbox.close()
            disconnect(web3)


def _web3_py(web3: Web3, account: str, calls: Sequence[Call]) -> float:
    """As its documentation has it: everything but the call is filled in by the library."""
    began = time.perf_counter()
    for call in calls:
        web3.eth.send_transaction({"from": account, "to": call.to, "data": call.data})
    return time.perf_counter() - began


def _mined(fleet: Fleet, terms: Sequence[Terms]) -> None:
    """Afterwards these proofs are the chain's, and have matured."""
    rental = fleet.rental
    rental.deployment.anvil.mine()
    for each, lease in zip(fleet.terms, fleet.ids(), strict=True):
        if each in terms:
            assert rental.deployment.market.lease_state(lease).proof_hash == fleet.last[lease]
    fleet.mature()
