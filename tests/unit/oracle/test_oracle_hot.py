"""What is answered before any router says what the router would."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from oracle.api.hot import job_content
from oracle.api.views import job_body
from oracle.joblogs import JobLogs
from oracle.store import entities, jobs, reads, sessions
from oracle.store.engine import Store
from oracle.store.sessions import Session
from protocol.ledger import Changes
from protocol.readers import ReaderKey, ReaderRole
from protocol.structs import ArtifactRef, JobClass
from protocol.units import Digest
from tests.unit.oracle import oracle_samples as samples
from tests.unit.oracle.oracle_samples import MONDAY, RENTER, WORKER

TOKEN = Digest(b"t" * 32)
VERIFIER, OTHER = b"v" * 32, b"o" * 32


@pytest.mark.parametrize(
    ("readers", "expected"), [((), "TRACED"), ((OTHER, VERIFIER), "TRACED"), ((OTHER,), "OPAQUE")]
)
def test_job__plain_or_sealed__reads_as_by_the_router(
    store: Store, tmp_path: Path, readers: tuple[bytes, ...], expected: str
) -> None:
    signed = samples.make_order()
    cipher = Digest(b"c" * 32) if readers else samples.BUNDLE
    bundle = ArtifactRef(samples.BUNDLE, cipher, 10, tuple(reader + bytes(80) for reader in readers))
    order = replace(signed.order, bundle=bundle)
    signed = replace(signed, order=order, spec=replace(signed.spec, job_class=JobClass.TRACED))
    job_id, logs = samples.job_of(signed), JobLogs(tmp_path / "logs")
    verifiers = [ReaderKey(ReaderRole.VERIFIER, WORKER, VERIFIER, bytes(65))]
    changes = Changes(units=(samples.make_unit(),), leases=(samples.make_lease(),))
    with store.write() as transaction:
        entities.write_changes(transaction, [changes])
        jobs.insert_job(transaction, job_id, RENTER, samples.make_terms(), signed, MONDAY)
        sessions.add_session(transaction, TOKEN, Session(RENTER, MONDAY + 60), MONDAY)
    with store.read() as transaction:
        job = jobs.get_job(transaction, job_id)
        view = reads.read_job(transaction, job_id, TOKEN, MONDAY)
        assert job is not None and view is not None
        body = job_body(transaction, logs, verifiers, job)
    assert body.checked_as == expected
    assert json.loads(job_content(logs, verifiers, job_id, view)) == json.loads(body.model_dump_json())
