"""One paid call, watched: what the gateway really answers, with everything left out that is nobody's business."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from urllib.parse import parse_qsl, urlsplit

import attrs

from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async.models import ImageRequest
from hunyuan_async.transport import BeforeSend, Transport

_WORD = re.compile(r"[A-Za-z_-]{1,24}")  # a status or a type; ids and texts of people look otherwise
_SHOWN_KEYS = {"status", "state", "type", "code", "object", "model"}  # whose words tell how the gateway speaks


@attrs.define
class Witness(Transport):
    """Passes every request on and remembers what came back.

    Attributes:
        inner: Does the work.
        seen: Some lines for each exchange: what, when and how long, and the answer's shape.
    """

    inner: Transport
    seen: list[list[str]] = attrs.field(factory=list)
    _began: float = attrs.field(factory=time.monotonic)

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Pass it on."""
        asked_at = time.monotonic()
        answer = await self.inner.submit(request, before_send)
        self._note("submit", asked_at, answer)
        return answer

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Pass it on."""
        asked_at = time.monotonic()
        answer = await self.inner.poll(task_id)
        self._note("poll", asked_at, answer)
        return answer

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Pass it on."""
        asked_at = time.monotonic()
        answer = await self.inner.fetch(url, write)
        self._note(f"fetch {redacted_url(url)}", asked_at, answer)
        return answer

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()

    def _note(self, what: str, asked_at: float, answer: Reply | NoReply | Fetched) -> None:
        took = f"{what} after {asked_at - self._began:.2f} s, answered in {time.monotonic() - asked_at:.2f} s"
        self.seen.append([took, *_described(answer)])


def _described(answer: Reply | NoReply | Fetched) -> Iterator[str]:
    match answer:
        case NoReply():
            yield f"no answer: {answer.reason}"
        case Fetched():
            yield f"HTTP {answer.status}, {answer.received:,} bytes"
        case Reply():
            yield f"HTTP {answer.status}{'' if answer.complete else ', cut off'}"
            yield from (f"{name}: {_header(name, value)}" for name, value in sorted(answer.headers.items()))
            yield f"{shape_of(answer.body)}"


def _header(name: str, value: str) -> str:
    return "(left out)" if name.endswith(("-id", "ray")) or name == "location" else value[:100]


def shape_of(body: bytes) -> str:
    """Return a JSON body with its texts and numbers replaced by their kinds, but for words that tell a status."""
    try:
        return json.dumps(_shape("", json.loads(body)))
    except (ValueError, RecursionError):
        return f"{len(body):,} bytes that are no JSON"


def _shape(key: str, value: object) -> object:
    match value:
        case dict():
            return {name: _shape(name, inner) for name, inner in value.items()}
        case list():
            return [_shape(key, value[0]), f"{len(value)} in all"] if value else []
        case str() if key in _SHOWN_KEYS and _WORD.fullmatch(value):
            return value
        case str() if value.startswith(("http://", "https://")):
            return f"<{redacted_url(value)}>"
        case str():
            return f"<text of {len(value)}>"
        case bool() | None:
            return value
        case _:
            return value if key in _SHOWN_KEYS else f"<{type(value).__name__}>"


def redacted_url(address: str) -> str:
    """Return where an address leads, without what makes it secret: path and values of the query."""
    try:
        url = urlsplit(address)
    except ValueError:
        return "an address that cannot be read"
    query = "&".join(f"{name}=..." for name, _ in parse_qsl(url.query, keep_blank_values=True))
    suffix = PurePosixPath(url.path).suffix[:8]
    return f"{url.scheme}://{url.hostname}/...{suffix}{'?' if query else ''}{query}"
