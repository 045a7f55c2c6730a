"""Bodies of the HTTP API: money is decimal text, hashes 0x hex, structs as `structs.to_json` writes them."""

from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)

from protocol import schemas, structs
from protocol.errors import BadInput, ProtocolError
from protocol.manifest import DeploymentManifest
from protocol.readers import ReaderKey, ReaderRole
from protocol.signed import SignedOrder, SignedReceipt
from protocol.units import hex_bytes, parse_address

T = TypeVar("T")

JobClassName = Literal["OPAQUE", "EXACT", "TRACED"]
Running = Literal["waiting", "queued", "assigned", "running"]
Ended = Literal["finished", "proven", "unproven", "expired", "abandoned", "cancelled"]
JobState = Running | Ended


def _reads(cls: type[T], read: Callable[[object], T]) -> PlainValidator:
    """Takes the class itself, or its JSON; pydantic reports what `read` refuses."""

    def validate(value: object) -> T:
        if isinstance(value, cls):
            return value
        try:
            return read(value)
        except BadInput as error:
            raise ValueError(error.message) from error

    return PlainValidator(validate)


def _struct(cls: type[T]) -> tuple[PlainValidator, PlainSerializer, WithJsonSchema]:
    return (
        _reads(cls, lambda value: structs.from_json(cls, value)),
        PlainSerializer(structs.to_json),
        WithJsonSchema(schemas.struct_schema(cls.__name__)),
    )


def _decimal(value: object) -> object:
    if isinstance(value, str) and (not value.isascii() or not value.isdigit() or len(value) > 78):
        raise ValueError("expected a decimal number")
    return value


def _checked(check: Callable[[object], object]) -> BeforeValidator:
    def validate(value: object) -> object:
        try:
            check(value)
        except BadInput as error:
            raise ValueError(error.message) from error
        return value

    return BeforeValidator(validate)


_offer, _terms, _order = _struct(structs.Offer), _struct(structs.Terms), _struct(structs.JobOrder)
_spec = _struct(structs.JobSpec)

OfferField = Annotated[structs.Offer, *_offer]
TermsField = Annotated[structs.Terms, *_terms]
OrderField = Annotated[structs.JobOrder, *_order]
SpecField = Annotated[structs.JobSpec, *_spec]
ReceiptField = Annotated[
    SignedReceipt,
    _reads(SignedReceipt, SignedReceipt.from_json),
    PlainSerializer(SignedReceipt.to_json),
    WithJsonSchema(
        schemas.object_schema(
            {
                "receipt": schemas.struct_schema("JobReceipt"),
                "signature": schemas.hex_schema(65),
                "artifacts": {"type": "object", "additionalProperties": schemas.SHA256},
            },
            {"sealed": {"type": "object", "additionalProperties": schemas.SHA256}},
        )
    ),
]
ReaderKeyField = Annotated[
    ReaderKey,
    _reads(ReaderKey, ReaderKey.from_json),
    PlainSerializer(ReaderKey.to_json),
    WithJsonSchema(
        schemas.object_schema(
            {
                "role": {"type": "string", "enum": [role.value for role in ReaderRole]},
                "account": schemas.ADDRESS,
                "key": schemas.hex_schema(32),
                "signature": schemas.hex_schema(65),
            }
        )
    ),
]
ManifestField = Annotated[
    DeploymentManifest,
    _reads(DeploymentManifest, DeploymentManifest.from_json),
    PlainSerializer(DeploymentManifest.to_json),
    WithJsonSchema(
        {"type": "object", "required": [field.name for field in fields(DeploymentManifest)]},
    ),
]
UnitsField = Annotated[
    int,
    BeforeValidator(_decimal),
    Field(ge=0),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(schemas.DECIMAL),
]
HashField = Annotated[
    str, _checked(lambda value: hex_bytes(value, 32)), WithJsonSchema(schemas.hex_schema(32))
]
SignatureField = Annotated[
    str, _checked(lambda value: hex_bytes(value, 65)), WithJsonSchema(schemas.hex_schema(65))
]
AddressField = Annotated[str, _checked(parse_address), WithJsonSchema(schemas.ADDRESS)]
Sha256Field = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Natural = Annotated[int, Field(ge=0, le=(1 << 48) - 1, strict=True)]
Priority = Annotated[int, Field(ge=0, le=9, strict=True)]
MAX_BATCH = 1000


class Body(BaseModel):
    """Unknown keys are errors; a body does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorBody(Body):
    """Whatever was refused. `code` is stable, `message` is for people."""

    code: str
    message: str

    @classmethod
    def of(cls, error: ProtocolError) -> "ErrorBody":
        return cls(code=error.code, message=error.message)


class HealthBody(Body):
    """`head_block` is the node's, `indexed_block` the last one in the database; None before the first."""

    status: Literal["ok", "syncing", "halted"]
    head_block: Natural | None
    indexed_block: Natural | None
    workers_connected: Natural


class ReadyBody(Body):
    """Whether requests should be sent here: `failing` names the checks that say no."""

    ready: bool
    failing: tuple[Literal["store", "chain", "lag"], ...]
    lag_blocks: Natural | None


class NonceBody(Body):
    """What a message of EIP-4361 must hold: this nonce, once, before `expires_at`, and the other three."""

    nonce: str
    expires_at: Natural
    domain: str
    uri: str
    chain_id: Natural


class SignInBody(Body):
    """POST /v1/sessions: the message exactly as it was signed."""

    message: Annotated[str, Field(max_length=4000)]
    signature: Annotated[str, Field(pattern=r"^0x([0-9a-fA-F]{2}){0,4096}$")]


class SessionBody(Body):
    """Who is signed in, until when (Unix seconds)."""

    account: AddressField
    expires_at: Natural


class TokenBody(SessionBody):
    """`token` goes into `Authorization: Bearer`; it is told this once and cannot be read again."""

    token: str


class DeploymentBody(Body):
    """Public facts of the chain that this service serves."""

    manifest: ManifestField


class OfferBody(Body):
    """`reputation_units` is the provider's in the offer's token. `signed`: its signature can be asked for.

    `measured_gops` and `attested_until` are zero where the quorum has measured nothing.
    """

    offer_hash: HashField
    offer: OfferField
    listed: bool
    booked_hours: UnitsField
    worker_connected: bool
    signed: bool = False
    vram_mib: Natural = 0
    measured_gops: Natural = 0
    attested_at: Natural = 0
    attested_until: Natural = 0
    reputation_units: UnitsField = 0
    known_since: Natural = 0


class OffersBody(Body):
    """`next_cursor` is None on the last page."""

    offers: tuple[OfferBody, ...]
    next_cursor: str | None


class LeaseBody(Body):
    """Money in base units of the lease's token, the compensation in those of the stake token.

    `renter` is today's. What was slashed of the bond is not in the compensation. `moved_units` left the
    deposit for leases that follow on this one.
    """

    lease_id: HashField
    terms: TermsField
    renter: AddressField
    status: Literal["open", "breached", "closed"]
    opened_block: Natural
    end: Natural
    deposit_units: UnitsField
    settled_seconds: Natural
    pending_seconds: Natural
    matures_at: Natural
    proof_hash: HashField
    open_disputes: Natural
    closing: bool
    penalty_seconds: Natural
    lost_seconds: Natural
    paid_units: UnitsField
    fee_units: UnitsField
    moved_units: UnitsField
    refund_units: UnitsField
    compensation_units: UnitsField
    bond_slashed: bool
    hours_released: bool


class LeasesBody(Body):
    leases: tuple[LeaseBody, ...]
    next_cursor: str | None


class OrderBody(Body):
    """POST /v1/orders. `signature` is None where the terms carry the order's hash."""

    terms: TermsField
    order: OrderField
    spec: SpecField
    signature: SignatureField | None

    @classmethod
    def of(cls, terms: structs.Terms, signed: SignedOrder) -> "OrderBody":
        signature = None if signed.signature is None else "0x" + signed.signature.hex()
        return cls(terms=terms, order=signed.order, spec=signed.spec, signature=signature)

    def signed_order(self) -> SignedOrder:
        signature = None if self.signature is None else hex_bytes(self.signature, 65)
        return SignedOrder(self.order, signature, self.spec)


class QueuedOrderBody(Body):
    """One of a batch: as in `OrderBody`, with its priority."""

    order: OrderField
    spec: SpecField
    signature: SignatureField | None
    priority: Priority = 0

    @classmethod
    def of(cls, signed: SignedOrder, priority: int = 0) -> "QueuedOrderBody":
        signature = None if signed.signature is None else "0x" + signed.signature.hex()
        return cls(order=signed.order, spec=signed.spec, signature=signature, priority=priority)

    def signed_order(self) -> SignedOrder:
        signature = None if self.signature is None else hex_bytes(self.signature, 65)
        return SignedOrder(self.order, signature, self.spec)


class OrdersBody(Body):
    """POST /v1/orders/batch: orders under one lease, each taken or refused by itself."""

    terms: TermsField
    orders: Annotated[tuple[QueuedOrderBody, ...], Field(min_length=1, max_length=MAX_BATCH)]


class OrderedBody(Body):
    """What became of one of a batch: its job, or what was wrong with it. `created`: the job is new."""

    job_id: HashField | None
    created: bool
    refused: ErrorBody | None


class OrderedJobsBody(Body):
    """In the order of the batch."""

    results: tuple[OrderedBody, ...]


class PriorityBody(Body):
    """PUT /v1/jobs/{job_id}/priority: of a renter's jobs under a lease, 9 goes first."""

    priority: Priority


class JobBody(Body):
    """`attempt` is zero before the first; `receipt` and `proof_hash` are None until there are some.

    `checked_as`: OPAQUE also for another class of job, where it is sealed and no verifier can read it.
    `cancel_asked_at`: when its renter asked for its end, Unix seconds.
    """

    job_id: HashField
    lease_id: HashField
    state: JobState
    detail: str
    order: OrderField
    spec: SpecField
    checked_as: JobClassName
    attempt: Natural
    created_at: Natural
    updated_at: Natural
    log_bytes: Natural
    receipt: ReceiptField | None
    proof_hash: HashField | None
    priority: Priority = 0
    cancel_asked_at: Natural | None = None


class JobsBody(Body):
    jobs: tuple[JobBody, ...]
    next_cursor: str | None


class LogsBody(Body):
    """Bytes [offset, next_offset) of a job's log in base64; `complete` where no more will come.

    The log of attempt i + 1 begins at `attempt_offsets[i]`. A sealed order's is sent as `worker.logs` says.
    """

    offset: Natural
    next_offset: Natural
    attempt_offsets: tuple[Natural, ...]
    data: str
    complete: bool


class JobStateBody(Body):
    """Of a stream: a job's state, `updated_at` in Unix seconds."""

    job_id: HashField
    state: JobState
    detail: str
    updated_at: Natural


class ChainEventBody(Body):
    """Of a stream: an event of the chain as `protocol.events.to_json` writes it, and its block's time."""

    event: dict[str, Any]
    block_timestamp: Natural


class EndBody(Body):
    """The last event of a stream: nothing will follow, whoever connects again."""

    state: str


class ReadersBody(Body):
    """Keys that jobs which can be checked are sealed to, besides those of their parties."""

    readers: tuple[ReaderKeyField, ...]


class ArtifactBody(Body):
    """An artifact that is stored now. `created` is False where it already was."""

    digest: Sha256Field
    size_bytes: Natural
    created: bool


class EvidenceBody(Body):
    """A proof's evidence that is stored now."""

    proof_hash: HashField
    size_bytes: Natural
    created: bool


def json_of(body: Body) -> dict[str, Any]:
    """What goes over the wire."""
    return body.model_dump(mode="json")
