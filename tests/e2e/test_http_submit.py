"""The paid POST, over real sockets: sent once, and its answer told as it is."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async.models import ImageRequest

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]
MakeTransport = Callable[..., AiohttpTransport]

FOX = ImageRequest("a fox")
ACCEPTED = b'{"code": 200, "data": {"task_id": "n1"}}'
LONGER = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + ACCEPTED
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n5\r\nc"
TWO_LENGTHS = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"
BOMB = gzip.compress(bytes(2**25))
CLOSED = NoReply("the server closed the connection before it answered", sent=True)
GARBLED = NoReply("the answer was not valid HTTP", sent=True)


def http(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return a whole answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


def requests_in(log: asyncio.Queue[bytes]) -> list[bytes]:
    """Return the requests that a server has received so far."""
    return [received for received in (log.get_nowait() for _ in range(log.qsize())) if received]


async def agree() -> None:
    """Let the request go."""


async def test_a_submit_is_one_post_with_the_key_on_a_connection_of_its_own(
    serve: Serve, make_transport: MakeTransport
) -> None:
    """The request carries key, type and body; the reply comes back with the headers that matter."""
    url, log = await serve(http("200 OK", ACCEPTED, "Retry-After: 3", "Set-Cookie: a=b", "X-RateLimit-Left: 9"))
    transport = make_transport(f"{url}/v1/")
    for _ in range(2):
        reply = await transport.submit(FOX, agree)
        assert reply == Reply(200, ACCEPTED, {"retry-after": "3", "x-ratelimit-left": "9"})
    requests = requests_in(log)
    assert len(requests) == 2
    for request in requests:
        head, body = request.decode().split("\r\n\r\n")
        first, *fields = head.split("\r\n")
        assert first == "POST /v1/images/generations HTTP/1.1"
        assert {"Authorization: Bearer aio_0123456789abcdef", "Content-Type: application/json"} <= set(fields)
        assert {"Accept-Encoding: identity", "Connection: close"} <= set(fields)
        assert '"a fox"' in body


@pytest.mark.parametrize(
    ("answer", "end", "expected"),
    [
        (b"", "close", CLOSED),
        (b"", "reset", NoReply("connection reset by peer", sent=True)),
        (b"HTTP/1.1 200 OK\r\nContent-", "close", CLOSED),
        (b"SSH-2.0-OpenSSH_9.7\r\n\r\n", "stay", GARBLED),
        (TWO_LENGTHS, "stay", GARBLED),
        (
            http("200 OK", b"<html>", "Content-Type: text/html"),
            "stay",
            Reply(200, b"<html>", {"content-type": "text/html"}),
        ),
        (http("204 No Content"), "stay", Reply(204)),
        (http("503 Busy", b"later"), "stay", Reply(503, b"later")),
        (LONGER, "close", Reply(200, ACCEPTED, complete=False)),
        (LONGER, "reset", Reply(200, ACCEPTED, complete=False)),
        (CHUNKED, "close", Reply(200, b"abc", complete=False)),
        (http("200 OK", gzip.compress(ACCEPTED), "Content-Encoding: gzip"), "stay", Reply(200, ACCEPTED)),
        (http("200 OK", BOMB, "Content-Encoding: gzip"), "stay", Reply(200, bytes(2**16), complete=False)),
        (http("200 OK", b"no gzip", "Content-Encoding: gzip"), "stay", Reply(200, complete=False)),
        (http("200 OK", b"x" * 100_000), "stay", Reply(200, b"x" * 2**16, complete=False)),
        (
            http("307 Go", b"", "Location: /images/generations"),
            "stay",
            Reply(307, headers={"location": "/images/generations"}),
        ),
    ],
)
async def test_every_answer_is_told_as_it_is(
    serve: Serve, make_transport: MakeTransport, answer: bytes, end: str, expected: Reply | NoReply
) -> None:
    """Past the hook a failure is a doubt, a cut body is kept as far as it came, and nothing is sent twice."""
    url, log = await serve(answer, end=end)
    assert await make_transport(url).submit(FOX, agree) == expected
    assert len(requests_in(log)) == 1


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_connection_dropped_at_once_may_have_taken_the_post(
    serve: Serve, make_transport: MakeTransport, end: str
) -> None:
    """The hook has run, so it is a doubt, although this server read nothing."""
    url, _ = await serve(b"", end=end, greet=True)
    reply = await make_transport(url).submit(FOX, agree)
    assert isinstance(reply, NoReply)
    assert reply.sent
    assert not reply.permanent


async def test_no_answer_in_time_is_a_doubt(serve: Serve, make_transport: MakeTransport) -> None:
    """The watchdog ends the wait for a server that never answers."""
    url, _ = await serve()
    assert await make_transport(url, submit=0.1).submit(FOX, agree) == NoReply("no answer within 0.1 s", sent=True)


async def test_a_body_that_stops_coming_is_kept_as_far_as_it_came(serve: Serve, make_transport: MakeTransport) -> None:
    """The watchdog keeps what may hold a task id."""
    url, _ = await serve(LONGER)
    assert await make_transport(url, submit=0.3).submit(FOX, agree) == Reply(200, ACCEPTED, complete=False)


async def test_an_answer_that_arrived_while_the_loop_was_blocked_is_kept(make_transport: MakeTransport) -> None:
    """Deadline and answer come while nothing can run, the answer in the very turn of the deadline: it wins."""
    listener = socket.create_server(("127.0.0.1", 0))
    received, answer, answered = threading.Event(), threading.Event(), threading.Event()

    def serve_once() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            received.set()
            answer.wait()
            connection.sendall(http("200 OK", ACCEPTED))
            answered.set()
            connection.recv(1)

    def block_until_answered() -> None:
        answer.set()
        answered.wait()

    server = threading.Thread(target=serve_once)
    server.start()
    transport = make_transport(f"http://127.0.0.1:{listener.getsockname()[1]}", submit=0.5)
    submitting = asyncio.create_task(transport.submit(FOX, agree))
    await asyncio.to_thread(received.wait)
    asyncio.get_running_loop().call_later(0.5, block_until_answered)  # next after the watchdog
    time.sleep(0.6)  # noqa: ASYNC251 - until both are due
    assert await submitting == Reply(200, ACCEPTED)
    await asyncio.to_thread(server.join)
    listener.close()


async def test_a_cancel_ends_the_exchange(serve: Serve, make_transport: MakeTransport) -> None:
    """Whether to cancel a POST is the caller's decision; no connection stays behind."""
    url, log = await serve()
    submitting = asyncio.create_task(make_transport(url).submit(FOX, agree))
    assert b"a fox" in await log.get()
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert await log.get() == b""


async def test_proxies_of_the_environment_are_ignored(
    serve: Serve, make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy variable would send the key another way than the caller's."""
    url, _ = await serve(http("200 OK", ACCEPTED))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await make_transport(url).submit(FOX, agree) == Reply(200, ACCEPTED)


async def test_a_closed_transport_sends_nothing(serve: Serve, make_transport: MakeTransport) -> None:
    """Closing twice is no error, and neither is closing an unused one."""
    url, log = await serve()
    transport = make_transport(url)
    await transport.aclose()
    await transport.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await transport.submit(FOX, agree)
    assert log.empty()
