"""For aiohttp.web: a client or a store for as long as an app runs, an answer to errors, live events and images."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError
from hunyuan_async.integrations.web import EVENT_HEADERS, EventStream, answer_to, end_streams, image_headers, serving
from hunyuan_async.models import SavedImage
from hunyuan_async.store import Store

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

T = TypeVar("T", Client, Store)

CLIENT = web.AppKey("CLIENT", Client)
STORE = web.AppKey("STORE", Store)


def embed(app: web.Application, key: web.AppKey[T], open: Callable[[], AbstractAsyncContextManager[T]]) -> None:
    """Open a client or a store when *app* starts, close it when it stops, and answer errors.

    It stands in ``request.app[STORE]``, or `CLIENT`. To be called before the app starts.
    """

    @asynccontextmanager
    async def context(app: web.Application) -> AsyncIterator[None]:
        async with serving(open) as opened:
            app[key] = opened
            yield

    app.cleanup_ctx.append(context)
    app.on_shutdown.append(_end_streams)
    app.middlewares.append(answer_errors)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer as `answer_to` says; `embed` adds it."""
    try:
        return await handler(request)
    except HunyuanError as error:
        answer = answer_to(error)
        return web.json_response(answer.body, status=answer.status, headers=answer.headers)


async def send_events(request: web.Request, stream: EventStream) -> web.StreamResponse:
    """Send an event stream until the browser leaves; a browser that takes nothing is dropped."""
    response = web.StreamResponse(headers=EVENT_HEADERS)
    try:
        await response.prepare(request)
        if not await stream.send_to(response.write) and request.transport:
            request.transport.abort()
    except ConnectionResetError:
        pass
    finally:
        await stream.aclose()
    return response


def image_response(file: SavedImage) -> web.FileResponse:
    """Serve an image of an order from disk."""
    return web.FileResponse(file.path, headers=image_headers(file))


async def _end_streams(app: web.Application) -> None:
    end_streams()
