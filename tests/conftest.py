"""What several floors of tests share."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import aiohttp
import aioresponses.core
import pytest
from aiohttp.client_proto import ResponseHandler
from aioresponses import aioresponses as mock_sessions
from hypothesis import settings

from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async.settings import API_IN_ONE, ApiKey, Limits, Timeouts

pytest_plugins = ["hunyuan_async.testing", "tests.e2e.browser"]

settings.register_profile("no clock", deadline=None)  # a deadline would assert wall time
settings.load_profile("no clock")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Run two tests for each core: half of the time they wait, for processes, pages and disks."""
    return 2 * (os.cpu_count() or 1)


Script = Callable[[asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]
MakeTransport = Callable[..., AiohttpTransport]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start servers that answer what a test says, byte by byte, and log what they received.

    `serve(a, b)` gives *a* to the first request and *b* to every later one; b"" closes the connection, and
    `end` ("stay", "close", "reset") says what follows the last answer. `greet=True` answers before anything
    was asked; `script` acts instead of answering. Without any of them, a request waits for ever.

    It returns the address and the log: each complete request, and what else came before a connection ended.
    """
    servers = []
    conversations: set[asyncio.Task[None]] = set()

    async def start(
        *answers: bytes,
        end: str = "stay",
        greet: bool = False,
        script: Script | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> tuple[str, asyncio.Queue[bytes]]:
        log: asyncio.Queue[bytes] = asyncio.Queue()
        left = list(answers)

        async def answer(writer: asyncio.StreamWriter) -> None:
            if script:
                await script(writer)
            elif left:
                last = len(left) == 1
                text = left[0] if last else left.pop(0)
                writer.write(text)
                await writer.drain()
                if last and end == "reset":
                    no_linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
                    writer.transport.abort()
                elif not text or (last and end == "close"):
                    writer.close()

        async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                if greet:
                    await answer(writer)
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    fields = dict(line.lower().split(b": ", 1) for line in head.splitlines()[1:-1])
                    log.put_nowait(head + await reader.readexactly(int(fields.get(b"content-length", 0))))
                    await answer(writer)
            except asyncio.IncompleteReadError as cut:
                log.put_nowait(cut.partial)
            except ConnectionError:
                log.put_nowait(b"")
            finally:
                writer.close()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            conversation = asyncio.create_task(converse(reader, writer))
            conversations.add(conversation)
            conversation.add_done_callback(conversations.discard)

        server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
        servers.append(server)
        scheme = "https" if tls else "http"
        return f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", log

    yield start
    for server in servers:
        server.close()
    for conversation in conversations:
        conversation.cancel()
    await asyncio.gather(*conversations, return_exceptions=True)


@pytest.fixture
async def make_transport() -> AsyncIterator[MakeTransport]:
    """Make aiohttp transports that are closed in the end."""
    made = []

    def make(base_url: str, *, submit: float = 5.0, poll: float = 5.0, proxy: str | None = None) -> AiohttpTransport:
        transport = AiohttpTransport(
            API_IN_ONE,
            ApiKey("aio_0123456789abcdef"),
            base_url=base_url,
            timeouts=Timeouts(submit=submit, poll=poll),
            limits=Limits(),
            proxy=proxy,
        )
        made.append(transport)
        return transport

    yield make
    for transport in made:
        await transport.aclose()


class _TodaysResponse(aiohttp.ClientResponse):
    """A response that takes what aioresponses 0.7.9 gives, and has what aiohttp 3.14 asks for."""

    def __init__(self, method: str, url: object, **options: object) -> None:
        options.setdefault("stream_writer", types.SimpleNamespace(output_size=0))
        super().__init__(method.upper(), url, **options)  # type: ignore[arg-type]


@pytest.fixture
def mocked_http(monkeypatch: pytest.MonkeyPatch) -> Iterator[mock_sessions]:
    """Answer aiohttp's requests without a network, by an aioresponses made fit for aiohttp 3.14.

    No trace hook, timeout, redirect or middleware runs there. `test_aioresponses_still_needs_help` says when
    this can be `aioresponses()` alone again.
    """

    def body_stream(loop: asyncio.AbstractEventLoop | None = None) -> aiohttp.StreamReader:
        loop = loop or asyncio.get_running_loop()
        # Flow control of long bodies needs a protocol that can pause.
        return aiohttp.StreamReader(ResponseHandler(loop), limit=2**30, loop=loop)

    monkeypatch.setattr(aioresponses.core, "ClientResponse", _TodaysResponse)
    monkeypatch.setattr(aioresponses.core, "stream_reader_factory", body_stream)
    with mock_sessions() as mocked:
        yield mocked
