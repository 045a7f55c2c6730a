"""The database itself refuses steps that no job and no attempt may take."""

import itertools
from collections.abc import Iterable, Mapping

import pytest
from sqlalchemy import Executable, Table
from sqlalchemy.exc import IntegrityError

from oracle.jobs import ATTEMPT_TRANSITIONS, JOB_TRANSITIONS, AttemptState, JobState, attempt_after
from oracle.store import attempts, jobs, tables, transitions
from oracle.store.engine import Store, open_store
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import MONDAY, RENTER, UNIT_ID


def add_job_and_attempt(store: Store) -> None:
    signed = samples.make_order()
    job_id = samples.job_of(signed)
    with store.write() as transaction:
        jobs.insert_job(transaction, job_id, RENTER, samples.make_terms(), signed, MONDAY)
        attempts.add_attempt(transaction, job_id, UNIT_ID, MONDAY)


def refused(store: Store, statement: Executable) -> bool:
    try:
        with store.write() as transaction:
            transaction.execute(statement)
    except IntegrityError as error:
        assert "no such step" in str(error)
        return True
    return False


def put(store: Store, table: Table, state: str) -> None:
    """Whatever it was before: by way of a store without triggers."""
    with store.write() as transaction:
        for name, of in transitions.installed(transaction).items():
            transaction.exec_driver_sql(f"DROP TRIGGER {name}" + (f" ON {of}" if store.shared else ""))
        transaction.execute(table.update().values(state=state))
        transitions.install(transaction)


@pytest.mark.parametrize(
    ("table", "steps"), [(tables.jobs, JOB_TRANSITIONS), (tables.attempts, ATTEMPT_TRANSITIONS)]
)
def test_state__every_pair_updated_directly__refused_unless_legal(
    store: Store, table: Table, steps: Mapping[str, Iterable[str]]
) -> None:
    add_job_and_attempt(store)
    for current, following in itertools.product(steps, steps):
        put(store, table, current)
        legal = following == current or following in steps[current]
        assert refused(store, table.update().values(state=following)) != legal, (current, following)


@pytest.mark.parametrize("table", [tables.jobs, tables.attempts])
def test_state__that_there_is_not__refused_in_updates_and_inserts(store: Store, table: Table) -> None:
    add_job_and_attempt(store)
    assert refused(store, table.update().values(state="sleeping"))
    with store.read() as transaction:
        row = dict(transaction.execute(table.select()).mappings().one())
    (key,) = table.primary_key.columns
    row |= {"state": "sleeping", key.name: row[key.name] + 1}
    assert refused(store, table.insert().values(row))


def test_triggers__code_allows_something_else_by_now__made_anew_at_the_next_opening(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_store(database_url)
    add_job_and_attempt(first)
    assert refused(first, tables.jobs.update().values(state="finished"))
    with first.read() as transaction:
        before = transitions.installed(transaction)
    first.close()
    changed = {**JOB_TRANSITIONS, JobState.WAITING: frozenset({JobState.FINISHED})}
    monkeypatch.setattr(transitions, "JOB_TRANSITIONS", changed)
    second = open_store(database_url)
    assert not refused(second, tables.jobs.update().values(state="finished"))
    with second.read() as transaction:
        after = transitions.installed(transaction)
    assert len(after) == len(before) == 4
    second.close()


def test_attempt_transitions__whatever_a_worker_reports__is_a_legal_step() -> None:
    for current, reported in itertools.product(AttemptState, AttemptState):
        following = attempt_after(current, reported)
        assert following is None or following in ATTEMPT_TRANSITIONS[current]
