"""The tests; a package, so that another distribution's `tests` is never found in its place."""
