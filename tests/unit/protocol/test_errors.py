"""Codes and classes of errors are what other processes and people rely on."""

import pytest

from protocol import errors
from protocol.errors import InvariantBroken, ProtocolError, RejectedError, RetryableError, TransactionReverted


def leaves(cls: type[ProtocolError]) -> list[type[ProtocolError]]:
    children = [child for child in cls.__subclasses__() if child.__module__ == errors.__name__]
    return [leaf for child in children for leaf in leaves(child)] if children else [cls]


def test_error__every_leaf__has_its_own_code_and_is_either_rejected_or_retryable() -> None:
    found = leaves(ProtocolError)
    assert len({leaf.default_code for leaf in found}) == len(found)
    for leaf in found:
        assert issubclass(leaf, RejectedError) != issubclass(leaf, RetryableError)


def test_error__tree_in_the_docstring__names_every_leaf() -> None:
    assert errors.__doc__ is not None
    for leaf in leaves(ProtocolError):
        assert leaf.__name__ in errors.__doc__


def test_error__narrower_code__replaces_that_of_the_class() -> None:
    assert errors.BadInput("no").code == "bad_input"
    assert errors.BadInput("no", code="unknown_field").code == "unknown_field"
    assert str(ProtocolError("a_code", "a message")) == "a message"


def test_invariant_broken__expected_and_actual__are_in_the_message() -> None:
    error = InvariantBroken(3, 4, subject="sum")
    assert (error.expected, error.actual) == (3, 4)
    assert str(error) == "sum: expected 3, got 4"


def test_transaction_reverted__caught_as_retryable__is_not() -> None:
    with pytest.raises(RejectedError):
        raise TransactionReverted("no", name="LeaseExists", arguments={"lease_id": b"\1"})
