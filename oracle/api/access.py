"""Who may do what: every endpoint and every role, in one table. Tests hold the application to it.

A lease has a renter of today, perhaps former ones, a provider, and the worker of its unit. What a renter
ordered is that renter's: a transfer passes on the lease and not what was computed under it before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    ANONYMOUS = "anonymous"
    STRANGER = "stranger"
    RENTER = "renter"
    FORMER_RENTER = "former renter"
    PROVIDER = "provider"
    WORKER = "worker"
    OTHER_WORKER = "worker of another unit"
    MEMBER = "member of the quorum"
    OPERATOR = "operator"
    """Holds the token for metrics, and no account."""


class Way(StrEnum):
    """How an endpoint learns who asks."""

    OPEN = "open"
    ACCOUNT = "token or signed request"
    TOKEN = "token"  # noqa: S105 - the name of a way
    SIGNATURE = "signed request"
    OPERATOR = "operator's token or network"
    LINK = "signed hello"


class Sight(StrEnum):
    """OWN: what is the caller's own, and for the rest the endpoint's refusal."""

    ALL = "all"
    OWN = "own"


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    code: str


UNAUTHENTICATED = Refusal(401, "unauthenticated")


@dataclass(frozen=True, slots=True)
class Rule:
    """`refusal`: what those get who are known and not in `roles`. `why`: the reason for who is."""

    method: str
    path: str
    way: Way
    roles: Mapping[Role, Sight]
    refusal: Refusal | None
    why: str


ALL, OWN = Sight.ALL, Sight.OWN
EVERYONE: Mapping[Role, Sight] = MappingProxyType(dict.fromkeys(Role, ALL))
ACCOUNTS: Mapping[Role, Sight] = MappingProxyType(
    {role: OWN for role in Role if role not in (Role.ANONYMOUS, Role.OPERATOR)}
)
PARTIES: Mapping[Role, Sight] = MappingProxyType(
    {Role.RENTER: OWN, Role.FORMER_RENTER: OWN, Role.WORKER: ALL}
)
RENTER: Mapping[Role, Sight] = MappingProxyType({Role.RENTER: OWN})
ASKERS: Mapping[Role, Sight] = MappingProxyType({Role.RENTER: OWN, Role.FORMER_RENTER: OWN})
SELLERS: Mapping[Role, Sight] = MappingProxyType({Role.PROVIDER: OWN, Role.WORKER: OWN})
WORKER: Mapping[Role, Sight] = MappingProxyType({Role.WORKER: ALL})
MEMBER: Mapping[Role, Sight] = MappingProxyType({Role.MEMBER: ALL})
OPERATOR: Mapping[Role, Sight] = MappingProxyType({Role.OPERATOR: ALL})

NOT_MINE = Refusal(404, "unknown_upload")
NO_SESSION = Refusal(409, "no_session")
NOT_A_PARTY = Refusal(403, "not_a_party")
_ON_CHAIN = "all of it is on the chain, where anybody reads it"
_FOR_SALE = "offers are on the chain, or were posted here to be found by anybody"
_UPLOADS = "who began an upload goes on with it, and nobody else hears of it"
_PARTIES = "a job says what a renter computes: that renter's business, and of the worker that runs it"


def _open(method: str, path: str, why: str) -> Rule:
    return Rule(method, path, Way.OPEN, EVERYONE, None, why)


RULES: tuple[Rule, ...] = (
    _open("GET", "/v1/health", "says how far the index is and how many workers are connected, of nobody"),
    _open("GET", "/v1/ready", "says which of three checks fails, of nobody; a balancer has no key"),
    _open("GET", "/v1/openapi.json", "describes the program, which is public"),
    _open("GET", "/v1/deployment", _ON_CHAIN),
    _open("GET", "/v1/readers", "each key is signed by whose it is, and whoever orders seals to it"),
    _open("GET", "/v1/offers", _FOR_SALE),
    _open("GET", "/v1/offers/{offer_hash}", _FOR_SALE),
    _open("GET", "/v1/reputations", _ON_CHAIN),
    _open("GET", "/v1/leases", _ON_CHAIN),
    _open("GET", "/v1/leases/{lease_id}", _ON_CHAIN),
    _open("GET", "/v1/leases/{lease_id}/outage", "it helps nobody but the delegate that the policy names"),
    _open("GET", "/v1/proofs/{proof_hash}/evidence", "the chain commits to it, and every auditor needs it"),
    _open("POST", "/v1/nonces", "nobody is known yet; limited by address, and nonces expire"),
    _open("POST", "/v1/sessions", "the message signed is what proves who asks"),
    Rule("GET", "/v1/sessions/current", Way.TOKEN, ACCOUNTS, NO_SESSION, "one's own session"),
    Rule("DELETE", "/v1/sessions/current", Way.TOKEN, ACCOUNTS, NO_SESSION, "one's own session"),
    Rule("DELETE", "/v1/sessions", Way.ACCOUNT, ACCOUNTS, None, "one's own sessions"),
    Rule(
        *("POST", "/v1/orders", Way.ACCOUNT, RENTER, Refusal(403, "not_the_renter")),
        "whoever rents the lease today orders under it; the order is signed by itself",
    ),
    Rule(
        *("POST", "/v1/orders/batch", Way.ACCOUNT, RENTER, Refusal(403, "not_the_renter")),
        "as one order is taken, each of them by itself",
    ),
    Rule(
        *("POST", "/v1/jobs/{job_id}/cancel", Way.ACCOUNT, ASKERS, Refusal(403, "not_the_renter")),
        "a job is ended by whoever ordered it",
    ),
    Rule(
        *("PUT", "/v1/jobs/{job_id}/priority", Way.ACCOUNT, ASKERS, Refusal(403, "not_the_renter")),
        "it sorts a queue of the renter's own",
    ),
    Rule("GET", "/v1/jobs/{job_id}", Way.ACCOUNT, PARTIES, NOT_A_PARTY, _PARTIES),
    Rule("GET", "/v1/jobs/{job_id}/logs", Way.ACCOUNT, PARTIES, NOT_A_PARTY, _PARTIES),
    Rule("GET", "/v1/jobs/{job_id}/logs/stream", Way.ACCOUNT, PARTIES, NOT_A_PARTY, _PARTIES),
    Rule("GET", "/v1/leases/{lease_id}/jobs", Way.ACCOUNT, PARTIES, NOT_A_PARTY, _PARTIES),
    Rule("GET", "/v1/leases/{lease_id}/timeline", Way.ACCOUNT, PARTIES, NOT_A_PARTY, _PARTIES),
    Rule(
        *("POST", "/v1/offers", Way.ACCOUNT, SELLERS, NOT_A_PARTY),
        "whom an offer was shown to may not show it to everybody; it is signed by its provider by itself",
    ),
    Rule(
        "POST", "/v1/quotes", Way.ACCOUNT, ACCOUNTS, None, "whoever may come to rent; each so many at a time"
    ),
    Rule(
        *("GET", "/v1/quotes/{request_id}", Way.ACCOUNT, ASKERS, Refusal(404, "unknown_request")),
        "bids are for whoever asked; others do not hear that there was a request",
    ),
    Rule(
        *("PUT", "/v1/artifacts/{digest}", Way.ACCOUNT, ACCOUNTS, None),
        "renters upload before they pay; each within its quota",
    ),
    Rule(
        *("GET", "/v1/artifacts/{digest}", Way.ACCOUNT, PARTIES, Refusal(404, "unknown_artifact")),
        "who uploaded it, and renter and worker of a job that uses it; others do not hear that it is here",
    ),
    _open("OPTIONS", "/v1/uploads", "says what of tus is served, to whoever speaks it"),
    Rule("POST", "/v1/uploads", Way.ACCOUNT, ACCOUNTS, None, "as uploads in one piece"),
    Rule("HEAD", "/v1/uploads/{upload_id}", Way.ACCOUNT, ACCOUNTS, NOT_MINE, _UPLOADS),
    Rule("PATCH", "/v1/uploads/{upload_id}", Way.ACCOUNT, ACCOUNTS, NOT_MINE, _UPLOADS),
    Rule("DELETE", "/v1/uploads/{upload_id}", Way.ACCOUNT, ACCOUNTS, NOT_MINE, _UPLOADS),
    Rule(
        *("PUT", "/v1/proofs/{proof_hash}/evidence", Way.SIGNATURE, WORKER, Refusal(403, "not_the_worker")),
        "the worker states what its proof commits to",
    ),
    Rule(
        *("POST", "/v1/quorum/findings", Way.SIGNATURE, MEMBER, Refusal(403, "not_a_member")),
        "members ask each other for signatures; each examines by itself, and keeps what it signs for ever",
    ),
    Rule(
        *("GET", "/metrics", Way.OPERATOR, OPERATOR, Refusal(403, "not_the_operator")),
        "how much business runs here is the operator's to know",
    ),
    Rule(
        *("LINK", "/v1/worker/link", Way.LINK, WORKER, Refusal(4000, "signature_invalid")),
        "a unit's worker alone is told what to run; anyone may connect and has seconds to prove to be it",
    ),
)

RULE_OF: Mapping[tuple[str, str], Rule] = MappingProxyType({(rule.method, rule.path): rule for rule in RULES})
