"""What proofs commit to: put here by the worker before it posts the proof, read by every auditor."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from oracle.api.auth import Caller, signed_evidence
from oracle.api.errors import ApiError, json_response
from oracle.api.parameters import proof_hash_of, worker_of
from oracle.api.services import Services, services_of
from oracle.store import entities
from oracle.store import evidence as store
from protocol import evidence
from protocol.bodies import EvidenceBody
from protocol.digests import sha256
from protocol.evidence import Evidence
from protocol.ledger import LeaseEntry
from protocol.structs import NO_PROOF, CompletionProof
from protocol.typed_data import digest, hash_struct
from protocol.units import Address, JobId, ProofHash

router = APIRouter(prefix="/v1/proofs")
log = structlog.get_logger(__name__)


@router.put("/{proof_hash}/evidence")
def upload_evidence(
    request: Request, proof_hash: str, caller: Annotated[Caller, Depends(signed_evidence)]
) -> Response:
    """Signed, by the worker of the proof's lease. Checked against the proof's roots, then never changed."""
    services = services_of(request)
    wanted = proof_hash_of(proof_hash)
    found = evidence.decode(caller.body)
    actual = hash_struct(found.proof)
    if actual != wanted:
        raise ApiError(422, "digest_mismatch", f"expected evidence of {proof_hash}, got of 0x{actual.hex()}")
    lease, previous = _lease_of_worker(services, found, caller.address)
    differences = evidence.check(found, services.domain, caller.address, lease.terms, previous, lease.renters)
    if differences:
        named = "; ".join(str(difference) for difference in differences[:5])
        raise ApiError(422, "evidence_mismatch", f"{len(differences)} differences: {named}"[:2000])
    created = _store(services, wanted, lease, found, caller)
    services.wake_dispatcher()
    body = EvidenceBody(proof_hash=proof_hash, size_bytes=len(caller.body), created=created)
    return json_response(body, 201 if created else 200)


@router.get("/{proof_hash}/evidence")
def download_evidence(request: Request, proof_hash: str) -> Response:
    """Open: it is what the chain commits to, digests and signatures only, and every auditor needs it."""
    services, wanted = services_of(request), proof_hash_of(proof_hash)
    with services.store.read() as transaction:
        expected = store.evidence_digest(transaction, wanted)
    data = None if expected is None else services.artifacts.read_evidence(wanted)
    if data is None:
        raise ApiError(404, "unknown_evidence", "no evidence of such a proof")
    if sha256(data) != expected:
        log.error("evidence_damaged", proof_hash=wanted)
        raise ApiError(410, "artifact_damaged", "the store has lost or altered this evidence")
    return Response(data, media_type="application/json")


def _lease_of_worker(
    services: Services, found: Evidence, caller: Address
) -> tuple[LeaseEntry, CompletionProof | None]:
    """The lease, and the proof that this one follows."""
    with services.store.read() as transaction:
        lease = entities.get_lease(transaction, found.proof.lease_id)
        worker = worker_of(transaction, lease.terms) if lease else None
        previous = entities.get_proof(transaction, found.proof.previous_proof)
    if lease is None:
        raise ApiError(404, "unknown_lease", "no such lease in the blocks that are indexed")
    if caller != worker:
        raise ApiError(403, "not_the_worker", f"expected {worker}, got {caller}")
    if previous is None and found.proof.previous_proof != NO_PROOF:
        raise ApiError(
            409, "unknown_previous_proof", "the proof before is not in the blocks that are indexed"
        )
    return lease, previous.proof if previous else None


def _store(
    services: Services, proof_hash: ProofHash, lease: LeaseEntry, found: Evidence, caller: Caller
) -> bool:
    """True: there was none before. 409 where there is another: a proof has one evidence, and it stays."""
    receipt_digests = {
        JobId(s.receipt.order_digest): digest(services.domain, s.receipt) for s in found.receipts
    }
    with services.evidence_lock:
        with services.store.read() as transaction:
            known = store.evidence_digest(transaction, proof_hash)
        if known is not None and known != caller.body_digest:
            raise ApiError(409, "evidence_exists", f"expected sha256 {known.hex()}, got another")
        _keep(services, proof_hash, caller)
        with services.store.write() as transaction:
            store.insert_evidence(
                transaction,
                proof_hash,
                lease.lease_id,
                caller.body_digest,
                len(caller.body),
                receipt_digests,
                services.now(),
            )
    return known is None


def _keep(services: Services, proof_hash: ProofHash, caller: Caller) -> None:
    with services.staging.upload(len(caller.body)) as upload:
        upload.write(caller.body)
        services.artifacts.keep_evidence(proof_hash, upload.complete(caller.body_digest).path)
