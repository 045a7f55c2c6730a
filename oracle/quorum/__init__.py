"""One of several independent oracles: what it signs, and how k of n signatures come together."""
