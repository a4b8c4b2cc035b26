"""The free GET, over real sockets: one request a call, and no answer that breaks it."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable

import pytest

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._http.transport import AiohttpTransport

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]
MakeTransport = Callable[..., AiohttpTransport]

ELSEWHERE = "https://example.com/"


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


async def test_polls_share_a_connection_and_carry_the_key(serve: Serve, make_transport: MakeTransport) -> None:
    """The second look needs no second connection; the id is made fit for a path."""
    url, log = await serve(http(b"one"), http(b"two", "X-Request-Id: 7"))
    transport = make_transport(f"{url}/v1")
    assert await transport.poll("n1") == Reply(200, b"one")
    assert await transport.poll("a/../b?c#d%") == Reply(200, b"two", {"x-request-id": "7"})
    first, second = log.get_nowait(), log.get_nowait()
    assert log.empty(), "a connection has ended"
    assert first.startswith(b"GET /v1/tasks/n1 HTTP/1.1\r\n")
    assert second.startswith(b"GET /v1/tasks/a%2F..%2Fb%3Fc%23d%25 HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer aio_0123456789abcdef\r\n" in second


async def test_a_dropped_connection_is_told_and_not_repeated(serve: Serve, make_transport: MakeTransport) -> None:
    """The GET that aiohttp would send once more by itself is one that the pacer would not know of."""
    url, log = await serve(http(b"one"), b"", http(b"three"))
    transport = make_transport(url)
    assert await transport.poll("n1") == Reply(200, b"one")
    assert await transport.poll("n2") == NoReply("the server closed the connection before it answered", sent=True)
    assert await transport.poll("n3") == Reply(200, b"three")
    received = [log.get_nowait() for _ in range(log.qsize())]
    assert [request[:13] for request in received if request] == [b"GET /tasks/n1", b"GET /tasks/n2", b"GET /tasks/n3"]


@pytest.mark.parametrize(
    ("answer", "end", "expected"),
    [
        (http(b"<html>", status="502 Bad Gateway"), "stay", Reply(502, b"<html>")),
        (http(b"", f"Location: {ELSEWHERE}", status="302 Go"), "stay", Reply(302, headers={"location": ELSEWHERE})),
        (http(b"x" * (2**20 + 1)), "stay", Reply(200, b"x" * 2**20, complete=False)),
        (http(gzip.compress(bytes(2**25)), "Content-Encoding: gzip"), "stay", Reply(200, bytes(2**20), complete=False)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "close", Reply(200, b"half", complete=False)),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", "stay", Reply(200, b"half", complete=False)),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "stay", NoReply("no answer in time", sent=True)),
        (b"nonsense\r\n\r\n", "stay", NoReply("the answer was not valid HTTP", sent=True)),
    ],
)
async def test_every_answer_is_told_as_it_is(
    serve: Serve, make_transport: MakeTransport, answer: bytes, end: str, expected: Reply | NoReply
) -> None:
    """No answer, however odd or late, is an exception; bodies are capped after decompression."""
    url, _ = await serve(answer, end=end)
    async with asyncio.timeout(4):
        assert await make_transport(url, poll=0.5).poll("n1") == expected


async def test_a_kept_connection_is_closed_with_the_transport(serve: Serve, make_transport: MakeTransport) -> None:
    """The server sees its end."""
    url, log = await serve(http(b"one"))
    transport = make_transport(url)
    await transport.poll("n1")
    await transport.aclose()
    assert (await log.get())[:3] == b"GET"
    assert await log.get() == b""
