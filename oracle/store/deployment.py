"""Which deployment the store is of: a store of one chain is never filled with the events of another."""

from __future__ import annotations

from sqlalchemy import select

from oracle.store.dialects import insert_new
from oracle.store.engine import Transaction
from oracle.store.tables import deployment
from protocol.errors import BadInput
from protocol.manifest import DeploymentManifest


def bind_deployment(transaction: Transaction, manifest: DeploymentManifest) -> None:
    """The first time notes the deployment; later BadInput where the manifest is of another."""
    values = {
        "id": 1,
        "chain_id": manifest.chain_id,
        "market": manifest.market,
        "registry": manifest.registry,
    }
    insert_new(transaction, deployment, values)
    row = transaction.execute(select(deployment)).one()
    expected, actual = (row.chain_id, row.market), (manifest.chain_id, manifest.market)
    if expected != actual:
        raise BadInput(
            f"store: expected the manifest of chain {expected[0]}, market {expected[1]}, got {actual}"
        )
