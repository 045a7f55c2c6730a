"""Leases whose oracle and workers die, or have a bad node: none lost, none paid twice."""

from pathlib import Path

import pytest

from tests.faults import killing, nodes
from tests.scale import is_night


@pytest.mark.timeout(4 * 3600)
def test_kills__at_points_of_every_kind__nothing_lost_or_done_twice(tmp_path: Path) -> None:
    figures = killing.figures(tmp_path, 1000 if is_night() else 1)
    assert figures["kill_points"] >= 40
    assert not is_night() or figures["kill_points_missed"] == 0
    wrong = {name: figures[name] for name in ("lost", "dispatched_twice", "paid_twice")}
    assert wrong == {"lost": 0, "dispatched_twice": 0, "paid_twice": 0}
    assert figures["recovery_seconds_max"] < 60


@pytest.mark.timeout(4 * 3600)
def test_bad_node__errors_timeouts_and_stale_heads__every_lease_completes(tmp_path: Path) -> None:
    figures = nodes.by_a_bad_node(tmp_path, 1000 if is_night() else 2)
    assert figures == {"rpc_fault_leases": figures["rpc_fault_leases"], "rpc_fault_incomplete": 0}
