"""A durable store of orders for web backends: many tenants, several worker processes, one account."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

import attrs

from hunyuan_async._core.requests import check_name, digest_of, prepare
from hunyuan_async._intake import given_in
from hunyuan_async._journal.lock import JournalInUse
from hunyuan_async._opening import Admitted, OpenRun
from hunyuan_async._store.order import Order, OrderState, public_error
from hunyuan_async._store.orders import OrderFile, Wish
from hunyuan_async._store.quotas import Quotas, Shares
from hunyuan_async._store.sending import OrderSender
from hunyuan_async._store.sharing import OrderChanges, SharedOrders
from hunyuan_async._tally import log
from hunyuan_async._uncancelled import see_through
from hunyuan_async.client import LARGEST_SEED, Client
from hunyuan_async.errors import HunyuanError, InvalidRequest, NoSuchOrder, OrderConflict, QuotaReached
from hunyuan_async.events import Statistics
from hunyuan_async.models import ImageRequest

__all__ = [
    "NoSuchOrder",
    "Order",
    "OrderChanges",
    "OrderConflict",
    "OrderState",
    "QuotaReached",
    "Quotas",
    "Store",
    "public_error",
]

TAKE_OVER = 1.0  # seconds between two tries to become the one who sends
TROUBLE = 5.0  # seconds, after the directory could not be used
LONGEST_PAGE = 1000  # orders
LARGEST_NUMBER = 2**63 - 1  # that SQLite has


@attrs.define(eq=False, slots=False)
class Store:
    """Takes orders for many tenants, and has them made by one of the processes that have it open.

    Use it as ``async with Store("orders", client=client) as store``, in every worker process of a server on one host.
    What is ordered is on disk when `submit` returns. One of the processes sends, by its client: its rate, slots and
    budget are the app's, and the tenants take turns. If that process ends, another takes over within seconds, and
    goes on with what is paid. The directory is a run's: ``hunyuan status``, ``report`` and ``unknown`` read it.

    Attributes:
        directory: Holds the orders, the journal and the images; on a disk of this host.
        client: Makes the images, if this process sends.
        quotas: What one tenant may order.
        daily_credits: What all tenants together may use in a day (UTC); None for no limit.
        max_credits: What may be spent and put at risk in this directory, ever; None for no limit.
        max_waiting: Orders that may wait to be sent.
        key_changed: Admit another key than that of the earlier processes; it must belong to the same account.
        base_url_changed: Admit another address of the same service.
    """

    directory: Path = attrs.field(converter=Path)
    client: Client = attrs.field(kw_only=True)
    quotas: Quotas = attrs.field(factory=Quotas, kw_only=True)
    daily_credits: int | None = attrs.field(default=None, kw_only=True)
    max_credits: int | None = attrs.field(default=None, kw_only=True)
    max_waiting: int = attrs.field(default=1000, kw_only=True)
    key_changed: bool = attrs.field(default=False, kw_only=True)
    base_url_changed: bool = attrs.field(default=False, kw_only=True)
    _orders: SharedOrders | None = attrs.field(default=None, init=False, repr=False)
    _standing_by: asyncio.Task[None] | None = attrs.field(default=None, init=False, repr=False)
    _sends: bool = attrs.field(default=False, init=False, repr=False)

    @property
    def sends(self) -> bool:
        """Whether this process is the one that sends."""
        return self._sends

    async def submit(
        self, request: str | ImageRequest, *, tenant: str, id: str | None = None, interactive: bool = True
    ) -> Order:
        """Order an image; when this returns, it will be made whatever happens to the caller.

        Args:
            request: The prompt, or a whole request.
            tenant: On whose behalf.
            id: The tenant's own name for it, such as an Idempotency-Key: the same id and request again is the same
                order, unless that cost nothing and failed by no fault of the request.
            interactive: A person waits for it: it goes before what nobody waits for.

        Raises:
            InvalidRequest: The request cannot be right.
            OrderConflict: The tenant used the id for another request.
            QuotaReached: The tenant or the app has ordered as much as it may for now.
            JournalError: It could not be stored.
        """
        orders, service = self._opened(), self.client.service
        asked = ImageRequest(request) if isinstance(request, str) else request
        prepared = prepare(asked, service)
        check_name("tenant", tenant or "")
        check_name("id", id)
        digest = digest_of(asked, given_in(asked))
        seed = secrets.randbelow(LARGEST_SEED + 1) if prepared.seed is None else prepared.seed
        exact = attrs.evolve(prepared, seed=seed)
        wish = Wish(tenant, id, digest, exact, interactive, service.credits_per_image)
        shares = Shares(self.quotas, self.daily_credits, self.max_waiting)
        order = await orders.call(lambda file: file.place(wish, shares))
        orders.notice()
        return order

    async def order(self, handle: str, *, tenant: str) -> Order:
        """Read an order.

        Raises:
            NoSuchOrder: There is none of that handle, or it is another tenant's.
        """
        return await self._opened().call(lambda file: file.order(handle, tenant))

    async def orders(self, *, tenant: str, before: int | None = None, limit: int = 100) -> list[Order]:
        """Read a tenant's orders, the newest first; *before* is the `number` of the last one of the page before."""
        if not 1 <= limit <= LONGEST_PAGE:
            raise InvalidRequest(f"limit must be from 1 to {LONGEST_PAGE}, got {limit!r}")
        newest = LARGEST_NUMBER if before is None else min(before, LARGEST_NUMBER)
        return await self._opened().call(lambda file: file.orders(tenant, newest, limit))

    async def withdraw(self, handle: str, *, tenant: str) -> Order:
        """Ask that an order be not made: only one that still waits is stopped, any other goes on.

        Raises:
            NoSuchOrder: There is none of that handle, or it is another tenant's.
        """
        orders = self._opened()
        order = await orders.call(lambda file: file.withdraw(handle, tenant))
        orders.notice()
        return order

    def follow(self, *, tenant: str, after: int | None = None) -> OrderChanges:
        """Follow a tenant's orders, whichever process sends; *after* is an order's `change`, or None for from now on.

        Use it as ``async with store.follow(tenant=...) as changes: async for order in changes``.
        """
        return self._opened().follow(tenant, after)

    async def statistics(self) -> Statistics:
        """Return the latest snapshot, one a second, of the work of the process that sends or has sent last."""
        told = await self._opened().call(OrderFile.pulse)
        known: Collection[str] = {field.name for field in attrs.fields(Statistics)}
        return Statistics(**{name: value for name, value in told.items() if name in known})  # type: ignore[arg-type]

    async def aclose(self) -> None:
        """Stop. What is paid or waits is gone on with by another process, or by the next one."""
        if self._orders and self._standing_by:
            orders, standing_by = self._orders, self._standing_by
            self._orders = self._standing_by = None
            await see_through(_close(orders, standing_by))

    async def __aenter__(self) -> Self:
        self.client._bound()  # a key that is missing is told of now, in every process
        orders = SharedOrders(self.directory)
        try:
            await orders.call(OrderFile.last_change)
            run = await self._take_over()
        except BaseException:
            await see_through(orders.aclose())
            raise
        self._orders = orders
        self._standing_by = asyncio.create_task(self._stand_by(orders, run), name="hunyuan_async store")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _opened(self) -> SharedOrders:
        self.client._check_home()
        if self._orders is None or self._standing_by is None:
            raise InvalidRequest("the store is not open; use: async with Store(directory, client=client) as store: ...")
        if self._standing_by.done():
            self._standing_by.result()
        self._orders.check()
        return self._orders

    async def _stand_by(self, orders: SharedOrders, run: OpenRun | None) -> None:
        """Send whenever no other process does."""
        gap = TAKE_OVER
        while True:
            if run:
                gap = TROUBLE
                await self._send(orders, run)
            await asyncio.sleep(gap)
            try:
                run, gap = await self._take_over(), TAKE_OVER
            except (HunyuanError, OSError) as error:
                log.error("this process cannot send orders for now: %s", error)
                run, gap = None, TROUBLE

    async def _take_over(self) -> OpenRun | None:
        admitted = Admitted(self.key_changed, self.base_url_changed)
        try:
            return await OpenRun.open(self.client, self.directory, None, self.max_credits, admitted)
        except JournalInUse:
            return None

    async def _send(self, orders: SharedOrders, run: OpenRun) -> None:
        self._sends = True
        try:
            await OrderSender(self.client, run, orders, self.directory).work()
        except HunyuanError as error:
            log.error("this process stops sending orders: %s", error.message)
        finally:
            self._sends = False
            await see_through(run.aclose())


async def _close(orders: SharedOrders, standing_by: asyncio.Task[None]) -> None:
    standing_by.cancel()
    await asyncio.gather(standing_by, return_exceptions=True)
    await orders.aclose()
