"""Structs in Python are those of Solidity, and their JSON is strict."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.abi import struct_fields
from protocol.errors import BadInput
from protocol.structs import (
    ENUMS,
    NO_ARTIFACT,
    STRUCTS,
    JobLimits,
    JobOrder,
    LeaseFlag,
    LeaseState,
    Offer,
    abi_tuple,
    field_names,
    from_abi,
    from_json,
    to_json,
)
from protocol.units import Digest, LeaseId
from tests.unit.protocol.values import values_of

CONTRACTS = Path(__file__).parents[3] / "contracts"
DECLARING = ("libraries/Types.sol", "interfaces/ICourtBook.sol")
ANY_STRUCT = st.sampled_from(sorted(STRUCTS)).flatmap(lambda name: values_of(STRUCTS[name]))

ORDER = JobOrder(
    lease_id=LeaseId(bytes(32)),
    spec_digest=Digest(b"\1" * 32),
    bundle=NO_ARTIFACT,
    data=NO_ARTIFACT,
    limits=JobLimits(1, 2, 3, 4, 5),
    nonce=7,
    deadline=8,
)


@pytest.mark.parametrize("name", sorted(STRUCTS))
def test_struct__fields__are_those_of_the_abi(name: str) -> None:
    assert field_names(STRUCTS[name]) == tuple(field.name for field in struct_fields(name))


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_enum__members__are_those_of_solidity(name: str) -> None:
    sources = "".join((CONTRACTS / path).read_text() for path in DECLARING)
    source = re.search(rf"enum {name} \{{(.*?)\}}", sources, re.DOTALL)
    assert source is not None
    assert [member.name for member in ENUMS[name]] == re.findall(r"\w+", source.group(1))


def test_lease_flag__bits__are_those_of_solidity() -> None:
    source = (CONTRACTS / "libraries/Types.sol").read_text()
    bits = re.findall(r"uint8 internal constant (\w+) = (\d+);", source)
    assert {flag.name: flag.value for flag in LeaseFlag} == {name: int(bit) for name, bit in bits}


@given(ANY_STRUCT)
def test_json__any_value__comes_back_through_text(value: Any) -> None:
    text = json.dumps(to_json(value))
    assert from_json(type(value), json.loads(text)) == value


@given(ANY_STRUCT)
def test_abi__any_value__comes_back(value: Any) -> None:
    assert from_abi(type(value), abi_tuple(value)) == value


@given(ANY_STRUCT, st.data())
def test_from_json__key_missing_or_unknown__is_refused(value: Any, data: st.DataObject) -> None:
    found = to_json(value)
    name = data.draw(st.sampled_from(sorted(found)))
    with pytest.raises(BadInput, match=rf"missing keys.*{name}"):
        from_json(type(value), {key: item for key, item in found.items() if key != name})
    with pytest.raises(BadInput, match=r"unknown keys.*surplus"):
        from_json(type(value), {**found, "surplus": 1})


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(),
    st.text(),
    st.binary(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.integers()),
    st.just(10**5000),
    st.just("\ud800"),
    st.just("0" * 5000),
    st.just("٣"),
)


@given(ANY_STRUCT, JUNK, st.data())
def test_from_json__junk_in_a_field__is_refused_or_read_as_it_is(
    value: Any, junk: Any, data: st.DataObject
) -> None:
    found = to_json(value)
    name = data.draw(st.sampled_from(sorted(found)))
    try:
        read = from_json(type(value), {**found, name: junk})
    except BadInput:
        return
    assert to_json(read)[name] == junk


@pytest.mark.parametrize("data", [None, [], "x", 5, {}])
def test_from_json__not_the_object__is_refused(data: object) -> None:
    with pytest.raises(BadInput, match="Offer"):
        from_json(Offer, data)


@pytest.mark.parametrize(
    ("path", "bad", "message"),
    [
        (("nonce",), 7, "expected uint64 as a decimal string"),
        (("nonce",), "07", "decimal string"),
        (("nonce",), "-1", "expected 0 to"),
        (
            ("nonce",),
            str(2**64),
            r"expected 0 to 18446744073709551615 \(uint64\), got '?18446744073709551616",
        ),
        (("deadline",), "8", "expected uint40 as an integer"),
        (("deadline",), True, "expected uint40 as an integer"),
        (("deadline",), 8.0, "expected uint40 as an integer"),
        (("deadline",), 2**40, "expected 0 to"),
        (("lease_id",), "0x00", "expected 32 bytes, got 1"),
        (("limits", "wall_seconds"), -1, r"JobOrder\.limits\.wall_seconds: expected 0 to"),
        (("bundle", "wrapped_keys"), ["0x0"], r"wrapped_keys\[0\]: expected 0x"),
        (("bundle", "wrapped_keys"), "0x", "expected a list"),
    ],
)
def test_from_json__value_out_of_its_type__names_expected_and_actual(
    path: tuple[str, ...], bad: object, message: str
) -> None:
    data = to_json(ORDER)
    target = data
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = bad
    with pytest.raises(BadInput, match=message):
        from_json(JobOrder, data)


def test_to_json__integers__are_text_beyond_48_bits_only() -> None:
    data = to_json(ORDER)
    assert (data["nonce"], data["deadline"]) == ("7", 8)
    assert (data["limits"]["wall_seconds"], data["limits"]["memory_bytes"]) == (1, "2")
    assert to_json(LeaseState())["status"] == "none"


def test_struct__assignment__is_refused() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ORDER.nonce = 8  # type: ignore[misc]
