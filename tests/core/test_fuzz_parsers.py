"""Every parser of what comes from outside: whatever it gets, the answer is a value or one of our errors."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.parsers import PARSERS

DEEP, LONG = 100_000, 10_000_000
TRAPS = {
    "deep lists": b"[" * DEEP,
    "closed deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"data":' * DEEP,
    "deep below the limit of sizes": b'{"data":' + b"[" * 9000 + b"]" * 9000 + b"}",
    "10 MB of text": b'{"message": "' + b"x" * LONG + b'"}',
    "10 MB of one line": b"x" * LONG,
    "10 MB of lines": b"x\n" * (LONG // 2),
    "10 MB of cells": b"prompt,b\n" + b"," * LONG,
    "a wide header": b"," * (2**20 - 2) + b"\n" + b"x\n" * 10_000,
    "10 MB of quotes": b'prompt\n"' + b'""' * (LONG // 2),
    "10 MB of braces": b"{" * LONG,
    "20,000 keys": b"{" + b",".join(b'"%d":0' % n for n in range(20_000)) + b"}",
    "a long number": b'{"code": ' + b"9" * DEEP + b', "task_id": ' + b"9" * DEEP + b"}",
    "a long float": b'{"code": 1e' + b"9" * 4000 + b"}",
    "NaN": b'{"code": NaN, "data": {"task_id": Infinity, "status": -Infinity}}',
    "duplicate keys": b'{"data": {"task_id": "a"}, "data": {"task_id": "b", "task_id": "c"}}',
    "a mark of the byte order": b'\xef\xbb\xbf{"data": {"task_id": "a"}}',
    "two marks": b"\xef\xbb\xbf\xef\xbb\xbf{}",
    "UTF-16": '{"data": {"task_id": "a"}}'.encode("utf-16"),
    "a lone surrogate": rb'{"prompt": "\ud800", "error": "\udfff", "data": {"status": "\ud83d", "url": "http://\ud800/"}}',
    "bytes of a surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "NUL": b'{"prompt": "\\u0000", "task_id": "\0"}\0',
    "a long date": b"Sun, 22 Nov " + b"9" * 4000 + b" 12:00:00 +" + b"9" * 4000,
    "a PNG of nothing": b"\x89PNG\r\n\x1a\n" + b"\0" * 16 + b"IEND\xaeB`\x82",
    "a JPEG of filling": b"\xff\xd8" + b"\xff" * LONG,
    "a JPEG of empty segments": b"\xff\xd8" + b"\xff\xe0\x00\x00" * 30_000,
    "a WEBP of great size": b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\xff" * 20,
}
MOST_MEMORY = 16 * 2**20  # bytes, for each, beyond a few copies of what it was given


@pytest.mark.parametrize("trap", TRAPS)
def test_traps_are_read_or_refused_within_bounds(trap: str) -> None:
    """Depth, length, numbers and broken text cost no more than a few times their own memory, and raise nothing."""
    data = TRAPS[trap]
    tracemalloc.start(1)
    try:
        for name, parse in PARSERS.items():
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            parse(data)
            _, most = tracemalloc.get_traced_memory()
            assert most - before < MOST_MEMORY + 5 * len(data), name
    finally:
        tracemalloc.stop()


WORDS = (
    *"{}[]:,\"\\ \n\t\r\0=+-@'#%;",
    *("data", "task_id", "id", "status", "code", "message", "error", "url", "urls", "images", "output", "outputs"),
    *("result", "prompt", "seed", "size", "type", "kind", "at", "submit", "share", "x" * 300),
    *("completed", "failed", "IN_PROGRESS", "success", "null", "true", "1e999", "NaN", "-1", "https://a.example/b.png"),
    *("\\ud800", "\\u0000", "\x1b[2J", "\u202e", "\ufeff", "{title}", "../", "con", "16:9", "5/s", "25usd", "2h", "9%"),
    "Sun, 22 Nov 2026 12:00:00 GMT",
)
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25).map("".join)
bytes_of = st.binary(max_size=200) | texts.map(lambda text: text.encode(errors="surrogatepass"))
heads = st.sampled_from([b"", b"prompt,id\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF0000WEBPVP8 ", b"GIF89a"])


@pytest.mark.parametrize("name", PARSERS)
@settings(max_examples=150)
@given(head=heads, rest=bytes_of)
def test_anything_is_read_or_refused(name: str, head: bytes, rest: bytes) -> None:
    """Pieces of what is right, in any order, with anything between."""
    PARSERS[name](head + rest)
