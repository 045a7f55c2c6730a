"""Messages of EIP-4361, whatever is in them."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.signin import Expected, expires_at, read_message
from protocol.errors import RejectedError
from protocol.units import address_of

NOW = 1_767_571_200
EXPECTED = Expected("https://gpgpu.example:8443", 31337, 300)
ACCOUNT = address_of(b"\x11" * 20)
LINES = (
    "gpgpu.example:8443 wants you to sign in with your Ethereum account:",
    ACCOUNT,
    "",
    "Sign in.",
    "",
    "URI: https://gpgpu.example:8443/console",
    "Version: 1",
    "Chain ID: 31337",
    "Nonce: 0123456789abcdef",
    f"Issued At: {datetime.fromtimestamp(NOW, UTC).isoformat()}",
)
TEXT = "\n".join(LINES)


def test_message__as_expected__is_read() -> None:
    message = read_message(TEXT, EXPECTED, NOW)
    assert (message.address, message.nonce) == (ACCOUNT, "0123456789abcdef")
    assert expires_at(message, NOW + 3600) == NOW + 3600
    short = datetime.fromtimestamp(NOW + 60, UTC).isoformat()
    assert (
        expires_at(read_message(f"{TEXT}\nExpiration Time: {short}", EXPECTED, NOW), NOW + 3600) == NOW + 60
    )


@pytest.mark.parametrize(
    "uri",
    [
        "https://gpgpu.example:8443.evil.example/",
        "https://gpgpu.example:84430/",
        "http://gpgpu.example:8443/",
        "https://user@gpgpu.example:8443/",
    ],
)
def test_message__uri_of_another_origin__is_refused(uri: str) -> None:
    with pytest.raises(RejectedError):
        read_message(TEXT.replace("https://gpgpu.example:8443/console", uri), EXPECTED, NOW)


@given(st.data())
def test_message__one_line_changed__is_refused_or_changes_what_may_be(data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(LINES) - 1))
    line = data.draw(st.text(max_size=40) | st.sampled_from(LINES))
    changed = "\n".join((*LINES[:index], line, *LINES[index + 1 :]))
    try:
        message = read_message(changed, EXPECTED, NOW)
    except RejectedError:
        return
    assert message.prepare_message() == changed
    assert index in (1, 3, 5, 8, 9) or changed == TEXT


@given(st.text(max_size=300) | st.text(max_size=60).map(lambda text: f"{TEXT}\n{text}"))
def test_message__any_text__never_fails_otherwise(text: str) -> None:
    try:
        read_message(text, EXPECTED, NOW)
    except RejectedError:
        return
