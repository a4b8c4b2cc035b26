"""Reading an answer without trusting it: capped, and keeping what came if the rest does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from hunyuan_async._core.replies import Reply

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_KEPT_HEADERS = frozenset(
    {"retry-after", "location", "date", "content-type", "server", "x-request-id", "request-id", "cf-ray"}
)


@attrs.define
class Incoming:
    """An answer on its way in: what has arrived survives whatever ends the reading.

    Attributes:
        cap: The most bytes that are kept of the body, after decompression.
    """

    cap: int
    _status: int | None = None
    _headers: dict[str, str] = attrs.field(factory=dict)
    _body: bytearray = attrs.field(factory=bytearray)
    _complete: bool = False

    async def read(self, response: ClientResponse) -> Reply:
        """Read the body, up to the cap."""
        self._status = response.status
        self._headers = {
            name.lower(): value
            for name, value in response.headers.items()
            if name.lower() in _KEPT_HEADERS or name.lower().startswith("x-ratelimit-")
        }
        # In chunks, because response.read() would inflate a small bomb into all of the memory.
        async for chunk in response.content.iter_any():
            self._body += chunk
            if len(self._body) > self.cap:
                del self._body[self.cap :]
                return self._reply(response.status)
        self._complete = True
        return self._reply(response.status)

    def so_far(self) -> Reply | None:
        """Return what has arrived, or None if not even the head has."""
        return None if self._status is None else self._reply(self._status)

    def _reply(self, status: int) -> Reply:
        return Reply(status, bytes(self._body), self._headers, self._complete)
