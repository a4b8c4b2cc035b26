"""Faults below HTTP: connections that end or stall, and answers that break the protocol.

They are done to the connection itself, because a server that keeps to HTTP cannot do them.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import cast

from hunyuan_async.emulator._faults.kinds import REQUESTS, ConnectionKind, Reply, RequestKind, Scene

Ending = Callable[[Scene], Awaitable[None]]
READING_TIME = 0.05  # seconds for the other side to read what came before a reset, which may discard it
NO_LINGER = struct.pack("ii", 1, 0)
BREATH = 0.001  # seconds between chunks of an endless answer: other requests want to be served as well
LONG_HEADER = 100_000  # bytes
SAID_TOO_MUCH = 10  # bytes that are announced and never sent
REFUSED = "refused"
CHUNK = b"10000\r\n" + b" " * 0x10000 + b"\r\n"


class _Trap(asyncio.Protocol):
    """Ends a connection as soon as anything more arrives on it."""

    def __init__(self, scene: Scene) -> None:
        self._transport, self._before = scene.transport, cast("asyncio.Protocol", scene.transport.get_protocol())

    def data_received(self, data: bytes) -> None:
        reset(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._before.connection_lost(exc)


def reset(transport: asyncio.Transport) -> None:
    """End a connection by RST."""
    # Options belong to the connection, and not every event loop lets its own socket be told.
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    transport.abort()


async def _reset(scene: Scene) -> None:
    reset(scene.transport)


async def _reset_when_read(scene: Scene) -> None:
    await asyncio.sleep(READING_TIME)
    reset(scene.transport)


async def _close(scene: Scene) -> None:
    scene.transport.close()


async def _close_unread(scene: Scene) -> None:
    """Close with FIN: a mere close with data unread would send RST."""
    if not scene.transport.can_write_eof():
        return scene.transport.close()
    scene.transport.write_eof()
    await _stay(scene)


async def _close_idle(scene: Scene) -> None:
    await asyncio.sleep(scene.seconds)
    scene.transport.close()


async def _race(scene: Scene) -> None:
    scene.transport.set_protocol(_Trap(scene))
    await _stay(scene)


async def _stay(scene: Scene) -> None:
    """Wait until the other side leaves or the emulator closes: either cancels this."""
    await asyncio.Event().wait()


async def _never_end(scene: Scene) -> None:
    while not scene.transport.is_closing():
        if scene.transport.get_write_buffer_size() < len(CHUNK):
            scene.transport.write(CHUNK)
        await asyncio.sleep(BREATH)


def _head(reply: Reply, *extra: str) -> bytes:
    """The status line and the headers, without any about the length but those in *extra*."""
    fields = [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([f"HTTP/1.1 {reply.status} OK", *fields, *extra, "", ""]).encode()


def _length(reply: Reply, *, more: int = 0) -> str:
    return f"Content-Length: {len(reply.body) + more}"


def _whole(reply: Reply, *extra: str, more: int = 0) -> bytes:
    return _head(reply, _length(reply, more=more), *extra) + reply.body


def _half(text: bytes) -> bytes:
    return text[: len(text) // 2]


def _half_body(reply: Reply) -> bytes:
    return _whole(reply)[: -len(reply.body) // 2]


def _half_chunks(reply: Reply) -> bytes:
    return _head(reply, "Transfer-Encoding: chunked") + f"{len(reply.body):x}\r\n".encode() + _half(reply.body)


def _huge(reply: Reply) -> bytes:
    return _head(reply, f"Content-Length: {10**12}")


def _writing(word: str, means: str, text: Callable[[Reply], bytes], end: Ending) -> RequestKind:
    async def act(scene: Scene) -> None:
        scene.transport.write(text(scene.honest))
        await end(scene)

    return RequestKind(word, means, REQUESTS, "done", act)


def _trickling(word: str, means: str, at_once: Callable[[Reply], bytes]) -> RequestKind:
    async def act(scene: Scene) -> None:
        text, sent = _whole(scene.honest), len(at_once(scene.honest))
        scene.transport.write(text[:sent])
        for i in range(sent, len(text)):
            await asyncio.sleep(scene.seconds)
            scene.transport.write(text[i : i + 1])
        scene.transport.close()

    return RequestKind(word, means, REQUESTS, "done", act)


WIRE = (
    RequestKind("reset-before-body", "reset when the head has come, the body unread", REQUESTS, "unread", _reset),
    RequestKind(
        "close-before-body", "closed when the head has come, the body unread", REQUESTS, "unread", _close_unread
    ),
    _writing("reset-after-body", "reset instead of an answer", lambda reply: b"", _reset),
    _writing("close-after-body", "closed instead of an answer", lambda reply: b"", _close),
    _writing("silence", "no answer ever", lambda reply: b"", _stay),
    _trickling("trickle", "one byte each *seconds*, from the first on", lambda reply: b""),
    _trickling("trickle-body", "the head, then one byte each *seconds*", lambda reply: _head(reply, _length(reply))),
    _writing("half-head", "half of the head, then closed", lambda reply: _half(_head(reply, _length(reply))), _close),
    _writing("half-body", "half of the body, then closed", _half_body, _close),
    _writing("half-body-reset", "half of the body, then reset", _half_body, _reset_when_read),
    _writing("half-chunk", "half of a chunk, then closed", _half_chunks, _close),
    _writing(
        "length-too-long",
        "a Content-Length of 10 bytes more than ever come",
        lambda reply: _whole(reply, more=SAID_TOO_MUCH),
        _stay,
    ),
    _writing(
        "length-too-short",
        "a Content-Length of 10 bytes less than come",
        lambda reply: _whole(reply, more=-SAID_TOO_MUCH),
        _close,
    ),
    _writing(
        "two-lengths",
        "two Content-Length headers that differ",
        lambda reply: _whole(reply, "Content-Length: 1"),
        _close,
    ),
    _writing("garbage-head", "a status line that is none", lambda reply: b"ICY 2OO FINE\r\n\r\n" + reply.body, _close),
    _writing("long-header", "a header of 100 kB", lambda reply: _whole(reply, f"X-Long: {'x' * LONG_HEADER}"), _close),
    _writing(
        "endless-body", "chunks without an end", lambda reply: _head(reply, "Transfer-Encoding: chunked"), _never_end
    ),
    _writing("huge-length", "a Content-Length of 1 TB, and bytes without an end", _huge, _never_end),
    _writing("idle-close", "the whole answer, and the connection closed after *seconds* of rest", _whole, _close_idle),
    _writing("keep-alive-race", "the whole answer, and a reset as soon as the next request comes", _whole, _race),
)
"""Everything here but the first two is carried out first: the answer alone is lost."""


def _on_connecting(word: str, means: str, act: Callable[[socket.socket], bool]) -> ConnectionKind:
    return ConnectionKind(word, means, ("connect",), "unread", act)


def _reset_at_once(connection: socket.socket) -> bool:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    return False


def _answer_unasked(connection: socket.socket) -> bool:
    connection.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    return True


CONNECTIONS = (
    _on_connecting(REFUSED, "nobody listens for *seconds*; one that came just before is reset", _reset_at_once),
    _on_connecting("accept-reset", "reset when it is accepted", _reset_at_once),
    _on_connecting("accept-close", "closed when it is accepted", lambda connection: False),
    _on_connecting("accept-silence", "accepted, and never read: under TLS no handshake", lambda connection: True),
    _on_connecting("accept-plain", "a plain 400 before anything is asked, under TLS too", _answer_unasked),
)
"""Here nothing was read yet."""
