"""What oracle, worker and scripts agree on: types, digests, signatures and the chain's words."""
