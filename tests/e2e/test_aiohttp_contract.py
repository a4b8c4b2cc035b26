"""What we take for granted in aiohttp and its documentation does not promise; no code of ours takes part.

`.ci/run` runs this with the oldest version that we allow, too. If one of these fails, submits must not be sent.
"""

from __future__ import annotations

import asyncio
import socket
import zlib
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import pytest
from aiohttp import (
    AddrInfoType,
    ClientConnectorError,
    ClientError,
    ClientHandlerType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    ServerDisconnectedError,
    TCPConnector,
    TraceConfig,
    TraceRequestHeadersSentParams,
)

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Stop(Exception):
    """Raised by a hook, and no error of aiohttp's."""


def hooked(hook: Callable[[object], Awaitable[None]]) -> ClientSession:
    """A session that awaits a hook, with the request's own context, where the headers are about to be sent."""

    async def run(session: ClientSession, context: SimpleNamespace, params: TraceRequestHeadersSentParams) -> None:
        await hook(context.trace_request_ctx)

    traces = TraceConfig()
    traces.on_request_headers_sent.append(run)
    return ClientSession(connector=TCPConnector(force_close=True, limit=0), trace_configs=[traces])


async def test_the_hook_is_awaited_between_connecting_and_the_first_byte(serve: Serve) -> None:
    """The server has the connection, and nothing on it, for as long as the hook waits; then all of it comes."""
    url, log = await serve(OK)
    connected, go = asyncio.Event(), asyncio.Event()

    async def hook(context: object) -> None:
        assert context == "ours"
        connected.set()
        await go.wait()

    async with hooked(hook) as session:
        posting = asyncio.create_task(session.post(url, data=b"paid", trace_request_ctx="ours"))
        await connected.wait()
        for _ in range(50):
            await asyncio.sleep(0)
        assert log.empty()
        go.set()
        async with await posting as response:
            assert response.status == 200
    assert (await log.get()).endswith(b"\r\n\r\npaid")


@pytest.mark.parametrize("end", ["raise", "cancel"])
async def test_a_hook_that_does_not_return_sends_nothing(serve: Serve, end: str) -> None:
    """Neither head nor body, and the connection is not used for anything else."""
    url, log = await serve(OK)
    waiting = asyncio.Event()

    async def hook(context: object) -> None:
        if end == "raise":
            raise Stop
        waiting.set()
        await asyncio.Event().wait()

    async with hooked(hook) as session:
        posting = asyncio.create_task(session.post(url, data=b"paid"))
        if end == "cancel":
            await waiting.wait()
            posting.cancel()
        with pytest.raises((Stop, asyncio.CancelledError)):
            await posting
    assert await log.get() == b""


async def test_a_post_is_never_repeated(serve: Serve) -> None:
    """Not after the connection is dropped, and not after a redirect; each has a connection of its own."""
    url, log = await serve(b"", end="close")

    async def hook(context: object) -> None: ...

    async with hooked(hook) as session:
        with pytest.raises(ServerDisconnectedError):
            await session.post(url, data=b"paid")
        there, redirects = await serve(b"HTTP/1.1 307 Go\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n")
        for _ in range(2):
            async with session.post(there, data=b"paid", allow_redirects=False) as response:
                assert response.status == 307
    received = [log.get_nowait() for _ in range(log.qsize())] + [
        redirects.get_nowait() for _ in range(redirects.qsize())
    ]
    assert len([request for request in received if request]) == 3


async def test_an_error_of_a_middleware_keeps_a_get_from_being_repeated(serve: Serve) -> None:
    """Without it, aiohttp sends a GET again whose connection was dropped."""
    url, log = await serve(b"", end="close")

    async def never(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        try:
            return await handler(request)
        except ServerDisconnectedError:
            raise ClientError from None

    async with ClientSession(middlewares=[never]) as session:
        with pytest.raises(ClientError):
            await session.get(url)
    received = [log.get_nowait() for _ in range(log.qsize())]
    assert len([request for request in received if request]) == 1


async def test_every_connection_asks_the_socket_factory_with_what_was_resolved(serve: Serve) -> None:
    """Its refusal comes out as the cause, for names and literals alike, and nothing connects."""
    url, log = await serve(OK, greet=True)
    asked: list[object] = []

    def refuse(info: AddrInfoType) -> socket.socket:
        asked.append(info[4][0])
        raise PermissionError("no")

    async with ClientSession(connector=TCPConnector(socket_factory=refuse)) as session:
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(ClientConnectorError) as caught:
                await session.get(url.replace("127.0.0.1", host))
            assert isinstance(caught.value.os_error, PermissionError)
    assert {*asked} <= {"127.0.0.1", "::1"}
    assert log.empty()


async def test_a_body_is_inflated_piece_by_piece(serve: Serve) -> None:
    """Of 64 MiB in a few bytes, no chunk is larger than a few: a cap can act before they are all there."""
    packed = zlib.compress(bytes(2**26), 9)
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nContent-Length: {len(packed)}\r\n\r\n"
    url, _ = await serve(head.encode() + packed)
    async with ClientSession() as session, session.get(url) as response:
        chunk = await anext(response.content.iter_any().__aiter__())
    assert 0 < len(chunk) <= 2**22


async def test_a_jar_that_keeps_nothing_sends_nothing(serve: Serve) -> None:
    """Cookies of one answer are not in the next request."""
    url, log = await serve(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"))
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        for _ in range(2):
            async with session.get(url.replace("127.0.0.1", "localhost")) as response:
                await response.read()
    assert all(b"Cookie" not in log.get_nowait() for _ in range(2))
