"""What a web backend tells browsers, for any framework: answers to errors, live events, and images.

Nothing here names a task, an address, a path or the key, nor what is the matter with our own account.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import signal
import threading
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from types import FrameType
from typing import Any, Self, TypeVar

import attrs

from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, JournalError, Kind, QuotaReached
from hunyuan_async.integrations._siblings import looks_for_siblings
from hunyuan_async.models import SavedImage
from hunyuan_async.store import Order, OrderChanges, public_error

T = TypeVar("T")
Message = MutableMapping[str, Any]  # of ASGI

STATUSES: Mapping[Kind, int] = {
    "invalid": 422,
    "rejected": 422,
    "refused": 422,
    "conflict": 409,
    "not_found": 404,
    "quota": 429,
    "credits": 503,
    "auth": 503,
    "service": 503,
    "not_sent": 503,
    "limited": 503,
    "task_failed": 502,
    "lost": 502,
    "expired": 502,
    "download": 502,
    "timed_out": 202,
    "unknown": 202,
}
EVENT_HEADERS: Mapping[str, str] = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-store, no-transform",
    "x-accel-buffering": "no",  # nginx would hold events back
}
LIMITED_FOR = 30.0  # seconds
RECONNECT_AFTER = 3000  # milliseconds

_TYPES = {".png": "image/png", ".jpg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"}
_CHANGE = re.compile(r"\s*(\d{1,18})\s*", re.ASCII)  # SQLite's numbers end beyond
_open: weakref.WeakSet[EventStream] = weakref.WeakSet()


@attrs.frozen
class HttpAnswer:
    """An answer to a browser.

    Attributes:
        status: The HTTP status.
        headers: What to send along.
        body: For JSON.
    """

    status: int
    headers: Mapping[str, str]
    body: Mapping[str, object]


def answer_to(error: HunyuanError, handle: str | None = None) -> HttpAnswer:
    """Return what a browser is told about *error*; *handle* names the order, if there is one that may still come.

    A journal that cannot be used is 503 like any other trouble of ours, whatever the kind of its error.
    """
    status = 503 if isinstance(error, JournalError) else STATUSES[error.kind]
    headers = {"cache-control": "no-store"}
    if isinstance(error, QuotaReached):
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after)))
    elif error.kind == "limited":
        headers["retry-after"] = f"{LIMITED_FOR:.0f}"
    body: dict[str, object] = {"error": public_error(error)}
    if status == 202 and handle:
        body["handle"] = handle
    return HttpAnswer(status, headers, body)


def media_type(file: SavedImage) -> str:
    """Return the type that the file's bytes had when it was saved; no browser is to guess."""
    return _TYPES.get(file.path.suffix, "application/octet-stream")


def image_headers(file: SavedImage) -> dict[str, str]:
    """Return the headers to serve a file with: its bytes never change, and are for its tenant alone."""
    return {
        "content-type": media_type(file),
        "content-disposition": f'inline; filename="image-{file.sha256[:16]}{file.path.suffix}"',
        "cache-control": "private, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
    }


def last_event_id(value: str | None) -> int | None:
    """Read a `Last-Event-ID` header, or the like, for `Store.follow`; None if it is missing or no number of ours."""
    found = _CHANGE.fullmatch(value or "")
    return int(found[1]) if found else None


class EventStream:
    """The changes of a tenant's orders as server-sent events: an async iterator of bytes, and an ASGI application.

    Each event is an `order`, and its `id` is the change, from which a browser goes on by itself when it connects again.
    Nothing is stored for a reader: who is slow gets the latest states alone, and who takes nothing for *patience*
    seconds is dropped, if the stream is sent by `send_to` or as an ASGI application.

    Args:
        changes: What `Store.follow` returns, not entered.
        heartbeat: Seconds without a change after which a comment is sent, so that no proxy ends the connection.
        patience: Seconds that a reader may take nothing.
        tell: Writes what an event says of an order, in one line; by default `Order.public` as JSON.
    """

    def __init__(
        self,
        changes: OrderChanges,
        *,
        heartbeat: float = 15.0,
        patience: float = 30.0,
        tell: Callable[[Order], str] = lambda order: json.dumps(order.public()),
    ) -> None:
        self._changes = changes
        self._tell = tell
        self._heartbeat = heartbeat
        self._patience = patience
        self._wait: asyncio.Timeout | None = None
        self._began = self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        try:
            if not self._ended and not self._began:
                return await self._begin()
            if not self._ended:
                return self._event(await self._within(self._heartbeat, anext(self._changes)))
        except TimeoutError:
            if not self._ended:
                return b": nothing new\n\n"
        except (StopAsyncIteration, JournalError):  # closed, or in trouble that is logged: the browser comes again
            pass
        await self.aclose()
        raise StopAsyncIteration

    async def send_to(self, write: Callable[[bytes], Awaitable[object]]) -> bool:
        """Write everything until the stream ends; return False if the reader was dropped."""
        try:
            async for part in self:
                await self._within(self._patience, write(part))
        except TimeoutError:
            return False
        finally:
            await self.aclose()
        return True

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: _Send) -> None:
        """Answer as an ASGI application, until the browser leaves or the stream ends."""

        async def write(part: bytes) -> None:
            await send({"type": "http.response.body", "body": part, "more_body": True})

        headers = [(name.encode(), value.encode()) for name, value in EVENT_HEADERS.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self.send_to(write))
        left = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((sending, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in (sending, left):
                one.cancel()
            await asyncio.wait((sending, left))
        if not sending.cancelled() and sending.result():
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def end(self) -> None:
        """Let the stream end at once, whatever it waits for; to be called on its loop."""
        self._ended = True
        if self._wait and not self._wait.expired():
            self._wait.reschedule(asyncio.get_running_loop().time())

    async def aclose(self) -> None:
        """Stop following."""
        self._ended = True
        _open.discard(self)
        await self._changes.aclose()

    async def _begin(self) -> bytes:
        self._began = True
        _open.add(self)
        await self._changes.__aenter__()
        # The number goes along, so that a browser that saw no event yet resumes from here, too.
        return f"retry: {RECONNECT_AFTER}\nid: {self._changes.after}\n\n".encode()

    def _event(self, order: Order) -> bytes:
        return f"id: {order.change}\nevent: order\ndata: {self._tell(order)}\n\n".encode()

    async def _within(self, seconds: float, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(seconds) as self._wait:
                return await work
        finally:
            self._wait = None


_Send = Callable[[Message], Awaitable[None]]


def end_streams() -> None:
    """Let every event stream of this process end: a server that stops waits for them."""
    for stream in list(_open):
        stream.end()


@asynccontextmanager
async def serving(open: Callable[[], AbstractAsyncContextManager[T]]) -> AsyncIterator[T]:
    """Hold what *open* opens, a `Client` or a `Store`, for as long as a server serves.

    A missing key is told of now rather than to the first browser. When the process is told to stop, event streams end.
    A plain `Client` warns once, in the log "hunyuan_async", if sibling processes of the server use the account, too.
    """
    async with open() as opened:
        if isinstance(opened, Client):
            opened.stream(())  # asks for the key, and does nothing else
            with looks_for_siblings(opened), _hears_of_the_end():
                yield opened
        else:
            with _hears_of_the_end():
                yield opened


@contextmanager
def _hears_of_the_end() -> Iterator[None]:
    """End the streams when the server's signal handlers are called: it tells the app after waiting for them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def hear(number: int, frame: FrameType | None) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(end_streams)
        handler = handlers[signal.Signals(number)]
        assert callable(handler)
        handler(number, frame)

    heard = [number for number, handler in handlers.items() if callable(handler)]
    for number in heard:
        signal.signal(number, hear)
    try:
        yield
    finally:
        for number in heard:
            if signal.getsignal(number) is hear:
                signal.signal(number, handlers[number])


async def _left(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
