"""The orders as one worker sees them: a thread for the file, and an asyncio task that notices what others write."""

from __future__ import annotations

import asyncio
import errno
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from hunyuan_async._journal.rows import ODD
from hunyuan_async._journal.troubles import explained, in_words
from hunyuan_async._store.order import Order
from hunyuan_async._store.orders import ORDERS, PAGE, OrderFile
from hunyuan_async._tally import log
from hunyuan_async.errors import HunyuanError, JournalError

T = TypeVar("T")

GAP = 0.1  # seconds between two looks at what other processes have written
TROUBLE_GAP = 2.0  # seconds, while the file cannot be read


class SharedOrders:
    """Reads and writes the orders in a thread, and wakes those who follow a tenant when its orders change."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / ORDERS
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "hunyuan-orders")
        self._file = self._thread.submit(OrderFile.open, directory)
        self.changed = asyncio.Event()  # set whenever an order was placed or has changed
        self._followers: dict[str, set[OrderChanges]] = {}
        self._asked: set[tuple[str, int]] = set()
        self._reading: asyncio.Task[dict[tuple[str, int], list[Order]]] | None = None
        self._look = asyncio.Event()
        self._watching = asyncio.create_task(self._watch(), name="hunyuan_async orders")
        self._closed = False

    async def call(self, function: Callable[[OrderFile], T]) -> T:
        """Run *function* on the file, in its thread; once begun, it is seen through even if the caller is cancelled.

        Raises:
            JournalError: The file is closed or cannot be used, or *function* raised it.
        """
        if self._closed:
            raise JournalError("The store is closed.")
        return await self._loop.run_in_executor(self._thread, self._do, function)

    def check(self) -> None:
        """Raise what ended the watch over the orders, if a bug did."""
        if self._watching.done() and not self._closed:
            self._watching.result()

    def notice(self) -> None:
        """Look for changes at once: this process has made some."""
        self._look.set()

    def follow(self, tenant: str, after: int | None) -> OrderChanges:
        """Follow the changes of a tenant's orders after one, or from now on."""
        return OrderChanges(self, tenant, after)

    async def changes(self, tenant: str, after: int) -> list[Order]:
        """Read a page of a tenant's orders that have changed after a change.

        Whoever follows is woken at the same time as many others: what they all ask for is read in one go.

        Raises:
            JournalError: The file is closed or cannot be used.
        """
        self._asked.add((tenant, after))
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_asked())
        pages = await asyncio.shield(self._reading)
        return pages[tenant, after]

    async def aclose(self) -> None:
        """End all who follow, and let the file go."""
        if self._closed:
            return
        self._closed = True
        self._watching.cancel()
        for followers in self._followers.values():
            for one in followers:
                one.changed.set()
        await asyncio.wait([self._watching])
        await self._loop.run_in_executor(self._thread, self._close_file)
        self._thread.shutdown()

    @property
    def closed(self) -> bool:
        """Whether nothing changes here any more."""
        return self._closed

    def join(self, follower: OrderChanges) -> None:
        """Wake *follower* from now on."""
        self._followers.setdefault(follower.tenant, set()).add(follower)

    def part(self, follower: OrderChanges) -> None:
        """Wake *follower* no more."""
        followers = self._followers.get(follower.tenant, set())
        followers.discard(follower)
        if not followers:
            self._followers.pop(follower.tenant, None)

    async def _read_asked(self) -> dict[tuple[str, int], list[Order]]:
        await asyncio.sleep(0)  # in which the others ask, too
        asked, self._asked, self._reading = self._asked, set(), None
        return await self.call(lambda file: {one: file.changed(*one) for one in asked})

    def _do(self, function: Callable[[OrderFile], T]) -> T:
        try:
            return in_words(self._path, lambda: function(self._file.result()))
        except HunyuanError:  # some are ValueErrors, too
            raise
        except ODD:  # the file may be the work of somebody else
            pass
        raise explained(self._path, OSError(errno.EINVAL, os.strerror(errno.EINVAL)))

    def _close_file(self) -> None:
        if not self._file.exception():
            self._file.result().close()

    async def _watch(self) -> None:
        last, in_trouble = None, False
        while True:
            try:
                if last is None:
                    last = await self.call(OrderFile.last_change)
                changed = await self.call(partial(OrderFile.tenants_changed, after=last))
                in_trouble = False
            except JournalError as error:
                if not in_trouble:
                    log.error("orders cannot be followed for now: %s", error.message)
                changed, in_trouble = {}, True
            if changed:
                last = max(changed.values())
                self._wake(changed)
            try:
                async with asyncio.timeout(TROUBLE_GAP if in_trouble else GAP):
                    await self._look.wait()
            except TimeoutError:
                pass
            self._look.clear()

    def _wake(self, changed: dict[str, int]) -> None:
        self.changed.set()
        for tenant in changed:
            for follower in self._followers.get(tenant, ()):
                follower.changed.set()


class OrderChanges:
    """Orders as they change, without end; each comes as it is by then, however often it changed in between.

    Use it as ``async with store.follow(tenant=...) as changes: async for order in changes``. It ends when the store
    closes. Who reads slowly misses steps in between, never the last one.

    Attributes:
        tenant: Whose orders.
        after: The number of the last change that was handed over, from which another one goes on; None before it is
            entered, if it follows from then on.
        changed: Set when there may be something to read.
    """

    def __init__(self, orders: SharedOrders, tenant: str, after: int | None) -> None:
        self.tenant = tenant
        self.after = after
        self.changed = asyncio.Event()
        self.changed.set()
        self._orders = orders
        self._page: deque[Order] = deque()

    async def __aenter__(self) -> Self:
        last = await self._orders.call(OrderFile.last_change)
        self._orders.join(self)
        # A number beyond the last one is of another store, which stood here before.
        self.after = last if self.after is None else min(self.after, last)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop following."""
        self._orders.part(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Order:
        while not self._page:
            await self.changed.wait()
            if self._orders.closed:
                raise StopAsyncIteration
            self.changed.clear()
            try:
                self._page.extend(await self._orders.changes(self.tenant, self.after or 0))
            except BaseException:
                self.changed.set()
                raise
            if len(self._page) == PAGE:
                self.changed.set()  # there is more
        order = self._page.popleft()
        self.after = order.change
        return order
