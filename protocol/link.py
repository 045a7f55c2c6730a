"""Messages of the worker's WebSocket: JSON text frames, each an object whose "type" says what it is.

server -> worker: challenge, welcome, refused, desired, log_ack, receipt_ack, quote_request
worker -> server: hello, heartbeat, status, log, receipt, quote

`desired` is the full list of what the worker should be doing. Ids are 0x hex; structs of the protocol travel
as `structs.to_json` writes them and are read back, strictly, by the methods of the message that holds them.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from protocol import structs
from protocol.errors import BadInput, LimitExceeded
from protocol.signed import SignedHeartbeat, SignedOffer, SignedOrder, SignedReceipt
from protocol.units import Address, JobId, UnitId, hex_bytes, parse_address, to_hex

LINK_METHOD: Final = "LINK"
LINK_TARGET: Final = "/v1/worker/link"
MAX_FRAME_BYTES: Final = 8 << 20
MAX_LOG_BYTES: Final = 256 << 10
MAX_ATTEMPTS: Final = 4096

Hash = Annotated[str, Meta(pattern=r"\A0x[0-9a-f]{64}\Z")]
Signature = Annotated[str, Meta(pattern=r"\A0x[0-9a-f]{130}\Z")]
AddressText = Annotated[str, Meta(pattern=r"\A0x[0-9a-fA-F]{40}\Z")]
Natural = Annotated[int, Meta(ge=0, le=(1 << 48) - 1)]
Positive = Annotated[int, Meta(ge=1, le=(1 << 48) - 1)]
Name = Annotated[str, Meta(max_length=256)]
Detail = Annotated[str, Meta(max_length=4096)]
Json = dict[str, Any]
AttemptState = Literal["accepted", "preparing", "running", "uploading", "finished", "lost", "refused"]
Device = Literal["cuda", "cpu"]


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A piece of a message."""


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="type"):
    """One frame."""


class Gpu(Part, frozen=True):
    """`id` is the keccak-256 of the device's UUID."""

    id: Hash
    name: Name
    vram_mib: Natural


class Inventory(Part, frozen=True):
    device: Device
    gpus: Annotated[tuple[Gpu, ...], Meta(max_length=64)]
    cpu_count: Natural


class Attempt(Part, frozen=True):
    """What a worker knows of an attempt when it connects."""

    job_id: Hash
    attempt: Positive
    fencing_token: Positive
    state: AttemptState


class Assignment(Part, frozen=True):
    """One job that the worker should run, or, where `cancel` is set, stop."""

    job_id: Hash
    attempt: Positive
    fencing_token: Positive
    terms: Json
    order: Json
    order_signature: Signature | None
    spec: Json
    cancel: bool

    @classmethod
    def of(
        cls,
        job_id: JobId,
        attempt: int,
        fencing_token: int,
        terms: structs.Terms,
        signed_order: SignedOrder,
        cancel: bool = False,
    ) -> "Assignment":
        signature = signed_order.signature
        return cls(
            job_id=to_hex(job_id),
            attempt=attempt,
            fencing_token=fencing_token,
            terms=structs.to_json(terms),
            order=structs.to_json(signed_order.order),
            order_signature=None if signature is None else to_hex(signature),
            spec=structs.to_json(signed_order.spec),
            cancel=cancel,
        )

    def read_job_id(self) -> JobId:
        return JobId(hex_bytes(self.job_id, 32, "Assignment.job_id"))

    def read_terms(self) -> structs.Terms:
        """BadInput where they are malformed."""
        return structs.from_json(structs.Terms, self.terms)

    def read_order(self) -> SignedOrder:
        """BadInput where it is malformed. Says nothing of its validity: `orders.check_order` does."""
        data = {"order": self.order, "signature": self.order_signature, "spec": self.spec}
        return SignedOrder.from_json(data)


class Challenge(Message, frozen=True, tag="challenge"):
    """First frame of the server: what `hello` must sign."""

    nonce: Hash
    chain_id: Positive
    market: AddressText


class Hello(Message, frozen=True, tag="hello"):
    """`signature` is over SignedRequest(LINK_METHOD, LINK_TARGET, sha256(nonce), expires_at, nonce)."""

    worker: AddressText
    unit_id: Hash
    inventory: Inventory
    expires_at: Natural
    signature: Signature
    attempts: Annotated[tuple[Attempt, ...], Meta(max_length=MAX_ATTEMPTS)]
    quotes: bool = False
    """Whether requests for quotes should come."""

    def read_worker(self) -> Address:
        return parse_address(self.worker, "hello.worker")

    def read_unit_id(self) -> UnitId:
        return UnitId(hex_bytes(self.unit_id, 32, "hello.unit_id"))


class Welcome(Message, frozen=True, tag="welcome"):
    server_time: Natural


class Refused(Message, frozen=True, tag="refused"):
    """Last frame of a connection that the server closes."""

    code: Name
    message: Detail


class Desired(Message, frozen=True, tag="desired"):
    assignments: Annotated[tuple[Assignment, ...], Meta(max_length=4096)]


class Heartbeat(Message, frozen=True, tag="heartbeat"):
    heartbeat: Json
    signature: Signature

    @classmethod
    def of(cls, signed: SignedHeartbeat) -> "Heartbeat":
        return cls(**signed.to_json())

    def read(self) -> SignedHeartbeat:
        """BadInput where it is malformed; the signature is not checked."""
        return SignedHeartbeat.from_json({"heartbeat": self.heartbeat, "signature": self.signature})


class Status(Message, frozen=True, tag="status"):
    job_id: Hash
    attempt: Positive
    fencing_token: Positive
    state: AttemptState
    detail: Detail = ""


class Log(Message, frozen=True, tag="log"):
    """Bytes of the job's log from `offset` on; base64 on the wire."""

    job_id: Hash
    attempt: Positive
    fencing_token: Positive
    offset: Natural
    data: Annotated[bytes, Meta(max_length=MAX_LOG_BYTES)]


class LogAck(Message, frozen=True, tag="log_ack"):
    job_id: Hash
    attempt: Positive
    next_offset: Natural


class Receipt(Message, frozen=True, tag="receipt"):
    """A finished attempt; sent again until it is acknowledged."""

    receipt: Json
    signature: Signature
    artifacts: dict[Name, Name]
    sealed: dict[Name, Name]
    fencing_token: Positive

    @classmethod
    def of(cls, signed: SignedReceipt, fencing_token: int) -> "Receipt":
        data = signed.to_json()
        return cls(
            receipt=data["receipt"],
            signature=data["signature"],
            artifacts=data["artifacts"],
            sealed=data.get("sealed", {}),
            fencing_token=fencing_token,
        )

    def read(self) -> SignedReceipt:
        """BadInput where it is malformed; the signature is not checked."""
        data = {"receipt": self.receipt, "signature": self.signature, "artifacts": self.artifacts}
        return SignedReceipt.from_json(data | ({"sealed": self.sealed} if self.sealed else {}))


class ReceiptAck(Message, frozen=True, tag="receipt_ack"):
    job_id: Hash
    attempt: Positive
    accepted: bool
    code: Name = ""


class QuoteRequest(Message, frozen=True, tag="quote_request"):
    """A renter asks for bids; `requirements` as in `market_bodies.RequirementsBody`. Sent until answered."""

    request_id: Hash
    requirements: Json
    deadline: Natural


class Quote(Message, frozen=True, tag="quote"):
    """What the worker bids: an offer that its provider has signed, or nothing."""

    request_id: Hash
    signed_offer: Json | None = None

    def read(self) -> SignedOffer | None:
        """BadInput where it is malformed; the signature is not checked."""
        return None if self.signed_offer is None else SignedOffer.from_json(self.signed_offer)


ServerMessage = Challenge | Welcome | Refused | Desired | LogAck | ReceiptAck | QuoteRequest
WorkerMessage = Hello | Heartbeat | Status | Log | Receipt | Quote

_encoder: Final = msgspec.json.Encoder()
_server_decoder: Final = msgspec.json.Decoder(ServerMessage)
_worker_decoder: Final = msgspec.json.Decoder(WorkerMessage)
_any_decoder: Final = msgspec.json.Decoder(ServerMessage | WorkerMessage)


def encode(message: ServerMessage | WorkerMessage) -> str:
    """One text frame. LimitExceeded where it would be larger than a peer takes."""
    frame = _encoder.encode(message)
    if len(frame) > MAX_FRAME_BYTES:
        raise LimitExceeded(f"frame: expected at most {MAX_FRAME_BYTES} bytes, got {len(frame)}")
    return frame.decode()


def decode(frame: str | bytes) -> ServerMessage | WorkerMessage:
    """Any message of the link. BadInput where the frame is malformed, LimitExceeded where it is too large."""
    return _decode(_any_decoder, frame)


def decode_from_server(frame: str | bytes) -> ServerMessage:
    """As `decode`, for the worker: BadInput also for a message that only workers send."""
    return _decode(_server_decoder, frame)


def decode_from_worker(frame: str | bytes) -> WorkerMessage:
    """As `decode`, for the server: BadInput also for a message that only servers send."""
    return _decode(_worker_decoder, frame)


def _decode(decoder: "msgspec.json.Decoder[Any]", frame: str | bytes) -> Any:
    if len(frame) > MAX_FRAME_BYTES:
        raise LimitExceeded(f"frame: expected at most {MAX_FRAME_BYTES} bytes, got {len(frame)}")
    try:
        return decoder.decode(frame)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise BadInput(f"frame: {error}") from error
