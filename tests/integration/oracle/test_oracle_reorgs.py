"""Reorganisations of 1 to 64 blocks that drop, move and reorder events: the index equals a fresh replay."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from eth_account.signers.local import LocalAccount

from oracle.store.engine import Store, open_store
from protocol.calls import Call
from protocol.errors import InvariantBroken
from protocol.units import to_hex
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.test_oracle_watcher import (
    assert_equals_replay,
    catch_up,
    contents,
    make_watcher,
)
from tests.scale import chosen

RETAINED = 64
DEPTHS = chosen((1, 2, 3, 9, 33, 64), range(1, RETAINED + 1))


@dataclass(slots=True)
class Fork:
    """Blocks with two events each, of two senders, and how they are mined again."""

    rental: rig.Rental
    salt: int = 1000

    def mine(self, depth: int) -> list[tuple[str, str]]:
        """So many blocks; the signed transactions of each."""
        market = self.rental.deployment.market
        mined: list[tuple[str, str]] = []
        for _ in range(depth):
            self.salt += 1
            listing = market.build_list(replace(self.rental.offer, salt=self.salt))
            pair = (
                self._send(self.rental.provider, listing),
                self._send(self.rental.renter, market.build_cancel_salt(self.salt)),
            )
            self.rental.deployment.anvil.mine()
            mined.append(pair)
        return mined

    def _send(self, sender: LocalAccount, call: Call) -> str:
        anvil = self.rental.deployment.anvil
        transaction = {
            "type": 2,
            "chainId": anvil.chain_id,
            "nonce": int(anvil.call("eth_getTransactionCount", sender.address, "pending"), 16),
            "to": call.to,
            "value": 0,
            "data": call.data,
            "gas": 500_000,
            "maxFeePerGas": 10**11,
            "maxPriorityFeePerGas": 10**9,
        }
        raw = to_hex(bytes(sender.sign_transaction(transaction).raw_transaction))
        anvil.call("eth_sendRawTransaction", raw)
        return raw


def again(mined: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """Each transaction, and the block of the fork that it is in.

    The listings' last third is gone, the others stand one block later as far as there is room; salts are
    cancelled in the first block of all.
    """
    depth = len(mined)
    listings = [
        (listing, min(at + 1, depth - 1)) for at, (listing, _) in enumerate(mined[: depth - depth // 3])
    ]
    return [*((cancelled, 0) for _, cancelled in mined), *listings]


# A chain for each depth: anvil goes back to a wrong state on one of a thousand blocks.
@pytest.fixture
def deployment(still_deployment: Deployment) -> Deployment:
    return still_deployment


@pytest.fixture
def fork(deployment: Deployment) -> Fork:
    return Fork(rig.make_rental(deployment))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()


@pytest.mark.parametrize("depth", DEPTHS)
def test_reorg__events_dropped_moved_and_reordered__index_equals_a_fresh_replay(
    deployment: Deployment, fork: Fork, store: Store, tmp_path: Path, depth: int
) -> None:
    watcher = make_watcher(deployment, store, retained=RETAINED)
    mined = fork.mine(depth)
    catch_up(watcher)
    before = contents(store)["events"]
    deployment.anvil.call("anvil_reorg", depth, again(mined))
    catch_up(watcher)
    after = contents(store)["events"]
    assert len(before) - len(after) == depth // 3, "so many listings are gone"
    assert {row[0] for row in before} - {row[0] for row in after}, "events stand in other blocks"
    assert_equals_replay(deployment, store, tmp_path)


def test_reorg__deeper_than_retained__halts_and_leaves_the_index_as_it_was(
    deployment: Deployment, fork: Fork, store: Store
) -> None:
    watcher = make_watcher(deployment, store, retained=RETAINED)
    fork.mine(RETAINED + 2)
    catch_up(watcher)
    before = contents(store)
    deployment.anvil.call("anvil_reorg", RETAINED + 2, [])
    for _ in range(2):
        with pytest.raises(InvariantBroken, match="deeper than retained"):
            watcher.turn()
    assert contents(store) == before
