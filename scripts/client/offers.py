"""Offers as the chain's own events tell of them, for those that the oracle no longer lists."""

from protocol.events import OfferListed, decode, fetch_logs
from protocol.structs import Offer
from scripts.client.chain import Chain


def find_listed(chain: Chain, offer_hash: bytes) -> Offer | None:
    """The offer of this hash, if it was ever listed."""
    manifest = chain.manifest
    for log in fetch_logs(chain.web3, [manifest.market], manifest.block_number, chain.head().number):
        if offer_hash in log.topics:
            event = decode(log)
            if isinstance(event, OfferListed) and event.offer_hash == offer_hash:
                return event.offer
    return None
