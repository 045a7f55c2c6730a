"""Reorganisations of 1 to 64 blocks, each on a chain of its own: the index and a fresh replay."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from oracle.store.engine import open_store
from tests.anvil import deploy, run_anvil
from tests.integration.oracle import oracle_rig as rig
from tests.integration.oracle.test_oracle_reorgs import RETAINED, Fork, again
from tests.integration.oracle.test_oracle_watcher import assert_equals_replay, catch_up, make_watcher


def figures(folder: Path, count: int) -> dict[str, Any]:
    """With N of 50 and more every depth, else fewer."""
    depths = range(1, RETAINED + 1, 1 if count >= 50 else RETAINED // 8)
    mismatches = 0
    for depth in depths:
        try:
            _reorganise(folder, depth)
        except AssertionError as error:
            mismatches += 1
            print(f"depth {depth}: {error}", file=sys.stderr)
    return {"reorg_depths": len(depths), "reorg_mismatches": mismatches}


def _reorganise(folder: Path, depth: int) -> None:
    store = open_store(f"sqlite:///{folder / f'store-{depth}.sqlite'}")
    try:
        with run_anvil(block_time_seconds=None) as anvil:
            deployment = deploy(anvil)
            watcher = make_watcher(deployment, store, retained=RETAINED)
            mined = Fork(rig.make_rental(deployment)).mine(depth)
            catch_up(watcher)
            anvil.call("anvil_reorg", depth, again(mined))
            catch_up(watcher)
            assert_equals_replay(deployment, store, folder)
    finally:
        store.close()
