"""The auditor: rebuilds everything from the logs, and compares it with the chain's state and the evidence."""
