"""Tests of the oracle on a real chain, with real processes and sockets."""
