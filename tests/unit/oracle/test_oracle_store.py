"""The store, on SQLite and on PostgreSQL: schema, durability, and what is read back."""

import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.errors import UniqueViolation
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from oracle.jobs import AttemptState, JobState, Wait
from oracle.store import artifacts, attempts, entities, evidence, history, jobs, nonces, queues
from oracle.store.engine import Store, Transaction, open_store
from oracle.store.offers import get_found, search
from oracle.store.schema import metadata
from protocol.chain import Block
from protocol.errors import InvariantBroken
from protocol.events import OfferUnlisted
from protocol.ledger import (
    Changes,
    CompensationEntry,
    CreditEntry,
    LedgerState,
    OfferEntry,
    Parameters,
)
from protocol.matching import Requirements
from protocol.structs import LeaseStatus, Offer
from protocol.units import BlockNumber, Digest, JobId, UnixTime, address_of
from tests.postgres import Postgres
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import BUNDLE, DOMAIN, MONDAY, RENTER, TOKEN, UNIT_ID, WORKER

NOW = MONDAY + 10


def add_job(store: Store, nonce: int = 0) -> bytes:
    signed = samples.make_order(nonce=nonce)
    job_id = samples.job_of(signed)
    with store.write() as transaction:
        jobs.insert_job(transaction, job_id, RENTER, samples.make_terms(), signed, NOW)
    return job_id


def stored_offer(transaction: Transaction, entry: OfferEntry) -> tuple[Offer, bool]:
    found = get_found(transaction, entry.offer_hash, NOW)
    assert found is not None
    return found.offer, found.listed


def write_ledger(store: Store) -> None:
    lease = samples.make_lease()
    changes = Changes(units=(samples.make_unit(),), leases=(lease,), proofs=(samples.make_proof(lease),))
    with store.write() as transaction:
        entities.write_changes(transaction, [changes])


def test_migrations__new_database__schema_is_that_of_the_tables(store: Store) -> None:
    with store.write() as transaction:
        assert compare_metadata(MigrationContext.configure(transaction), metadata) == []


def test_store__opened__commits_are_durable(store: Store) -> None:
    with store.read() as transaction:
        if store.shared:
            assert transaction.execute(text("SHOW synchronous_commit")).scalar() == "on"
            assert transaction.execute(text("SHOW transaction_isolation")).scalar() == "repeatable read"
            return
        assert transaction.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert transaction.execute(text("PRAGMA synchronous")).scalar() == 2
        assert transaction.execute(text("PRAGMA foreign_keys")).scalar() == 1


def test_store__opened_again__keeps_what_it_had(database_url: str) -> None:
    first = open_store(database_url)
    job_id = add_job(first)
    first.close()
    second = open_store(database_url)
    with second.read() as transaction:
        assert jobs.get_job(transaction, job_id) is not None
    second.close()


def test_store__opened_by_several_processes_at_once__migrated_once(
    database_url: str, postgres: Postgres
) -> None:
    fresh = postgres.new_database("template1") if "postgresql" in database_url else database_url
    code = "import sys; from oracle.store.engine import open_store; open_store(sys.argv[1]).close()"
    processes = [subprocess.Popen([sys.executable, "-c", code, fresh]) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0, 0, 0, 0]
    store = open_store(fresh)
    with store.write() as transaction:
        assert compare_metadata(MigrationContext.configure(transaction), metadata) == []
    store.close()


def test_text__with_nul__kept_with_a_replacement(store: Store) -> None:
    job_id = add_job(store)
    with store.write() as transaction:
        jobs.set_job_state(transaction, job_id, JobState.QUEUED, NOW, "a\0b")
        job = jobs.get_job(transaction, job_id)
        assert job is not None
        assert job.detail == "a\ufffdb"
        assert list(search(transaction, Requirements("\0"), NOW, None, 9)) == []


def test_rows__many_at_once_then_again__last_ones_stay(store: Store) -> None:
    listed = [samples.make_offer(price=price, salt=price) for price in range(1, 201)]
    credits = tuple(CreditEntry(TOKEN, address_of(bytes([n]) * 20), 2**95 + n) for n in range(60))
    unlisted = [replace(offer, listed=False) for offer in listed[100:]]
    with store.write() as transaction:
        entities.write_changes(transaction, [Changes(offers=tuple(listed), credits=credits)])
        entities.write_changes(transaction, [Changes(offers=tuple(unlisted))])
        found = [stored_offer(transaction, offer) for offer in listed]
        sums = transaction.execute(text("SELECT units FROM credits")).scalars().all()
    assert found == [(offer.offer, number < 100) for number, offer in enumerate(listed)]
    assert sorted(map(int, sums)) == [entry.amount_units for entry in credits]


def test_events__many_at_once__read_back_in_order_and_none_twice(store: Store) -> None:
    made = [
        (OfferUnlisted(samples.position(n, i), samples.make_offer().offer_hash, WORKER), UnixTime(n))
        for n in range(20)
        for i in range(5)
    ]
    with store.write() as transaction:
        history.add_events(transaction, reversed(made))
    with store.read() as transaction:
        assert list(history.list_events(transaction)) == made
    with pytest.raises((IntegrityError, UniqueViolation)), store.write() as transaction:
        history.add_events(transaction, made)


def test_write__exception_inside__nothing_kept(store: Store) -> None:
    signed = samples.make_order()
    with pytest.raises(RuntimeError), store.write() as transaction:
        jobs.insert_job(transaction, samples.job_of(signed), RENTER, samples.make_terms(), signed, NOW)
        raise RuntimeError
    with store.read() as transaction:
        assert jobs.get_job(transaction, samples.job_of(signed)) is None


def test_write__many_threads__every_write_kept(store: Store) -> None:
    threads = [threading.Thread(target=add_job, args=(store, nonce)) for nonce in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.read() as transaction:
        assert jobs.count_states(transaction) == {JobState.WAITING: 20}
        assert jobs.count_jobs(transaction, samples.make_lease().lease_id) == 20


def test_job__written__read_back_as_it_was(store: Store) -> None:
    job_id = add_job(store)
    with store.read() as transaction:
        job = jobs.get_job(transaction, job_id)
    assert job is not None
    assert (job.signed_order, job.terms) == (samples.make_order(), samples.make_terms())
    assert (job.state, job.created_at, job.outcome) == (JobState.WAITING, NOW, None)


def test_job__illegal_step__invariant_broken_and_nothing_changed(store: Store) -> None:
    job_id = add_job(store)
    with pytest.raises(InvariantBroken), store.write() as transaction:
        jobs.set_job_state(transaction, job_id, JobState.PROVEN, NOW)
    with store.read() as transaction:
        assert jobs.job_states(transaction, [job_id]) == {job_id: JobState.WAITING}


def test_entities__every_kind__read_back_as_written(store: Store) -> None:
    write_ledger(store)
    lease, offer = samples.make_lease(), samples.make_offer(price=2**96 - 1)
    with store.write() as transaction:
        entities.write_changes(transaction, [Changes(offers=(offer,))])
    with store.read() as transaction:
        assert entities.get_lease(transaction, lease.lease_id) == lease
        assert entities.get_unit(transaction, UNIT_ID) == samples.make_unit()
        assert entities.list_proofs(transaction, lease.lease_id) == [samples.make_proof(lease)]
        assert stored_offer(transaction, offer) == (offer.offer, True)


def test_entities__amended_lease_and_void_proof__read_back_as_written(store: Store) -> None:
    lease = samples.make_lease(
        renters=(RENTER, WORKER),
        status=LeaseStatus.BREACHED,
        open_disputes=2,
        moved_last_post=MONDAY + 9,
        posted_order=JobId(b"\x07" * 32),
        answer_within=8,
        lost_seconds=3,
        hops=1,
        moved_units=2**80,
        failed_over=True,
        accepted=True,
        closing=True,
        provider_failed=True,
        bond_slashed=True,
    )
    proof = replace(samples.make_proof(lease), void=True)
    unit = replace(samples.make_unit(), evicted=True)
    offer = replace(samples.make_offer(), taken_at=samples.position(7))
    changes = Changes(leases=(lease,), proofs=(proof,), units=(unit,), offers=(offer,))
    with store.write() as transaction:
        entities.write_changes(transaction, [changes])
        assert entities.get_lease(transaction, lease.lease_id) == lease
        assert entities.list_proofs(transaction, lease.lease_id) == [proof]
        assert entities.get_unit(transaction, UNIT_ID) == unit
        assert stored_offer(transaction, offer) == (offer.offer, True)
        assert entities.list_leases(transaction, WORKER, None, (0, b""), 9) == [lease]
        assert entities.list_leases(transaction, RENTER, None, (0, b""), 9) == []


def test_entities__several_changes_of_one__last_one_stays(store: Store) -> None:
    lease = samples.make_lease()
    changes = [Changes(leases=(replace(lease, end=MONDAY + n),)) for n in (5, 3)]
    with store.write() as transaction:
        entities.write_changes(transaction, changes)
        assert entities.get_lease(transaction, lease.lease_id) == replace(lease, end=MONDAY + 3)


def test_entities__replaced__nothing_of_before_is_left(store: Store) -> None:
    write_ledger(store)
    state = LedgerState.empty(Parameters(DOMAIN, WORKER, 10, 10, 10, 10))
    offer = samples.make_offer()
    state.merge(
        Changes(
            offers=(offer,),
            credits=(CreditEntry(TOKEN, RENTER, 2**95),),
            compensations=(CompensationEntry(RENTER, 7),),
        )
    )
    with store.write() as transaction:
        entities.replace_all(transaction, state)
        assert entities.get_unit(transaction, UNIT_ID) is None
        assert entities.list_leases(transaction, None, None, (0, b""), 9) == []
        assert stored_offer(transaction, offer) == (offer.offer, True)
        rows = transaction.execute(text("SELECT token, units FROM credits ORDER BY token")).all()
    assert [(token, int(units)) for token, units in rows] == [("", 7), (TOKEN, 2**95)]


def test_cursor__set_twice__last_one_counts(store: Store) -> None:
    blocks = [Block(BlockNumber(n), bytes([n]) * 32, UnixTime(n)) for n in range(1, 6)]
    with store.write() as transaction:
        assert history.get_cursor(transaction) is None
        for block in blocks:
            history.set_cursor(transaction, block)
        history.retain_blocks(transaction, blocks, 3)
    with store.read() as transaction:
        assert history.get_cursor(transaction) == blocks[-1]
        assert history.list_blocks(transaction) == [blocks[4], blocks[3], blocks[2]]


def test_events__same_log_twice__refused(store: Store) -> None:
    event = OfferUnlisted(samples.position(), samples.make_offer().offer_hash, WORKER)
    with store.write() as transaction:
        history.add_events(transaction, [(event, UnixTime(5))])
        assert list(history.list_events(transaction)) == [(event, 5)]
    with pytest.raises(IntegrityError), store.write() as transaction:
        history.add_events(transaction, [(event, UnixTime(5))])


def test_events__fork_forgotten__only_later_ones_gone(store: Store) -> None:
    made = [
        (OfferUnlisted(samples.position(n), samples.make_offer().offer_hash, WORKER), UnixTime(n))
        for n in (3, 4, 5)
    ]
    with store.write() as transaction:
        history.add_events(transaction, made)
        assert history.forget_after(transaction, 3) == 2
        assert list(history.list_events(transaction)) == made[:1]


def test_nonce__spent_twice__refused_until_expired_and_tidied(store: Store) -> None:
    with store.write() as transaction:
        assert nonces.spend_nonce(transaction, RENTER, b"n" * 32, NOW)
        assert not nonces.spend_nonce(transaction, RENTER, b"n" * 32, NOW)
        assert nonces.spend_nonce(transaction, WORKER, b"n" * 32, NOW)
        assert nonces.delete_expired_nonces(transaction, NOW) == 0
        assert nonces.delete_expired_nonces(transaction, NOW + 1) == 2


def test_attempts__of_many_jobs__tokens_rise_and_never_repeat(store: Store) -> None:
    first, second = add_job(store, 0), add_job(store, 1)
    with store.write() as transaction:
        made = [attempts.add_attempt(transaction, job, UNIT_ID, NOW) for job in (first, second, first)]
        attempts.set_attempt_state(transaction, made[0].fencing_token, AttemptState.LOST, NOW)
    assert [entry.attempt for entry in made] == [1, 1, 2]
    tokens = [entry.fencing_token for entry in made]
    assert tokens == sorted(set(tokens))
    with store.read() as transaction:
        assert attempts.latest_attempt(transaction, first) == made[2]
        assert [entry.fencing_token for entry in attempts.active_attempts(transaction, UNIT_ID)] == tokens[1:]


def test_readiness__bundle_of_a_stranger__does_not_count(store: Store) -> None:
    job_id = add_job(store)
    with store.write() as transaction:
        jobs.set_job_state(transaction, job_id, JobState.QUEUED, NOW)
        jobs.set_job_state(transaction, job_id, JobState.WAITING, NOW, Wait.ARTIFACTS)
        artifacts.add_artifact(transaction, BUNDLE, 10, WORKER, NOW)
        assert queues.leases_arrived(transaction) == frozenset()
        artifacts.add_artifact(transaction, BUNDLE, 10, RENTER, NOW)
        assert queues.leases_waiting(transaction, Wait.FRESH) == [samples.make_lease().lease_id]


def test_artifact_access__parties_of_a_job_that_refers_to_it__alone(store: Store) -> None:
    write_ledger(store)
    add_job(store)
    stranger = samples.PROVIDER
    with store.write() as transaction:
        artifacts.add_artifact(transaction, BUNDLE, 10, stranger, NOW)
        # The renter names the stranger's bundle without having it.
        assert not artifacts.may_read_artifact(transaction, BUNDLE, RENTER)
        assert not artifacts.may_read_artifact(transaction, BUNDLE, WORKER)
        artifacts.add_artifact(transaction, BUNDLE, 10, RENTER, NOW)
        assert artifacts.may_read_artifact(transaction, BUNDLE, RENTER)
        assert artifacts.may_read_artifact(transaction, BUNDLE, WORKER)
        assert not artifacts.may_read_artifact(transaction, BUNDLE, TOKEN)


def test_quota__newcomers_and_known_accounts__counted_apart(store: Store) -> None:
    write_ledger(store)
    with store.write() as transaction:
        artifacts.add_artifact(transaction, BUNDLE, 10, RENTER, NOW)
        artifacts.add_artifact(transaction, Digest(b"b" * 32), 7, TOKEN, NOW)
        assert artifacts.used_bytes(transaction, RENTER) == 10
        assert (artifacts.is_newcomer(transaction, RENTER), artifacts.is_newcomer(transaction, TOKEN)) == (
            False,
            True,
        )
        assert artifacts.newcomers_bytes(transaction) == 7


def test_evidence__proof_on_chain_and_gone_again__job_proven_and_finished_again(store: Store) -> None:
    write_ledger(store)
    job_id = add_job(store)
    lease = samples.make_lease()
    proof = samples.make_proof(lease)
    receipt_digest = Digest(b"r" * 32)
    with store.write() as transaction:
        for state in (JobState.QUEUED, JobState.FINISHED):
            jobs.set_job_state(transaction, job_id, state, NOW)
        transaction.execute(
            text("INSERT INTO receipts VALUES (:job, 1, :digest, '{}', 0)"),
            {"job": job_id, "digest": receipt_digest},
        )
        digests = {job_id: receipt_digest}
        evidence.insert_evidence(transaction, proof.proof_hash, lease.lease_id, BUNDLE, 5, digests, NOW)
        assert evidence.has_unmarked(transaction, 0)
        assert evidence.mark_jobs(transaction, NOW, 20, 0) == 1
        assert jobs.job_states(transaction, [job_id]) == {job_id: JobState.PROVEN}
        assert not evidence.has_unmarked(transaction, 0)
        transaction.execute(text("DELETE FROM proofs"))
        assert evidence.mark_jobs(transaction, NOW, 20, 0) == 1
        assert jobs.job_states(transaction, [job_id]) == {job_id: JobState.FINISHED}
