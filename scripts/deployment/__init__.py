"""A deployment: what it is made of, how it is carried out, and how anybody verifies it from the sources."""
