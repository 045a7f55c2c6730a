"""What this oracle has signed for the quorum, and the members' signatures that it has collected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import proposal_signatures, proposals, statements
from protocol.findings import KINDS, Finding, kind_of
from protocol.structs import QuorumSignature, from_json, to_json
from protocol.units import Address, Digest, hex_bytes, parse_address, to_hex


@dataclass(frozen=True, slots=True)
class Statement:
    """A finding that this oracle signed: the `number`-th on its subject, from zero."""

    kind: str
    subject: bytes
    number: int
    digest: Digest
    body: Mapping[str, Any]
    signature: bytes

    @classmethod
    def of(
        cls, kind: str, subject: bytes, number: int, digest: Digest, finding: Finding, signature: bytes
    ) -> Statement:
        return cls(kind, subject, number, digest, to_json(finding), signature)


@dataclass(frozen=True, slots=True)
class Proposal:
    """A finding for which signatures are collected, and those that are there by signer."""

    finding: Finding
    digest: Digest
    proposed_at: int
    signatures: Mapping[Address, QuorumSignature]


def get_statement(transaction: Transaction, digest: bytes) -> Statement | None:
    return _read(transaction.execute(select(statements).where(statements.c.digest == digest)).first())


def last_statement(transaction: Transaction, kind: str, subject: bytes) -> Statement | None:
    query = select(statements).where(statements.c.kind == kind, statements.c.subject == subject)
    return _read(transaction.execute(query.order_by(statements.c.number.desc()).limit(1)).first())


def insert_statement(transaction: Transaction, statement: Statement, now: int) -> bool:
    """False: there is one with its number on its subject, or with its digest."""
    row = {
        "kind": statement.kind,
        "subject": statement.subject,
        "number": statement.number,
        "digest": statement.digest,
        "body": json.dumps(statement.body),
        "signature": to_hex(statement.signature),
        "signed_at": now,
    }
    return insert_new(transaction, statements, row)


def add_proposal(transaction: Transaction, finding: Finding, subject: bytes, digest: bytes, now: int) -> None:
    """Once: one that is there stays as it is."""
    row = {
        "digest": digest,
        "kind": kind_of(finding),
        "subject": subject,
        "body": json.dumps(to_json(finding)),
        "proposed_at": now,
    }
    insert_new(transaction, proposals, row)


def add_signature(
    transaction: Transaction, digest: bytes, signer: Address, signature: QuorumSignature, now: int
) -> None:
    """The first one of each signer stays."""
    row = {
        "digest": digest,
        "signer": signer,
        "member": signature.member,
        "signature": to_hex(signature.signature),
        "received_at": now,
    }
    insert_new(transaction, proposal_signatures, row)


def list_proposals(transaction: Transaction, kind: str, subject: bytes, limit: int) -> list[Proposal]:
    """On this subject, newest first."""
    query = select(proposals).where(proposals.c.kind == kind, proposals.c.subject == subject)
    newest = proposals.c.proposed_at.desc(), proposals.c.digest
    rows = transaction.execute(query.order_by(*newest).limit(limit)).all()
    return [_proposal(transaction, row) for row in rows]


def get_proposal(transaction: Transaction, digest: bytes) -> Proposal | None:
    row = transaction.execute(select(proposals).where(proposals.c.digest == digest)).first()
    return None if row is None else _proposal(transaction, row)


def _proposal(transaction: Transaction, row: Any) -> Proposal:
    signed = transaction.execute(
        select(proposal_signatures).where(proposal_signatures.c.digest == row.digest)
    )
    signatures = {
        parse_address(each.signer): QuorumSignature(each.member, hex_bytes(each.signature, 65))
        for each in signed
    }
    finding = from_json(KINDS[row.kind], json.loads(row.body))
    return Proposal(finding, Digest(row.digest), row.proposed_at, signatures)


def _read(row: Any) -> Statement | None:
    if row is None:
        return None
    body, signature = json.loads(row.body), hex_bytes(row.signature, 65)
    return Statement(row.kind, row.subject, row.number, Digest(row.digest), body, signature)
