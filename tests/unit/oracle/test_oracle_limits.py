"""Who asks, how often, and what is kept of answers."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.api.cached import Answers, Recent
from oracle.api.errors import ApiError
from oracle.api.limits import Buckets, Streams, bucket_of, client_address
from oracle.api.parameters import MAX_NUMBER, read_cursor, write_cursor
from protocol.errors import BadInput

PROXIES = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_buckets__burst_taken__then_one_each_interval() -> None:
    buckets = Buckets(per_second=2, burst=3)
    assert [buckets.take("a", 10.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b", 10.0) == 0
    assert buckets.take("a", 10.25) == 0.25
    assert [buckets.take("a", 10.5), buckets.take("a", 10.5)] == [0, 0.5]


@given(st.lists(st.floats(0, 3), max_size=50), st.integers(1, 5))
def test_buckets__any_times__never_more_than_burst_and_rate(gaps: list[float], burst: int) -> None:
    buckets, now, given_ = Buckets(1.5, burst), 0.0, 0
    for gap in gaps:
        now += gap
        given_ += buckets.take("a", now) == 0
    assert given_ <= burst + 1.5 * now + 1e-6


def test_buckets__more_keys_than_are_kept__the_longest_silent_is_forgotten() -> None:
    buckets = Buckets(0.001, 1, max_buckets=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key, 1.0)
    assert buckets.take("a", 1.0) > 0
    assert buckets.take("b", 1.0) == 0


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("1.2.3.4", [], "1.2.3.4"),
        ("1.2.3.4", ["9.9.9.9"], "1.2.3.4"),
        ("10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6, 9.9.9.9"], "9.9.9.9"),
        ("10.0.0.1", ["6.6.6.6", "9.9.9.9, 10.0.0.2"], "9.9.9.9"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["9.9.9.9, nonsense"], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("::1", ["2001:db8::5"], "2001:db8::5"),
        ("::ffff:10.0.0.1", ["9.9.9.9"], "9.9.9.9"),
        ("a socket", ["9.9.9.9"], "a socket"),
    ],
)
def test_client_address__headers__believed_of_our_proxies_alone(
    peer: str, forwarded: list[str], expected: str
) -> None:
    assert client_address(peer, forwarded, PROXIES) == expected


def test_bucket_of__addresses_of_one_network__are_one() -> None:
    assert bucket_of("2001:db8::1") == bucket_of("2001:db8::ffff:1") != bucket_of("2001:db8:0:1::1")
    assert bucket_of("1.2.3.4") != bucket_of("1.2.3.5")


def test_streams__full__429_until_one_ends() -> None:
    streams = Streams(per_account=1, in_all=2)
    with streams.place("a"):
        with pytest.raises(ApiError) as refused, streams.place("a"):
            pass
        assert (refused.value.status, refused.value.code) == (429, "too_many_streams")
        with streams.place("b"), pytest.raises(ApiError), streams.place("c"):
            pass
        assert streams.count() == 1
    assert streams.count() == 0


@given(st.integers(0, MAX_NUMBER), st.binary(min_size=32, max_size=32))
def test_cursor__written__is_read_and_says_nothing_to_people(number: int, tail: bytes) -> None:
    assert read_cursor(write_cursor(number, tail)) == (number, tail)


@given(st.text(max_size=80) | st.text(alphabet="AZaz09-_", min_size=60, max_size=60))
def test_cursor__any_text__is_read_or_bad_input(text: str) -> None:
    try:
        number, tail = read_cursor(text)
    except BadInput:
        return
    assert 0 <= number <= MAX_NUMBER and len(tail) == 32


def test_answers__version_or_time_passed__made_anew() -> None:
    answers = Answers(seconds=1, max_answers=2, max_bytes=10)
    answers.put("a", 1, 5.0, b"x")
    assert answers.get("a", 1, 5.9) == b"x"
    assert answers.get("a", 2, 5.1) is answers.get("a", 1, 6.0) is answers.get("b", 1, 5.0) is None
    answers.put("b", 1, 5.0, b"y" * 11)
    assert answers.get("b", 1, 5.0) is None
    answers.put("b", 1, 5.0, b"y")
    answers.put("c", 1, 5.0, b"z")
    assert answers.get("a", 1, 5.0) is None


def test_recent__asked_again_soon__not_made_again_and_errors_not_kept() -> None:
    now = [0.0]
    recent = Recent[int](1, lambda: now[0])
    assert [recent.get(lambda: 1), recent.get(lambda: 2)] == [1, 1]
    now[0] = 1.0
    with pytest.raises(ZeroDivisionError):
        recent.get(lambda: 1 // 0)
    assert recent.get(lambda: 3) == 3
