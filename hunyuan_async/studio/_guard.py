"""Who may ask the studio for anything: the browser that was opened with this start's token, and no page but ours."""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
logger = logging.getLogger(__name__)

SAFE = frozenset({"GET", "HEAD"})
ACCEPTED = frozenset({"application/json", "application/octet-stream"})  # no form of another page's can send them
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    # Another port of this machine is the same site: without these its pages could show our images, or hold our window.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def _secret() -> str:
    return secrets.token_urlsafe(32)


@attrs.frozen
class Guard:
    """Stands before every handler of one start of a studio.

    Attributes:
        host: The address that is listened at.
        port: The port.
        token: Opens the studio, once in the address, which then gives it for a cookie.
    """

    host: str
    port: int
    token: str = attrs.field(factory=_secret, init=False, repr=False)
    _session: str = attrs.field(factory=_secret, init=False, repr=False)

    @property
    def cookie(self) -> str:
        """The cookie's name; browsers give a host's cookies to all of its ports, so the name has the port."""
        return f"hunyuan_studio_{self.port}"

    @web.middleware
    async def admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer a request that may be made; every refusal and every bug is JSON that tells nothing of our insides."""
        try:
            self._check_host(request)
            if request.method in SAFE and "token" in request.query:
                return self._let_in(request)
            self._check_cookie(request)
            if request.method not in SAFE:
                self._check_writer(request)
            return await handler(request)
        except web.HTTPException as refused:
            return problem(refused.status, refused.reason, refused.headers.get("Allow"))
        except Exception:
            logger.exception("the studio could not answer %s %s", request.method, request.path)
            return problem(500, "this is a bug of ours; the terminal shows more")

    def _check_host(self, request: web.Request) -> None:
        """Refuse a name that is not ours: a page elsewhere may have had its own name lead to this machine."""
        if not self.is_ours(request.headers.get("Host", "")):  # of several, or none, aiohttp complains itself
            raise web.HTTPForbidden(reason="this is not the address that the studio is at")

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names what is listened at."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        if name in ("127.0.0.1", "localhost", "[::1]", self.host, f"[{self.host}]"):
            return True
        # At all addresses of the machine it may be called by any, but not by a name: that could be anybody's.
        with suppress(ValueError):
            return ipaddress.ip_address(self.host).is_unspecified and bool(ipaddress.ip_address(name.strip("[]")))
        return False

    def _let_in(self, request: web.Request) -> web.Response:
        if not _equal(request.query["token"], self.token):
            raise web.HTTPForbidden(reason="this address is of an earlier start: use the one printed last")
        rest = request.url.without_query_params("token")
        answer = web.Response(status=303, headers={"Location": rest.raw_path_qs})
        answer.set_cookie(self.cookie, self._session, path="/", httponly=True, samesite="Strict")
        return answer

    def _check_cookie(self, request: web.Request) -> None:
        if not _equal(request.cookies.get(self.cookie, ""), self._session):
            raise web.HTTPForbidden(reason="open the address that hunyuan studio printed")

    def _check_writer(self, request: web.Request) -> None:
        """Refuse what a page of somebody else's had the browser send."""
        origin = request.headers.get("Origin")
        is_ours = (
            request.headers.get("Sec-Fetch-Site") == "same-origin"
            if origin is None
            else origin == f"http://{request.host}"
        )
        if not is_ours:
            raise web.HTTPForbidden(reason="another page asked for this")
        # Without a type aiohttp takes a body for bytes; a page elsewhere may send such a one unasked.
        if "Content-Type" not in request.headers or request.content_type not in ACCEPTED:
            raise web.HTTPUnsupportedMediaType(reason="send application/json")


def _equal(given: str, known: str) -> bool:
    return secrets.compare_digest(given.encode(errors="surrogateescape"), known.encode())


def problem(status: int, message: str, allow: str | None = None) -> web.Response:
    """The answer to what cannot be done: `{"error": {"message": ...}}`."""
    headers = {"Allow": allow} if allow else None
    return web.json_response({"error": {"message": message}}, status=status, headers=headers)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Tell the browser what a page of ours may do; for `on_response_prepare`, so that streams have it, too."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")
