"""Asks another oracle of the quorum for its signature."""

from __future__ import annotations

import secrets
import threading
import time
from typing import Final

import requests
from eth_account.signers.local import LocalAccount
from pydantic import ValidationError
from urllib3.exceptions import HTTPError

from protocol.bodies import ErrorBody, json_of
from protocol.digests import sha256
from protocol.errors import ServiceUnavailable
from protocol.findings import FINDINGS_TARGET, Finding, FindingBody, FindingSignatureBody
from protocol.json_text import canonical_json
from protocol.request_auth import sign_request
from protocol.typed_data import Domain
from protocol.units import hex_bytes

MAX_ANSWER_BYTES: Final = 16 << 10


class Peer:
    """One other oracle. Threads may share it: who comes while another waits for an answer is sent away."""

    def __init__(self, url: str, domain: Domain, account: LocalAccount, timeout_seconds: float) -> None:
        """`domain`: the market's, as of every signed request."""
        self.url = url.rstrip("/")
        self._domain = domain
        self._account = account
        self._timeout_seconds = timeout_seconds
        self._session = requests.Session()
        self._busy = threading.Lock()

    def ask(self, finding: Finding) -> bytes | ErrorBody:
        """What it says is its signature, or why it gives none. ServiceUnavailable.

        One that feeds its answer byte by byte may keep the caller as long as it likes.
        """
        if not self._busy.acquire(blocking=False):
            raise ServiceUnavailable(f"{self.url}: expected the answer to the last request, it goes on")
        try:
            status, answer = self._exchange(finding)
        finally:
            self._busy.release()
        try:
            if status == 200:
                return hex_bytes(FindingSignatureBody.model_validate_json(answer).signature, 65)
            return ErrorBody.model_validate_json(answer)
        except ValidationError as error:
            raise ServiceUnavailable(f"{self.url}: status {status}, not an answer of an oracle") from error

    def _exchange(self, finding: Finding) -> tuple[int, bytes]:
        body = canonical_json(json_of(FindingBody.of(finding)))
        nonce, now = secrets.token_bytes(32), time.time()
        headers = sign_request(self._domain, self._account, "POST", FINDINGS_TARGET, sha256(body), now, nonce)
        try:
            with self._session.post(
                self.url + FINDINGS_TARGET,
                data=body,
                headers={**headers, "Content-Type": "application/json", "Accept-Encoding": "identity"},
                timeout=self._timeout_seconds,
                allow_redirects=False,
                stream=True,
            ) as response:
                return response.status_code, response.raw.read(MAX_ANSWER_BYTES)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise ServiceUnavailable(f"{self.url}: {type(error).__name__}: {error}") from error
