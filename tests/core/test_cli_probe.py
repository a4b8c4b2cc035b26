"""What of an answer may be shown in public."""

import json

import pytest

from hunyuan_async.cli.probe import redacted_url, shape_of


@pytest.mark.parametrize(
    ("body", "shape"),
    [
        (
            {"code": 200, "data": {"status": "IN_PROGRESS", "task_id": "n68_hunyuan3"}},
            '{"code": 200, "data": {"status": "IN_PROGRESS", "task_id": "<text of 12>"}}',
        ),
        (
            {"outputs": ["https://a.example/x/y.png?sig=1", "b"]},
            '{"outputs": ["<https://a.example/....png?sig=...>", "2 in all"]}',
        ),
        (
            {"status": "a status of somebody's own", "seed": 7, "done": True, "error": None, "none": []},
            '{"status": "<text of 26>", "seed": "<int>", "done": true, "error": null, "none": []}',
        ),
    ],
    ids=["words", "addresses", "kinds"],
)
def test_shapes_show_how_the_gateway_speaks(body: object, shape: str) -> None:
    """Words that tell a status are shown, everything else by its kind."""
    assert shape_of(json.dumps(body).encode()) == shape


@pytest.mark.parametrize("body", [b"<html>", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_not_shown(body: bytes) -> None:
    """Only how long it is."""
    assert shape_of(body) == f"{len(body):,} bytes that are no JSON"


@pytest.mark.parametrize(
    ("address", "redacted"),
    [
        ("https://u:p@a.example:8443/secret/path.webp?X-Sig=1&b=#frag", "https://a.example/....webp?X-Sig=...&b=..."),
        ("https://a.example", "https://a.example/..."),
        ("https://[", "an address that cannot be read"),
    ],
)
def test_addresses_show_where_they_lead(address: str, redacted: str) -> None:
    """Neither path nor values nor credentials."""
    assert redacted_url(address) == redacted
