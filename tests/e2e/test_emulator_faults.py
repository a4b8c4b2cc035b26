"""Every kind of fault as it is on the wire, seen by a client that is nobody's: a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import zlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import attrs
import click
import pytest

from hunyuan_async.cli.commands import emulator as command
from hunyuan_async.emulator import ACCEPTED, FAULT_KINDS, Emulator, EmulatorSettings, Fault, FaultKind, fixed
from hunyuan_async.emulator._faults.hostile import IDS, UNSENDABLE_URLS, URLS

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

ORDER = json.dumps({"model": "hunyuan-image-3", "prompt": "a koi pond", "seed": 7}).encode()
OPEN_AFTER = 0.1  # seconds of silence after which a connection counts as left open, where that is expected
PATIENCE = 20.0  # seconds for everything else
SETTINGS = EmulatorSettings(latency=fixed(0), small_pictures=True)

End: TypeAlias = Literal["closed", "reset", "open"]
Place: TypeAlias = Literal["submit", "poll", "fetch"]
PLACES: tuple[Place, ...] = ("submit", "poll", "fetch")


@attrs.frozen
class Seen:
    """What came back on a connection.

    Attributes:
        text: All of it.
        end: What followed.
    """

    text: bytes
    end: End

    @property
    def head(self) -> bytes:
        """The status line and the headers."""
        return self.text.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """What came after the head."""
        return self.text.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int:
        """Of the status line."""
        return int(self.head.split()[1])

    @property
    def headers(self) -> Mapping[str, str]:
        """By their names in small letters."""
        lines = [line.partition(": ") for line in self.head.decode().split("\r\n")[1:]]
        return {name.lower(): value for name, _, value in lines}

    @property
    def length(self) -> int:
        """The length of the body, as announced."""
        return int(self.headers["content-length"])

    def json(self) -> object:
        """The body, which must be as long as announced."""
        assert len(self.body) == self.length
        return json.loads(self.body)

    def task(self) -> dict[str, object]:
        """The task's fields in the documented envelope."""
        whole = self.json()
        assert isinstance(whole, dict)
        assert isinstance(whole["data"], dict)
        return whole["data"]


@attrs.frozen
class Served:
    """An emulator in another process.

    Attributes:
        base_url: Where it is.
        api_key: A key that it knows.
    """

    base_url: str
    api_key: str


@attrs.define
class Line:
    """A connection to an emulator.

    Attributes:
        emulator: The emulator.
        tls: For https.
    """

    emulator: Emulator | Served
    tls: ssl.SSLContext | None = None
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, text: bytes) -> None:
        """Send bytes, on the same connection as before."""
        if self._streams is None:
            host, port = self.emulator.base_url.split("/")[2].split(":")
            self._streams = await asyncio.open_connection(host, int(port), ssl=self.tls)
        self._streams[1].write(text)

    async def see(self, *, chunks: int | None = None, patience: float = PATIENCE) -> Seen:
        """Read to the end, until nothing more comes, or so many chunks."""
        assert self._streams
        text = b""
        try:
            while chunks is None or chunks > 0:
                chunk = await asyncio.wait_for(self._streams[0].read(2**20), patience)
                if not chunk:
                    return Seen(text, "closed")
                text, chunks = text + chunk, chunks and chunks - 1
        except TimeoutError:
            pass
        except ConnectionError:
            return Seen(text, "reset")
        return Seen(text, "open")

    async def aclose(self) -> None:
        """Leave."""
        if self._streams:
            self._streams[1].close()
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await self._streams[1].wait_closed()


def submit(emulator: Emulator | Served, *, keep: bool = False) -> bytes:
    """A submit; the server is asked to close the connection, unless it is to be kept."""
    return _request(emulator, "POST /api/v1/images/generations", keep, f"Content-Length: {len(ORDER)}\r\n") + ORDER


def get(emulator: Emulator | Served, path: str, *, keep: bool = False) -> bytes:
    """A look or a download."""
    return _request(emulator, f"GET {path}", keep)


def _request(emulator: Emulator | Served, line: str, keep: bool, length: str = "") -> bytes:
    host = emulator.base_url.split("/")[2]
    connection = "keep-alive" if keep else "close"
    head = f"{line} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {emulator.api_key}\r\n"
    return f"{head}Connection: {connection}\r\n{length}\r\n".encode()


async def ask(
    emulator: Emulator | Served, text: bytes, tls: ssl.SSLContext | None = None, *, end: End = "closed"
) -> Seen:
    """Send a request on a connection of its own."""
    line = Line(emulator, tls)
    try:
        await line.send(text)
        return await line.see(patience=OPEN_AFTER if end == "open" else PATIENCE)
    finally:
        await line.aclose()


async def prepare(emulator: Emulator, place: Place, tls: ssl.SSLContext | None = None) -> bytes:
    """The request of a place, after what has to come before it."""
    if place == "submit":
        return submit(emulator)
    task_id = (await ask(emulator, submit(emulator), tls)).task()["task_id"]
    look = get(emulator, f"/api/v1/tasks/{task_id}")
    if place == "poll":
        return look
    (url,) = cast("list[str]", (await ask(emulator, look, tls)).task()["outputs"])
    return get(emulator, url[url.index("/files") :])


def with_fault(kind: str, place: Place, **rule: float) -> EmulatorSettings:
    """Settings with one fault."""
    return attrs.evolve(SETTINGS, faults=[Fault(kind, at=place, **rule)])  # type: ignore[arg-type]


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


@pytest.fixture
def tls(self_signed: ssl.SSLContext) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The server's side and the client's."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    return self_signed, client


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


async def connect(emulator: Emulator, end: End = "closed") -> Seen | None:
    """What a connection sees that asks for nothing; None if it is refused."""
    try:
        return await ask(emulator, b"", end=end)
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refused", None),
        ("accept-reset", Seen(b"", "reset")),
        ("accept-close", Seen(b"", "closed")),
        ("accept-silence", Seen(b"", "open")),
        ("accept-plain", Seen(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "open")),
    ],
)
async def test_a_connection_comes_to_harm_before_it_is_read(kind: str, expected: Seen | None) -> None:
    """The second connection meets it, and the others do not."""
    settings = attrs.evolve(SETTINGS, faults=[Fault(kind, first=2, last=2, seconds=0.1)])
    async with Emulator(settings=settings) as emulator:
        assert (await ask(emulator, submit(emulator))).status == 200
        assert await connect(emulator, expected.end if expected else "closed") == expected
        async with asyncio.timeout(PATIENCE):
            while (seen := await connect(emulator, "open")) is None:
                pass
        assert seen == Seen(b"", "open")
        assert (await ask(emulator, submit(emulator))).status == 200
        assert [(each.kind, each.number) for each in emulator.injected] == [(kind, 2)]
        assert len(emulator.posts) == 2


async def test_the_first_connection_may_be_refused() -> None:
    """The port is taken from the start, so that its address is known, and nobody listens there."""
    settings = attrs.evolve(SETTINGS, faults=[Fault("refused", last=1, seconds=60)])
    async with Emulator(settings=settings) as emulator:
        assert await connect(emulator) is None


async def test_a_plain_answer_ends_a_handshake(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Faults of a connection come before TLS."""
    settings = attrs.evolve(SETTINGS, faults=[Fault("accept-plain", last=1)])
    async with Emulator(settings=settings, tls=tls[0]) as emulator:
        with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version|http.request|record"):
            await ask(emulator, submit(emulator), tls[1])
        assert (await ask(emulator, submit(emulator), tls[1])).status == 200


async def test_a_closed_emulator_holds_nobody() -> None:
    """What waits for ever ends with it, and no asyncio task is left."""
    before = asyncio.all_tasks()
    settings = attrs.evolve(SETTINGS, faults=[Fault("accept-silence", first=2, last=2), Fault("silence", at="submit")])
    emulator = Emulator(settings=settings)
    await emulator.start()
    lines = [Line(emulator), Line(emulator)]
    for line in lines:
        await line.send(submit(emulator))
        await line.see(patience=OPEN_AFTER)
    await emulator.aclose()

    assert [(await line.see()).end != "open" for line in lines] == [True, True]
    assert asyncio.all_tasks() == before
    assert [post.task_id for post in emulator.posts] == [*emulator.issued]
    for line in lines:
        await line.aclose()


async def test_who_leaves_a_silent_emulator_leaves_nothing_behind() -> None:
    """Else every fault that waits would cost memory for as long as the emulator runs."""
    async with Emulator(settings=with_fault("silence", "submit")) as emulator:
        before = asyncio.all_tasks()
        assert await ask(emulator, submit(emulator), end="open") == Seen(b"", "open")
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


@pytest.mark.parametrize("accepted", ACCEPTED)
@pytest.mark.parametrize(("kind", "there"), [("task_id-null", True), ("task_id-missing", False)])
async def test_the_id_goes_wrong_wherever_it_stands(accepted: str, kind: str, there: bool) -> None:
    """Settings may put it in several places."""
    settings = attrs.evolve(with_fault(kind, "submit"), accepted=(accepted,))
    async with Emulator(settings=settings) as emulator:
        body = (await ask(emulator, submit(emulator))).body.decode()
        assert emulator.issued[0] not in body
        assert ('id": null' in body) == there


async def test_chance_repeats_with_the_seed_of_the_emulator() -> None:
    """The same seed injects the same faults into the same requests, and another one others."""
    met = []
    for seed in (1, 1, 2):
        settings = attrs.evolve(SETTINGS, faults=[Fault("http-500", share=0.3), Fault("limit-none", share=0.3)])
        async with Emulator(settings=settings, seed=seed) as emulator:
            met.append([(await ask(emulator, submit(emulator))).status for _ in range(30)])
        assert [status for status in met[-1] if status != 200] == [
            500 if each.kind == "http-500" else 429 for each in emulator.injected
        ]
    assert met[0] == met[1] != met[2]
    assert {*met[0]} == {200, 429, 500}


async def test_what_the_service_refuses_meets_no_fault() -> None:
    """An answer that costs nothing is not worth spoiling, and the log does not say that it was."""
    async with Emulator(settings=with_fault("reset-after-body", "submit")) as emulator:
        assert (await ask(emulator, submit(emulator).replace(b"Bearer aio", b"Bearer bio"))).status == 401
        assert (emulator.injected, emulator.posts[0].fault, emulator.posts[0].status) == ([], None, 401)


async def test_without_faults_nothing_is_injected() -> None:
    """They are off unless somebody asks for them, even by an address."""
    async with Emulator(settings=SETTINGS) as emulator:
        request = submit(emulator).replace(b"generations ", b"generations?fault=redirect-302-loop ")
        assert (await ask(emulator, request)).status == 200
        assert not emulator.injected
        assert emulator.posts[0].fault is None


async def test_the_command_line_takes_a_file_and_shares(command_line: CommandLine) -> None:
    """The rules of the file come first, and chance strikes after them."""
    (command_line.place / "faults.json").write_text('[{"kind": "http-402", "at": "submit", "last": 1}]')
    started = await command_line.start("emulator", "--port", "0", "--faults", "faults.json", "--fault", "http-500=1")
    lines = [await started.prints(name) for name in ("HUNYUAN_BASE_URL", "HUNYUAN_API_KEY")]
    served = Served(*(line.strip().partition("=")[2] for line in lines))

    assert [(await ask(served, submit(served))).status for _ in range(3)] == [402, 500, 500]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fault", "http-500", "'http-500' is not like http-500=0.01"),
        ("--fault", "http-500=often", "'http-500=often' is not like http-500=0.01"),
        ("--fault", "http-500=2", "share must be a number from 0 to 1, not 2.0"),
        ("--faults", "missing.json", "missing.json: [Errno 2] No such file or directory"),
        ("--faults", "wrong.json", "wrong.json: fault 1: there is no kind of fault 'slow'"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, option: str, value: str, message: str) -> None:
    """Nothing is served, and the exit code is that of a usage error."""
    (tmp_path / "wrong.json").write_text('[{"kind": "slow"}]')
    path = str(tmp_path / value) if option == "--faults" else value
    with pytest.raises(click.BadParameter) as caught:
        command.emulator.make_context("emulator", [option, path])

    assert message in caught.value.message
    assert caught.value.exit_code == 2
