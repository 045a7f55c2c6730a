"""docs/gas.md shows the figures that the snapshots hold."""

from tests.benchmarks.gas_figures import DOCUMENT, committed, table


def test_gas_document__as_committed__has_the_snapshots_table() -> None:
    assert table(committed()) in DOCUMENT.read_text(), "copy the table that `make gas` prints"
