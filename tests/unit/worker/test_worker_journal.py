"""The journal: legal steps only, all or nothing, and the same after a restart."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from protocol.structs import CompletionProof
from protocol.typed_data import hash_struct
from protocol.units import ZERO_DIGEST, Digest, JobId, LeaseId, ProofHash
from tests.unit.worker.worker_samples import make_heartbeat, make_receipt, make_terms
from worker.journal import (
    ArtifactRow,
    AttemptState,
    Journal,
    ProofRow,
    ProofStage,
    ReceiptState,
)
from worker.journal.attempts import IN_FLIGHT, LEGAL

JOB, LEASE = JobId(b"\x01" * 32), LeaseId(b"\x02" * 32)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal.sqlite3")


def reopen(journal: Journal, tmp_path: Path) -> Journal:
    journal.close()
    return Journal(tmp_path / "journal.sqlite3")


def add(journal: Journal, attempt: int = 1) -> None:
    assert journal.attempts.add(JOB, attempt, 10 + attempt, LEASE, b"{}")


def test_attempt__added_twice__is_one(journal: Journal) -> None:
    add(journal)
    assert not journal.attempts.add(JOB, 1, 99, LEASE, b"other")
    row = journal.attempts.get(JOB, 1)
    assert row is not None
    assert (row.fencing_token, row.state) == (11, AttemptState.ACCEPTED)


@pytest.mark.parametrize("following", list(AttemptState))
def test_move__from_accepted__only_where_it_is_legal(journal: Journal, following: AttemptState) -> None:
    add(journal)
    if following in LEGAL[AttemptState.ACCEPTED]:
        journal.attempts.move(JOB, 1, following)
        return
    with pytest.raises(RuntimeError, match="cannot become"):
        journal.attempts.move(JOB, 1, following)


def test_end__with_artifacts__survives_a_restart(journal: Journal, tmp_path: Path) -> None:
    add(journal)
    artifacts = [ArtifactRow("log", Digest(b"\x03" * 32), tmp_path / "log", 5, uploaded=False)]
    journal.attempts.move(JOB, 1, AttemptState.PREPARING)
    journal.attempts.end(JOB, 1, "{}", artifacts)
    journal = reopen(journal, tmp_path)
    assert journal.attempts.artifacts(JOB, 1) == artifacts
    journal.attempts.mark_uploaded(JOB, 1, "log")
    assert journal.attempts.artifacts(JOB, 1)[0].uploaded
    assert [row.state for row in journal.attempts.in_states(IN_FLIGHT)] == [AttemptState.UPLOADING]


def test_end__of_an_attempt_that_is_over__changes_nothing(journal: Journal, tmp_path: Path) -> None:
    add(journal)
    journal.attempts.move(JOB, 1, AttemptState.LOST)
    with pytest.raises(RuntimeError):
        journal.attempts.end(JOB, 1, "{}", [ArtifactRow("log", ZERO_DIGEST, tmp_path, 1, False)])
    assert journal.attempts.artifacts(JOB, 1) == []


def test_receipt__written__finishes_its_attempt_in_the_same_transaction(journal: Journal) -> None:
    signed = make_receipt()
    job = signed.receipt.order_digest
    journal.attempts.add(job, 1, 7, signed.receipt.lease_id, b"{}")
    journal.attempts.end(job, 1, "{}", [])
    journal.receipts.add(signed, 7)
    journal.receipts.add(signed, 7)
    row = journal.attempts.get(job, 1)
    assert row is not None and row.state is AttemptState.FINISHED
    assert [receipt.signed for receipt in journal.receipts.unacknowledged()] == [signed]


def test_receipt__acknowledged_twice__keeps_the_first_answer(journal: Journal) -> None:
    signed = make_receipt()
    key = signed.receipt.order_digest, 1
    journal.receipts.add(signed, 7)
    journal.receipts.acknowledge(*key, ReceiptState.STALE, "stale_attempt")
    journal.receipts.acknowledge(*key, ReceiptState.ACCEPTED, "")
    row = journal.receipts.get(*key)
    assert row is not None and row.state is ReceiptState.STALE
    assert journal.receipts.unproven(signed.receipt.lease_id) == []


def test_proof__prepared_then_void__frees_what_it_carried(journal: Journal) -> None:
    signed = make_receipt()
    lease = signed.receipt.lease_id
    journal.leases.add(lease, make_terms())
    journal.receipts.add(signed, 7)
    beats = [make_heartbeat(lease, number, 100 + number) for number in (1, 2)]
    assert all(journal.leases.add_heartbeat(beat, 5) for beat in beats)
    assert not journal.leases.add_heartbeat(beats[0], 0)
    proof = CompletionProof(lease, ProofHash(bytes(32)), 9, 1, 1, ZERO_DIGEST, ZERO_DIGEST, 10)
    row = ProofRow(ProofHash(hash_struct(proof)), lease, proof, b"{}", ProofStage.PREPARED, 5)
    for _ in range(2):
        journal.proofs.prepare(row, [(signed.receipt.order_digest, 1)], [1, 2])
        assert journal.proofs.open_of(lease) == row
        assert (journal.receipts.unproven(lease), journal.leases.unproven_heartbeats(lease)) == ([], [])
        journal.proofs.set_stage(row.proof_hash, ProofStage.VOID)
        assert journal.proofs.open_of(lease) is None
        assert len(journal.receipts.unproven(lease)) == 1
        assert journal.leases.unproven_heartbeats(lease) == beats
    assert journal.leases.live()[0].energy_joules == 10


def test_heartbeat__in_a_proof__is_never_dropped(journal: Journal) -> None:
    lease = LEASE
    journal.leases.add_heartbeat(make_heartbeat(lease, 1, 101), 0)
    journal.leases.add_heartbeat(make_heartbeat(lease, 2, 102), 0)
    proof = CompletionProof(lease, ProofHash(bytes(32)), 1, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 0)
    row = ProofRow(ProofHash(hash_struct(proof)), lease, proof, b"{}", ProofStage.PREPARED, 5)
    journal.proofs.prepare(row, [], [1])
    journal.leases.drop_heartbeat(lease, 1)
    journal.leases.drop_heartbeat(lease, 2)
    assert journal.leases.heartbeat_timestamps(lease) == [101]


def test_transaction__that_raises__leaves_nothing(journal: Journal) -> None:
    with pytest.raises(ZeroDivisionError), journal.transaction():
        add(journal)
        raise ZeroDivisionError
    assert journal.attempts.get(JOB, 1) is None


def test_cursor__set_again__is_the_last(journal: Journal, tmp_path: Path) -> None:
    assert journal.leases.cursor() is None
    journal.leases.set_cursor(5)
    journal.leases.set_cursor(6)
    assert reopen(journal, tmp_path).leases.cursor() == 6


def test_open__file_of_another_version__is_refused(journal: Journal, tmp_path: Path) -> None:
    with journal.transaction() as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(RuntimeError, match="expected version 2, got 99"):
        reopen(journal, tmp_path)


def test_open__file_of_the_first_version__keeps_its_rows_and_takes_sealed_artifacts(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite3"
    Journal(path).close()
    with sqlite3.connect(path) as db:
        db.executescript(
            "ALTER TABLE artifacts DROP COLUMN sealed; PRAGMA user_version=1;"
            "INSERT INTO artifacts VALUES (x'01', 1, 'log', x'02', '/log', 3, 1)"
        )
    db.close()
    journal = Journal(path)
    (row,) = journal.attempts.artifacts(JobId(b"\x01"), 1)
    assert (row.name, row.file_digest, row.sealed, row.uploaded) == ("log", b"\x02", None, True)
    journal.close()


def test_reads__ten_times_as_many_finished_jobs__cost_the_same(journal: Journal) -> None:
    signed, costs, made = make_receipt(), [], 0
    for total in (30, 300):
        for number in range(made, total):
            job = JobId(number.to_bytes(32, "big"))
            receipt = replace(signed, receipt=replace(signed.receipt, order_digest=job))
            journal.attempts.add(job, 1, number + 1, LEASE, b"{}")
            journal.attempts.end(job, 1, "{}", [])
            journal.receipts.add(receipt, number + 1)
            journal.receipts.acknowledge(job, 1, ReceiptState.ACCEPTED, "")
        made = total
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        with journal.transaction() as db:
            db.set_progress_handler(count, 1)
            assert journal.attempts.in_states(IN_FLIGHT) == []
            assert journal.receipts.unacknowledged() == []
            db.set_progress_handler(None, 1)
        costs.append(steps)
        counted = journal.receipts.count_unproven(signed.receipt.lease_id)
        assert counted == {ReceiptState.ACCEPTED: total}
    assert costs[1] <= costs[0] + 20
