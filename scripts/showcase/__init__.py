"""The demonstration: what it plays, and the table that it ends with."""
