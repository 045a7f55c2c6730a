"""Every refusal as {"code", "message"} with a status of its kind: what a sender got wrong is never a 5xx."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from protocol.bodies import Body, ErrorBody
from protocol.errors import InvariantBroken, ProtocolError, RejectedError, RetryableError
from protocol.units import shorten

log = structlog.get_logger(__name__)

STATUS_OF_CODE = {
    "too_large": 413,
    "quota_exceeded": 413,
    "signature_invalid": 403,
    "not_a_party": 403,
    "unknown_upload": 404,
    "upload_resumed": 409,
    "too_many_offers": 429,
    "too_many_quotes": 429,
    "too_many_uploads": 429,
    "checksum_mismatch": 460,
}


class ApiError(Exception):
    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def json_response(
    body: Body, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(body.model_dump_json(), status, headers, media_type="application/json")


def bad_input(error: ValidationError | RequestValidationError) -> ApiError:
    """Names what is wrong and where, and repeats nothing of what was sent but its keys."""
    parts = [
        f"{'.'.join(shorten(part, 40) for part in found['loc']) or 'body'}: {found['msg']}"
        for found in error.errors()[:5]
    ]
    return ApiError(HTTPStatus.UNPROCESSABLE_ENTITY, "bad_input", "; ".join(parts)[:2000])


def install(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _on_api_error)
    app.add_exception_handler(ProtocolError, _on_protocol_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(ValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)
    app.add_exception_handler(Exception, _on_bug)


def error_response(error: ApiError) -> Response:
    response = _error(error.status, error.code, error.message)
    response.headers.update(error.headers)
    return response


def _error(status: int, code: str, message: str) -> Response:
    return json_response(ErrorBody(code=code, message=message), status)


async def _on_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - the handler is registered for this class
    return error_response(error)


async def _on_protocol_error(request: Request, error: Exception) -> Response:
    if isinstance(error, RetryableError):
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, error.code, error.message)
    if isinstance(error, RejectedError) and not isinstance(error, InvariantBroken):
        status = STATUS_OF_CODE.get(error.code, HTTPStatus.UNPROCESSABLE_ENTITY)
        return _error(status, error.code, error.message)
    return await _on_bug(request, error)


async def _on_validation_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ValidationError | RequestValidationError)  # noqa: S101 - as above
    found = bad_input(error)
    return _error(found.status, found.code, found.message)


async def _on_http_exception(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - as above
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "_").replace("-", "_")
    response = _error(error.status_code, code, str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _on_disconnect(_request: Request, _error_: Exception) -> Response:
    return _error(HTTPStatus.BAD_REQUEST, "disconnected", "the body did not arrive whole")


async def _on_bug(request: Request, error: Exception) -> Response:
    log.error("request_failed", method=request.method, path=request.url.path, exc_info=error)
    return _error(HTTPStatus.INTERNAL_SERVER_ERROR, "internal_error", "the oracle failed; its log says why")
