"""Faults within HTTP: statuses, pages of others, limits, redirects and content codings."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache

import attrs
from aiohttp import web

from hunyuan_async.emulator._faults.hostile import URLS
from hunyuan_async.emulator._faults.kinds import REQUESTS, Effect, Reply, RequestKind, Scene, replying

JSON_TYPE = {"Content-Type": "application/json; charset=utf-8"}
HTML_TYPE = {"Content-Type": "text/html"}
PAGE = b"<!DOCTYPE html><html><body><h1>Please log in</h1></body></html>"
BOMB_BLOCKS = 256  # of a megabyte each, in about 256 kB
LOOP = "fault"
"""A query of this name marks the addresses of a loop of redirects."""

REFUSALS = (400, 401, 402, 403, 404, 405, 413, 415, 421, 422, 451, 503)
"""Statuses that say, in the error envelope, that nothing was done."""
UNCLEAR = (408, 409, 425, 500, 501, 502, 504, 520, 524, 599, 999)
"""Statuses after which anything may have been done; here it was."""
SUCCESSES = (201, 202, 204, 206, 226)
BARE = (400, 403, 404, 429)
CODINGS = {"unknown-encoding": "x", "false-brotli": "br", "false-zstd": "zstd", "false-gzip": "gzip"}
LIMITS = {
    "zero": "0",
    "negative": "-5",
    "fraction": "0.5",
    "huge": "1000000000",
    "digits": "\u0663",
    "garbage": "soon; maybe",
    "far-date": "Fri, 31 Dec 9999 23:59:59 GMT",
}
"""What a Retry-After may say, beyond a time that is near."""
REDIRECTS: dict[int, Effect] = {301: "refused", 302: "done", 303: "done", 307: "refused", 308: "refused"}
"""302 and 303 may mean "done, look there" (RFC 9110, section 15.4.4)."""
LOOPS = {f"redirect-{status}-loop": status for status in REDIRECTS}


def envelope(status: int) -> bytes:
    """The documented body of an error."""
    return json.dumps({"error": {"code": status, "message": "An injected fault", "type": "fault"}}).encode()


def _fixed(word: str, means: str, effect: Effect, reply: Reply) -> RequestKind:
    return replying(word, means, REQUESTS, effect, lambda scene: reply)


def _error(status: int, effect: Effect) -> RequestKind:
    reply = Reply(status, envelope(status), JSON_TYPE)
    return _fixed(f"http-{status}", f"{status} with the error envelope", effect, reply)


def _changed(word: str, means: str, change: Callable[[Reply], Reply]) -> RequestKind:
    return replying(word, means, REQUESTS, "done", lambda scene: change(scene.honest))


async def _late(scene: Scene) -> web.Response:
    await asyncio.sleep(scene.seconds)
    return web.Response(status=scene.honest.status, body=scene.honest.body, headers=scene.honest.headers)


def _with_status(status: int) -> Callable[[Reply], Reply]:
    return lambda honest: attrs.evolve(honest, status=status)


def _with_header(name: str, value: str) -> Callable[[Reply], Reply]:
    return lambda honest: attrs.evolve(honest, headers={**honest.headers, name: value})


def _gzipped(pack: Callable[[bytes], bytes]) -> Callable[[Reply], Reply]:
    return lambda honest: Reply(honest.status, pack(honest.body), {**honest.headers, "Content-Encoding": "gzip"})


def _half_gzip(body: bytes) -> bytes:
    packed = gzip.compress(body)
    return packed[: len(packed) // 2]


@cache
def bomb() -> bytes:
    """A gzip stream of blanks that does not end; equal blocks, so that it costs no time and memory to make."""
    stream = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    start = stream.compress(b" ") + stream.flush(zlib.Z_FULL_FLUSH)
    return start + (stream.compress(b" " * 2**20) + stream.flush(zlib.Z_FULL_FLUSH)) * BOMB_BLOCKS


def _date(**after: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(**after), usegmt=True)


def _whole_seconds(scene: Scene) -> str:
    return str(math.ceil(scene.seconds))


def _saying(text: str) -> Callable[[Scene], str]:
    return lambda scene: text


def _limit(word: str, means: str, when: Callable[[Scene], str] | None, status: int = 429) -> RequestKind:
    def make(scene: Scene) -> Reply:
        return Reply(status, envelope(status), JSON_TYPE | ({"Retry-After": when(scene)} if when else {}))

    return replying(word, means, REQUESTS, "refused", make)


def _redirect(word: str, means: str, status: int, target: Callable[[web.Request], str]) -> RequestKind:
    def make(scene: Scene) -> Reply:
        return Reply(status, headers={"Location": target(scene.request)})

    return replying(word, means, REQUESTS, REDIRECTS[status], make)


def _here(request: web.Request) -> str:
    return str(request.rel_url)


def _elsewhere(request: web.Request) -> str:
    """The same resource by another name of this machine: another origin, that is."""
    port = request.host.rpartition(":")[2]
    name = "127.0.0.1" if request.host.startswith("localhost") else "localhost"
    return f"{request.scheme}://{name}:{port}{request.rel_url}"


def _loop_of(word: str) -> Callable[[web.Request], str]:
    return lambda request: str(request.rel_url.update_query({LOOP: word}))


def _to(url: str) -> Callable[[Scene], Reply]:
    return lambda scene: Reply(302, headers={"Location": url})


ANSWERS = (
    RequestKind("late", "the whole answer after *seconds*", REQUESTS, "done", _late),
    *(_error(status, "refused") for status in REFUSALS),
    *(_error(status, "done") for status in UNCLEAR),
    *(_fixed(f"http-{status}-bare", f"{status} without a body", "refused", Reply(status)) for status in BARE),
    _fixed("http-503-bare", "503 without a body", "done", Reply(503)),
    _fixed("http-503-bare-retry", "503 with a Retry-After alone", "done", Reply(503, headers={"Retry-After": "1"})),
    *(_changed(f"http-{status}", f"the answer under status {status}", _with_status(status)) for status in SUCCESSES),
    *(
        _fixed(f"html-{status}", f"{status} with a page for people", "done", Reply(status, PAGE, HTML_TYPE))
        for status in (200, 500, 502, 503, 504)
    ),
    _fixed("html-403", "403 with a page for people, as of a firewall", "refused", Reply(403, PAGE, HTML_TYPE)),
    _fixed("empty-200", "200 without a body", "done", Reply(200)),
    _changed("wrong-content-type", "the answer, said to be HTML", _with_header("Content-Type", "text/html")),
    *(
        _changed(word, f"the answer, said to be in the coding `{name}`", _with_header("Content-Encoding", name))
        for word, name in CODINGS.items()
    ),
    _changed("gzip", "the answer as gzip, asked for or not", _gzipped(gzip.compress)),
    _changed("half-gzip", "half of the answer as gzip, at full length", _gzipped(_half_gzip)),
    _changed("gzip-bomb", "256 MB as 256 kB of gzip", _gzipped(lambda body: bomb())),
    _limit("limit-seconds", "429 with a Retry-After of *seconds*, rounded up", _whole_seconds),
    _limit(
        "limit-date", "429 with a Retry-After as a date, *seconds* from now", lambda scene: _date(seconds=scene.seconds)
    ),
    _limit("limit-past-date", "429 with a Retry-After as a date a minute ago", lambda scene: _date(minutes=-1)),
    *(_limit(f"limit-{word}", f"429 with a Retry-After of `{text}`", _saying(text)) for word, text in LIMITS.items()),
    _limit("limit-none", "429 without a Retry-After", None),
    _limit("http-503-retry", "503 with the error envelope and a Retry-After of *seconds*", _whole_seconds, 503),
    *(_redirect(f"redirect-{status}", f"{status} to the same address", status, _here) for status in REDIRECTS),
    *(
        _redirect(f"redirect-{status}-elsewhere", f"{status} to another origin that answers", status, _elsewhere)
        for status in REDIRECTS
    ),
    *(_redirect(word, f"{status} in a circle", status, _loop_of(word)) for word, status in LOOPS.items()),
    _fixed("redirect-nowhere", "302 without a Location", "done", Reply(302)),
    *(
        replying(f"redirect-to-{name}", f"302 to an address that is hostile: {name}", ("fetch",), "done", _to(url))
        for name, url in URLS.items()
    ),
)
