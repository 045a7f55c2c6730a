"""Tests of the oracle that use no network."""
