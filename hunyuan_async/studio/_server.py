"""The studio's server: a page, the static files that all pages share, and the routes of what the page is about."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from importlib.resources import files
from types import TracebackType
from typing import Self

from aiohttp import web

from hunyuan_async.integrations.web import end_streams
from hunyuan_async.studio._guard import Guard, add_headers

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CLOSE_GRACE = 0.5  # seconds for answers under way; a stream of events never ends by itself


class Studio:
    """Serves one page to this machine's browser.

    ::

        async with Studio("review.html", review.routes()) as studio:
            print(studio.url)

    Args:
        page: The file among the static ones that is served at "/".
        routes: What the page asks for; every one of them is behind the guard.
        host: The address to listen at.
        port: The port to listen at; 0 takes a free one.
        allow_remote: Allows addresses other than the loopback's.

    Raises:
        ValueError: If *host* is no address, or no loopback address and *allow_remote* is not set.
    """

    def __init__(
        self,
        page: str,
        routes: Iterable[web.AbstractRouteDef],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
    ) -> None:
        self._host = "127.0.0.1" if host == "localhost" else host
        if not (allow_remote or ipaddress.ip_address(self._host).is_loopback):
            raise ValueError(f"{host} can be reached from other machines: pass allow_remote=True to allow it")
        self._page, self._routes, self._port = page, routes, port
        self._runner: web.AppRunner | None = None
        self._guard: Guard | None = None

    @property
    def url(self) -> str:
        """What opens it, this start's token included: a secret."""
        if self._guard is None:
            raise RuntimeError("the studio is not started")
        name = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{name}:{self._guard.port}/?token={self._guard.token}"

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: If the address is taken.
        """
        # The guard has to know the port before anything is answered.
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.create_server((self._host, self._port), family=family)
        self._guard = Guard(self._host, listening.getsockname()[1])
        app = web.Application(middlewares=[self._guard.admit])
        app.on_response_prepare.append(add_headers)
        app.add_routes([web.get("/", self._serve_page), web.get("/static/{name}", self._serve_static), *self._routes])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=CLOSE_GRACE)
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()

    async def aclose(self) -> None:
        """Stop listening, and cut what is under way."""
        if self._runner is not None:
            runner, self._runner, self._guard = self._runner, None, None
            end_streams()
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _serve_page(self, request: web.Request) -> web.Response:
        return _static(self._page)

    async def _serve_static(self, request: web.Request) -> web.Response:
        return _static(request.match_info["name"])


def _static(name: str) -> web.Response:
    """Serve one of the files that are part of the package, by its name alone."""
    for file in files(__package__).joinpath("static").iterdir():
        if file.name == name:
            kind = TYPES[f".{name.rpartition('.')[2]}"]
            return web.Response(body=file.read_bytes(), content_type=kind, charset="utf-8")
    raise web.HTTPNotFound
