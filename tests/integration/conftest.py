"""The fixtures that the tests of the sender share."""

from tests.integration.sender_bench import bench

__all__ = ["bench"]
