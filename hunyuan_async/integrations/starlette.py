"""For FastAPI and Starlette: a lifespan, dependencies, an answer to errors, live events and images."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError
from hunyuan_async.integrations.web import EventStream, answer_to, image_headers, serving
from hunyuan_async.models import SavedImage
from hunyuan_async.store import Store


def lifespan(
    open: Callable[[], AbstractAsyncContextManager[Client | Store]],
) -> Callable[[Starlette], AbstractAsyncContextManager[dict[str, Client | Store]]]:
    """Return a lifespan that opens a client or a store when a worker process starts, and closes it when it stops.

    It stands in `request.state.hunyuan` and `app.state.hunyuan`, and goes to endpoints by `client_of` or `store_of`.
    """

    @asynccontextmanager
    async def live(app: Starlette) -> AsyncIterator[dict[str, Client | Store]]:
        async with serving(open) as opened:
            app.state.hunyuan = opened
            yield {"hunyuan": opened}

    return live


async def client_of(connection: HTTPConnection) -> Client:
    """Return the app's client: ``Annotated[Client, Depends(client_of)]``."""
    opened = connection.state.hunyuan
    assert isinstance(opened, Client)
    return opened


async def store_of(connection: HTTPConnection) -> Store:
    """Return the app's store: ``Annotated[Store, Depends(store_of)]``."""
    opened = connection.state.hunyuan
    assert isinstance(opened, Store)
    return opened


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer as `answer_to` says: ``app.add_exception_handler(HunyuanError, answer_error)``."""
    assert isinstance(error, HunyuanError)
    answer = answer_to(error)
    return JSONResponse(answer.body, answer.status, answer.headers)


class EventResponse(Response):
    """Sends an event stream until the browser leaves; a browser that takes nothing is dropped."""

    def __init__(self, stream: EventStream) -> None:
        super().__init__()
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        await self._stream(scope, receive, send)


def image_response(file: SavedImage) -> FileResponse:
    """Serve an image of an order from disk."""
    return FileResponse(file.path, headers=image_headers(file))
