"""The watcher on a real chain that is reorganised under it: the store always equals a fresh replay."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from oracle.store import entities, history
from oracle.store.engine import Store, open_store
from oracle.store.offers import get_found
from oracle.store.schema import metadata
from oracle.watcher import Watcher
from protocol.calls import Call
from protocol.errors import ChainUnavailable, InvariantBroken
from protocol.ledger import LedgerState, Parameters, check, fold
from protocol.typed_data import hash_struct
from protocol.units import OfferHash, to_hex
from tests.anvil import Deployment, deploy, run_anvil
from tests.integration.oracle import oracle_rig as rig

RETAINED = 64


def make_watcher(
    deployment: Deployment, store: Store, retained: int = RETAINED, batch: int = 1000
) -> Watcher:
    return Watcher(
        deployment.anvil.web3, deployment.manifest, store, retained_blocks=retained, batch_blocks=batch
    )


ON_BOTH = pytest.mark.parametrize("store", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if getattr(request, "param", "sqlite") == "sqlite":
        opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    else:
        opened = open_store(request.getfixturevalue("postgres").new_database())
    yield opened
    opened.close()


@pytest.fixture
def rental(still_deployment: Deployment) -> rig.Rental:
    return rig.make_rental(still_deployment)


def catch_up(watcher: Watcher) -> None:
    while watcher.turn():
        pass


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the tables that are made of the chain, blocks left out: which are kept depends on when."""
    names = ("cursor", "events", "providers", "units", "offers", "leases", "proofs", "credits")
    names += ("tokens", "findings", "customs", "reputations", "cancelled_salts")
    with store.read() as transaction:
        return {
            name: sorted(tuple(row) for row in transaction.execute(metadata.tables[name].select()))
            for name in names
        }


def assert_equals_replay(deployment: Deployment, store: Store, folder: Path) -> None:
    fresh = open_store(f"sqlite:///{folder / 'replay.sqlite'}")
    catch_up(make_watcher(deployment, fresh))
    assert contents(store) == contents(fresh)
    check(state_of(deployment, store))
    fresh.close()
    (folder / "replay.sqlite").unlink()


def state_of(deployment: Deployment, store: Store) -> LedgerState:
    with store.read() as transaction:
        return fold(Parameters.of(deployment.manifest), history.list_events(transaction))


def raw_transaction(rental: rig.Rental, call: Call) -> str:
    """Sends a call, mines it, and gives the signed bytes, to be mined again elsewhere after a fork."""
    anvil = rental.deployment.anvil
    nonce = int(anvil.call("eth_getTransactionCount", rental.provider.address, "pending"), 16)
    transaction = {
        "type": 2,
        "chainId": anvil.chain_id,
        "nonce": nonce,
        "to": call.to,
        "value": 0,
        "data": call.data,
        "gas": 500_000,
        "maxFeePerGas": 10**11,
        "maxPriorityFeePerGas": 10**9,
    }
    raw = to_hex(bytes(rental.provider.sign_transaction(transaction).raw_transaction))
    anvil.call("eth_sendRawTransaction", raw)
    anvil.mine()
    return raw


def listed(store: Store, offer_hash: bytes) -> bool:
    with store.read() as transaction:
        found = get_found(transaction, OfferHash(offer_hash), 0)
        return found is not None and found.listed


def test_watcher__market_with_a_lease__store_equals_a_fresh_replay(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    lease_id = rental.open(rental.terms())
    catch_up(make_watcher(rental.deployment, store))
    with store.read() as transaction:
        lease = entities.get_lease(transaction, lease_id)
        assert lease is not None
        assert entities.get_unit(transaction, rental.unit_id) is not None
    assert lease == state_of(rental.deployment, store).leases[lease_id]
    assert_equals_replay(rental.deployment, store, tmp_path)


def test_watcher__batches_of_one_block__same_as_in_one_go(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    rental.open(rental.terms())
    catch_up(make_watcher(rental.deployment, store, batch=1))
    assert_equals_replay(rental.deployment, store, tmp_path)


def test_watcher__new_watcher_on_the_same_store__goes_on_where_it_was(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    catch_up(make_watcher(rental.deployment, store))
    lease_id = rental.open(rental.terms())
    catch_up(make_watcher(rental.deployment, store))
    with store.read() as transaction:
        assert entities.get_lease(transaction, lease_id) is not None
    assert_equals_replay(rental.deployment, store, tmp_path)


@pytest.mark.parametrize("depth", [1, 2, 7, 40])
def test_watcher__fork_that_drops_the_lease__lease_gone(
    rental: rig.Rental, store: Store, tmp_path: Path, depth: int
) -> None:
    anvil = rental.deployment.anvil
    catch_up(make_watcher(rental.deployment, store))
    watcher = make_watcher(rental.deployment, store)
    lease_id = rental.open(rental.terms())
    for _ in range(depth - 1):
        anvil.mine()
    catch_up(watcher)
    with store.read() as transaction:
        assert entities.get_lease(transaction, lease_id) is not None
    anvil.call("anvil_reorg", depth, [])
    catch_up(watcher)
    with store.read() as transaction:
        assert entities.get_lease(transaction, lease_id) is None
    assert_equals_replay(rental.deployment, store, tmp_path)


def test_watcher__fork_that_moves_events_to_another_block__stored_where_they_are_now(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    anvil, market = rental.deployment.anvil, rental.deployment.market
    offer = replace(rental.offer, salt=77)
    raw = raw_transaction(rental, market.build_list(offer))
    before = int(anvil.call("eth_blockNumber"), 16)
    anvil.mine(4)
    watcher = make_watcher(rental.deployment, store)
    catch_up(watcher)
    assert listed(store, hash_struct(offer))
    anvil.call("anvil_reorg", 5, [[raw, 3]])
    catch_up(watcher)
    assert listed(store, hash_struct(offer))
    with store.read() as transaction:
        last = [event.position for event, _ in history.list_events(transaction)][-1]
    assert last.block_number != before
    assert last.block_hash == bytes.fromhex(
        anvil.call("eth_getBlockByNumber", hex(last.block_number), False)["hash"][2:]
    )
    assert_equals_replay(rental.deployment, store, tmp_path)


@ON_BOTH
def test_watcher__longer_and_shorter_forks_in_a_row__store_equals_a_fresh_replay(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    anvil, market = rental.deployment.anvil, rental.deployment.market
    watcher = make_watcher(rental.deployment, store)
    for salt, depth in enumerate([1, 3, 2, 5], start=100):
        raw = raw_transaction(rental, market.build_list(replace(rental.offer, salt=salt)))
        anvil.mine(depth)
        catch_up(watcher)
        anvil.call("anvil_reorg", depth + 1, [[raw, 0]] if salt % 2 else [])
        watcher.turn()
        anvil.mine()
        catch_up(watcher)
        assert_equals_replay(rental.deployment, store, tmp_path)


def test_watcher__chain_rolled_back_below_the_cursor__events_undone(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    anvil = rental.deployment.anvil
    lease_id = rental.open(rental.terms())
    anvil.mine(3)
    watcher = make_watcher(rental.deployment, store)
    catch_up(watcher)
    anvil.call("anvil_rollback", 4)
    watcher.turn()
    with store.read() as transaction:
        assert entities.get_lease(transaction, lease_id) is None
    catch_up(watcher)
    assert_equals_replay(rental.deployment, store, tmp_path)


def test_watcher__fork_deeper_than_retained__stops_and_changes_nothing(
    rental: rig.Rental, store: Store
) -> None:
    anvil = rental.deployment.anvil
    rental.open(rental.terms())
    anvil.mine(9)
    watcher = make_watcher(rental.deployment, store, retained=4)
    catch_up(watcher)
    before = contents(store)
    anvil.call("anvil_reorg", 10, [])
    with pytest.raises(InvariantBroken, match="deeper than retained"):
        watcher.turn()
    assert contents(store) == before


@ON_BOTH
def test_watcher__store_fails_in_mid_batch__nothing_of_the_batch_kept_then_all_of_it(
    rental: rig.Rental, store: Store, tmp_path: Path
) -> None:
    watcher = make_watcher(rental.deployment, store)
    catch_up(watcher)
    before = contents(store)
    rental.open(rental.terms())
    with store.write() as transaction:
        transaction.execute(text("ALTER TABLE leases RENAME TO elsewhere"))
    with pytest.raises(Exception, match="leases"):
        watcher.turn()
    with store.write() as transaction:
        transaction.execute(text("ALTER TABLE elsewhere RENAME TO leases"))
    assert contents(store) == before
    catch_up(watcher)
    assert_equals_replay(rental.deployment, store, tmp_path)


def test_watcher__node_gone__chain_unavailable(store: Store) -> None:
    with run_anvil(block_time_seconds=None) as anvil:
        deployment = deploy(anvil)
        watcher = make_watcher(deployment, store)
        catch_up(watcher)
        anvil.process.kill()
        anvil.process.wait()
        with pytest.raises(ChainUnavailable):
            watcher.turn()
