"""A real store in a file of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from oracle.store.engine import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    yield opened
    opened.close()
