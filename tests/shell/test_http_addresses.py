"""Where the key may go, and from where an image may come: rules over addresses, without a network."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from hunyuan_async._http.addresses import problem_with_image_url
from hunyuan_async._http.api import check_base_url, check_key
from hunyuan_async.errors import InvalidRequest


@pytest.mark.parametrize(
    ("given_url", "kept"),
    [
        ("https://apiin.one/api/v1", "https://apiin.one/api/v1"),
        ("https://apiin.one/api/v1//", "https://apiin.one/api/v1"),
        ("HTTPS://ApiIn.One", "https://apiin.one"),
        ("https://apiin.one:8443/", "https://apiin.one:8443"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:8000/v1"),
        ("http://127.8.9.1", "http://127.8.9.1"),
        ("http://[::1]:80/", "http://[::1]"),
        ("http://localhost:1/", "http://localhost:1"),
    ],
)
def test_a_base_url_is_kept_in_one_form(given_url: str, kept: str) -> None:
    """Slashes at the end and upper case make no difference; on this machine http will do."""
    assert check_base_url(given_url) == kept


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "apiin.one/api/v1",
        "ftp://apiin.one",
        "https://",
        "https://host:99999/",
        "http://apiin.one/api/v1",
        "http://192.168.0.7",
        "http://localhost.example.com",
        "https://user@apiin.one",
        "https://:secret@apiin.one",
        "https://apiin.one/?q=secret",
        "https://apiin.one/#secret",
    ],
)
def test_a_base_url_that_the_key_must_not_go_to_is_refused(base_url: str) -> None:
    """The message says what is wrong and shows nothing that may be secret."""
    with pytest.raises(InvalidRequest, match="base_url") as caught:
        check_base_url(base_url)
    assert "secret" not in caught.value.message


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}/?.{0,9}", fullmatch=True))
def test_a_base_url_raises_nothing_but_our_own_error(text: str) -> None:
    """Whatever is typed is kept or refused."""
    try:
        kept = check_base_url(text)
    except InvalidRequest:
        return
    assert check_base_url(kept) == kept


@pytest.mark.parametrize(
    "key", ["", "short", "x" * 513, "aio_secret key", "aio_secret\r\n", "aio_secr\u00e9t", "aio_secret\x7f"]
)
def test_a_key_that_cannot_stand_in_a_header_is_refused_without_showing_it(key: str) -> None:
    """Half a secret in a log is a secret in a log."""
    with pytest.raises(InvalidRequest, match="key") as caught:
        check_key(key)
    assert "secr" not in caught.value.message


def test_a_key_does_not_show_itself() -> None:
    """What passes the check is masked from then on."""
    assert repr(check_key("aio_0123456789")) == "ApiKey('...6789')"


@pytest.mark.parametrize(
    "host",
    [
        "0.0.0.1", "10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.0.0.8", "192.0.2.1",
        "192.168.1.1", "198.18.0.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
        "[::]", "[::1]", "[::7f00:1]", "[::ffff:8.8.8.8]", "[64:ff9b::808:808]", "[64:ff9b:1::1]", "[100::1]",
        "[2001::1]", "[2001:db8::1]", "[2002:808:808::]", "[fc00::1]", "[fe80::1]", "[fec0::1]", "[ff02::1]",
    ],
)  # fmt: skip
def test_an_image_does_not_come_from_a_special_address(host: str) -> None:
    """Private, local, translated, reserved and multicast addresses lead to what is not the service's."""
    assert problem_with_image_url(URL(f"https://{host}/"), local_api=False) == "its address is private"


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "https://[2606:4700::1111]/", "https://cdn.example.com:8443/a?b"])
def test_an_image_may_come_from_anywhere_public(url: str) -> None:
    """A name is judged when it is connected to."""
    assert problem_with_image_url(URL(url), local_api=False) is None


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8000/a.png", True),
        ("http://localhost:8000/a.png", True),
        ("http://[::1]/a.png", True),
        ("https://cdn.example.com/a.png", True),
        ("http://cdn.example.com/a.png", False),
        ("https://10.0.0.1/a.png", False),
    ],
)
def test_beside_an_api_on_this_machine_images_may_come_from_it(url: str, allowed: bool) -> None:
    """That is how the emulator serves them; everything else stays as it is."""
    assert (problem_with_image_url(URL(url), local_api=True) is None) == allowed
