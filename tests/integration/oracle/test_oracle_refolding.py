"""Rows that earlier code wrote are written anew out of the events when the oracle starts."""

from pathlib import Path

from sqlalchemy import text

from oracle.refolding import refresh_rows
from oracle.store.engine import Store, open_store
from oracle.store.facts import rows_are_current
from oracle.watcher import Watcher
from tests.anvil import Deployment
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.test_oracle_watcher import contents


def test_refresh__rows_of_another_form__as_a_fresh_oracle_writes_them(
    still_deployment: Deployment, tmp_path: Path
) -> None:
    rental = rig.make_rental(still_deployment)
    rental.open(rental.terms())
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    try:
        read_all(still_deployment, opened)
        before = contents(opened)
        with opened.write() as transaction:
            for statement in (
                "UPDATE units SET rentable = 0, gpu_class = '', booked_0 = 0",
                "UPDATE offers SET gpu_count = 0, bond = '0', known_since = 0",
                "UPDATE providers SET free_units = '0'",
                "DELETE FROM tokens",
            ):
                assert transaction.execute(text(statement)).rowcount > 0
            assert not rows_are_current(transaction)
        assert contents(opened) != before
        refresh_rows(opened, still_deployment.manifest)
        assert contents(opened) == before
        with opened.write() as transaction:
            assert rows_are_current(transaction)
            transaction.execute(text("UPDATE units SET booked_0 = 0"))
        refresh_rows(opened, still_deployment.manifest)  # nothing to do: the rows are its own by now
        assert contents(opened) != before
    finally:
        opened.close()


def read_all(deployment: Deployment, store: Store) -> None:
    watcher = Watcher(
        deployment.anvil.web3, deployment.manifest, store, retained_blocks=64, batch_blocks=1000
    )
    while watcher.turn():
        pass
