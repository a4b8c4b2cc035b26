"""The emulated service's web side: what arrives is handed to the service, what it decides is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import attrs
from aiohttp import web

from hunyuan_async.emulator._answers import Answer, Rejected
from hunyuan_async.emulator._service import API_PATH, FILES_PATH, EmulatedService, Picture

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
FAULT = web.RequestKey("fault", str)
"""What will become of the answer to a request."""


class Middleware(Protocol):
    """What may stand between a request and its handler."""

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request, with the handler's help or without."""


@attrs.frozen
class WebSide:
    """The handlers of one service.

    Attributes:
        service: Decides everything.
        draw: Makes a PNG file; called in a thread.
        allow_remote: Whether requests under other names than the loopback's are answered.
        meddlers: What else stands between a request and its handler.
    """

    service: EmulatedService
    draw: Callable[[Picture], bytes]
    allow_remote: bool
    meddlers: Sequence[Middleware] = ()

    def application(self) -> web.Application:
        """The application to serve."""
        app = web.Application(middlewares=[self._guard, *self.meddlers])
        app.add_routes(
            [
                web.post(f"{API_PATH}/images/generations", self._submit, name="submit"),
                web.get(f"{API_PATH}/tasks/{{task_id}}", self._poll, name="poll"),
                web.get(f"{FILES_PATH}/{{task_id}}.png", self._file, name="fetch"),
                web.get("/favicon.ico", self._favicon),
            ]
        )
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse foreign names, so that no web page reaches us by a name of its own; envelope every error."""
        if not (self.allow_remote or _host_name(request.host) in ("127.0.0.1", "localhost", "[::1]")):
            return _json(Rejected(403, "Unknown host name", "forbidden").answer)
        try:
            return await handler(request)
        except web.HTTPException as error:
            return _json(Rejected(error.status, error.reason, "invalid_request").answer)

    async def _submit(self, request: web.Request) -> web.Response:
        body = await request.read()
        key, origin, fault = key_of(request), _origin(request), request.get(FAULT)
        return _json(self.service.submit(body, key=key, origin=origin, now=now_here(), fault=fault))

    async def _poll(self, request: web.Request) -> web.Response:
        task_id = request.match_info["task_id"]
        return _json(self.service.poll(task_id, key=key_of(request), origin=_origin(request), now=now_here()))

    async def _file(self, request: web.Request) -> web.Response:
        task_id, query = request.match_info["task_id"], request.query
        picture = self.service.picture(task_id, query.get("expires", ""), query.get("signature", ""), now=now_here())
        if isinstance(picture, Answer):
            return _json(picture)
        return web.Response(body=await asyncio.to_thread(self.draw, picture), content_type="image/png")

    async def _favicon(self, request: web.Request) -> web.Response:
        return web.Response(status=204)


def now_here() -> float:
    """The instant, on the loop's clock."""
    return asyncio.get_running_loop().time()


def key_of(request: web.Request) -> str | None:
    """The key that a request carries."""
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else None


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


def _host_name(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if name and port.isdecimal() else host


def _json(answer: Answer) -> web.Response:
    return web.json_response(dict(answer.body), status=answer.status, headers=answer.headers)
