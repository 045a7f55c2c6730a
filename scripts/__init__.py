"""What people run: deployment, development network, provider, renter, auditor and the demonstration."""
