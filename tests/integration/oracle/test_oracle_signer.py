"""What a signer refuses, and how signatures come together, on a real chain and real stores in one process."""

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from web3 import Web3

from oracle.quorum.collector import Collector, decisive
from oracle.quorum.council import Council, CouncilView, check_member, read_council
from oracle.quorum.examination import MAX_AGE_SECONDS, OutageExaminer, Refusal, RefusalCode
from oracle.quorum.peers import Peer
from oracle.quorum.proposer import MARKET_AGE_SECONDS, OutageProposer, outage_of
from oracle.quorum.signer import QuorumSigner
from oracle.store import findings, receipts
from oracle.store.engine import Store, open_store
from oracle.watcher import Watcher
from protocol.bodies import ErrorBody
from protocol.contracts import Quorum
from protocol.errors import ChainUnavailable, ServiceUnavailable, SignatureInvalid
from protocol.findings import Finding
from protocol.structs import Outage, QuorumSignature, Terms
from protocol.typed_data import digest, hash_struct, recover, sign
from protocol.units import LeaseId
from tests.anvil import Deployment, account
from tests.integration.oracle import oracle_quorum_rig as quorum_rig
from tests.integration.oracle import oracle_rig as rig
from tests.integration.sender_bench import Clock

OUTAGE_SECONDS = 100


@dataclass(slots=True)
class Seat:
    """One member: its store, its examiner that listens from now on, and its signer."""

    rental: rig.Rental
    store: Store
    watcher: Watcher
    clock: Clock
    index: int
    examiner: OutageExaminer
    signer: QuorumSigner

    @classmethod
    def take(cls, rental: rig.Rental, database_url: str, clock: Clock, index: int) -> "Seat":
        deployment = rental.deployment
        store = open_store(database_url)
        watcher = Watcher(
            deployment.anvil.web3, deployment.manifest, store, retained_blocks=64, batch_blocks=1000
        )
        return cls(rental, store, watcher, clock, index, *cls._desk(rental, store, clock, index))

    @staticmethod
    def _desk(
        rental: rig.Rental, store: Store, clock: Clock, index: int
    ) -> tuple[OutageExaminer, QuorumSigner]:
        examiner = OutageExaminer(
            store,
            rental.deployment.market,
            lambda: int(clock.now),
            confirmations=1,
            outage_seconds=OUTAGE_SECONDS,
        )
        domain = quorum_rig.quorum_domain(rental.deployment)
        key = account(quorum_rig.MEMBERS[index])
        return examiner, QuorumSigner(key, domain, store, {Outage: examiner}, lambda: int(clock.now))

    def restart(self) -> None:
        self.examiner, self.signer = self._desk(self.rental, self.store, self.clock, self.index)

    def read(self) -> None:
        while self.watcher.turn():
            pass

    def hear(self, lease: LeaseId) -> None:
        with self.store.write() as transaction:
            beat = self.rental.heartbeat(lease)
            assert receipts.insert_heartbeat(transaction, beat, int(self.clock.now))

    def code(self, outage: Finding) -> RefusalCode | None:
        answer = self.signer.sign(outage)
        return answer.code if isinstance(answer, Refusal) else None


@dataclass(slots=True)
class Table:
    """Three seats, one lease that has begun, and time that passes for chain and oracles alike."""

    rental: rig.Rental
    terms: Terms
    lease: LeaseId
    clock: Clock
    seats: list[Seat]
    database_url: str
    """Of the first seat."""

    def pass_time(self, seconds: int) -> int:
        anvil = self.rental.deployment.anvil
        anvil.advance(seconds)
        self.clock.now = float(anvil.now())
        for seat in self.seats:
            seat.read()
        return anvil.now()


@pytest.fixture
def table(still_deployment: Deployment, tmp_path: Path, database_url: str) -> Iterator[Table]:
    rental = rig.make_rental(still_deployment)
    quorum_rig.seat_members(still_deployment)
    terms = rental.terms(seconds=3 * 86_400)
    lease = rental.open(terms)
    clock = Clock()
    clock.now = float(still_deployment.anvil.now())
    urls = [database_url, *(f"sqlite:///{tmp_path / f'{index}.sqlite'}" for index in (1, 2))]
    seats = [Seat.take(rental, url, clock, index) for index, url in enumerate(urls)]
    made = Table(rental, terms, lease, clock, seats, database_url)
    made.pass_time(10)
    yield made
    for seat in seats:
        seat.store.close()


def test_sign__each_reason_not_to__is_refused_with_its_code(table: Table) -> None:
    seat, anvil = table.seats[0], table.rental.deployment.anvil
    now = anvil.now()
    assert seat.code(quorum_rig.Refuge.register(table.rental).attestation()) is RefusalCode.UNKNOWN_KIND
    assert seat.code(Outage(LeaseId(b"\x01" * 32), now)) is RefusalCode.LEASE_NOT_OPEN
    assert seat.code(Outage(table.lease, now)) is RefusalCode.NEVER_SEEN
    seat.hear(table.lease)
    assert seat.code(Outage(table.lease, now)) is RefusalCode.HEARTBEAT_SEEN
    assert seat.code(Outage(table.lease, now + 1)) is RefusalCode.TOO_SOON
    later = table.pass_time(OUTAGE_SECONDS + 10)
    assert seat.code(Outage(table.lease, later - OUTAGE_SECONDS + 1)) is RefusalCode.TOO_SOON
    seat.restart()
    assert seat.code(Outage(table.lease, later - OUTAGE_SECONDS)) is RefusalCode.NOT_WATCHING
    much_later = table.pass_time(MAX_AGE_SECONDS + OUTAGE_SECONDS)
    assert seat.code(Outage(table.lease, much_later - MAX_AGE_SECONDS - 1)) is RefusalCode.TOO_OLD
    outage = Outage(table.lease, much_later - OUTAGE_SECONDS)
    assert seat.code(outage) is None
    assert seat.code(replace(outage, since=outage.since - 1)) is RefusalCode.CONTRADICTION
    assert seat.code(replace(outage, since=outage.since + 1)) is RefusalCode.TOO_SOON
    with seat.store.read() as transaction:
        last = findings.last_statement(transaction, "outage", table.lease)
    assert last is not None and last.number == 0
    seat.examiner._confirmations = 10**6
    later_still = table.pass_time(5)
    assert seat.code(Outage(table.lease, later_still)) is RefusalCode.LEASE_UNCONFIRMED


def test_sign__again_and_again__is_the_same_until_the_worker_is_back(table: Table) -> None:
    seat = table.seats[0]
    seat.hear(table.lease)
    now = table.pass_time(2 * OUTAGE_SECONDS)
    first, second = Outage(table.lease, now - OUTAGE_SECONDS), Outage(table.lease, now - OUTAGE_SECONDS + 5)
    signature = seat.signer.sign(first)
    assert isinstance(signature, bytes)
    assert recover(seat.signer.domain, first, signature) == seat.signer.address
    table.pass_time(50)
    later = seat.signer.sign(second)
    assert isinstance(later, bytes) and later != signature
    seat.restart()
    assert seat.signer.sign(first) == signature  # it stands: what is later reaches less far back
    seat.hear(table.lease)
    assert seat.code(first) is seat.code(second) is RefusalCode.HEARTBEAT_SEEN


def test_sign__another_process_of_the_signer_is_faster__examined_again_and_both_are_kept(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = table.seats[0]
    seat.hear(table.lease)
    now = table.pass_time(3 * OUTAGE_SECONDS)
    times = [now - 2 * OUTAGE_SECONDS + shift for shift in (0, 5, 10, 15)]
    first, second, third, fourth = (Outage(table.lease, since) for since in times)
    examine, meanwhile = seat.examiner.refusal, [first]
    with closing(open_store(table.database_url)) as store:
        other = QuorumSigner(
            seat.signer._account, seat.signer.domain, store, seat.signer._examiners, seat.signer._now
        )

        def refusal(outage: Outage) -> Refusal | None:
            if meanwhile and outage not in meanwhile:
                assert isinstance(other.sign(meanwhile[0]), bytes)
                meanwhile.pop(0)
            return examine(outage)

        monkeypatch.setattr(seat.examiner, "refusal", refusal)
        assert isinstance(seat.signer.sign(second), bytes)
        meanwhile.append(fourth)
        assert seat.code(third) is RefusalCode.CONTRADICTION  # to the fourth
    with seat.store.read() as transaction:
        last = findings.last_statement(transaction, "outage", table.lease)
        assert last is not None and (last.number, last.digest) == (2, digest(seat.signer.domain, fourth))
        assert findings.get_statement(transaction, digest(seat.signer.domain, third)) is None


def test_sign__lease_closed_on_the_chain_but_not_in_the_store__is_refused(table: Table) -> None:
    seat, deployment = table.seats[0], table.rental.deployment
    seat.hear(table.lease)
    now = table.pass_time(4 * 86_400)
    seat.restart()
    outage = Outage(table.lease, now)
    deployment.anvil.send(account(9), deployment.market.build_close(table.terms))
    assert seat.code(outage) is RefusalCode.LEASE_NOT_OPEN
    seat.read()
    assert seat.code(outage) is RefusalCode.LEASE_NOT_OPEN


def test_sign__hours_that_nobody_has_hired__are_no_silence(table: Table) -> None:
    seat, anvil = table.seats[0], table.rental.deployment.anvil
    hour = (anvil.now() // 3600 - 4 * 24) % 168  # Unix time began on a Thursday
    elsewhere = replace(table.rental.offer, salt=9)
    refuge = quorum_rig.Refuge.register(table.rental)
    terms = table.rental.terms(seconds=8 * 86_400, salt=9, weekly_hours=1 << (hour + 100) % 168)
    terms = replace(terms, offer=replace(elsewhere, unit_id=refuge.unit_id))
    anvil.send(table.rental.provider, table.rental.deployment.market.build_list(terms.offer))
    lease = table.rental.open(terms)
    table.pass_time(10)
    with seat.store.write() as transaction:
        beat = table.rental.heartbeat(lease, unit_id=refuge.unit_id)
        receipts.insert_heartbeat(transaction, beat, int(table.clock.now))
    now = table.pass_time(5 * OUTAGE_SECONDS)
    assert seat.code(Outage(lease, now - 4 * OUTAGE_SECONDS)) is RefusalCode.TOO_SOON


class Neighbour:
    """Another member in the same process, asked without HTTP; `answer` replaces what it would say."""

    def __init__(self, seat: Seat) -> None:
        self.url = f"seat {seat.index}"
        self.seat = seat
        self.answer: bytes | None = None

    def ask(self, finding: Finding) -> bytes | ErrorBody:
        if self.answer is not None:
            return self.answer
        said = self.seat.signer.sign(finding)
        return ErrorBody(code=said.code, message=said.message) if isinstance(said, Refusal) else said


def test_proposer__worker_gone_for_two__is_found_once_and_forgotten_when_it_returns(table: Table) -> None:
    quorum, (first, second, third) = table.rental.deployment.quorum, table.seats
    peers = [Neighbour(second), Neighbour(third)]
    now = lambda: int(table.clock.now)  # noqa: E731
    collector = Collector(
        first.store,
        quorum,
        first.signer,
        peers,
        now,
        patience_seconds=5,  # type: ignore[arg-type]
    )
    proposer = OutageProposer(
        first.store, quorum, collector, first.examiner, now, outage_seconds=OUTAGE_SECONDS
    )

    view = CouncilView(quorum)

    def found() -> Outage | None:
        decided = outage_of(first.store, view, first.examiner, table.lease, now())
        if decided is None:
            return None
        quorum.require(hash_struct(decided.finding), decided.signatures)
        return decided.finding  # type: ignore[return-value]

    for seat in table.seats:
        seat.hear(table.lease)
    table.pass_time(50)
    proposer.turn()
    assert found() is None
    table.pass_time(OUTAGE_SECONDS)
    peers[0].answer = sign(first.signer.domain, Outage(table.lease, 1), account(2))  # a stranger's
    third.hear(table.lease)
    proposer.turn()
    assert found() is None
    peers[0].answer = None
    proposer.turn()  # with the same time as before, which the second comes round to
    outage = found()
    assert outage is not None and outage.since > table.terms.start
    table.pass_time(2 * OUTAGE_SECONDS)
    proposer.turn()
    assert found() == outage  # found already: nobody is asked again
    with first.store.read() as transaction:
        assert len(findings.list_proposals(transaction, "outage", table.lease, 9)) == 1
    table.pass_time(MAX_AGE_SECONDS)
    proposer.turn()
    renewed = found()
    assert renewed is not None and renewed.since > outage.since
    table.clock.now += MARKET_AGE_SECONDS
    assert found() is None  # the market takes it no more
    first.hear(table.lease)
    assert found() is None


def test_proposer__peers_heard_the_worker_later__asks_again_for_a_later_time(table: Table) -> None:
    quorum, (first, second, _) = table.rental.deployment.quorum, table.seats
    now = lambda: int(table.clock.now)  # noqa: E731
    collector = Collector(
        first.store,
        quorum,
        first.signer,
        [Neighbour(second)],
        now,
        patience_seconds=5,  # type: ignore[list-item]
    )
    proposer = OutageProposer(
        first.store, quorum, collector, first.examiner, now, outage_seconds=OUTAGE_SECONDS
    )
    first.hear(table.lease)
    table.pass_time(OUTAGE_SECONDS // 2)
    second.hear(table.lease)
    for _ in range(3):
        table.pass_time(OUTAGE_SECONDS)
        proposer.turn()
        proposer.turn()
    view = CouncilView(quorum)
    decided = outage_of(first.store, view, first.examiner, table.lease, now())
    assert decided is not None and [each.member for each in decided.signatures] == [0, 1]
    with first.store.read() as transaction:
        assert len(findings.list_proposals(transaction, "outage", table.lease, 9)) == 2


def test_council_view__asked_often__asks_the_node_now_and_then(table: Table) -> None:
    deployment, passed = table.rental.deployment, [0.0]
    view = CouncilView(deployment.quorum, lambda: passed[0])
    assert len(view.council().members) == 3
    deployment.anvil.send(deployment.owner, deployment.quorum.build_remove_member(2))
    deployment.anvil.advance(2)
    assert len(view.council().members) == 3
    passed[0] += 2
    assert len(view.council().members) == 2


def test_council_view__node_gone__says_so_at_once_to_all_but_the_first(table: Table) -> None:
    passed = [0.0]
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes connections, and never answers
        provider = Web3.HTTPProvider(
            f"http://127.0.0.1:{listener.getsockname()[1]}",
            request_kwargs={"timeout": 0.3},
            exception_retry_configuration=None,
        )
        quorum = Quorum(Web3(provider), table.rental.deployment.quorum.address)
        view = CouncilView(quorum, lambda: passed[0])
        began = time.monotonic()
        for _ in range(20):
            with pytest.raises(ChainUnavailable):
                view.council()
        assert time.monotonic() - began < 2
    view._quorum = table.rental.deployment.quorum
    passed[0] += 2
    assert len(view.council().members) == 3


def test_collect__peer_that_never_answers__is_not_waited_for(table: Table) -> None:
    first, quorum = table.seats[0], table.rental.deployment.quorum
    first.hear(table.lease)
    outage = Outage(table.lease, table.pass_time(2 * OUTAGE_SECONDS) - OUTAGE_SECONDS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        peer = Peer(url, table.rental.domain, account(6), timeout_seconds=2)
        collector = Collector(
            first.store, quorum, first.signer, [peer], lambda: int(table.clock.now), patience_seconds=0.2
        )
        began = time.monotonic()
        assert collector.collect(outage, table.lease) is None
        with pytest.raises(ServiceUnavailable, match="the last request"):
            peer.ask(outage)
        assert time.monotonic() - began < 2
        rig.until(lambda: not peer._busy.locked(), "its answer is given up")
    with pytest.raises(ServiceUnavailable):
        peer.ask(outage)


def test_check_member__others_than_active_members__are_not_counted(table: Table) -> None:
    deployment, seat = table.rental.deployment, table.seats[0]
    domain, outage = seat.signer.domain, Outage(table.lease, 5)
    council = read_council(deployment.quorum)
    assert council == Council(2, {account(n).address: i for i, n in enumerate(quorum_rig.MEMBERS)})
    signature = sign(domain, outage, account(quorum_rig.MEMBERS[2]))
    assert check_member(council, domain, outage, signature)[1] == QuorumSignature(2, signature)
    for wrong in (sign(domain, outage, account(3)), sign(table.rental.domain, outage, account(6)), b"short"):
        with pytest.raises(SignatureInvalid):
            check_member(council, domain, outage, wrong)
    with seat.store.write() as transaction:
        key = digest(domain, outage)
        findings.add_proposal(transaction, outage, table.lease, key, 1)
        for number in (8, 6, 8):  # members by ascending index, each once
            each = account(number)
            signed = QuorumSignature(quorum_rig.MEMBERS.index(number), sign(domain, outage, each))
            findings.add_signature(transaction, key, each.address, signed, 1)
        proposal = findings.get_proposal(transaction, key)
    assert proposal is not None
    found = decisive(proposal, council)
    assert found is not None and [each.member for each in found] == [0, 2]
    deployment.quorum.require(hash_struct(outage), found)
    deployment.anvil.send(deployment.owner, deployment.quorum.build_remove_member(2))
    deployment.anvil.advance(2)
    assert decisive(proposal, read_council(deployment.quorum)) is None
