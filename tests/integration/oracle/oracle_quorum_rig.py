"""Members of a quorum: their keys, their bonds, their oracles, and what they are asked to sign."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eth_account import Account
from eth_account.signers.local import LocalAccount

from protocol import link
from protocol.accrual import ALWAYS
from protocol.bodies import json_of
from protocol.calls import Call
from protocol.chain import read_block
from protocol.findings import FINDINGS_TARGET, Finding, FindingBody
from protocol.structs import (
    AllowedProvider,
    FailoverPolicy,
    FailureProof,
    GpuAttestation,
    Offer,
    Outage,
    QuorumSignature,
    Terms,
    Unit,
    Yield,
)
from protocol.typed_data import Domain, sign
from protocol.units import ZERO_DIGEST, LeaseId, UnitId, pack_name, parse_address
from tests.anvil import Deployment
from tests.integration.oracle.oracle_rig import Caller, OracleProcess, Rental
from tests.integration.oracle.oracle_worker import connect_worker

MEMBERS = (6, 7, 8)
PASSWORD = "a quorum's secret"
NOT_IN_TREE = AllowedProvider(0, ())


def seat_members(deployment: Deployment) -> list[LocalAccount]:
    """Three bonded and active members, two of whom decide."""
    members = [deployment.anvil.accounts[index] for index in MEMBERS]
    _seat(deployment, members)
    assert deployment.quorum.active_members() == 0b111 and deployment.quorum.threshold() == 2
    return members


def seat_alone(deployment: Deployment, member: LocalAccount) -> None:
    """The only member, who decides alone."""
    _seat(deployment, [member], deployment.quorum.build_set_threshold(1))
    assert deployment.quorum.active_members() == deployment.quorum.threshold() == 1


def _seat(deployment: Deployment, members: list[LocalAccount], *further: Call) -> None:
    quorum, stake, anvil = deployment.quorum, deployment.stake_token, deployment.anvil
    names = [parse_address(member.address) for member in members]
    calls = [*(quorum.build_add_member(name, name) for name in names), *further]
    anvil.send_all(deployment.owner, [(call, b"") for call in calls])
    for index, (member, name) in enumerate(zip(members, names, strict=True)):
        calls = [
            stake.build_mint(name, 10**21),
            stake.build_approve(quorum.address, 10**21),
            quorum.build_deposit_bond(index, 100 * 10**18),
        ]
        anvil.send_all(member, [(call, b"") for call in calls])
    anvil.advance(2)


def keystore_of(account: LocalAccount, folder: Path) -> dict[str, str]:
    """The settings that name it."""
    folder.mkdir(parents=True, exist_ok=True)
    keystore, password = folder / "member.json", folder / "password"
    keystore.write_text(json.dumps(Account.encrypt(account.key, PASSWORD, kdf="scrypt", iterations=2)))
    password.write_text(PASSWORD)
    return {"quorum_keystore": str(keystore), "quorum_password_file": str(password)}


def beat_once(oracle: OracleProcess, rental: Rental, lease: LeaseId) -> None:
    """Afterwards the oracle has heard the worker: reports are taken in order, and a receipt is answered."""
    with connect_worker(oracle, rental) as worker:
        worker.send(link.Heartbeat.of(rental.heartbeat(lease)))
        unknown = rental.receipt(rental.order(rental.terms()), attempt=1)
        assert not worker.send_receipt(unknown, fencing_token=1).accepted


def ask(caller: Caller, finding: Finding) -> Any:
    """A signed request for a signature."""
    return caller("POST", FINDINGS_TARGET, json.dumps(json_of(FindingBody.of(finding))).encode())


def quorum_domain(deployment: Deployment) -> Domain:
    return Domain(deployment.manifest.chain_id, deployment.manifest.quorum)


@dataclass(slots=True)
class Refuge:
    """A second unit of the provider, not attested yet, and an offer of it that is only signed."""

    rental: Rental
    unit_id: UnitId
    offer: Offer

    @classmethod
    def register(cls, rental: Rental) -> "Refuge":
        deployment, provider = rental.deployment, parse_address(rental.provider.address)
        worker = parse_address(rental.worker.address)
        unit = Unit(provider, worker, bytes(32), b"\x02" * 32, pack_name("CPU"), 1, 0)
        call = deployment.registry.build_register_unit(unit, [b"\x02" * 32])
        receipt = deployment.anvil.send(rental.provider, call)
        unit_id = UnitId(receipt.logs[-1].topics[1])
        return cls(rental, unit_id, replace(rental.offer, unit_id=unit_id, salt=77))

    def attestation(self) -> GpuAttestation:
        head = read_block(self.rental.deployment.anvil.web3, "latest")
        return GpuAttestation(
            unit_id=self.unit_id,
            provider=self.offer.provider,
            node_id=b"\x02" * 32,
            gpu_ids=(b"\x02" * 32,),
            gpu_class=self.offer.gpu_class,
            vram_mib=1,
            measured_gops=2,
            seed_block=head.number,
            seed_block_hash=head.hash,
            report_digest=ZERO_DIGEST,
            expires_at=head.timestamp + 9999,
        )

    def policy(self, delegate: LocalAccount) -> FailoverPolicy:
        return FailoverPolicy(
            delegate=parse_address(delegate.address),
            max_price_per_hour=self.offer.price_per_hour,
            gpu_class=self.offer.gpu_class,
            min_bond=0,
            allowed_providers_root=ZERO_DIGEST,
            allowed_providers_count=0,
            max_hops=1,
            deadline=self.rental.deployment.anvil.now() + 9999,
        )

    def following(self, terms: Terms, lease: LeaseId) -> tuple[Terms, bytes]:
        """The next lease's terms, and the provider's signature of its offer."""
        start = self.rental.deployment.anvil.now() + 5
        following = replace(
            terms,
            offer=self.offer,
            start=start,
            end=start + 500,
            max_end=start + 500,
            weekly_hours=ALWAYS,
            previous_lease_id=lease,
        )
        return following, sign(self.rental.domain, self.offer, self.rental.provider)


def failure_by(outage: Outage, signatures: tuple[QuorumSignature, ...]) -> FailureProof:
    return FailureProof(Yield(LeaseId(bytes(32)), 0), b"", outage, signatures)
