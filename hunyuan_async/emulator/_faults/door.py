"""The door of an emulator: here connections come to harm before anything is read from them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine

import attrs

from hunyuan_async.emulator._faults.injector import Injected, Injector
from hunyuan_async.emulator._faults.table import CONNECTION_KINDS
from hunyuan_async.emulator._faults.wire import REFUSED

BACKLOG = 4096  # connections: a burst of submits must not wait for a second SYN


@attrs.define
class Door:
    """Listens, and hands over the connections that meet no fault.

    Attributes:
        injector: Chooses the faults.
        serve: Makes the protocol of a connection.
        tls: For a handshake before it.
    """

    injector: Injector
    serve: Callable[[], asyncio.BaseProtocol]
    tls: ssl.SSLContext | None
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set, init=False)
    _held: list[socket.socket] = attrs.field(factory=list, init=False)
    _listener: socket.socket = attrs.field(init=False)

    def open(self, host: str, port: int) -> tuple[str, int]:
        """Take an address and let connections in; return the address.

        Raises:
            OSError: It is taken.
        """
        self._bind(host, port)
        if not self._refusal():
            self._listener.listen(BACKLOG)
        address: tuple[str, int] = self._listener.getsockname()[:2]
        self._start(self._admit(*address))
        return address

    async def aclose(self) -> None:
        """Stop listening, and end what was held open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in (self._listener, *self._held):
            connection.close()

    def _bind(self, host: str, port: int) -> None:
        """Hold an address without listening there: a connection to it is refused."""
        self._listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        self._listener.setblocking(False)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._listener.bind((host, port))
        except OSError:
            self._listener.close()
            raise

    def _refusal(self) -> Injected | None:
        """What lets nobody listen now, if anything does: this is decided before a connection comes."""
        coming = self.injector.peek("connect", asyncio.get_running_loop().time())
        return coming if coming and coming.kind == REFUSED else None

    async def _admit(self, host: str, port: int) -> None:
        while True:
            while refusal := self._refusal():
                self._listener.close()
                self._bind(host, port)
                self._take()
                await asyncio.sleep(refusal.fault.seconds)
            self._listener.listen(BACKLOG)
            connection, _ = await asyncio.get_running_loop().sock_accept(self._listener)
            self._receive(connection)

    def _take(self) -> Injected | None:
        chosen = self.injector.take("connect", asyncio.get_running_loop().time())
        if chosen:
            self.injector.injected.append(chosen)
        return chosen

    def _receive(self, connection: socket.socket) -> None:
        chosen = self._take()
        if chosen is None:
            self._start(self._hand_over(connection))
        elif CONNECTION_KINDS[chosen.kind].act(connection):
            self._held.append(connection)
        else:
            connection.close()

    async def _hand_over(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self.serve, connection, ssl=self.tls)
        except OSError:  # the handshake failed
            connection.close()

    def _start(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
