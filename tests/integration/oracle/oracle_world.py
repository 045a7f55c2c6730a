"""A lease that was passed on, whose worker is gone, and everybody who may come and ask."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from eth_account.messages import encode_defunct
from eth_account.signers.local import LocalAccount

from oracle.api.access import Role
from protocol import evidence
from protocol.evidence import Evidence
from protocol.findings import FindingBody, OutageBody
from protocol.orders import job_id
from protocol.structs import NO_PROOF, CompletionProof, LeaseTransfer
from protocol.typed_data import hash_struct, sign
from protocol.units import ZERO_DIGEST, JobId, ProofHash, parse_address, to_hex
from tests.anvil import deploy, run_anvil
from tests.integration.oracle import oracle_quorum_rig as quorum_rig
from tests.integration.oracle import oracle_rig as rig

METRICS_TOKEN = "a token that only the operator has"
ACCOUNT_OF = {
    Role.STRANGER: 7,
    Role.RENTER: 6,
    Role.FORMER_RENTER: 3,
    Role.PROVIDER: 1,
    Role.WORKER: 2,
    Role.OTHER_WORKER: 8,
    Role.MEMBER: 4,
}


@dataclass(slots=True)
class World:
    """`orders` and `bundles` by who ordered: today's renter, and the one before.

    `finding`: the outage that the oracle, alone in the quorum, has found.
    """

    rental: rig.Rental
    oracle: rig.OracleProcess
    terms: rig.Terms
    lease: rig.LeaseId
    orders: dict[Role, rig.SignedOrder]
    bundles: dict[Role, bytes]
    http: httpx2.Client
    finding: FindingBody | None = None
    tokens: dict[Role, str] = field(default_factory=dict)
    quote_requests: dict[Role, str] = field(default_factory=dict)

    def account(self, role: Role) -> LocalAccount:
        return self.rental.deployment.anvil.accounts[ACCOUNT_OF[role]]

    def caller(self, role: Role) -> rig.Caller:
        return rig.Caller(self.oracle, self.rental.domain, self.account(role), self.http)

    def job(self, role: Role) -> JobId:
        return job_id(self.rental.domain, self.orders[role].order)

    def as_renter(self, role: Role) -> rig.Rental:
        return rig.replace(self.rental, renter=self.account(role))

    def token(self, role: Role) -> str:
        if role not in self.tokens:
            response = sign_in(self.http, self.oracle.url, self.account(role))
            assert response.status_code == 201, response.text
            self.tokens[role] = response.json()["token"]
        return self.tokens[role]

    def quote_request(self, role: Role, body: bytes) -> str:
        """Id of one that the role has made."""
        if role not in self.quote_requests:
            response = self.caller(role)("POST", "/v1/quotes", body)
            assert response.status_code == 201, response.text
            self.quote_requests[role] = response.json()["request_id"]
        return self.quote_requests[role]

    def signed_in(self, role: Role, method: str, target: str, body: bytes = b"", **headers: str) -> Any:
        given = {"Authorization": f"Bearer {self.token(role)}", **headers}
        return self.http.request(method, self.oracle.url + target, content=body, headers=given)

    def empty_evidence(self) -> tuple[ProofHash, bytes]:
        """Of a proof that claims nothing."""
        proof = CompletionProof(self.lease, NO_PROOF, 0, 0, 0, ZERO_DIGEST, ZERO_DIGEST, 0)
        return ProofHash(hash_struct(proof)), evidence.encode(Evidence(proof, (), (), ()))


def message_of(given: dict[str, Any], address: str, now: float, **changes: str) -> str:
    """What a wallet shows and signs."""
    fields = {
        "domain": given["domain"],
        "address": address,
        "uri": given["uri"],
        "version": "1",
        "chain": str(given["chain_id"]),
        "nonce": given["nonce"],
        "issued": datetime.fromtimestamp(int(now), UTC).isoformat().replace("+00:00", "Z"),
        "more": "",
        **changes,
    }
    return (
        "{domain} wants you to sign in with your Ethereum account:\n{address}\n\nSign in.\n\nURI: {uri}\n"
        "Version: {version}\nChain ID: {chain}\nNonce: {nonce}\nIssued At: {issued}{more}"
    ).format(**fields)


def sign_message(account: LocalAccount, text: str) -> str:
    return to_hex(bytes(account.sign_message(encode_defunct(text=text)).signature))


def signed_message(http: httpx2.Client, url: str, account: LocalAccount, **changes: str) -> tuple[str, str]:
    """With a nonce of its own."""
    given = http.post(f"{url}/v1/nonces").json()
    text = message_of(given, account.address, time.time(), **changes)
    return text, sign_message(account, text)


def sign_in(http: httpx2.Client, url: str, account: LocalAccount, **changes: str) -> httpx2.Response:
    text, signature = signed_message(http, url, account, **changes)
    return http.post(f"{url}/v1/sessions", json={"message": text, "signature": signature})


@contextmanager
def make_world(folder: Path, **settings: Any) -> Iterator[World]:
    folder.mkdir(exist_ok=True)
    token_file = folder / "metrics-token"
    token_file.touch(mode=0o600)
    token_file.write_text(METRICS_TOKEN + "\n")
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil)
        rental = rig.make_rental(deployment)
        rig.make_rental(deployment, gpu=2, worker_account=ACCOUNT_OF[Role.OTHER_WORKER])
        member = anvil.accounts[ACCOUNT_OF[Role.MEMBER]]
        quorum_rig.seat_alone(deployment, member)
        terms = rental.terms()
        lease = rental.open(terms)
        settings = {"metrics_token_file": str(token_file), "metrics_networks": [], **settings}
        settings |= {"outage_seconds": 1, "quorum_seconds": 0.2, **quorum_rig.keystore_of(member, folder)}
        with (
            rig.run_oracle(folder / "oracle", deployment, **settings) as oracle,
            httpx2.Client(timeout=40) as http,
        ):
            world = World(rental, oracle, terms, lease, {}, {}, http)
            _beat_once(world)
            _order(world, Role.FORMER_RENTER)
            _transfer(world)
            _order(world, Role.RENTER)
            anvil.call("evm_setIntervalMining", 1)
            world.finding = rig.until(lambda: _outage(world), "the worker is found to be gone")
            yield world


def _beat_once(world: World) -> None:
    target = f"{world.oracle.url}/v1/leases/{to_hex(world.lease)}"
    rig.until(lambda: world.http.get(target).status_code == 200, "the lease is indexed")
    quorum_rig.beat_once(world.oracle, world.rental, world.lease)


def _outage(world: World) -> FindingBody | None:
    response = world.http.get(f"{world.oracle.url}/v1/leases/{to_hex(world.lease)}/outage")
    if response.status_code != 200:
        return None
    outage, _ = OutageBody.model_validate_json(response.content).read()
    return FindingBody.of(outage)


def _order(world: World, role: Role) -> None:
    caller = world.caller(role)
    target = f"{world.oracle.url}/v1/leases/{to_hex(world.lease)}"

    def renter() -> str:
        return world.http.get(target).json().get("renter", "")

    rig.until(lambda: renter() == caller.account.address, f"the lease is the {role}'s")
    bundle = f"bundle of the {role}\n".encode()
    order = world.as_renter(role).order(world.terms, len(world.orders), bundle)
    assert caller.upload(bundle).status_code == 201
    response = caller.post_order(world.terms, order)
    assert response.status_code == 201, response.text
    world.orders[role], world.bundles[role] = order, bundle


def _transfer(world: World) -> None:
    rental, deployment = world.rental, world.rental.deployment
    lease = world.http.get(f"{world.oracle.url}/v1/leases/{to_hex(world.lease)}").json()
    deal = LeaseTransfer(
        lease_id=world.lease,
        from_=parse_address(world.account(Role.FORMER_RENTER).address),
        to=parse_address(world.account(Role.RENTER).address),
        price=0,
        deposit=int(lease["deposit_units"]),
        end=lease["end"],
        settled_seconds=0,
        transfers=0,
        deadline=deployment.anvil.now() + 1000,
    )
    signatures = [
        sign(rental.domain, deal, world.account(role)) for role in (Role.FORMER_RENTER, Role.RENTER)
    ]
    deployment.anvil.send(
        world.account(Role.STRANGER), deployment.market.build_transfer(world.terms, deal, *signatures)
    )
