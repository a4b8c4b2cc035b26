"""Downloads, over real sockets: from where, how much, how fast, and with what they may come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from hunyuan_async._core.replies import Fetched, NoReply
from hunyuan_async._http.fetch import Fetcher, SpeedFloor
from hunyuan_async._http.transport import AiohttpTransport

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]
MakeTransport = Callable[..., AiohttpTransport]
MakeFetcher = Callable[..., Fetcher]

PRIVATE = NoReply("its address is private", sent=False, permanent=True)
NOT_HTTPS = NoReply("its address is not https", sent=False, permanent=True)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return a whole answer."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers])
    return f"{head}\r\n\r\n".encode() + body


def redirect(target: str, status: str = "302 Found") -> bytes:
    """Return an answer that points to *target*."""
    return http(b"", f"Location: {target}", status=status)


@pytest.fixture
async def make_fetcher() -> AsyncIterator[MakeFetcher]:
    """Make fetchers that are closed in the end."""
    made = []

    def make(
        *,
        local_api: bool = True,
        timeout: float = 5.0,
        proxy: str | None = None,
        largest_image: int = 2**20,
        stall_seconds: float = 5.0,
    ) -> Fetcher:
        fetcher = Fetcher(
            local_api=local_api,
            timeout=timeout,
            connections=8,
            proxy=proxy,
            largest_image=largest_image,
            stall_seconds=stall_seconds,
        )
        made.append(fetcher)
        return fetcher

    yield make
    for fetcher in made:
        await fetcher.aclose()


async def test_an_image_is_streamed_without_the_key(serve: Serve, make_transport: MakeTransport) -> None:
    """The image host gets the address, character by character, and nothing that is the API's."""
    url, log = await serve(http(b"x" * 300_000, "Set-Cookie: a=b"), http(b""))
    url = url.replace("127.0.0.1", "localhost")  # cookies are kept for names alone
    transport = make_transport(url)
    chunks: list[bytes] = []
    signed = "/a%2Fb%7E?sign=%41%2b+%3d;1"
    assert await transport.fetch(url + signed, chunks.append) == Fetched(200, 300_000)
    await transport.fetch(url + signed, chunks.append)
    assert b"".join(chunks) == b"x" * 300_000
    for request in (log.get_nowait(), log.get_nowait()):
        assert request.startswith(f"GET {signed} HTTP/1.1\r\n".encode())
        assert b"aio_" not in request
        assert b"Cookie" not in request
        assert b"Accept-Encoding: identity\r\n" in request


@pytest.mark.parametrize("status", [204, 206, 304, 403, 404, 410, 500])
async def test_bytes_are_handed_over_for_a_200_alone(serve: Serve, make_fetcher: MakeFetcher, status: int) -> None:
    """An error page never reaches the file."""
    url, _ = await serve(http(b"" if status in {204, 304} else b"gone", status=f"{status} Sorry"))
    chunks: list[bytes] = []
    assert await make_fetcher().fetch(url, chunks.append) == Fetched(status)
    assert not chunks


async def test_a_host_may_say_when_to_come_back(serve: Serve, make_fetcher: MakeFetcher) -> None:
    """In seconds, or as a date by its own clock."""
    clock = "Date: Sun, 22 Nov 2026 12:00:00 GMT\r\nRetry-After: Sun, 22 Nov 2026 12:00:09 GMT"
    for headers, wish in (("Retry-After: 7", 7.0), (clock, 9.0), ("Retry-After: soon", None)):
        url, _ = await serve(f"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n{headers}\r\n\r\n".encode())
        assert await make_fetcher().fetch(url, len) == Fetched(429, retry_after=wish)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"",
    ],
)
async def test_a_cut_download_may_be_tried_again(serve: Serve, make_fetcher: MakeFetcher, answer: bytes) -> None:
    """Fewer bytes than announced are no image."""
    url, _ = await serve(answer, end="close")
    seen = await make_fetcher().fetch(url, len)
    assert isinstance(seen, NoReply)
    assert not seen.permanent


async def test_an_endless_image_is_cut_at_the_cap(serve: Serve, make_fetcher: MakeFetcher) -> None:
    """No more than the cap reaches the file."""
    url, _ = await serve(http(b"x" * 500_000))
    chunks: list[bytes] = []
    assert await make_fetcher(largest_image=100_000).fetch(url, chunks.append) == NoReply(
        "it is larger than 100,000 bytes", sent=True, permanent=True
    )
    assert len(b"".join(chunks)) <= 100_000


async def test_a_download_that_stands_still_ends(serve: Serve, make_fetcher: MakeFetcher) -> None:
    """The time for one image bounds all of it, with its redirects."""
    url, _ = await serve(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    async with asyncio.timeout(4):
        seen = await make_fetcher(timeout=0.1).fetch(url, len)
    assert seen == NoReply("no answer in time", sent=True)


async def test_a_download_that_trickles_ends(serve: Serve, make_fetcher: MakeFetcher) -> None:
    """Bytes that come, but hardly, do not hold a place for long."""

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await asyncio.sleep(0.01)

    url, _ = await serve(script=trickle)
    assert await make_fetcher(stall_seconds=0.05).fetch(url, len) == NoReply("it came too slowly", sent=True)


def test_the_least_speed_is_taken_over_a_stretch_of_time() -> None:
    """A kibibyte a second is the least; a slow start may be made up for within the stretch."""
    floor = SpeedFloor(30.0, since=100.0)
    assert not floor.too_slow(110.0, 0)
    assert not floor.too_slow(130.0, 30 * 1024)
    assert not floor.too_slow(159.0, 10 * 1024)
    assert floor.too_slow(160.0, 10 * 1024)


async def test_what_the_writer_raises_comes_out(serve: Serve, make_fetcher: MakeFetcher) -> None:
    """A full disk is not the network's fault."""
    url, _ = await serve(http(b"x"))
    full = OSError(28, "No space left on device")

    def write(chunk: bytes) -> None:
        raise full

    with pytest.raises(OSError, match="No space") as caught:
        await make_fetcher().fetch(url, write)
    assert caught.value is full


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_redirects_are_followed_three_times(serve: Serve, make_fetcher: MakeFetcher, status: str) -> None:
    """A fourth is one too many; relative targets are understood."""
    hop = redirect("/next?a=%2B", status)
    url, log = await serve(hop, hop, hop, http(b"image"), hop)
    fetcher = make_fetcher()
    assert await fetcher.fetch(f"{url}/one", len) == Fetched(200, 5)
    assert await fetcher.fetch(f"{url}/one", len) == NoReply("it was redirected too often", sent=True)
    received = [log.get_nowait() for _ in range(log.qsize())]
    assert [request[:15] for request in received if request][:2] == [b"GET /one HTTP/1", b"GET /next?a=%2B"]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://10.0.0.1/", PRIVATE),
        ("https://169.254.169.254/latest/meta-data", PRIVATE),
        ("http://example.com/", NOT_HTTPS),
        ("file:///etc/passwd", NOT_HTTPS),
        (
            "https://user:password@example.com/",
            NoReply("its address has no host or holds a password", sent=False, permanent=True),
        ),
        ("https://h:99999/", NoReply("the address is not valid", sent=True, permanent=True)),
    ],
)
async def test_every_hop_is_checked(serve: Serve, make_fetcher: MakeFetcher, target: str, expected: NoReply) -> None:
    """A redirect leads nowhere that the first address could not."""
    url, _ = await serve(redirect(target))
    assert await make_fetcher().fetch(url, len) == expected


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "localhost",
        "0.0.0.0",  # noqa: S104 - connected to, not bound
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
async def test_this_machine_is_out_of_reach_for_a_public_api(
    serve: Serve, make_fetcher: MakeFetcher, host: str
) -> None:
    """However it is spelled, and whether the spelling or what it resolves to tells, nothing connects."""
    connections: list[asyncio.StreamWriter] = []

    async def greet(writer: asyncio.StreamWriter) -> None:
        connections.append(writer)

    url, _ = await serve(script=greet, greet=True)
    port = url.rpartition(":")[2]
    assert await make_fetcher(local_api=False).fetch(f"https://{host}:{port}/", len) == PRIVATE
    assert not connections


async def test_a_proxy_may_be_private_but_an_address_literal_may_not(serve: Serve, make_fetcher: MakeFetcher) -> None:
    """Names are the proxy's to resolve; what stands in the address itself is still judged."""
    proxy, log = await serve(http(b"", status="502 No"))
    fetcher = make_fetcher(local_api=False, proxy=proxy)
    assert await fetcher.fetch("https://10.0.0.1/", len) == PRIVATE
    assert await fetcher.fetch("https://images.invalid/", len) == NoReply("the proxy answered with HTTP 502", sent=True)
    assert log.get_nowait().startswith(b"CONNECT images.invalid:443 ")
