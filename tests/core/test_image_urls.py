"""Where the images of a finished task are found."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.image_urls import find_image_urls, is_web_address

A, B, C = (f"https://cdn.example/{name}.png" for name in "abc")
FINISHED = Path(__file__).parent.parent / "samples" / "finished"
EXPECTED: dict[str, list[str]] = json.loads((FINISHED / "expected.json").read_text())

json_values = st.recursive(
    st.sampled_from([A, B, C, A, B, C, "", "no address", None, True, 7, 0.5]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "urls", "url", "images", "output", "result", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
json_objects = st.dictionaries(st.sampled_from(["data", "outputs", "urls", "url", "x"]), json_values, max_size=4)


@pytest.mark.parametrize("name", EXPECTED)
def test_every_known_shape_is_read(name: str) -> None:
    """Each shape seen so far yields its images."""
    body = json.loads((FINISHED / name).read_text())

    assert list(find_image_urls(body)) == EXPECTED[name]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"data": {"url": A}}, {"outputs": [B]}),
        ({"outputs": [A]}, {"output": B}),
        ({"output": A}, {"images": [B]}),
        ({"images": [A]}, {"image_url": B}),
        ({"image_url": A}, {"image_urls": [B]}),
        ({"image_urls": [A]}, {"url": B}),
        ({"url": A}, {"urls": [B]}),
        ({"urls": [A]}, {"result": B}),
        ({"result": A}, {"response": B}),
        ({"response": A}, {"data": [B]}),
    ],
)
def test_the_first_place_wins_and_nothing_is_joined(first: dict[str, object], second: dict[str, object]) -> None:
    """Places are looked at in the documented order, whatever their order in the body."""
    assert find_image_urls(second | first) == (A,)
    assert find_image_urls(second) == (B,)


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ({"images": [A, {"url": B}, {"url": A}, "no address", None, 5, {}]}, (A, B)),
        ({"output": {"images": [{"image_url": {"url": A}}]}}, (A,)),
        ({"urls": {"url": A, "result": A, "get": A}}, ()),
        ({"urls": {"get": A}, "result": {"url": B}}, (B,)),
        ({"output": {"urls": {"url": A}}}, ()),
        ({"result": {"url": B, "images": [A]}}, (A,)),
        ({"images": [], "output": None, "outputs": [""], "url": A}, (A,)),
        ({"data": {"outputs": []}, "url": A}, (A,)),
        ({"data": "text", "url": A}, (A,)),
        ({"data": A}, (A,)),
        ({"input": {"images": [A]}, "logs": A}, ()),
    ],
)
def test_shapes_that_mix_and_mislead(body: Mapping[str, object], urls: tuple[str, ...]) -> None:
    """Empty places are passed over, links to the API are no images, duplicates are dropped."""
    assert find_image_urls(body) == urls


def test_the_requests_own_images_are_never_results() -> None:
    """An echo of the input does not hide the output that stands further down."""
    assert find_image_urls({"data": {"images": [A, B], "url": C}}, ignore=(A, B)) == (C,)
    assert find_image_urls({"images": [A, C]}, ignore=(A, B)) == (C,)


@pytest.mark.parametrize("value", [A, "http://127.0.0.1:8000/x", "HTTPS://h/?a=1,2&b=%20#f", "https://[::1]/x"])
def test_web_addresses(value: str) -> None:
    """Any http or https address with a host will do."""
    assert is_web_address(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        b"https://h/",
        "",
        "cat.png",
        "/tmp/cat.png",  # noqa: S108 - nothing is opened
        "C:\\cat.png",
        "//h/x.png",
        "https:///x.png",
        "https://",
        "https://[::1/x",
        "ftp://h/x.png",
        "file:///x.png",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        " https://h/x.png",
        "https://h/a b",
        "https://h/\r\nX: y",
        "https://h/\x1b[2J",
        "https://h/\ud800",
        "https://h/" + "a" * 8192,
    ],
)
def test_other_values_are_no_web_addresses(value: object) -> None:
    """Paths, other schemes, and addresses that would break a header or a line are refused."""
    assert not is_web_address(value)


@given(json_objects, st.sets(st.sampled_from([A, B, C])))
def test_only_distinct_foreign_web_addresses_are_found(body: dict[str, object], ignore: set[str]) -> None:
    """Whatever the body, what is found could be fetched, is new, and is not lost under "data"."""
    urls = find_image_urls(body, ignore)

    assert all(is_web_address(url) for url in urls)
    assert len(set(urls)) == len(urls)
    assert ignore.isdisjoint(urls)
    assert bool(find_image_urls({"data": body}, ignore)) == bool(urls)
