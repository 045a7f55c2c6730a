"""Our `replace` beside that of dataclasses."""

import dataclasses

import pytest

from protocol.ledger import CreditEntry, ProviderEntry
from protocol.ledger.replacing import replace
from protocol.typed_data import Domain
from protocol.units import ZERO_ADDRESS, address_of

ENTRY = ProviderEntry(address_of(b"\1" * 20), 5, 4, 3, 2, 1)


def test_replace__some_fields__as_dataclasses_does() -> None:
    changes = {"stake_units": 9, "epoch": 7}
    assert replace(ENTRY, **changes) == dataclasses.replace(ENTRY, **changes)
    assert replace(ENTRY) == ENTRY
    assert replace(ENTRY) is not ENTRY
    assert hash(replace(ENTRY)) == hash(ENTRY)
    with pytest.raises(dataclasses.FrozenInstanceError):
        replace(ENTRY).epoch = 3  # type: ignore[misc]


def test_replace__field_that_is_none__type_error() -> None:
    with pytest.raises(TypeError, match="ProviderEntry has no field nonsense"):
        replace(ENTRY, nonsense=1)
    with pytest.raises(TypeError, match="has no field"):
        replace(CreditEntry(ZERO_ADDRESS, ZERO_ADDRESS, 1), renter=1)


def test_replace__class_that_computes_a_field__type_error() -> None:
    with pytest.raises(TypeError, match="Domain"):
        replace(Domain(1, ZERO_ADDRESS), chain_id=2)
