"""Who makes an HTTP request or opens a link: an EIP-712 signature over what, when and a nonce.

The server keeps the nonces of requests that have not expired yet: that is what stops a replay.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from protocol.digests import sha256
from protocol.errors import Expired, SignatureInvalid
from protocol.link import LINK_METHOD, LINK_TARGET, Hello
from protocol.structs import SignedRequest
from protocol.typed_data import Domain, Signer, check_signature, sign
from protocol.units import Address, Digest, UnixTime, parse_address, shorten, to_hex

AUTHORIZATION: Final = "Authorization"
CONTENT_SHA256: Final = "X-Content-SHA256"
MAX_LIFETIME_SECONDS: Final = 60
SIGNED_LIFETIME_SECONDS: Final = 45  # leaves a client's clock 15 s to be ahead

_HEADER: Final = re.compile(
    r"GPGPU address=(0x[0-9a-fA-F]{40}),expires=(0|[1-9][0-9]{0,11}),"
    r"nonce=0x([0-9a-f]{64}),signature=0x([0-9a-f]{130})",
    re.ASCII,
)
_SHA256: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class VerifiedRequest(NamedTuple):
    """Who signed. `nonce` must not be taken again before `expires_at`."""

    address: Address
    nonce: bytes
    expires_at: UnixTime


def sign_request(
    domain: Domain, account: Signer, method: str, target: str, body_digest: bytes, now: float, nonce: bytes
) -> dict[str, str]:
    """The headers to send. `target`: path and query. `body_digest`: SHA-256. `nonce`: 32 random bytes."""
    expires_at = int(now) + SIGNED_LIFETIME_SECONDS
    request = SignedRequest(method, target, Digest(body_digest), expires_at, nonce)
    signature = to_hex(sign(domain, request, account))
    values = f"address={account.address},expires={expires_at},nonce={to_hex(nonce)},signature={signature}"
    return {AUTHORIZATION: f"GPGPU {values}", CONTENT_SHA256: body_digest.hex()}


def verify_request(
    domain: Domain,
    headers: Mapping[str, str],
    method: str,
    target: str,
    body_digest: bytes | None,
    now: float,
) -> VerifiedRequest:
    """Who signed this very request. SignatureInvalid, Expired, BadInput.

    Where `body_digest` is None the body has not been read: the signature covers the digest that the header
    claims (`claimed_body_digest`), and the caller compares the body with it.
    """
    claimed = claimed_body_digest(headers)
    if body_digest is not None and claimed != body_digest:
        raise SignatureInvalid(f"{CONTENT_SHA256}: expected {body_digest.hex()}, got {claimed.hex()}")
    header = _header(headers, AUTHORIZATION)
    match = _HEADER.fullmatch(header)
    if match is None:
        raise SignatureInvalid(f"{AUTHORIZATION}: expected GPGPU address=..., got {shorten(header)}")
    address = parse_address(match.group(1), AUTHORIZATION)
    expires_at, nonce = int(match.group(2)), bytes.fromhex(match.group(3))
    check_lifetime(expires_at, now)
    request = SignedRequest(method, target, claimed, expires_at, nonce)
    check_signature(domain, request, bytes.fromhex(match.group(4)), address)
    return VerifiedRequest(address, nonce, UnixTime(expires_at))


def claimed_body_digest(headers: Mapping[str, str]) -> Digest:
    """SHA-256 that the request says its body has. SignatureInvalid where it says none."""
    text = _header(headers, CONTENT_SHA256)
    if not _SHA256.fullmatch(text):
        raise SignatureInvalid(f"{CONTENT_SHA256}: expected 64 hex digits, got {shorten(text)}")
    return Digest(bytes.fromhex(text))


def sign_link(domain: Domain, account: Signer, nonce: bytes, now: float) -> tuple[int, bytes]:
    """`expires_at` and `signature` of the hello that answers a challenge with this nonce."""
    expires_at = int(now) + SIGNED_LIFETIME_SECONDS
    return expires_at, sign(domain, _link_request(nonce, expires_at), account)


def verify_link(domain: Domain, hello: Hello, nonce: bytes, now: float) -> Address:
    """The worker that signed this hello for this challenge's nonce. SignatureInvalid, Expired, BadInput."""
    worker = hello.read_worker()
    check_lifetime(hello.expires_at, now)
    request = _link_request(nonce, hello.expires_at)
    check_signature(domain, request, bytes.fromhex(hello.signature[2:]), worker)
    return worker


def check_lifetime(expires_at: int, now: float) -> None:
    """Expired where it is over, SignatureInvalid where it would last too long."""
    if expires_at < now:
        raise Expired(f"request: expected to arrive before {expires_at}, it is {int(now)}")
    if expires_at > now + MAX_LIFETIME_SECONDS:
        limit = int(now) + MAX_LIFETIME_SECONDS
        raise SignatureInvalid(f"request: expected to expire by {limit}, got {expires_at}")


def _link_request(nonce: bytes, expires_at: int) -> SignedRequest:
    return SignedRequest(LINK_METHOD, LINK_TARGET, sha256(nonce), expires_at, nonce)


def _header(headers: Mapping[str, str], name: str) -> str:
    found = [value for key, value in headers.items() if key.lower() == name.lower()]
    if len(found) != 1:
        raise SignatureInvalid(f"{name}: expected one header, got {len(found)}", code="unauthenticated")
    return found[0]
