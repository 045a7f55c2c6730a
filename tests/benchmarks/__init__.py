"""Benchmarks: `make bench` runs them afresh and prints one JSON object as its last line."""
