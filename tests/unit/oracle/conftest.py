"""A real store, in a file and in a database of its own."""

from collections.abc import Iterator

import pytest

from oracle.store.engine import Store, open_store


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = open_store(database_url)
    yield opened
    opened.close()
