"""The OpenAPI description: bodies, refusals and who may ask, from the same tables that the code goes by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from oracle.api.access import RULE_OF, Way
from oracle.api.codes import CODES
from protocol import bodies, findings, market_bodies
from protocol.bodies import Body

PATH = "/v1/openapi.json"
JSON = "application/json"
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
BYTES: dict[str, Any] = {"application/octet-stream": BINARY}

ANSWERS: Mapping[tuple[str, str], Mapping[int, type[Body] | None]] = {
    ("GET", "/v1/health"): {200: bodies.HealthBody},
    ("GET", "/v1/ready"): {200: bodies.ReadyBody, 503: bodies.ReadyBody},
    ("GET", "/v1/deployment"): {200: bodies.DeploymentBody},
    ("GET", "/v1/readers"): {200: bodies.ReadersBody},
    ("GET", "/v1/offers"): {200: bodies.OffersBody},
    ("GET", "/v1/offers/{offer_hash}"): {200: market_bodies.FoundOfferBody},
    ("POST", "/v1/offers"): {200: market_bodies.PostedOfferBody, 201: market_bodies.PostedOfferBody},
    ("GET", "/v1/reputations"): {200: market_bodies.ReputationsBody},
    ("POST", "/v1/quotes"): {201: market_bodies.QuotesBody},
    ("GET", "/v1/quotes/{request_id}"): {200: market_bodies.QuotesBody},
    ("GET", "/v1/leases"): {200: bodies.LeasesBody},
    ("GET", "/v1/leases/{lease_id}"): {200: bodies.LeaseBody},
    ("GET", "/v1/leases/{lease_id}/jobs"): {200: bodies.JobsBody},
    ("GET", "/v1/leases/{lease_id}/outage"): {200: findings.OutageBody},
    ("GET", "/v1/jobs/{job_id}"): {200: bodies.JobBody},
    ("GET", "/v1/jobs/{job_id}/logs"): {200: bodies.LogsBody},
    ("POST", "/v1/orders"): {200: bodies.JobBody, 201: bodies.JobBody},
    ("POST", "/v1/orders/batch"): {200: bodies.OrderedJobsBody},
    ("POST", "/v1/jobs/{job_id}/cancel"): {200: bodies.JobBody},
    ("PUT", "/v1/jobs/{job_id}/priority"): {200: bodies.JobBody},
    ("POST", "/v1/nonces"): {201: bodies.NonceBody},
    ("POST", "/v1/sessions"): {201: bodies.TokenBody},
    ("GET", "/v1/sessions/current"): {200: bodies.SessionBody},
    ("DELETE", "/v1/sessions/current"): {204: None},
    ("DELETE", "/v1/sessions"): {204: None},
    ("POST", findings.FINDINGS_TARGET): {200: findings.FindingSignatureBody},
    ("PUT", "/v1/artifacts/{digest}"): {200: bodies.ArtifactBody, 201: bodies.ArtifactBody},
    ("OPTIONS", "/v1/uploads"): {204: None},
    ("POST", "/v1/uploads"): {201: None},
    ("HEAD", "/v1/uploads/{upload_id}"): {200: None},
    ("PATCH", "/v1/uploads/{upload_id}"): {204: None},
    ("DELETE", "/v1/uploads/{upload_id}"): {204: None},
    ("PUT", "/v1/proofs/{proof_hash}/evidence"): {200: bodies.EvidenceBody, 201: bodies.EvidenceBody},
}
CONTENT: Mapping[tuple[str, str], dict[str, Any]] = {
    ("GET", "/v1/artifacts/{digest}"): BYTES,
    ("GET", "/v1/proofs/{proof_hash}/evidence"): {JSON: {"schema": {"type": "object"}}},
    ("GET", "/metrics"): {"text/plain": {"schema": {"type": "string"}}},
    ("GET", PATH): {JSON: {"schema": {"type": "object"}}},
}
REQUESTS: Mapping[tuple[str, str], type[Body] | dict[str, Any]] = {
    ("POST", "/v1/orders"): bodies.OrderBody,
    ("POST", "/v1/orders/batch"): bodies.OrdersBody,
    ("PUT", "/v1/jobs/{job_id}/priority"): bodies.PriorityBody,
    ("POST", "/v1/offers"): market_bodies.SignedOfferBody,
    ("POST", "/v1/quotes"): market_bodies.QuoteRequestBody,
    ("POST", "/v1/sessions"): bodies.SignInBody,
    ("POST", findings.FINDINGS_TARGET): findings.FindingBody,
    ("PUT", "/v1/artifacts/{digest}"): BYTES,
    ("PATCH", "/v1/uploads/{upload_id}"): {"application/offset+octet-stream": BINARY},
    ("PUT", "/v1/proofs/{proof_hash}/evidence"): {JSON: {"schema": {"type": "object"}}},
}
HEADERS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("POST", "/v1/uploads"): ("Tus-Resumable", "Upload-Length", "Upload-Metadata"),
    ("HEAD", "/v1/uploads/{upload_id}"): ("Tus-Resumable",),
    ("PATCH", "/v1/uploads/{upload_id}"): ("Tus-Resumable", "Upload-Offset"),
    ("DELETE", "/v1/uploads/{upload_id}"): ("Tus-Resumable",),
}
"""Of requests, as tus 1.0.0 has them."""
SECURITY: Mapping[Way, list[dict[str, list[str]]]] = {
    Way.OPEN: [],
    Way.ACCOUNT: [{"token": []}, {"signature": []}],
    Way.TOKEN: [{"token": []}],
    Way.SIGNATURE: [{"signature": []}],
    Way.OPERATOR: [{"operator": []}],
}
SCHEMES: Mapping[str, Any] = {
    "token": {"type": "http", "scheme": "bearer", "description": "Of POST /v1/sessions."},
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "GPGPU address=...,expires=...,nonce=...,signature=...: EIP-712 over method, target, "
        "the X-Content-SHA256 header and a nonce, good once and for a minute.",
    },
    "operator": {"type": "http", "scheme": "bearer", "description": "Of the file `metrics_token_file`."},
}


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of every route. KeyError where one is in no table."""
    found = get_openapi(title=app.title, version=app.version, routes=app.routes, description=app.description)
    schemas = _schemas()
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            _complete(operation, (method.upper(), path))
    components = found.setdefault("components", {})
    components["schemas"] = {**components.get("schemas", {}), **schemas}
    for unused in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(unused, None)
    components["securitySchemes"] = dict(SCHEMES)
    return found


def _complete(operation: dict[str, Any], key: tuple[str, str]) -> None:
    rule = RULE_OF[key]
    operation["security"] = SECURITY[rule.way]
    who = ", ".join(f"{role} ({sight})" for role, sight in rule.roles.items())
    said = "Open" if rule.way is Way.OPEN else f"By {rule.way}; {who}"
    operation["description"] = f"{operation.get('description', '')}\n\n{said}: {rule.why}."
    operation["responses"] = {**_answers(operation, key), "default": _REFUSED}
    for name in HEADERS.get(key, ()):
        header = {"name": name, "in": "header", "required": True, "schema": {"type": "string"}}
        operation.setdefault("parameters", []).append(header)
    request = REQUESTS.get(key)
    if request is not None:
        content = request if isinstance(request, dict) else _content(request)
        operation["requestBody"] = {"required": True, "content": content}


def _answers(operation: dict[str, Any], key: tuple[str, str]) -> dict[str, Any]:
    if key in CONTENT:
        return {"200": {"description": "As stored.", "content": CONTENT[key]}}
    if key in ANSWERS:
        return {str(status): _answer(body) for status, body in ANSWERS[key].items()}
    return {status: answer for status, answer in operation["responses"].items() if status != "422"}


def _answer(body: type[Body] | None) -> dict[str, Any]:
    if body is None:
        return {"description": "Done."}
    return {"description": (body.__doc__ or body.__name__).strip(), "content": _content(body)}


def _content(body: type[Body]) -> dict[str, Any]:
    return {JSON: {"schema": {"$ref": f"#/components/schemas/{body.__name__}"}}}


_REFUSED: dict[str, Any] = {
    "description": "Refused: the code says why, and stays what it is.",
    "headers": {"Retry-After": {"description": "Seconds, with 429.", "schema": {"type": "integer"}}},
    "content": _content(bodies.ErrorBody),
}


def _schemas() -> dict[str, Any]:
    """Of every body that is sent or taken, and of what they refer to."""
    answers = {body for answer in ANSWERS.values() for body in answer.values() if body is not None}
    requests = {body for body in REQUESTS.values() if not isinstance(body, dict)}
    streamed = {bodies.ChainEventBody, bodies.JobStateBody, bodies.EndBody}
    named = sorted(answers | requests | streamed | {bodies.ErrorBody}, key=lambda body: body.__name__)
    _, found = models_json_schema(
        [(body, "validation") for body in named], ref_template="#/components/schemas/{model}"
    )
    schemas: dict[str, Any] = found["$defs"]
    schemas["ErrorBody"]["properties"]["code"] |= {
        "enum": sorted(CODES),
        "description": "\n".join(f"- `{code}`: {meaning}" for code, meaning in sorted(CODES.items())),
    }
    return schemas
