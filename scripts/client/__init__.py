"""The typed Python client of the market: wallet and chain on one side, the oracle's HTTP on the other."""
