"""OracleQuorum."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from web3 import Web3

from protocol.calls import Call
from protocol.chain import BlockTag
from protocol.contracts.contract import Contract, address_within
from protocol.structs import GpuAttestation, QuorumSignature
from protocol.units import Address, Digest, Seconds, UnitId, Units, UnixTime


@dataclass(frozen=True, slots=True)
class Member:
    """Of the quorum. `leaves_at` zero: stays."""

    signer: Address
    bond_units: Units
    operator: Address
    active_at: UnixTime
    leaves_at: UnixTime


@dataclass(frozen=True, slots=True)
class Finding:
    """What the quorum recorded of a unit's GPUs; all zero where nothing holds."""

    gpu_class: bytes
    measured_gops: int
    vram_mib: int
    expires_at: UnixTime


class Quorum(Contract):
    """OracleQuorum."""

    def __init__(self, web3: Web3, address: Address) -> None:
        super().__init__(web3, address, "OracleQuorum")

    def owner(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "owner")

    def court(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "COURT")

    def stake_token(self, block: BlockTag = "latest") -> Address:
        return self._read(block, "STAKE_TOKEN")

    def member_bond(self, block: BlockTag = "latest") -> Units:
        return self._read(block, "MEMBER_BOND")

    def rotation_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "ROTATION_SECONDS")

    def exit_seconds(self, block: BlockTag = "latest") -> Seconds:
        return self._read(block, "EXIT_SECONDS")

    def threshold(self, block: BlockTag = "latest") -> int:
        return self._read(block, "threshold")

    def member_at(self, member: int, block: BlockTag = "latest") -> Member:
        return self.members_at([member], block)[0]

    def members_at(self, members: Iterable[int], block: BlockTag = "latest") -> list[Member]:
        """In their order; all zero where nobody sits."""
        return [
            Member(address_within(signer), Units(bond), address_within(operator), active_at, leaves_at)
            for signer, bond, operator, active_at, leaves_at in self._read_each(block, "memberAt", members)
        ]

    def active_members(self, block: BlockTag = "latest") -> int:
        """Bit i: member i is active and fully bonded."""
        return self._read(block, "activeMembers")

    def finding_of(self, unit_id: bytes, block: BlockTag = "latest") -> Finding:
        return Finding(*self._read(block, "findingOf", unit_id))

    def findings_of(self, unit_ids: Iterable[bytes], block: BlockTag = "latest") -> list[Finding]:
        """As `finding_of`, in their order."""
        return [Finding(*found) for found in self._read_each(block, "findingOf", unit_ids)]

    def attested_unit_of(self, gpu_id: bytes, block: BlockTag = "latest") -> UnitId:
        """Zero where no attestation holds."""
        return self._read(block, "attestedUnitOf", gpu_id)

    def attested_units_of(self, gpu_ids: Iterable[bytes], block: BlockTag = "latest") -> list[UnitId]:
        """As `attested_unit_of`, in their order."""
        return self._read_each(block, "attestedUnitOf", gpu_ids)

    def max_spread_of(self, tolerance_profile: bytes, block: BlockTag = "latest") -> int:
        """Zero: not calibrated."""
        return self._read(block, "maxSpreadOf", tolerance_profile)

    def require(
        self, struct_hash: bytes, signatures: Sequence[QuorumSignature], block: BlockTag = "latest"
    ) -> None:
        """TransactionReverted, saying why, unless these decide."""
        self._read(block, "requireQuorum", struct_hash, list(signatures))

    def domain_separator(self, block: BlockTag = "latest") -> bytes:
        return self._read(block, "domainSeparator")

    def build_add_member(self, signer: Address, operator: Address) -> Call:
        return self._build("addMember", signer, operator)

    def build_remove_member(self, member: int) -> Call:
        return self._build("removeMember", member)

    def build_set_threshold(self, threshold: int) -> Call:
        return self._build("setThreshold", threshold)

    def build_deposit_bond(self, member: int, amount: int) -> Call:
        return self._build("depositBond", member, amount)

    def build_withdraw_bond(self, member: int, to: Address) -> Call:
        return self._build("withdrawBond", member, to)

    def build_record_attestation(
        self, attestation: GpuAttestation, signatures: Sequence[QuorumSignature]
    ) -> Call:
        return self._build("recordAttestation", attestation, list(signatures))

    def build_calibrate(
        self, tolerance_profile: Digest, max_spread: int, signatures: Sequence[QuorumSignature]
    ) -> Call:
        return self._build("calibrate", tolerance_profile, max_spread, list(signatures))
