"""Every kind of fault as it is on the wire, seen by a client that is nobody's: a socket."""

from __future__ import annotations

import re
import ssl
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import cast

import attrs
import pytest

from hunyuan_async.emulator import FAULT_KINDS, Emulator, FaultKind
from hunyuan_async.emulator._faults.hostile import IDS, UNSENDABLE_URLS, URLS
from tests.e2e.bare_client import (
    OPEN_AFTER,
    ORDER,
    PLACES,
    End,
    Line,
    Place,
    Seen,
    ask,
    get,
    prepare,
    submit,
    with_fault,
)


def envelope_of(code: object) -> Callable[[Seen], bool]:
    """Whether the body is the documented error."""
    return lambda seen: bool(seen.json()["error"]["code"] == code)  # type: ignore[index]


def inflated(seen: Seen, most: int = 2**21) -> bytes:
    """What is in the gzip, up to *most* bytes."""
    assert seen.headers["content-encoding"] == "gzip"
    return zlib.decompressobj(wbits=31).decompress(seen.body, most)


def located(pattern: str) -> Callable[[Seen], bool]:
    """Whether it redirects to an address of a pattern."""
    return lambda seen: bool(re.fullmatch(pattern, seen.headers["location"]))


def field(name: str, value: object) -> Callable[[Seen], bool]:
    """Whether a field of the task has a value, of that very type."""
    return lambda seen: repr(seen.task()[name]) == repr(value)


def in_the_future(date: str) -> bool:
    """Whether a date as HTTP has it is not over by more than the second to which it is rounded."""
    return parsedate_to_datetime(date) > datetime.now(UTC) - timedelta(seconds=2)


def is_honest_with_code_500(seen: Seen) -> bool:
    """Whether nothing but the code differs from what the service answers."""
    return is_honest(attrs.evolve(seen, text=seen.text.replace(b'"code": 500', b'"code": 200')))


def is_honest(seen: Seen) -> bool:
    """Whether the body is what the service answers: JSON of the task, or an image."""
    return seen.body.startswith((b'{"code": 200, "message": "success", "data": {"task_id": "n', b"\x89PNG"))


WRONG: Mapping[str, object] = {"null": None, "true": True, "number": 7, "text": "x", "list": [], "object": {}}
REDIRECTS = (301, 302, 303, 307, 308)
HERE, ELSEWHERE = r"/(api|files)/[^&]*(&signature=\w+)?", r"http://localhost:\d+/(api|files)/.*"

# What is below HTTP: how it ends, and what comes before.
ON_THE_WIRE: Mapping[str, tuple[End, Callable[[Seen], bool]]] = {
    "reset-before-body": ("reset", lambda seen: not seen.text),
    "close-before-body": ("closed", lambda seen: not seen.text),
    "reset-after-body": ("reset", lambda seen: not seen.text),
    "close-after-body": ("closed", lambda seen: not seen.text),
    "silence": ("open", lambda seen: not seen.text),
    "trickle": ("closed", lambda seen: is_honest(seen) and len(seen.body) == seen.length),
    "trickle-body": ("closed", lambda seen: is_honest(seen) and len(seen.body) == seen.length),
    "half-head": ("closed", lambda seen: seen.text.startswith(b"HTTP/1.1 200") and b"\r\n\r\n" not in seen.text),
    "half-body": ("closed", lambda seen: 0 < len(seen.body) <= seen.length // 2),
    "half-body-reset": ("reset", lambda seen: 0 < len(seen.body) <= seen.length // 2),
    "half-chunk": ("closed", lambda seen: len(seen.body.split(b"\r\n", 1)[1]) < int(seen.body.split(b"\r\n")[0], 16)),
    "length-too-long": ("open", lambda seen: len(seen.body) == seen.length - 10),
    "length-too-short": ("closed", lambda seen: len(seen.body) == seen.length + 10),
    "two-lengths": ("closed", lambda seen: len({*re.findall(rb"Content-Length: (\d+)", seen.head)}) == 2),
    "garbage-head": ("closed", lambda seen: seen.text.startswith(b"ICY 2OO FINE\r\n\r\n")),
    "long-header": ("closed", lambda seen: len(seen.head) > 100_000 and is_honest(seen)),
    "idle-close": ("closed", lambda seen: is_honest(seen) and len(seen.body) == seen.length),
    "keep-alive-race": ("open", lambda seen: is_honest(seen) and len(seen.body) == seen.length),
}
# What is well-formed: the status, and what else is to be seen.
ANSWERED: Mapping[str, tuple[int, Callable[[Seen], bool]]] = {
    "late": (200, is_honest),
    **{
        f"http-{status}": (status, envelope_of(status))
        for status in (400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 421, 422, 425, 451)
    },
    **{f"http-{status}": (status, envelope_of(status)) for status in (500, 501, 502, 503, 504, 520, 524, 599, 999)},
    **{f"http-{status}-bare": (status, lambda seen: not seen.body) for status in (400, 403, 404, 429, 503)},
    "http-503-bare-retry": (503, lambda seen: not seen.body and seen.headers["retry-after"] == "1"),
    "http-503-retry": (503, lambda seen: envelope_of(503)(seen) and seen.headers["retry-after"] == "1"),
    "http-204": (204, lambda seen: not seen.body),
    **{f"http-{status}": (status, is_honest) for status in (201, 202, 206, 226)},
    **{
        f"html-{status}": (status, lambda seen: seen.headers["content-type"] == "text/html" and b"<html" in seen.body)
        for status in (200, 403, 500, 502, 503, 504)
    },
    "empty-200": (200, lambda seen: seen.length == 0),
    "wrong-content-type": (200, lambda seen: is_honest(seen) and seen.headers["content-type"] == "text/html"),
    "unknown-encoding": (200, lambda seen: is_honest(seen) and seen.headers["content-encoding"] == "x"),
    "false-brotli": (200, lambda seen: is_honest(seen) and seen.headers["content-encoding"] == "br"),
    "false-zstd": (200, lambda seen: is_honest(seen) and seen.headers["content-encoding"] == "zstd"),
    "false-gzip": (200, lambda seen: is_honest(seen) and seen.headers["content-encoding"] == "gzip"),
    "gzip": (200, lambda seen: is_honest(Seen(b"\r\n\r\n" + inflated(seen), "closed"))),
    "half-gzip": (200, lambda seen: len(seen.body) == seen.length and not inflated(seen).endswith((b"}}", b"IEND"))),
    "gzip-bomb": (200, lambda seen: len(seen.body) < 2**20 < len(inflated(seen))),
    "limit-seconds": (429, lambda seen: seen.headers["retry-after"] == "1"),
    "limit-date": (429, lambda seen: in_the_future(seen.headers["retry-after"])),
    "limit-past-date": (429, lambda seen: not in_the_future(seen.headers["retry-after"])),
    "limit-far-date": (429, lambda seen: in_the_future(seen.headers["retry-after"])),
    "limit-zero": (429, lambda seen: seen.headers["retry-after"] == "0"),
    "limit-negative": (429, lambda seen: seen.headers["retry-after"] == "-5"),
    "limit-fraction": (429, lambda seen: seen.headers["retry-after"] == "0.5"),
    "limit-huge": (429, lambda seen: seen.headers["retry-after"] == "1000000000"),
    "limit-digits": (429, lambda seen: seen.headers["retry-after"] == "\u0663"),
    "limit-garbage": (429, lambda seen: seen.headers["retry-after"] == "soon; maybe"),
    "limit-none": (429, lambda seen: envelope_of(429)(seen) and "retry-after" not in seen.headers),
    **{f"redirect-{status}": (status, located(HERE)) for status in REDIRECTS},
    **{f"redirect-{status}-elsewhere": (status, located(ELSEWHERE)) for status in REDIRECTS},
    **{f"redirect-{status}-loop": (status, located(rf".*[?&]fault=redirect-{status}-loop")) for status in REDIRECTS},
    "redirect-nowhere": (302, lambda seen: "location" not in seen.headers),
    **{f"redirect-to-{name}": (302, located(re.escape(url))) for name, url in URLS.items()},
    "half-answer": (200, lambda seen: len(seen.body) == seen.length and not seen.body.endswith((b"}}", b"IEND"))),
    "bad-utf8": (200, lambda seen: b"\xff" in seen.body),
    "bom": (200, lambda seen: seen.body.startswith(b"\xef\xbb\xbf{")),
    "utf-16": (200, lambda seen: '"task_id"' in seen.body.decode("utf-16")),
    "nan": (200, lambda seen: b": NaN}" in seen.body),
    "long-number": (200, lambda seen: bool(re.search(rb"\d{5000}", seen.body))),
    "deep-nesting": (200, lambda seen: b"[" * 100_000 in seen.body),
    "long-body": (200, lambda seen: seen.length == len(seen.body) > 10 * 2**20),
    "two-ids": (200, lambda seen: len(re.findall(rb'"task_id": "n', seen.body)) == 2),
    "no-json": (200, lambda seen: seen.body == b"task accepted"),
    "no-image": (200, lambda seen: seen.body == b"no image" and seen.headers["content-type"] == "image/png"),
    "svg-image": (200, lambda seen: b"<script>" in seen.body and seen.headers["content-type"] == "image/png"),
    **{f"body-{name}": (200, lambda seen, value=value: seen.json() == value) for name, value in WRONG.items()},  # type: ignore[misc]
    **{
        f"data-{name}": (200, lambda seen, value=value: seen.json()["data"] == value)  # type: ignore[misc]
        for name, value in WRONG.items()
        if name != "object"
    },
    **{
        f"{name}-{kind}": (200, field(name, value))
        for name in ("task_id", "status", "outputs")
        for kind, value in WRONG.items()
        if (name, kind) not in {("task_id", "text"), ("status", "text"), ("outputs", "list")}
    },
    "data-missing": (200, lambda seen: "data" not in seen.json()),  # type: ignore[operator]
    "task_id-missing": (200, lambda seen: "task_id" not in seen.task()),
    "status-missing": (200, lambda seen: "status" not in seen.task()),
    "code-text": (200, lambda seen: seen.json()["code"] == "200"),  # type: ignore[index]
    "code-500": (200, is_honest_with_code_500),
    **{f"ok-{code}": (200, envelope_of(code)) for code in (400, 401, 402, 403, 404, 429, 500, 503)},
    "ok-400-text": (200, envelope_of("400")),
    **{f"id-{name}": (200, field("task_id", value)) for name, value in IDS.items()},
    "without-url": (200, lambda seen: field("status", "completed")(seen) and field("outputs", [])(seen)),
    "stuck": (200, lambda seen: field("status", "IN_PROGRESS")(seen) and "outputs" not in seen.task()),
    "failed": (200, field("status", "failed")),
    "new-word": (200, field("status", "rendering")),
    "progress-300": (200, field("progress", 300)),
    "status-spaced": (200, field("status", " COMPLETED ")),
    "expired-url": (200, lambda seen: "?expires=0&" in str(seen.task()["outputs"])),
    "same-url-twice": (200, lambda seen: (urls := cast("list[str]", seen.task()["outputs"])) == urls[:1] * 2),
    **{f"url-{name}": (200, field("outputs", [url])) for name, url in {**URLS, **UNSENDABLE_URLS}.items()},
}
ENDLESS = {
    "endless-body": b"\r\nTransfer-Encoding: chunked",
    "huge-length": b"\r\nContent-Length: 1000000000000",
}
CONNECTIONS = {"refused", "accept-reset", "accept-close", "accept-silence", "accept-plain"}


def cases(kinds: Mapping[str, object]) -> list[tuple[str, Place]]:
    """Each kind at each place."""
    return [(kind, place) for kind in kinds for place in PLACES if place in FAULT_KINDS[kind].at]


def assert_log(emulator: Emulator, kind: FaultKind, place: Place) -> None:
    """The log tells which fault was injected where, and whether the submit was paid."""
    assert [(each.place, each.kind, each.number) for each in emulator.injected] == [(place, kind.word, 1)]
    (post,) = emulator.posts
    if place != "submit":
        assert (post.fault, post.task_id) == (None, emulator.issued[0])
        entry = (emulator.polls if place == "poll" else emulator.downloads)[-1]
        assert (entry.task_id, entry.status) == (post.task_id, 200 if kind.effect == "done" else 0)
        return
    paid = kind.effect == "done"
    assert post.fault == kind.word
    assert (post.status, post.body) == (200 if paid else 0, b"" if kind.effect == "unread" else ORDER)
    assert [post.task_id] == ([*emulator.issued] if paid else [None])


def test_every_kind_is_tested() -> None:
    """A new kind needs a line in the tables above."""
    assert {*ON_THE_WIRE, *ANSWERED, *CONNECTIONS, *ENDLESS} == {*FAULT_KINDS}


@pytest.mark.parametrize(("kind", "place"), cases(ON_THE_WIRE))
async def test_a_fault_below_http_is_done_on_the_wire(kind: str, place: Place) -> None:
    """Bytes and end are what the kind says, and the log tells what they cost."""
    end, is_right = ON_THE_WIRE[kind]
    async with Emulator(settings=with_fault(kind, place, seconds=0)) as emulator:
        request = await prepare(emulator, place)
        if FAULT_KINDS[kind].effect == "unread":
            request = request.removesuffix(ORDER)
        seen = await ask(emulator, request, end=end)

        assert seen.end == end
        assert is_right(seen)
        assert_log(emulator, FAULT_KINDS[kind], place)


@pytest.mark.parametrize(("kind", "place"), cases(ANSWERED))
async def test_a_well_formed_fault_is_answered_as_its_kind_says(kind: str, place: Place) -> None:
    """Status, headers and body are what the kind says, and the log tells what they cost."""
    status, is_right = ANSWERED[kind]
    async with Emulator(settings=with_fault(kind, place, seconds=0.01)) as emulator:
        seen = await ask(emulator, await prepare(emulator, place))

        assert (seen.status, seen.end) == (status, "closed")
        assert is_right(seen)
        assert_log(emulator, FAULT_KINDS[kind], place)


@pytest.mark.parametrize("kind", ON_THE_WIRE)
async def test_a_fault_below_http_is_the_same_under_tls(kind: str, tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """What ends a connection ends it there as well."""
    end, is_right = ON_THE_WIRE[kind]
    async with Emulator(settings=with_fault(kind, "submit", seconds=0), tls=tls[0]) as emulator:
        assert emulator.base_url.startswith("https://")
        seen = await ask(emulator, submit(emulator), tls[1], end=end)

        assert seen.end == end
        assert is_right(seen)


@pytest.mark.parametrize(("kind", "place"), cases(ENDLESS))
async def test_an_endless_body_comes_as_fast_as_it_is_read(kind: str, place: Place) -> None:
    """Bytes come on and on, and the emulator serves others meanwhile."""
    async with Emulator(settings=with_fault(kind, place, last=1)) as emulator:
        line = Line(emulator)
        await line.send(await prepare(emulator, place))
        seen = await line.see(chunks=50)
        assert ENDLESS[kind] in seen.head
        assert len(seen.body) > 2**20
        assert b"\r\n0\r\n" not in seen.body
        assert (await ask(emulator, submit(emulator))).status == 200
        await line.aclose()


async def test_a_trickle_comes_byte_by_byte() -> None:
    """There is a pause before each byte, of the head too."""
    async with Emulator(settings=with_fault("trickle", "submit", seconds=0.02)) as emulator:
        line = Line(emulator)
        await line.send(submit(emulator))
        assert b"HTTP/1.1 200 OK".startswith((await line.see(chunks=3)).text)
        await line.aclose()


async def test_a_trickling_body_comes_after_a_whole_head() -> None:
    """The head is there at once, of the body not a byte."""
    async with Emulator(settings=with_fault("trickle-body", "submit", seconds=60)) as emulator:
        seen = await ask(emulator, submit(emulator), end="open")
        assert (seen.status, seen.body, seen.end) == (200, b"", "open")


async def test_a_late_answer_lets_wait() -> None:
    """Until then there is silence, though it is paid."""
    async with Emulator(settings=with_fault("late", "submit", seconds=60)) as emulator:
        assert await ask(emulator, submit(emulator), end="open") == Seen(b"", "open")
        assert len(emulator.issued) == 1


async def test_a_keep_alive_race_is_lost_by_the_next_request() -> None:
    """The first request on the connection is answered; the second meets a reset and is never seen."""
    async with Emulator(settings=with_fault("keep-alive-race", "poll")) as emulator:
        task_id = (await ask(emulator, submit(emulator))).task()["task_id"]
        line = Line(emulator)
        await line.send(get(emulator, f"/api/v1/tasks/{task_id}", keep=True))
        first = await line.see(patience=OPEN_AFTER)
        await line.send(get(emulator, f"/api/v1/tasks/{task_id}", keep=True))

        assert (first.status, first.end) == (200, "open")
        assert await line.see() == Seen(b"", "reset")
        assert len(emulator.polls) == 1
        await line.aclose()


async def test_a_resting_connection_is_closed_with_the_next_request_unread() -> None:
    """A request that comes between the answer and the close gets no answer, and is never seen."""
    async with Emulator(settings=with_fault("idle-close", "poll", seconds=0.02)) as emulator:
        task_id = (await ask(emulator, submit(emulator))).task()["task_id"]
        line, look = Line(emulator), get(emulator, f"/api/v1/tasks/{task_id}", keep=True)
        await line.send(look + look)
        seen = await line.see()

        assert seen.end == "closed"
        assert len(seen.body) == seen.length
        assert len(emulator.polls) == 1
        await line.aclose()


async def test_a_loop_of_redirects_has_no_end() -> None:
    """Whatever the rule, who follows goes in a circle, and pays each time if the status lets it."""
    async with Emulator(settings=with_fault("redirect-302-loop", "submit", last=1)) as emulator:
        request = submit(emulator)
        for _ in range(4):
            seen = await ask(emulator, request)
            assert seen.status == 302
            path = seen.headers["location"].encode()
            request = re.sub(rb"^POST \S+", b"POST " + path, request)
        assert [post.fault for post in emulator.posts] == ["redirect-302-loop"] * 4
        assert len(emulator.issued) == 4
