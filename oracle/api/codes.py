"""The codes of refusals. They are stable: programs go by them, and by nothing that a message says."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        "answer_too_large": "503: the node refuses to tell so much at once; try again",
        "bad_input": "422: something in path, query, headers or body is malformed or out of range",
        "bad_request": "400: not a request that can be read",
        "chain_timeout": "503: the node did not answer in time; try again",
        "chain_unavailable": "503: the node does not answer; try again",
        "digest_mismatch": "401, 422: the bytes are not those that were named or signed",
        "disconnected": "400: the body did not arrive whole",
        "duty_lost": "503: another oracle does this work by now; try again",
        "evidence_exists": "409: the proof has other evidence, which stays",
        "evidence_mismatch": "422: the evidence is not what the proof commits to",
        "expired": "401, 422: too late",
        "hello_timeout": "link: no hello in time",
        "internal_error": "500: a fault of the oracle's, written to its log",
        "lease_over": "409: the lease has ended",
        "malformed_message": "401: not a message of EIP-4361",
        "method_not_allowed": "405: the path has other methods",
        "no_session": "409: asked of a session by a request that is signed itself",
        "nonce_invalid": "401: the nonce was not given here, has expired, or is spent",
        "not_a_party": "403: for the renter who ordered and the worker of the lease alone",
        "not_found": "404: no such path",
        "not_the_operator": "403: for the operator alone",
        "not_the_renter": "403: for today's renter of the lease alone",
        "not_the_worker": "403: for the worker of the lease's unit alone",
        "quota_exceeded": "413: the account has stored what it may",
        "replayed_request": "401: the nonce of this signed request was used before",
        "request_timeout": "408: the sender fell silent",
        "rpc_error": "503: the node answers with an error; try again",
        "session_invalid": "401: the token is malformed, expired or signed out",
        "signature_invalid": "401, 403: not signed by whom it must be",
        "store_broken": "500: the database is damaged, or cannot be written",
        "store_unavailable": "503: the database does not answer, or is busy; try again",
        "too_large": "413: more bytes than are taken",
        "too_many_jobs": "429: the lease has as many jobs as it may",
        "too_many_links": "link: too many connections that have not said hello",
        "too_many_orders": "429: too many orders wait for leases that are not indexed",
        "too_many_requests": "429: again after Retry-After seconds",
        "too_many_streams": "429: again after Retry-After seconds, or when another stream is closed",
        "too_many_uploads": "429: too many uploads at once; try again",
        "unauthenticated": "401: a signature or a token is needed here",
        "unknown_artifact": "404: not here, or not the caller's to read",
        "unknown_evidence": "404: no evidence of this proof",
        "unknown_job": "404: no such job",
        "unknown_lease": "404: not in the blocks that are indexed",
        "unknown_previous_proof": "409: the proof before is not indexed yet",
        "unknown_unit": "link: not a registered unit",
        "wrong_message": "401: signed for another domain, address, chain or time",
    }
)
