"""The free GET that looks at a task, over connections that are kept."""

from __future__ import annotations

from aiohttp import (
    ClientHandlerType,
    ClientOSError,
    ClientRequest,
    ClientResponse,
    ClientTimeout,
    ServerDisconnectedError,
    TCPConnector,
    ThreadedResolver,
)

from hunyuan_async._core.dispatch import MAX_POLLS_OUT
from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._http.api import Api
from hunyuan_async._http.bodies import Incoming
from hunyuan_async._http.failures import NETWORK_ERRORS, NotRepeated, no_reply
from hunyuan_async._http.sessions import LazySession

_LARGEST_BODY = 2**20  # the untouched body travels with the result
_KEPT_SECONDS = 75.0  # longer than any task is left alone, or every poll would connect anew


class Poller:
    """Looks at tasks; each call is one request, and a failed one is an answer too."""

    def __init__(self, api: Api, *, timeout: float, proxy: str | None) -> None:
        self._api = api
        self._session = LazySession(
            _kept_connections, ClientTimeout(total=timeout), proxy=proxy, middlewares=[_never_repeat]
        )

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Look at a task; see `Transport.poll`."""
        incoming = Incoming(_LARGEST_BODY)
        try:
            async with self._session.get().get(
                self._api.task_url(task_id), headers=self._api.auth, allow_redirects=False
            ) as response:
                return await incoming.read(response)
        except NETWORK_ERRORS as error:
            return incoming.so_far() or no_reply(error, sent=True)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.aclose()


def _kept_connections() -> TCPConnector:
    return TCPConnector(resolver=ThreadedResolver(), limit=MAX_POLLS_OUT, keepalive_timeout=_KEPT_SECONDS)


async def _never_repeat(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Keep aiohttp from repeating a GET whose connection drops: the pacer would not know of it."""
    try:
        return await handler(request)
    except (ClientOSError, ServerDisconnectedError) as error:
        raise NotRepeated(error) from None
