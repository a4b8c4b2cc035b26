"""aiohttp sessions, opened at first use: they need a running event loop, a client does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aiohttp import (
    ClientMiddlewareType,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
    TraceConfig,
)

from hunyuan_async import __version__


class LazySession:
    """One kind of request's own session, without the key, cookies, or anything from the environment."""

    def __init__(
        self,
        connector: Callable[[], TCPConnector],
        timeout: ClientTimeout,
        *,
        proxy: str | None,
        traces: Sequence[TraceConfig] = (),
        middlewares: Sequence[ClientMiddlewareType] = (),
    ) -> None:
        self._connector = connector
        self._timeout = timeout
        self._proxy = proxy
        self._traces = traces
        self._middlewares = middlewares
        self._session: ClientSession | None = None
        self._closed = False

    def get(self) -> ClientSession:
        """Return the session; opens it if this is its first use."""
        if self._closed:
            raise RuntimeError("The transport is closed.")
        if self._session is None:
            self._session = ClientSession(
                connector=self._connector(),
                timeout=self._timeout,
                proxy=self._proxy,
                trace_configs=list(self._traces),
                middlewares=tuple(self._middlewares),
                cookie_jar=DummyCookieJar(),
                # Proxy variables and .netrc would send the key along other ways than the caller's.
                trust_env=False,
                headers={"User-Agent": f"hunyuan_async/{__version__}", "Accept-Encoding": "identity"},
            )
        return self._session

    async def aclose(self) -> None:
        """Close every connection, for good."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
