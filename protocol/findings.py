"""What oracles of a quorum say to each other, and to whoever needs their signatures."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema

from protocol.bodies import AddressField, Body, HashField, Natural, SignatureField
from protocol.schemas import struct_schema
from protocol.structs import GpuAttestation, Outage, QuorumSignature, from_json, to_json
from protocol.units import LeaseId, hex_bytes, to_hex

FINDINGS_TARGET: Final = "/v1/quorum/findings"

Finding = Outage | GpuAttestation
KINDS: Final[Mapping[str, type[Finding]]] = {"outage": Outage, "gpu_attestation": GpuAttestation}


class FindingBody(Body):
    """POST /v1/quorum/findings, signed by an active member: asks for a signature of its own over this."""

    kind: Literal["outage", "gpu_attestation"]
    finding: Annotated[
        dict[str, Any],
        WithJsonSchema({"anyOf": [struct_schema(each.__name__) for each in KINDS.values()]}),
    ]

    @classmethod
    def of(cls, finding: Finding) -> "FindingBody":
        return cls.model_validate({"kind": kind_of(finding), "finding": to_json(finding)})

    def read(self) -> Finding:
        """BadInput."""
        return from_json(KINDS[self.kind], self.finding)


class FindingSignatureBody(Body):
    """The answer: a signature in the quorum's domain."""

    signer: AddressField
    signature: SignatureField


class MemberSignatureBody(Body):
    member: Annotated[int, Field(ge=0, le=63, strict=True)]
    signature: SignatureField


class OutageBody(Body):
    """GET /v1/leases/<id>/outage: enough signatures for a failover, by ascending member."""

    lease_id: HashField
    since: Natural
    signatures: tuple[MemberSignatureBody, ...]

    @classmethod
    def of(cls, outage: Outage, signatures: tuple[QuorumSignature, ...]) -> "OutageBody":
        return cls(
            lease_id=to_hex(outage.lease_id),
            since=outage.since,
            signatures=tuple(
                MemberSignatureBody(member=each.member, signature=to_hex(each.signature))
                for each in signatures
            ),
        )

    def read(self) -> tuple[Outage, tuple[QuorumSignature, ...]]:
        """As a FailureProof takes them."""
        outage = Outage(LeaseId(hex_bytes(self.lease_id, 32)), self.since)
        return outage, tuple(
            QuorumSignature(each.member, hex_bytes(each.signature, 65)) for each in self.signatures
        )


def kind_of(finding: Finding) -> str:
    return "outage" if isinstance(finding, Outage) else "gpu_attestation"
