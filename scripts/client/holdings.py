"""What a provider has on the market, read from the chain alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from protocol.contracts import StakeAccount
from protocol.events import OfferListed, UnitRegistered, decode, emitters, fetch_logs
from protocol.ledger.offers import offer_epoch
from protocol.structs import Offer, Unit, to_json
from protocol.units import ZERO_ADDRESS, Address, OfferHash, UnitId, to_hex
from scripts.client.chain import Chain


@dataclass(frozen=True, slots=True)
class Holdings:
    """Money in base units. `credits` by token."""

    provider: Address
    stake: StakeAccount
    credits: Mapping[Address, int]
    units: Mapping[UnitId, Unit]
    offers: Mapping[OfferHash, Offer]

    def to_json(self) -> dict[str, Any]:
        return {
            "provider": self.provider,
            "stake_units": str(self.stake.stake_units),
            "locked_units": str(self.stake.locked_units),
            "unbonding_units": str(self.stake.unbonding_units),
            "unbond_at": self.stake.unbond_at,
            "epoch": self.stake.epoch,
            "credits": {token: str(amount) for token, amount in self.credits.items()},
            "units": {to_hex(unit_id): to_json(unit) for unit_id, unit in self.units.items()},
            "offers": {to_hex(name): to_json(offer) for name, offer in self.offers.items()},
        }


def holdings_of(chain: Chain, provider: Address) -> Holdings:
    """Units and offers as they are now: events say which there were, calls which there are.

    Offers of earlier epochs are void, and left out.
    """
    manifest, head = chain.manifest, chain.head().number
    events = [
        decode(log, emitters(manifest))
        for log in fetch_logs(chain.web3, [manifest.registry, manifest.market], manifest.block_number, head)
    ]
    registered = [item for item in events if isinstance(item, UnitRegistered) and item.provider == provider]
    listed = [item for item in events if isinstance(item, OfferListed) and item.provider == provider]
    units = {item.unit_id: chain.registry.unit_of(item.unit_id, head)[0] for item in registered}
    stake = chain.registry.stake_of(provider, head)
    return Holdings(
        provider=provider,
        stake=stake,
        credits={
            info.address: chain.market.credit_of(info.address, provider, head)
            for info in manifest.tokens.values()
        },
        units={name: unit for name, unit in units.items() if unit.provider != ZERO_ADDRESS},
        offers={
            item.offer_hash: item.offer
            for item in listed
            if chain.market.listed_by(item.offer_hash, head) == provider
            and offer_epoch(item.offer.salt) == stake.epoch
        },
    )
