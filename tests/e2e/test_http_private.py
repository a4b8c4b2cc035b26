"""What an answer can make a download connect to, by what the socket is told: nothing but what is public."""

from __future__ import annotations

import asyncio
import itertools
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from hunyuan_async._core.replies import NoReply
from hunyuan_async._http.fetch import Fetcher

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]

PRIVATE = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "100.64.0.1", "::1", "fe80::1", "fd00::1"]
FORMS = [
    # 127.0.0.1 and its neighbours, as resolvers read them
    "https://127.0.0.1/", "https://127.1/", "https://127.0.1/", "https://2130706433/", "https://0x7f000001/",
    "https://0177.0.0.1/", "https://0x7f.1/", "https://017700000001/", "https://127.0.0.1./", "https://127.255.255.254/",
    "https://0.0.0.0/", "https://0/", "https://localhost/", "https://LOCALHOST./", "https://\uff11\uff12\uff17.0.0.1/",
    "https://127\u30020\u30020\u30021/", "https://\u2460\u2461\u2466.0.0.1/", "https://1%32%37.0.0.1/",
    # the same in IPv6, and what leads to it
    "https://[::1]/", "https://[::]/", "https://[0:0:0:0:0:0:0:1]/", "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/", "https://[::127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/", "https://[2001:0:7f00:1::]/", "https://[fe80::1]/", "https://[fe80::1%25lo]/",
    # other machines of the network, and the cloud's own
    "https://10.0.0.1/", "https://172.31.255.255/", "https://192.168.1.1/", "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/", "https://[fd00:ec2::254]/", "https://[fec0::1]/", "https://100.64.0.1/", "https://224.0.0.1/",
    "https://255.255.255.255/",
    # names
    "https://metadata.internal/", "https://turns.private/", "https://turns.private:443/",
    # not even tried
    "http://127.0.0.1/", "http://public.example/", "https://u:p@127.0.0.1/", "file:///etc/passwd", "ftp://127.0.0.1/",
    "gopher://127.0.0.1:6379/_x", "unix:///run/docker.sock", "//127.0.0.1/", "https:///127.0.0.1", "https:127.0.0.1",
    "https://127.0.0.1:99999/", "https://[::1", "data:image/png;base64,AAAA", "", "\0", "https://a\0b/",
]  # fmt: skip
_watched: list[list[str]] = []


def _note(event: str, details: tuple[object, ...]) -> None:
    if event == "socket.connect" and _watched and isinstance(details[1], tuple):
        _watched[-1].append(str(details[1][0]))


sys.addaudithook(_note)  # it stays, and costs nothing that could be measured


@pytest.fixture
def connected() -> Iterator[list[str]]:
    """The addresses that any socket of this process connects to."""
    _watched.append([])
    yield _watched[-1]
    _watched.pop()


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver whose names are private, each time in another way; no name is asked for elsewhere."""
    turns = itertools.cycle(PRIVATE)
    real = socket.getaddrinfo

    def resolve(host: str, port: int, *options: object, **named: object) -> list[object]:
        literal = ":" in host or host.replace(".", "").isdigit()
        address = host if literal or host.lower().startswith("localhost") else next(turns)
        return real(address, port, *options, **named)  # type: ignore[arg-type,return-value]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.fixture
async def make_fetcher() -> AsyncIterator[Callable[[bool], Fetcher]]:
    """Make fetchers that are closed in the end."""
    made = []

    def make(local_api: bool) -> Fetcher:
        made.append(Fetcher(local_api=local_api, timeout=5.0, connections=8, proxy=None, largest_image=2**20))
        return made[-1]

    yield make
    for fetcher in made:
        await fetcher.aclose()


@pytest.mark.usefixtures("resolver")
async def test_no_form_of_an_address_leads_to_what_is_private(
    connected: list[str], make_fetcher: Callable[[bool], Fetcher]
) -> None:
    """Spelled in whatever way, resolved to whatever, or changing its mind: no socket is even opened to it."""
    fetcher = make_fetcher(False)
    for url in [*FORMS, *["https://turns.private/"] * len(PRIVATE)]:
        seen = await fetcher.fetch(url, len)
        assert (type(seen), connected) == (NoReply, []), url


@pytest.mark.usefixtures("resolver")
@pytest.mark.parametrize(
    "chain",
    [
        ["https://10.0.0.1/"],
        ["/one", "https://169.254.169.254/latest/meta-data/"],
        ["/one", "/two", "https://turns.private/"],
        ["//2852039166/", "/never"],
        ["/one", "https://[::ffff:10.0.0.1]/", "/never"],
        ["/one", "/two", "/three", "https://10.0.0.1/"],
    ],
)
async def test_no_chain_of_redirects_leads_to_what_is_private(
    serve: Serve, connected: list[str], make_fetcher: Callable[[bool], Fetcher], chain: list[str]
) -> None:
    """Each hop is judged like the first, which may be this machine, as an API of its own is."""
    hops = [f"HTTP/1.1 302 Go\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode() for target in chain]
    url, _ = await serve(*hops)
    for _ in PRIVATE:
        assert isinstance(await make_fetcher(True).fetch(f"{url}/", len), NoReply)
    assert {*connected} <= {"127.0.0.1", "::1"}
