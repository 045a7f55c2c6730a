"""The service that indexes the chain, dispatches jobs and keeps leases moving; it holds no user's money."""
