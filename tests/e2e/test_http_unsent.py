"""The proof that a paid POST was not sent: before the hook returns, no byte leaves, whatever goes wrong."""

from __future__ import annotations

import asyncio
import gc
import random
import socket
import ssl
from collections.abc import Awaitable, Callable

import anyio
import pytest

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async.models import ImageRequest

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]
MakeTransport = Callable[..., AiohttpTransport]

FOX = ImageRequest("a fox")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"


class Hook:
    """A `before_send` that remembers how far it came."""

    def __init__(self, refusal: BaseException | None = None) -> None:
        self.called = False
        self.returned = False
        self._refusal = refusal

    async def __call__(self) -> None:
        """Let others run, then refuse or return."""
        self.called = True
        await asyncio.sleep(0)
        if self._refusal:
            raise self._refusal
        self.returned = True


@pytest.mark.parametrize(
    "refusal", [LookupError("journal"), OSError(28, "No space left"), TimeoutError(), asyncio.CancelledError()]
)
async def test_what_the_hook_raises_comes_out_and_no_byte_leaves(
    serve: Serve, make_transport: MakeTransport, refusal: BaseException
) -> None:
    """The very exception is raised, though aiohttp wraps some of them, and the server saw an empty connection."""
    url, log = await serve()
    with pytest.raises(type(refusal)) as caught:
        await make_transport(url).submit(FOX, Hook(refusal))
    assert caught.value is refusal
    assert await log.get() == b""


@pytest.mark.parametrize("cancel_scope", [True, False])
async def test_a_cancel_while_the_hook_waits_sends_nothing(
    serve: Serve, make_transport: MakeTransport, cancel_scope: bool
) -> None:
    """A caller who gives up before the hook has returned has bought nothing, and leaves no hook behind."""
    url, log = await serve()
    waiting, ended = asyncio.Event(), asyncio.Event()

    async def before_send() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            ended.set()

    scope = anyio.CancelScope()

    async def submit() -> None:
        with scope:
            await make_transport(url).submit(FOX, before_send)

    submitting = asyncio.create_task(submit())
    await waiting.wait()
    if cancel_scope:
        scope.cancel()
    else:
        submitting.cancel()
    await asyncio.wait([submitting])
    assert ended.is_set()
    assert submitting.cancelled() != cancel_scope
    assert await log.get() == b""


async def test_a_hook_that_fails_while_it_is_cancelled_is_not_reported_as_lost(
    serve: Serve, make_transport: MakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    """The caller's cancel wins, and asyncio logs no exception that was never retrieved."""
    url, _ = await serve()
    waiting = asyncio.Event()

    async def before_send() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError("journal") from None

    submitting = asyncio.create_task(make_transport(url).submit(FOX, before_send))
    await waiting.wait()
    submitting.cancel()
    await asyncio.wait([submitting])
    assert submitting.cancelled()
    del submitting
    gc.collect()
    assert not caplog.records


async def test_a_deadline_while_the_hook_waits_sends_nothing(serve: Serve, make_transport: MakeTransport) -> None:
    """The watchdog's own cancel is told as an answer that did not come, not as the caller's cancel."""
    url, log = await serve()

    async def before_send() -> None:
        await asyncio.Event().wait()

    reply = await make_transport(url, submit=0.05).submit(FOX, before_send)
    assert reply == NoReply("no answer within 0.05 s", sent=False)
    assert await log.get() == b""


async def test_a_refused_connection_never_reaches_the_hook(make_transport: MakeTransport) -> None:
    """Nobody listens: nothing is marked as sent, and it may be tried again."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    hook = Hook()
    assert await make_transport(f"http://127.0.0.1:{port}").submit(FOX, hook) == NoReply(
        "connection refused", sent=False
    )
    assert not hook.called


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("nonexistent.invalid", NoReply("the name could not be resolved", sent=False)),
        ("a..b", NoReply("the address is not valid", sent=False, permanent=True)),
    ],
)
async def test_a_name_that_leads_nowhere_never_reaches_the_hook(
    make_transport: MakeTransport, host: str, expected: NoReply
) -> None:
    """An unresolved name may come back; one that cannot be a name may not."""
    hook = Hook()
    assert await make_transport(f"https://{host}").submit(FOX, hook) == expected
    assert not hook.called


async def test_a_certificate_nobody_vouches_for_is_permanent(
    serve: Serve, make_transport: MakeTransport, self_signed: ssl.SSLContext
) -> None:
    """Trying again cannot help, and neither key nor prompt was shown to the stranger."""
    url, _ = await serve(tls=self_signed)
    hook = Hook()
    assert await make_transport(url).submit(FOX, hook) == NoReply(
        "the server's certificate is not accepted: self-signed certificate", sent=False, permanent=True
    )
    assert not hook.called


@pytest.mark.parametrize(("greeting", "permanent"), [(BAD_GATEWAY, True), (b"", False)])
async def test_no_tls_is_permanent_and_a_handshake_cut_off_is_not(
    serve: Serve, make_transport: MakeTransport, greeting: bytes, permanent: bool
) -> None:
    """Plain text on a TLS port is a mistake in the address; a handshake cut short may be a restart."""
    url, _ = await serve(greeting, end="close", greet=True)
    hook = Hook()
    reply = await make_transport(url.replace("http:", "https:")).submit(FOX, hook)
    assert isinstance(reply, NoReply)
    assert (reply.sent, reply.permanent, hook.called) == (False, permanent, False)


@pytest.mark.parametrize(
    ("answer", "end", "reason"),
    [
        (BAD_GATEWAY, "stay", "the proxy answered with HTTP 502"),
        (b"", "close", "the server closed the connection before it answered"),
        (b"", "reset", "connection reset by peer"),
    ],
)
async def test_a_proxy_that_gives_no_tunnel_never_reaches_the_hook(
    serve: Serve, make_transport: MakeTransport, answer: bytes, end: str, reason: str
) -> None:
    """Two of these errors are of classes that mean doubt elsewhere; the hook knows better."""
    proxy, log = await serve(answer, end=end)
    reply = await make_transport("https://service.invalid", proxy=proxy).submit(FOX, Hook())
    assert reply == NoReply(reason, sent=False)
    assert b"aio_" not in log.get_nowait()


async def test_a_proxy_that_is_not_there_never_reaches_the_hook(make_transport: MakeTransport) -> None:
    """The reason says that it is the proxy which cannot be reached."""
    reply = await make_transport("https://service.invalid", proxy="http://127.0.0.1:1").submit(FOX, Hook())
    assert reply == NoReply("no connection to the proxy: connection refused", sent=False)


@pytest.mark.parametrize("seed", range(3))
async def test_the_proof_is_never_wrong(serve: Serve, make_transport: MakeTransport, seed: int) -> None:
    """Of many POSTs cancelled or timed out at random, the server received none that was told as not sent."""
    dice = random.Random(seed)

    async def answer(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(dice.random() * 0.003)
        writer.write(OK)

    url, log = await serve(script=answer)
    transports = [make_transport(url, submit=seconds) for seconds in (0.002, 0.004, 0.008, 5.0, 5.0)]
    unsent: set[bytes] = set()
    answered: set[bytes] = set()

    async def attempt(number: int) -> None:
        name = f"<{seed}.{number}>"
        hook = Hook()
        submitting = asyncio.create_task(dice.choice(transports).submit(ImageRequest(name), hook))
        turns = dice.randrange(60) if number % 4 else 10_000
        while turns and not submitting.done():
            turns -= 1
            await asyncio.sleep(0)
        submitting.cancel()
        await asyncio.wait([submitting])
        reply = None if submitting.cancelled() else submitting.result()
        if isinstance(reply, Reply):
            answered.add(name.encode())
        elif not (reply.sent if reply else hook.returned):
            unsent.add(name.encode())

    for first in range(0, 200, 5):
        await asyncio.gather(*(attempt(number) for number in range(first, first + 5)))
    received = b"".join(log.get_nowait() for _ in range(log.qsize()))
    assert unsent
    assert answered
    assert not [name for name in unsent if name in received]
