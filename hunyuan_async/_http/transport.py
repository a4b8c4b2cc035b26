"""The transport over aiohttp."""

from __future__ import annotations

from collections.abc import Callable

from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async._http.api import Api, check_base_url, check_key
from hunyuan_async._http.fetch import Fetcher
from hunyuan_async._http.poll import Poller
from hunyuan_async._http.submit import Submitter
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import ApiKey, Limits, Service, Timeouts
from hunyuan_async.transport import BeforeSend, Transport


class AiohttpTransport(Transport):
    """Sends submits, polls and downloads, each kind in its own way and over its own connections.

    Constructing it does no I/O and needs no event loop. It belongs to the loop of its first request.

    Raises:
        InvalidRequest: The key cannot stand in a header, or must not be sent to `base_url`.
    """

    def __init__(
        self,
        service: Service,
        key: ApiKey,
        *,
        base_url: str,
        timeouts: Timeouts,
        limits: Limits,
        proxy: str | None = None,
    ) -> None:
        api = Api(service, check_base_url(base_url), check_key(key))
        if proxy and api.is_local:
            raise InvalidRequest("An API on this machine needs no proxy, which would read the key: leave it out.")
        self._submitter = Submitter(api, timeout=timeouts.submit, proxy=proxy)
        self._poller = Poller(api, timeout=timeouts.poll, proxy=proxy)
        self._fetcher = Fetcher(
            local_api=api.is_local, timeout=timeouts.download, connections=limits.downloads, proxy=proxy
        )

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """POST *request*; sent at most once, never redirected."""
        return await self._submitter.submit(request, before_send)

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Look once at a task."""
        return await self._poller.poll(task_id)

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Stream an image to *write*, from public https addresses alone unless the API itself is local.

        With a proxy, names are resolved there: only an address literal can be refused here.
        """
        return await self._fetcher.fetch(url, write)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._submitter.aclose()
        await self._poller.aclose()
        await self._fetcher.aclose()
