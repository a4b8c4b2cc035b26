"""The paid POST: sent at most once, and always with an answer to "may it have been sent?".

No class of error tells whether a request left this machine: a timeout may strike before or after. The phase
tells. aiohttp awaits its request-headers hook after connecting and before the first byte is written, so a
submit whose hook has not returned was surely not sent.
"""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING

import anyio
import attrs
from aiohttp import ClientTimeout, TCPConnector, ThreadedResolver, TraceConfig

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.wire import salvage_task_id, submit_body
from hunyuan_async._http.api import Api
from hunyuan_async._http.bodies import Incoming
from hunyuan_async._http.failures import NETWORK_ERRORS, no_reply
from hunyuan_async._http.sessions import LazySession
from hunyuan_async.models import ImageRequest
from hunyuan_async.transport import BeforeSend

if TYPE_CHECKING:
    from aiohttp import ClientSession, TraceRequestHeadersSentParams

log = logging.getLogger("hunyuan_async")

_LARGEST_BODY = 64 * 1024
# No total: it would throw away an answer that has arrived while the event loop was busy.
_TIMEOUT = ClientTimeout(total=None, connect=30, sock_connect=10, sock_read=60)


@attrs.define
class _Exchange:
    """One POST, as far as it has come.

    Attributes:
        before_send: The caller's last word before the first byte.
        sent: Whether `before_send` has returned.
        refusal: What `before_send` raised; aiohttp may wrap it in an error of its own.
        incoming: What has arrived of the answer.
    """

    before_send: BeforeSend
    sent: bool = False
    refusal: BaseException | None = None
    incoming: Incoming = attrs.field(factory=lambda: Incoming(_LARGEST_BODY))


class Submitter:
    """Sends submits, each over a connection of its own."""

    def __init__(self, api: Api, *, timeout: float, proxy: str | None) -> None:
        self._api = api
        self._timeout = timeout
        hooks = TraceConfig()
        hooks.on_request_headers_sent.append(_ask_before_send)
        self._session = LazySession(_fresh_connections, _TIMEOUT, proxy=proxy, traces=[hooks])

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """POST *request*; see `Transport.submit`."""
        exchange = _Exchange(before_send)
        body = submit_body(request, self._api.service)
        posting = asyncio.create_task(self._post(body, exchange))
        try:
            await asyncio.wait({posting}, timeout=self._timeout)
            # An answer that arrived while the event loop was blocked is read in the same turn in which the
            # timer fires: it needs a turn or two to get here.
            for _ in range(2):
                if not posting.done():
                    await asyncio.sleep(0)
            expired = not posting.done()
        except asyncio.CancelledError:
            await _stop(posting)
            answer = exchange.incoming.so_far()
            if answer and (task_id := salvage_task_id(answer.body)):
                log.warning("task %s was accepted just as its submit was cut short; it is paid", task_id)
            raise
        finally:
            await _stop(posting)
        return self._outcome(posting, exchange, expired=expired)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._session.aclose()

    async def _post(self, body: bytes, exchange: _Exchange) -> Reply:
        async with self._session.get().post(
            self._api.submit_url,
            data=body,
            headers={**self._api.auth, "Content-Type": "application/json"},
            # A 307 would be a second paid POST.
            allow_redirects=False,
            trace_request_ctx=exchange,
        ) as response:
            return await exchange.incoming.read(response)

    def _outcome(self, posting: asyncio.Task[Reply], exchange: _Exchange, *, expired: bool) -> Reply | NoReply:
        """Tell how *posting* ended; what it raises has no exception of aiohttp in its context."""
        if exchange.refusal is not None and not (expired and posting.cancelled()):
            raise exchange.refusal
        if posting.cancelled():
            late = NoReply(f"no answer within {self._timeout:g} s", sent=exchange.sent)
            return exchange.incoming.so_far() or late
        failure = posting.exception()
        if failure is None:
            return posting.result()
        if isinstance(failure, NETWORK_ERRORS):
            return exchange.incoming.so_far() or no_reply(failure, sent=exchange.sent)
        raise failure


async def _ask_before_send(
    session: ClientSession, context: SimpleNamespace, params: TraceRequestHeadersSentParams
) -> None:
    exchange: _Exchange = context.trace_request_ctx
    try:
        await exchange.before_send()
    except BaseException as refusal:
        exchange.refusal = refusal
        raise
    exchange.sent = True


def _fresh_connections() -> TCPConnector:
    # A pooled connection that the server closes at the wrong moment would leave a POST of unknown outcome.
    return TCPConnector(resolver=ThreadedResolver(), force_close=True, limit=0)


async def _stop(posting: asyncio.Task[Reply]) -> None:
    """Cancel *posting* if it still runs, and wait until it can do nothing more."""
    if not posting.done():
        posting.cancel()
        with anyio.CancelScope(shield=True):
            await asyncio.wait({posting})
    if not posting.cancelled():
        posting.exception()  # marks it as seen
