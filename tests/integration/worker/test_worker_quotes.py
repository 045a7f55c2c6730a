"""Two worker daemons that bid by their policies, the oracle between, and a renter that takes the best bid."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from protocol import manifest
from protocol.errors import BadInput
from protocol.signed import SignedOffer
from protocol.typed_data import sign
from protocol.units import LeaseId, hex_bytes, to_hex
from scripts.client.chain import open_chain
from scripts.client.offers import check_signed
from scripts.main import cli
from tests.acceptance.tasks import HELLO, write_task
from tests.anvil import Deployment, deploy, run_anvil
from tests.integration.oracle.oracle_rig import Caller, OracleProcess, Rental, run_oracle, until
from tests.integration.worker.worker_rig import WorkerProcess, make_cpu_rental, make_worker, write_keystore

MILLION = 10**6
LADDERS = {"a": (5 * MILLION, 4 * MILLION), "b": (6 * MILLION, 4_500_000, 3 * MILLION)}
PUBLISHED = 3_500_000
DISCOUNTS = {"a": 0, "b": 25}


@dataclass(slots=True)
class Street:
    """Two sellers side by side. `rungs`: what each has signed beforehand, by price."""

    deployment: Deployment
    oracle: OracleProcess
    rentals: dict[str, Rental]
    workers: dict[str, WorkerProcess]
    rungs: dict[str, dict[int, SignedOffer]]
    environment: dict[str, str]

    def gpgpu(self, *arguments: str) -> Any:
        """What the renter's command prints."""
        result = CliRunner(mix_stderr=False).invoke(
            cli, arguments, env=self.environment, catch_exceptions=False
        )
        assert result.exit_code == 0, result.stdout + result.stderr
        return json.loads(result.stdout)

    def leased(self, launched: Any) -> SignedOffer:
        """The offer that a launch has opened its lease on."""
        lease = LeaseId(hex_bytes(launched["lease_id"], 32))
        caller = Caller(self.oracle, self.rentals["a"].domain, self.rentals["a"].renter)
        body = until(
            lambda: (answer := caller("GET", f"/v1/leases/{to_hex(lease)}")).status_code == 200 and answer,
            "the lease is indexed",
        ).json()
        price = int(body["terms"]["offer"]["price_per_hour"])
        return next(rungs[price] for rungs in self.rungs.values() if price in rungs)

    def transactions(self) -> int:
        sender = self.rentals["a"].renter.address
        return int(self.deployment.anvil.call("eth_getTransactionCount", sender, "latest"), 16)

    def shown(self, signed: SignedOffer) -> bool:
        """Whether the oracle's folder, store and logs hold the signature in any form."""
        forms = (signed.signature, signed.signature.hex().encode())
        files = [path for path in self.oracle.folder.rglob("*") if path.is_file()]
        return any(form in path.read_bytes() for path in files for form in forms)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Street]:
    root = tmp_path_factory.mktemp("street")
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil)
        rentals = {
            "a": make_cpu_rental(deployment, "a", (1, 2, 3)),
            "b": make_cpu_rental(deployment, "b", (4, 6, 3)),
        }
        for rental in rentals.values():
            # Signed offers alone: a listed one would be found by anybody, without a quote.
            anvil.send(rental.provider, deployment.market.build_unlist(offer_hash(rental)))
        anvil.call("evm_setIntervalMining", 1)
        anvil.block_time_seconds = 1
        with run_oracle(root / "oracle", deployment) as oracle:
            rungs = {name: write_ladder(root, name, rental) for name, rental in rentals.items()}
            workers = {
                name: make_worker(
                    root / f"worker-{name}",
                    rental,
                    oracle.url,
                    cpu_device=name,
                    offers_dir=str(root / "published" / name),
                    quotes_dir=str(root / "quotes" / name),
                    quote_discount_per_cent=DISCOUNTS[name],
                )
                for name, rental in rentals.items()
            }
            made = Street(
                deployment, oracle, rentals, workers, rungs, environment(root, rentals["a"], oracle.url)
            )
            try:
                for worker in workers.values():
                    worker.start()
                yield made
                for worker in workers.values():
                    assert worker.terminate() == 0
            finally:
                for worker in workers.values():
                    if worker.process is not None and worker.process.poll() is None:
                        worker.kill()


def offer_hash(rental: Rental) -> Any:
    return SignedOffer(rental.offer, b"\0").offer_hash


def write_ladder(root: Path, name: str, rental: Rental) -> dict[int, SignedOffer]:
    """As `gpgpu provider list --signed` writes them; the published one beside the ladder of seller a."""
    made: dict[int, SignedOffer] = {}
    prices = [(price, "quotes") for price in LADDERS[name]] + [(PUBLISHED, "published")] * (name == "a")
    for price, kind in prices:
        folder = root / kind / name
        folder.mkdir(parents=True, exist_ok=True)
        offer = replace(rental.offer, price_per_hour=price, salt=price)
        made[price] = SignedOffer(offer, sign(rental.domain, offer, rental.provider))
        (folder / f"{price}.json").write_text(json.dumps(made[price].to_json()))
    return made


def environment(root: Path, rental: Rental, oracle_url: str) -> dict[str, str]:
    folder = root / "renter"
    folder.mkdir()
    keystore, password = write_keystore(folder, rental.renter)
    manifest.save(rental.deployment.manifest, folder / "manifest.json")
    return {
        "GPGPU_MANIFEST": str(folder / "manifest.json"),
        "GPGPU_RPC_URL": rental.deployment.anvil.rpc_url,
        "GPGPU_ORACLE_URL": oracle_url,
        "GPGPU_KEYSTORE": str(keystore),
        "GPGPU_PASSWORD_FILE": str(password),
        "GPGPU_DATA_DIR": str(folder / "data"),
    }


def task(tmp_path: Path, more: str = "") -> str:
    return str(write_task(tmp_path, HELLO, more=more))


def price_of(signed: SignedOffer) -> int:
    return signed.offer.price_per_hour


def test_quote__above_what_the_renter_pays__nobody_shows_anything(street: Street, tmp_path: Path) -> None:
    cheap = task(tmp_path, more="    max_price_per_hour: 0.5\n    token: dUSD\n")
    assert street.gpgpu("quote", cheap, "--seconds", "20", "--json") == []
    for worker in street.workers.values():
        assert worker.events("quote_answered")[-1]["price_per_hour"] is None
    ladder = [street.rungs[name][price] for name, prices in LADDERS.items() for price in prices]
    assert not any(street.shown(signed) for signed in ladder)


def test_quote__two_policies__both_bids_best_first(street: Street, tmp_path: Path) -> None:
    shown = street.gpgpu("quote", task(tmp_path), "--seconds", "20", "--json")
    assert [int(bid["offer"]["offer"]["price_per_hour"]) for bid in shown] == [4_500_000, 5 * MILLION]
    assert [street.shown(street.rungs["b"][price]) for price in LADDERS["b"]] == [False, True, False]
    assert [street.shown(street.rungs["a"][price]) for price in LADDERS["a"]] == [True, False]


def test_launch__quote__best_bid_is_opened_in_one_transaction(street: Street, tmp_path: Path) -> None:
    before = street.transactions()
    launched = street.gpgpu("launch", task(tmp_path), "--quote", "20", "-y", "-d", "--json")
    assert street.leased(launched) == street.rungs["b"][4_500_000]
    assert street.transactions() == before + 1


def test_quote__losing_offer_cancelled_by_salt__is_void_everywhere(street: Street, tmp_path: Path) -> None:
    loser, rental = street.rungs["a"][5 * MILLION], street.rentals["a"]
    market = street.deployment.market
    street.deployment.anvil.send(rental.provider, market.build_cancel_salt(loser.offer.salt))
    chain = open_chain(Path(street.environment["GPGPU_MANIFEST"]), street.deployment.anvil.rpc_url)
    with pytest.raises(BadInput, match="cancelled"):
        check_signed(chain, loser)
    chain.close()
    path = Path(street.workers["a"].settings["quotes_dir"]) / f"{price_of(loser)}.json"

    def bids() -> list[int]:
        shown = street.gpgpu("quote", task(tmp_path), "--seconds", "20", "--json")
        return [int(bid["offer"]["offer"]["price_per_hour"]) for bid in shown]

    # Seller b is rented; a still bids what it cancelled, which nobody can be sold any more.
    until(lambda: bids() == [], "the cancelled bid counts as none")
    path.unlink()
    assert bids() == [4 * MILLION]


def test_launch__no_offer_named__best_match_of_the_book(street: Street, tmp_path: Path) -> None:
    (offer,) = until(
        lambda: street.gpgpu("offers", "--class", "CPU", "--connected", "--seconds", "60", "--json"),
        "the worker publishes its offer",
    )
    assert (offer["signed"], offer["listed"]) == (True, False)
    launched = street.gpgpu("launch", task(tmp_path), "-y", "-d", "--json")
    assert street.leased(launched) == street.rungs["a"][PUBLISHED]
    assert street.gpgpu("offers", "--class", "CPU", "--seconds", "60", "--json") == []
