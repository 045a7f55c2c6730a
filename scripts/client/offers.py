"""Offers that no list shows: signed ones in files, and those of the chain's own events."""

import json
from pathlib import Path

from protocol.chain import rpc_bytes
from protocol.errors import BadInput, Expired
from protocol.events import OfferListed, decode, emitters, fetch_logs
from protocol.json_text import parse_json
from protocol.ledger.offers import offer_epoch
from protocol.signed import SignedOffer
from protocol.structs import Offer
from protocol.typed_data import check_signature
from protocol.units import to_hex
from scripts.client.chain import Chain


def read_signed_offer(path: Path) -> SignedOffer:
    """BadInput where the file is missing, or not what `provider list --signed` prints."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise BadInput(f"offer {path}: cannot be read: {error.strerror}") from error
    return SignedOffer.from_json(parse_json(text, f"offer {path}"))


def signed_offer_text(signed: SignedOffer) -> str:
    """As `read_signed_offer` reads it."""
    return json.dumps(signed.to_json(), indent=2)


def check_signed(chain: Chain, signed: SignedOffer) -> None:
    """Returns where a lease can be opened on it now, as far as the offer goes.

    SignatureInvalid, Expired, BadInput otherwise.
    A provider that is a contract signs by EIP-1271: that the market asks.
    """
    offer, name = signed.offer, f"offer {to_hex(signed.offer_hash)}"
    if not rpc_bytes(chain.web3, "eth_getCode", [offer.provider, "latest"]):
        check_signature(chain.domain, offer, signed.signature, offer.provider)
    now = chain.head().timestamp
    if offer.valid_until < now:
        raise Expired(f"{name}: valid until {offer.valid_until}, now it is {now}")
    if chain.market.salt_cancelled(offer.provider, offer.salt):
        raise BadInput(f"{name}: its provider has cancelled it", code="no_offer")
    epoch = chain.registry.stake_of(offer.provider).epoch
    if offer_epoch(offer.salt) != epoch:
        raise BadInput(
            f"{name}: of epoch {offer_epoch(offer.salt)}, its provider is in epoch {epoch}", code="no_offer"
        )


def find_listed(chain: Chain, offer_hash: bytes) -> Offer | None:
    """The offer of this hash, if it was ever listed."""
    manifest = chain.manifest
    for log in fetch_logs(chain.web3, [manifest.market], manifest.block_number, chain.head().number):
        if offer_hash in log.topics:
            event = decode(log, emitters(manifest))
            if isinstance(event, OfferListed) and event.offer_hash == offer_hash:
                return event.offer
    return None
