"""The oracle's answers, read: typed bodies, errors by their codes; and what is asked, as it is signed."""

from typing import TypeVar
from urllib.parse import urlencode

import httpx2 as httpx
from pydantic import ValidationError

from protocol import bodies
from protocol.errors import RejectedError, ServiceUnavailable

AnyBody = TypeVar("AnyBody", bound=bodies.Body)

RETRYABLE_STATUSES = (408, 425, 429)


class ServiceRefused(RejectedError):
    """The oracle answered, with an error: `code` is the oracle's."""

    default_code = "service_refused"

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message, code=code)
        self.status = status


def target_of(path: str, **query: str | int | None) -> str:
    """Path and query exactly as they are signed and sent."""
    given = {name: str(value) for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def parsed(body: type[AnyBody], response: httpx.Response) -> AnyBody:
    return checked(body, response.content, str(response.request.url))


def checked(body: type[AnyBody], content: bytes, source: str) -> AnyBody:
    try:
        return body.model_validate_json(content)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ServiceUnavailable(f"{source}: expected a {body.__name__}: {where}: {fault['msg']}") from error


def refusal(status: int, content: bytes) -> Exception:
    try:
        error = bodies.ErrorBody.model_validate_json(content)
    except ValidationError:
        text = content[:200].decode("utf-8", "replace")
        return ServiceUnavailable(f"oracle: status {status}: {text}")
    if status >= 500 or status in RETRYABLE_STATUSES:
        return ServiceUnavailable(f"oracle: {error.message}", code=error.code)
    return ServiceRefused(status, error.code, f"oracle: {error.message}")
