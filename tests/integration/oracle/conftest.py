"""The fixtures that the oracle's tests share."""

from tests.integration.oracle.oracle_rental import deployment, oracle, rental, renter, worker_http
from tests.integration.oracle.oracle_scene import scene

__all__ = ["deployment", "oracle", "rental", "renter", "scene", "worker_http"]
