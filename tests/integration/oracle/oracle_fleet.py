"""Many leases of one unit, each on an hour of the week of its own, with proofs posted on demand."""

from dataclasses import dataclass, field, replace

from protocol.calls import Call
from protocol.orders import lease_id
from protocol.structs import NO_PROOF, CompletionProof, ProofClaim, Terms
from protocol.typed_data import hash_struct
from protocol.units import ZERO_DIGEST, Digest, LeaseId, ProofHash
from tests.integration.oracle.oracle_rig import Rental

WEEK_SECONDS = 7 * 86_400
ROOT = Digest(b"\x07" * 32)
MATURE_SECONDS = 4  # a second more than the window of the tests' deployment


@dataclass(slots=True)
class Fleet:
    """At most 168 leases. `last` is the hash of each one's newest proof."""

    rental: Rental
    terms: list[Terms]
    last: dict[LeaseId, ProofHash] = field(default_factory=dict)
    jobs: int = 0

    @classmethod
    def open(cls, rental: Rental, count: int) -> "Fleet":
        """All of them started."""
        draft = rental.terms(seconds=WEEK_SECONDS + 3600, delay_seconds=60)
        terms = [replace(draft, weekly_hours=1 << index, salt=index) for index in range(count)]
        market, anvil = rental.deployment.market, rental.deployment.anvil
        anvil.send_all(rental.renter, [(market.build_open(each), b"") for each in terms])
        anvil.advance(60)
        return cls(rental, terms)

    def ids(self) -> list[LeaseId]:
        return [lease_id(self.rental.domain, each) for each in self.terms]

    def proofs(self, terms: list[Terms]) -> list[tuple[Terms, CompletionProof]]:
        """The next proof of each lease, taken for posted."""
        made: list[tuple[Terms, CompletionProof]] = []
        for each in terms:
            lease = lease_id(self.rental.domain, each)
            self.jobs += 1
            proof = CompletionProof(
                lease_id=lease,
                previous_proof=self.last.get(lease, NO_PROOF),
                proven_seconds=0,
                jobs_completed=self.jobs,
                leaf_count=1,
                jobs_root=ROOT,
                availability_root=ZERO_DIGEST,
                energy_joules=0,
            )
            self.last[lease] = ProofHash(hash_struct(proof))
            made.append((each, proof))
        return made

    def single_calls(self, terms: list[Terms]) -> list[Call]:
        market = self.rental.deployment.market
        return [market.build_post_proof(each, proof) for each, proof in self.proofs(terms)]

    def one_call(self, terms: list[Terms]) -> Call:
        """All their proofs in one transaction of the worker."""
        proofs = [proof for _, proof in self.proofs(terms)]
        claims = [
            ProofClaim(proof.proven_seconds, proof.jobs_completed, proof.energy_joules) for proof in proofs
        ]
        market = self.rental.deployment.market
        return market.build_post_proofs(terms, claims, 1, ROOT, Digest(ZERO_DIGEST))

    def mature(self) -> None:
        self.rental.deployment.anvil.advance(MATURE_SECONDS)
