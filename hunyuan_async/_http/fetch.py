"""Downloads of finished images, from hosts that we do not know: without the key, checked and capped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import attrs
from aiohttp import ClientConnectorError, ClientResponse, ClientTimeout, TCPConnector, ThreadedResolver
from yarl import URL

from hunyuan_async._core.replies import Fetched, NoReply
from hunyuan_async._core.retry import retry_after
from hunyuan_async._http.addresses import guarded_socket, problem_with_image_url
from hunyuan_async._http.failures import NETWORK_ERRORS, no_reply
from hunyuan_async._http.sessions import LazySession

LARGEST_IMAGE = 64 * 2**20  # bytes
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_REDIRECTS = 3
_CHUNK = 64 * 1024
STALL_SECONDS = 30.0
_SLOWEST = 1024  # bytes a second


@attrs.define
class SpeedFloor:
    """Notices a download that trickles, as the read timeout notices one that stands still.

    Attributes:
        stretch: Over how many seconds the speed is taken.
        since: When the current stretch began, on the loop's clock.
        received: Bytes that came in it.
    """

    stretch: float
    since: float
    received: int = 0

    def too_slow(self, now: float, received: int) -> bool:
        """Count *received* more bytes; whether the last full stretch was too slow."""
        self.received += received
        seconds = now - self.since
        if seconds < self.stretch:
            return False
        slow = self.received < seconds * _SLOWEST
        self.since, self.received = now, 0
        return slow


class Fetcher:
    """Streams images to where they are wanted."""

    def __init__(
        self,
        *,
        local_api: bool,
        timeout: float,
        connections: int,
        proxy: str | None,
        largest_image: int = LARGEST_IMAGE,
        stall_seconds: float = STALL_SECONDS,
    ) -> None:
        self._local_api = local_api
        self._timeout = timeout
        self._largest_image = largest_image
        self._stall_seconds = stall_seconds
        # A proxy is connected to on purpose, and usually private.
        guard = None if proxy else guarded_socket(local_api=local_api)
        self._session = LazySession(
            lambda: TCPConnector(resolver=ThreadedResolver(), limit=connections, socket_factory=guard),
            ClientTimeout(total=None, sock_connect=10, sock_read=stall_seconds),
            proxy=proxy,
        )

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Stream an image to *write*; see `Transport.fetch`."""
        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(_verbatim(url), write)
        except NETWORK_ERRORS as error:
            return no_reply(error, sent=not isinstance(error, ClientConnectorError))

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.aclose()

    async def _follow(self, url: URL, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Follow redirects by hand, so that every hop is checked like the first."""
        for _ in range(1 + _MOST_REDIRECTS):
            if problem := problem_with_image_url(url, local_api=self._local_api):
                return NoReply(problem, sent=False, permanent=True)
            async with self._session.get().get(url, allow_redirects=False) as response:
                target = response.headers.get("Location")
                if response.status not in _REDIRECTS or target is None:
                    return await self._stream(response, write)
            url = url.join(_verbatim(target))
        return NoReply("it was redirected too often", sent=True)

    async def _stream(self, response: ClientResponse, write: Callable[[bytes], object]) -> Fetched | NoReply:
        if response.status != HTTPStatus.OK:
            headers = {name.lower(): value for name, value in response.headers.items()}
            return Fetched(response.status, retry_after=retry_after(headers))
        clock = asyncio.get_running_loop()
        floor = SpeedFloor(self._stall_seconds, since=clock.time())
        received = 0
        async for chunk in response.content.iter_chunked(_CHUNK):
            received += len(chunk)
            if received > self._largest_image:
                return NoReply(f"it is larger than {self._largest_image:,} bytes", sent=True, permanent=True)
            if floor.too_slow(clock.time(), len(chunk)):
                return NoReply("it came too slowly", sent=True)
            write(chunk)
        return Fetched(response.status, received)


def _verbatim(url: str) -> URL:
    """Return *url* with every character kept where possible: a signature may cover how it is spelled."""
    return URL(url, encoded=url.isascii() and url.isprintable() and " " not in url)
