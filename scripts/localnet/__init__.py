"""A whole network on this machine: processes that end with their parent, node, accounts and services."""
