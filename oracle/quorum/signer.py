"""Signs findings for the quorum: what it has signed is on disk before anybody sees the signature."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import structlog
from eth_account.signers.local import LocalAccount

from oracle.clock import Now
from oracle.quorum.examination import Examiner, Refusal, RefusalCode
from oracle.store import findings
from oracle.store.engine import Store
from oracle.store.findings import Statement
from protocol.findings import KINDS, Finding, kind_of
from protocol.structs import from_json
from protocol.typed_data import Domain, digest, sign
from protocol.units import Address, parse_address, to_hex

log = structlog.get_logger(__name__)


class QuorumSigner:
    """Threads may share it. The same finding gets the same signature, after a crash in between too."""

    def __init__(
        self,
        account: LocalAccount,
        domain: Domain,
        store: Store,
        examiners: Mapping[type[Finding], Examiner[Any]],
        now: Now,
    ) -> None:
        """`domain`: the quorum's."""
        self.address: Address = parse_address(account.address)
        self.domain = domain
        self._account = account
        self._store = store
        self._examiners = examiners
        self._now = now
        self._lock = threading.Lock()

    def sign(self, finding: Finding) -> bytes | Refusal:
        """The signature, or why there is none. ChainUnavailable, RpcError."""
        examiner = self._examiners.get(type(finding))
        if examiner is None:
            return Refusal(RefusalCode.UNKNOWN_KIND, f"expected another kind than {kind_of(finding)}")
        with self._lock:
            answer = self._answer(finding, examiner)
        if isinstance(answer, Refusal):
            log.info("finding_refused", kind=kind_of(finding), code=answer.code, reason=answer.message)
        return answer

    def _answer(self, finding: Finding, examiner: Examiner[Any]) -> bytes | Refusal:
        while True:
            answer = self._try(finding, examiner)
            if answer is not None:
                return answer

    def _try(self, finding: Finding, examiner: Examiner[Any]) -> bytes | Refusal | None:
        """None: another process of this signer has signed something on the subject meanwhile."""
        kind, subject = kind_of(finding), examiner.subject(finding)
        signed_digest = digest(self.domain, finding)
        with self._store.read() as transaction:
            known = findings.get_statement(transaction, signed_digest)
            last = findings.last_statement(transaction, kind, subject)
        if known is not None:
            return examiner.retraction(finding) or known.signature
        if last is not None and examiner.stretches(finding, from_json(KINDS[kind], last.body)):
            return Refusal(RefusalCode.CONTRADICTION, "it says more than what was signed before")
        refusal = examiner.refusal(finding)
        if refusal is not None:
            return refusal
        signature = sign(self.domain, finding, self._account)
        number = 0 if last is None else last.number + 1
        statement = Statement.of(kind, subject, number, signed_digest, finding, signature)
        if not self._keep(statement):
            return None
        log.info("finding_signed", kind=kind, subject=to_hex(subject), digest=to_hex(signed_digest))
        return signature

    def _keep(self, statement: Statement) -> bool:
        """False: another is the next on its subject."""
        with self._store.write() as transaction:
            return findings.insert_statement(transaction, statement, self._now())
