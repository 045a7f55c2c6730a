"""Fixtures of all tests, and the rule that unit tests open no socket to anywhere."""

import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.anvil import anvil, deployment, still_anvil, still_deployment
from tests.postgres import database_url, postgres

__all__ = ["anvil", "database_url", "deployment", "postgres", "still_anvil", "still_deployment"]

# Machines that run tests are shared: how long one example takes says nothing.
settings.register_profile("shared", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", settings.get_profile("shared"), max_examples=2000)
settings.load_profile("shared")

UNIT = Path(__file__).parent / "unit"


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A unit test that connects to anything but a local socket fails."""
    if UNIT not in request.path.parents:
        return
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise AssertionError(f"unit tests use no network, this one connects to {address}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", refuse)
