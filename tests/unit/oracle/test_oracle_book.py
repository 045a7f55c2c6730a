"""Rows of the book: in once, out when nothing can be had by them; and stores of before the book."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from oracle.artifact_folder import ArtifactFolder
from oracle.artifacts import Staging
from oracle.housekeeping import KEPT_QUOTES_SECONDS, Housekeeper, Retention
from oracle.store.book import count_signed, delete_void, post_offer
from oracle.store.engine import Store, migrate, open_store
from oracle.store.facts import is_cancelled, list_reputations, list_tokens, rows_are_current
from oracle.store.offers import get_found
from oracle.store.quotes import (
    QuoteRequest,
    answer,
    count_open,
    delete_old,
    get_request,
    insert_request,
    open_requests,
)
from oracle.uploads import Quotas, Uploads
from protocol.matching import Requirements
from protocol.reputation import Custom, score_weight
from protocol.signed import SignedOffer
from protocol.units import Digest, address_of, to_hex
from tests.unit.oracle.market_samples import NOW, PARAMETERS, STAKED, change, offer, search, unit, write
from tests.unit.oracle.oracle_samples import PROVIDER, RENTER, TOKEN, UNIT_ID

SIGNED = SignedOffer(offer(salt=7).offer, b"\x01" * 65)


@pytest.fixture
def book(store: Store) -> Store:
    """Of one signed offer that can be taken."""
    write(store)
    with store.write() as transaction:
        assert post_offer(transaction, SIGNED, NOW)
    return store


def removed(store: Store, now: int = NOW) -> int:
    with store.write() as transaction:
        return delete_void(transaction, now)


def test_post_offer__again__is_there_once_as_it_was(book: Store) -> None:
    with book.write() as transaction:
        assert not post_offer(transaction, SIGNED, NOW + 5)
        assert count_signed(transaction, PROVIDER) == 1
    (found,) = search(book)
    assert (found.offer, found.signature, found.listed) == (SIGNED.offer, SIGNED.signature, False)
    assert found.facts.known_since == NOW


def test_search__both_listed_and_signed__shown_once_as_listed(book: Store) -> None:
    write(book, offer(salt=7))
    (found,) = search(book)
    assert (found.listed, found.signature) == (True, None)
    write(book, replace(offer(salt=7), listed=False))
    (found,) = search(book)
    assert (found.listed, found.signature) == (False, SIGNED.signature)
    with book.read() as transaction:
        named = get_found(transaction, found.offer_hash, NOW)
    assert named == found
    assert named is not None
    assert named.facts.available


VOIDING: dict[str, Callable[[Store], None]] = {
    "epoch": lambda store: change(store, providers=(replace(STAKED, epoch=1),)),
    "retired": lambda store: change(store, units=(replace(unit(), retired=True),)),
    "evicted": lambda store: change(store, units=(replace(unit(), evicted=True),)),
    "token": lambda store: change(store, parameters=replace(PARAMETERS, token_fees={})),
    "salt": lambda store: change(store, cancelled_salts=((PROVIDER, 7),)),
}


@pytest.mark.parametrize("cause", VOIDING)
def test_book__offer_void__hidden_at_once_and_removed(book: Store, cause: str) -> None:
    assert removed(book) == 0
    VOIDING[cause](book)
    assert search(book) == []
    assert removed(book) == 1
    assert removed(book) == 0


def test_book__offer_expired__removed(book: Store) -> None:
    assert removed(book, SIGNED.offer.valid_until) == 0
    assert removed(book, SIGNED.offer.valid_until + 1) == 1


def test_book__stake_locked__hidden_and_back_when_it_is_free(book: Store) -> None:
    change(book, providers=(replace(STAKED, locked_units=10**21),))
    assert (search(book), removed(book)) == ([], 0)
    change(book, providers=(STAKED,))
    assert len(search(book)) == 1


def test_facts__several_changes__last_ones_stay(store: Store) -> None:
    customs = [Custom(PROVIDER, TOKEN, address_of(bytes([n]) * 20), 40 + n, n, n + 1) for n in range(3)]
    change(store, customs=tuple(customs), parameters=PARAMETERS)
    customs[1] = replace(customs[1], fees=1)
    change(store, customs=(customs[1],), cancelled_salts=((PROVIDER, 2**255),))
    with store.read() as transaction:
        assert list_reputations(transaction, None, 9) == [(PROVIDER, TOKEN, score_weight(customs))]
        assert list_reputations(transaction, (PROVIDER, TOKEN), 9) == []
        assert list_tokens(transaction) == {TOKEN: 100}
        assert is_cancelled(transaction, PROVIDER, 2**255)
        assert not is_cancelled(transaction, RENTER, 2**255)


def test_migration__store_of_before__opens_and_asks_to_be_refreshed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'old.sqlite'}"
    entry = offer()
    row: dict[str, Any] = {
        "hash": entry.offer_hash,
        "unit": UNIT_ID,
        "account": PROVIDER,
        "body": json.dumps({"offer": SIGNED.to_json()["offer"]}),
    }
    engine = create_engine(url)
    with engine.begin() as connection:
        migrate(connection, "0001")
        connection.execute(text("INSERT INTO providers VALUES (:account, 0)"), row)
        connection.execute(
            text("INSERT INTO offers VALUES (:hash, :account, :unit, 'CPU', :account, '5', 9, 1, 0, :body)"),
            row,
        )
    engine.dispose()
    opened = open_store(url)
    with opened.read() as transaction:
        assert not rows_are_current(transaction)
        assert get_found(transaction, entry.offer_hash, NOW) is not None
    opened.close()


def request(number: int, deadline: int = NOW + 9) -> QuoteRequest:
    return QuoteRequest(Digest(bytes([number]) * 32), RENTER, Requirements("CPU", 1), NOW, deadline)


def test_quotes__answered_once_and_in_time__then_no_more(store: Store) -> None:
    with store.write() as transaction:
        insert_request(transaction, request(1), [UNIT_ID])
        assert open_requests(transaction, UNIT_ID, NOW + 9) == [request(1)]
        assert not answer(transaction, request(1).request_id, UNIT_ID, SIGNED, NOW + 10)
        assert answer(transaction, request(1).request_id, UNIT_ID, SIGNED, NOW + 9)
        assert not answer(transaction, request(1).request_id, UNIT_ID, None, NOW + 9)
        assert open_requests(transaction, UNIT_ID, NOW) == []
        assert not answer(transaction, request(2).request_id, UNIT_ID, SIGNED, NOW)


def test_quotes__old_ones__are_deleted_with_their_answers(store: Store) -> None:
    with store.write() as transaction:
        for number, deadline in ((1, NOW), (2, NOW + 5)):
            insert_request(transaction, request(number, deadline), [UNIT_ID])
        assert (count_open(transaction, NOW, RENTER), count_open(transaction, NOW + 1)) == (2, 1)
        assert count_open(transaction, NOW, PROVIDER) == 0
        assert delete_old(transaction, NOW + 1) == 1
        left = transaction.execute(text("SELECT request_id FROM quote_asks")).all()
    assert [to_hex(row[0]) for row in left] == [to_hex(request(2).request_id)]


def test_housekeeping__offer_void_and_request_old__both_go(book: Store, tmp_path: Path) -> None:
    over = SIGNED.offer.valid_until + 1
    with book.write() as transaction:
        for number, age_seconds in ((1, KEPT_QUOTES_SECONDS + 1), (2, KEPT_QUOTES_SECONDS)):
            insert_request(transaction, request(number, over - age_seconds), [UNIT_ID])
    folder, quotas = ArtifactFolder(tmp_path / "artifacts"), Quotas(1, 1, 1, 1, 1)
    coming = Uploads(book, Staging(tmp_path / "incoming"), folder, quotas, lambda: over)
    Housekeeper(book, folder, coming, lambda: over, Retention(10, 10, 10)).turn()
    with book.read() as transaction:
        assert count_signed(transaction, PROVIDER) == 0
        assert [get_request(transaction, request(n).request_id) is None for n in (1, 2)] == [True, False]
