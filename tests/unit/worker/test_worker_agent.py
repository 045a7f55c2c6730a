"""What is due on the link: logs before receipts, all again after a reconnect, answers that count once."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from protocol import link
from protocol.units import JobId, to_hex
from tests.unit.worker.worker_samples import END, START, make_assignment, make_receipt, make_terms, make_view
from worker.agent import LOG_WAIT_SECONDS, RESEND_SECONDS, Agent
from worker.attempt import Attempt, Host
from worker.folders import attempt_folder
from worker.journal import AttemptRow, AttemptState, Journal, ReceiptState
from worker.logs import CHUNK_BYTES, LOG_FILE


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite3")


@pytest.fixture
def agent(tmp_path: Path, journal: Journal, clock: Clock) -> Agent:
    absent = cast(Any, None)  # nothing here runs a job or speaks with anybody
    host = Host(
        journal=journal,
        sandbox=absent,
        artifacts=absent,
        book=absent,
        domain=absent,
        account=absent,
        unit_id=absent,
        gpu_count=1,
        devices=(),
        device_environment={},
        environment_digest=absent,
        opaque_threads=1,
        keys=tuple,
        folder=tmp_path / "attempts",
        max_artifact_bytes=1,
        energy_joules=lambda: 0,
        report=lambda status: None,
        wake_link=lambda: None,
        turn=absent,
    )
    return Agent(host, clock)


def add_attempt(journal: Journal, state: AttemptState, log: bytes, tmp_path: Path) -> AttemptRow:
    assignment = make_assignment()
    job = assignment.read_job_id()
    journal.attempts.add(job, 1, 1, make_receipt().receipt.lease_id, msgspec.json.encode(assignment))
    for step in (AttemptState.PREPARING, AttemptState.RUNNING):
        journal.attempts.move(job, 1, step)
    if state is not AttemptState.RUNNING:
        journal.attempts.end(job, 1, "{}", [])
    row = journal.attempts.get(job, 1)
    assert row is not None
    folder = attempt_folder(tmp_path / "attempts", row)
    folder.mkdir(parents=True)
    (folder / LOG_FILE).write_bytes(log)
    if state is AttemptState.FINISHED:
        journal.receipts.add(make_receipt(), 1)
    return row


def ack_log(agent: Agent, job: JobId, next_offset: int) -> None:
    agent.receive(link.LogAck(job_id=to_hex(job), attempt=1, next_offset=next_offset))


def ack_receipt(agent: Agent, job: JobId, accepted: bool) -> None:
    agent.receive(link.ReceiptAck(job_id=to_hex(job), attempt=1, accepted=accepted, code="x"))


def test_log__running_job__goes_piece_by_piece_as_it_is_acknowledged(
    agent: Agent, journal: Journal, tmp_path: Path
) -> None:
    row = add_attempt(journal, AttemptState.RUNNING, b"a" * CHUNK_BYTES + b"b", tmp_path)
    (first,) = agent.pending(True)
    assert isinstance(first, link.Log)
    assert (first.offset, len(first.data)) == (0, CHUNK_BYTES)
    assert agent.pending(False) == []
    ack_log(agent, row.job_id, CHUNK_BYTES)
    (second,) = agent.pending(False)
    assert isinstance(second, link.Log)
    assert (second.offset, second.data) == (CHUNK_BYTES, b"b")
    ack_log(agent, row.job_id, CHUNK_BYTES + 1)
    assert agent.pending(False) == []


def test_log__not_acknowledged__is_sent_again_later_and_after_a_reconnect(
    agent: Agent, journal: Journal, tmp_path: Path, clock: Clock
) -> None:
    add_attempt(journal, AttemptState.RUNNING, b"abc", tmp_path)
    first = agent.pending(True)
    assert agent.pending(False) == []
    assert agent.pending(True) == first
    clock.now += RESEND_SECONDS
    assert agent.pending(False) == first


def test_log__oracle_knows_less_than_was_acknowledged__starts_again_there(
    agent: Agent, journal: Journal, tmp_path: Path
) -> None:
    row = add_attempt(journal, AttemptState.RUNNING, b"abcdef", tmp_path)
    agent.pending(True)
    ack_log(agent, row.job_id, 6)
    ack_log(agent, row.job_id, 2)
    (message,) = agent.pending(False)
    assert isinstance(message, link.Log)
    assert (message.offset, message.data) == (2, b"cdef")


def test_receipt__log_not_yet_acknowledged__waits_for_it(
    agent: Agent, journal: Journal, tmp_path: Path
) -> None:
    row = add_attempt(journal, AttemptState.FINISHED, b"abc", tmp_path)
    assert [type(message) for message in agent.pending(True)] == [link.Log]
    assert agent.pending(False) == []
    ack_log(agent, row.job_id, 3)
    assert [type(message) for message in agent.pending(False)] == [link.Receipt]
    assert agent.pending(False) == []


def test_receipt__log_that_nobody_takes__goes_after_a_while(
    agent: Agent, journal: Journal, tmp_path: Path, clock: Clock
) -> None:
    add_attempt(journal, AttemptState.FINISHED, b"abc", tmp_path)
    agent.pending(True)
    clock.now += LOG_WAIT_SECONDS
    assert [type(message) for message in agent.pending(False)] == [link.Log, link.Receipt]


@pytest.mark.parametrize("accepted", [True, False])
def test_receipt__answered__is_sent_no_more_and_its_files_are_gone(
    agent: Agent, journal: Journal, tmp_path: Path, accepted: bool
) -> None:
    row = add_attempt(journal, AttemptState.FINISHED, b"", tmp_path)
    assert [type(message) for message in agent.pending(True)] == [link.Receipt]
    assert [type(message) for message in agent.pending(True)] == [link.Receipt]
    ack_receipt(agent, row.job_id, accepted)
    assert agent.pending(True) == []
    known = journal.receipts.get(row.job_id, 1)
    assert known is not None
    assert known.state is (ReceiptState.ACCEPTED if accepted else ReceiptState.STALE)
    assert not attempt_folder(tmp_path / "attempts", row).exists()


def test_recover__job_that_was_running__is_lost_and_told_at_connect(
    agent: Agent, journal: Journal, tmp_path: Path
) -> None:
    row = add_attempt(journal, AttemptState.RUNNING, b"abc", tmp_path)
    journal.leases.add(row.lease_id, make_terms())
    agent.recover()
    assert [(attempt.job_id, attempt.state) for attempt in agent.attempts()] == [(to_hex(row.job_id), "lost")]
    assert agent.pending(True) == []
    assert not attempt_folder(tmp_path / "attempts", row).exists()
    journal.leases.set_done(row.lease_id, done=True)
    assert agent.attempts() == []


@pytest.mark.parametrize(
    ("now", "cancelled"), [(START - 1, False), (START, False), (END - 1, False), (END, True)], ids=str
)
def test_leases_changed__as_the_chain_moves_on__stops_only_what_is_over(
    agent: Agent, journal: Journal, tmp_path: Path, now: int, cancelled: bool
) -> None:
    attempt = Attempt(agent._host, add_attempt(journal, AttemptState.RUNNING, b"", tmp_path))
    agent._running[attempt.row.key] = attempt
    agent.leases_changed((replace(make_view(now), lease_id=attempt.row.lease_id),))
    assert attempt._cancelled.is_set() is cancelled


def test_cancel__of_a_running_job__stops_it_and_of_a_lost_one__says_so_again(
    agent: Agent, journal: Journal, tmp_path: Path
) -> None:
    attempt = Attempt(agent._host, add_attempt(journal, AttemptState.RUNNING, b"", tmp_path))
    agent._running[attempt.row.key] = attempt
    said: list[link.Status] = []
    agent._host = replace(agent._host, report=said.append)
    cancelled = link.Desired(assignments=(msgspec.structs.replace(make_assignment(), cancel=True),))
    agent.receive(cancelled)
    assert attempt._cancelled.is_set()
    del agent._running[attempt.row.key]
    journal.attempts.move(*attempt.row.key, AttemptState.LOST, "the worker restarted")
    agent.receive(cancelled)
    assert [(status.state, status.detail) for status in said] == [("lost", "the worker restarted")]
