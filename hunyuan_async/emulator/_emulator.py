"""The emulator: the service, served on a port in the caller's event loop."""

from __future__ import annotations

import asyncio
import ipaddress
import random
import secrets
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

from hunyuan_async.emulator._app import WebSide
from hunyuan_async.emulator._faults.door import BACKLOG, Door
from hunyuan_async.emulator._faults.injector import Injected, Injector
from hunyuan_async.emulator._faulty import Meddler
from hunyuan_async.emulator._service import API_PATH, EmulatedService, Get, Post
from hunyuan_async.emulator._settings import EmulatorSettings

CLOSE_GRACE = 0.1  # seconds for requests under way


class Emulator:
    """A stand-in for the image service that makes real pictures, without a key and without money.

    ::

        async with Emulator() as emulator:
            client = Client(base_url=emulator.base_url, api_key=emulator.api_key)

    A prompt with "[refuse]" in it is refused as the content policy would, one with "[fail]" is accepted and
    fails later. Nothing is ever fetched from elsewhere: an edit of an image that is not the emulator's own
    starts from a picture that names the address.

    Args:
        settings: How the service behaves.
        host: The address to listen at.
        port: The port to listen at; 0 takes a free one at each start.
        allow_remote: Allows addresses other than the loopback's, and requests under any host name.
        api_keys: The keys that it knows, the first being `api_key`; a random one by default.
        seed: Makes ids, latencies, drawn seeds and faults repeat; unless given, they differ from run to run.
        tls: Serves https, with this certificate.

    Raises:
        ValueError: If *host* is not a loopback address and *allow_remote* is not set.

    Attributes:
        service: What decides, and keeps tasks and balance over a restart.
    """

    def __init__(
        self,
        *,
        settings: EmulatorSettings | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
        api_keys: Sequence[str] = (),
        seed: int | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not (allow_remote or ipaddress.ip_address(host).is_loopback):
            raise ValueError(f"{host} can be reached from other machines: pass allow_remote=True to allow it")
        keys = tuple(api_keys) or (f"aio_emulator_{secrets.token_hex(8)}",)
        rng = random.Random(seed)  # noqa: S311 - what it signs is worth nothing
        self.service = EmulatedService(settings or EmulatorSettings(), keys, rng)
        self._injector = Injector(self.service.settings.faults, secrets.token_hex() if seed is None else str(seed))
        self._host, self._port, self._allow_remote, self._tls = host, port, allow_remote, tls
        self._door: Door | None = None
        self._runner: web.AppRunner | None = None
        self._base_url: str | None = None

    @property
    def api_key(self) -> str:
        """A key that it knows; it opens nothing else."""
        return self.service.keys[0]

    @property
    def base_url(self) -> str:
        """Where the API is served, such as "http://127.0.0.1:40963/api/v1"."""
        if self._base_url is None:
            raise RuntimeError("the emulator is not started")
        return self._base_url

    @property
    def balance(self) -> float:
        """Credits left."""
        return self.service.balance

    @property
    def posts(self) -> Sequence[Post]:
        """Every submit whose body arrived whole or that met a fault, in order; with a `task_id` it is paid."""
        return self.service.posts

    @property
    def polls(self) -> Sequence[Get]:
        """Every status check, in order."""
        return self.service.polls

    @property
    def downloads(self) -> Sequence[Get]:
        """Every request for an image, in order."""
        return self.service.downloads

    @property
    def issued(self) -> Sequence[str]:
        """Every task id given out, in order."""
        return self.service.issued

    @property
    def injected(self) -> Sequence[Injected]:
        """Every fault that was injected, in order."""
        return self._injector.injected

    async def start(self) -> None:
        """Listen; does nothing if it does already.

        Raises:
            ImportError: If Pillow is not installed.
            OSError: If the address is taken.
        """
        if self._runner is not None:
            return
        from hunyuan_async.emulator._pictures import draw

        faulty = bool(self._injector.faults)
        meddlers = [Meddler(self.service, self._injector).meddle] if faulty else []
        side = WebSide(self.service, draw, self._allow_remote, meddlers)
        # A fault may wait for ever, so whoever waits for its end has to end it by leaving.
        runner = web.AppRunner(
            side.application(), access_log=None, shutdown_timeout=CLOSE_GRACE, handler_cancellation=faulty
        )
        await runner.setup()
        host, port = await self._listen(runner)
        self._runner = runner
        name = f"[{host}]" if ":" in host else host
        self._base_url = f"{'https' if self._tls else 'http'}://{name}:{port}{API_PATH}"

    async def _listen(self, runner: web.AppRunner) -> tuple[str, int]:
        self._injector.start(asyncio.get_running_loop().time())
        if self._injector.covers("connect"):
            assert runner.server is not None
            self._door = Door(self._injector, runner.server, self._tls)
            return self._door.open(self._host, self._port)
        await web.TCPSite(runner, self._host, self._port, backlog=BACKLOG, ssl_context=self._tls).start()
        address: tuple[str, int] = runner.addresses[0][:2]
        return address

    async def serve_forever(self) -> None:
        """Serve until cancelled."""
        async with self:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        """Stop listening and cut what is under way; it may be started again."""
        if self._runner is not None:
            runner, self._runner, self._base_url = self._runner, None, None
            if self._door is not None:
                await self._door.aclose()
            await runner.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
