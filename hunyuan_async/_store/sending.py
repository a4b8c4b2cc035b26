"""The one worker of a store that sends its orders."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from hunyuan_async._core.lifecycle import PAID, Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._opening import OpenRun
from hunyuan_async._store.order import Order, OrderState
from hunyuan_async._store.orders import OrderFile, Progress
from hunyuan_async._store.sharing import TROUBLE_GAP, SharedOrders
from hunyuan_async._tally import log
from hunyuan_async._targets import Target, image_path
from hunyuan_async._uncancelled import see_through
from hunyuan_async.errors import AuthError, HunyuanError, JournalError, SubmitUnknown
from hunyuan_async.events import Completed, Event, PutOff, Resumed, Sending, Submitted
from hunyuan_async.models import Outcome

if TYPE_CHECKING:
    from hunyuan_async.client import Client

CACHE = 4096  # KiB of the journal in memory
GATHERING = 0.05  # seconds in which steps gather for one commit
AGAIN = 60.0  # seconds before another try to get what is paid; then twice as long each time, up to
SELDOM = 3600.0  # seconds
PULSE = 1.0  # seconds between two snapshots of the statistics

_NOT_IN_JOURNAL = (
    "This order was sent, and the journal does not know it. It may have been charged, so it is not sent again. If the "
    "right journal is elsewhere, bring it back, and start anew."
)
_UNDER_WAY: dict[type[Event], OrderState] = {
    Sending: OrderState.SENDING,
    PutOff: OrderState.WAITING,
    Submitted: OrderState.RUNNING,
    Resumed: OrderState.RUNNING,
    Completed: OrderState.SAVING,
}
_ENDS = {
    State.DOWNLOADED: OrderState.DONE,
    State.REJECTED: OrderState.FAILED,
    State.FAILED: OrderState.FAILED,
    State.EXPIRED: OrderState.FAILED,
    State.LOST: OrderState.FAILED,
    State.ABANDONED: OrderState.FAILED,
    State.UNKNOWN: OrderState.UNKNOWN,
    State.SENDING: OrderState.UNKNOWN,  # we were cut short before that was stored
    State.SUBMITTED: OrderState.UNKNOWN,  # we stopped waiting
    State.COMPLETED: OrderState.FAILED,  # made, and not fetched
}


def progress_of(handle: str, item: Item, error: HunyuanError | None) -> Progress:
    """Return where the order of *item* stands once its run has ended, with *error* or well."""
    unsent, is_done = item.state in (State.PLANNED, State.SKIPPED), item.state is State.DOWNLOADED
    if unsent and item.withdrawn:
        return Progress(handle, OrderState.WITHDRAWN, settled=True, credits=0)
    return Progress(
        handle,
        _ENDS.get(item.state, OrderState.FAILED),
        settled=item.state not in PAID and item.state not in (State.SENDING, State.UNKNOWN),
        credits=0 if unsent or item.state is State.REJECTED else item.credits,
        error=None if is_done else error or item.error,
        files=item.files if is_done else (),
    )


class OrderSender:
    """Takes every order to its end, and notes how far each has come, for as long as it holds the run.

    The journal alone decides what is paid; the orders repeat what it says, for all workers to see, so that whoever
    sends next brings them up to date.
    """

    def __init__(self, client: Client, run: OpenRun, orders: SharedOrders, directory: Path) -> None:
        self._client = client
        self._run = run
        self._orders = orders
        self._directory = directory
        self._making: dict[str, asyncio.Task[None]] = {}
        self._running: dict[str, tuple[Item, asyncio.Task[Outcome] | None]] = {}
        self._news: dict[str, Progress] = {}
        self._has_news = asyncio.Event()
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def work(self) -> None:
        """Send what is ordered, until cancelled. Afterwards the run is to be closed, which ends what is under way.

        Raises:
            JournalError: Steps cannot be stored any more: the run is to be opened anew.
            NotSent: The client is closed.
        """
        await self._run.journal.call(partial(JournalFile.limit_cache, kibibytes=CACHE))
        self._run.engine.streams.add(self)
        unsubscribe = self._client.subscribe(self._hear)
        parts = [asyncio.create_task(work()) for work in (self._take_orders, self._note_news, self._beat)]
        try:
            await asyncio.wait([*parts, self._broken], return_when=asyncio.FIRST_COMPLETED)
            for ended in (self._broken, *parts):
                if ended.done():
                    ended.result()
        finally:
            unsubscribe()
            if not self._broken.cancel():
                self._broken.exception()  # which is of no interest beside what ends us
            await see_through(self._stop(parts))

    def client_closed(self, error: HunyuanError) -> None:
        """Let another process send, because of *error*."""
        self._break(error)

    def _break(self, error: BaseException) -> None:
        if not self._broken.done():
            self._broken.set_exception(error)

    async def _stop(self, parts: list[asyncio.Task[None]]) -> None:
        await _cancel(parts)
        await _cancel([*self._making.values()])  # only now nothing is taken up any more
        with suppress(JournalError):  # whoever sends next finds out from the journal
            await self._note()

    async def _take_orders(self) -> None:
        """Take up what an earlier sender left, then each new order once, by its number."""
        newest = await self._orders.call(OrderFile.last_number)
        for order in await self._orders.call(partial(OrderFile.unsettled, up_to=newest)):
            await self._take_up(order)
        await self._fetch_again()
        while True:
            self._orders.changed.clear()
            while page := await self._orders.call(partial(OrderFile.placed, after=newest)):
                for order in page:
                    self._make(order, self._item(order))
                newest = page[-1].number
            # By the time of this answer all of them have begun; what is cancelled before it begins tells nothing.
            for handle in await self._orders.call(OrderFile.withdrawing):
                self._withdraw(handle)
            await self._orders.changed.wait()

    async def _take_up(self, order: Order) -> None:
        """Go on with an order as the journal knows it, whoever has sent it."""
        item = await self._run.journal.call(lambda file: file.item(self._run.record.run, order.handle))
        if item is None and order.state is not OrderState.WAITING:
            progress = Progress(order.handle, OrderState.UNKNOWN, error=SubmitUnknown(_NOT_IN_JOURNAL))
        elif item is None or item.state is State.PLANNED or item.state in PAID:
            item = item or self._item(order)
            item.interactive = order.interactive
            self._make(order, item)
            return
        else:
            item.withdrawn = order.withdrawing
            progress = progress_of(order.handle, item, None)
        if progress.settled or progress.state is not order.state:
            self._tell(progress)

    async def _fetch_again(self) -> None:
        """Take up what is paid and was on disk once: its images are gone."""
        paid = await self._run.journal.call(lambda file: [*file.each(self._run.record.run, *PAID)])
        # Judged at once: what is being made now may have ended by the time of another answer.
        for item in [item for item in paid if item.id not in self._making]:
            if order := await self._orders.call(partial(OrderFile.find, handle=item.id)):
                self._make(order, item)

    def _item(self, order: Order) -> Item:
        return Item(
            order.handle,
            order.request,
            self._client.service.credits_per_image,
            run=self._run.record.run,
            tenant=order.tenant,
            interactive=order.interactive,
            detail={"index": order.number, "line": None, "variation": 1, "input": {}, "given": {}},
        )

    def _make(self, order: Order, item: Item) -> None:
        making = asyncio.create_task(self._take_to_its_end(order, item))
        self._making[order.handle] = making
        self._running[order.handle] = item, None
        making.add_done_callback(partial(self._made, order.handle))

    def _made(self, handle: str, making: asyncio.Task[None]) -> None:
        del self._making[handle]
        self._running.pop(handle, None)
        if not making.cancelled() and (error := making.exception()):
            self._break(error)

    def _withdraw(self, handle: str) -> None:
        if handle not in self._running:
            return
        item, running = self._running[handle]
        item.withdrawn = True
        if running:
            self._run.engine.withdraw(item, running)
        else:
            self._making[handle].cancel()

    async def _take_to_its_end(self, order: Order, item: Item) -> None:
        await self._take_on(order, item)
        gap = AGAIN
        # Its task takes longer than we wait, or its image could not be fetched.
        while item.state in PAID and not self._run.engine.closing:
            await asyncio.sleep(gap)
            await self._take_on(order, item)
            gap = min(2 * gap, SELDOM)

    async def _take_on(self, order: Order, item: Item) -> None:
        item.withdrawn = order.withdrawing and item.state is State.PLANNED
        error = None
        try:
            if not item.withdrawn:
                error = await self._run_item(order.handle, item)
        except asyncio.CancelledError:
            _, running = self._running[order.handle]
            if not item.withdrawn or (running and not running.done()):
                raise  # it was we who were to stop, and it may yet be paid
        self._running.pop(order.handle)  # it can be withdrawn no more
        await self._end(order.handle, item, error)

    async def _run_item(self, handle: str, item: Item) -> HunyuanError | None:
        engine = self._run.engine
        self._running[handle] = item, None
        ticket = None
        is_known = item.number > 0 or item.sending_at is not None  # what stands under its image's name is its own
        if item.state is State.PLANNED:
            try:
                ticket = await engine.sender.admit(item)
            except HunyuanError as refusal:
                return refusal.with_traceback(None)
        target = Target(self._directory / image_path(item), overwrite=is_known)
        running = engine.start(item, ticket, target)
        self._running[handle] = item, running
        return (await asyncio.shield(running)).error

    async def _end(self, handle: str, item: Item, error: HunyuanError | None) -> None:
        """Tell what became of an item; one that a closing client left unfinished is for the next sender."""
        if isinstance(error, JournalError):
            raise error
        if isinstance(error, AuthError):
            await self._run.unpin()
        if self._run.engine.closing and (item.state is State.PLANNED or item.state in PAID):
            return
        if item.state is State.PLANNED and (item.number or item.sending_at):
            await self._run.engine.books.take(item, Step.SKIP)  # it stands in the journal, for nobody to send any more
        self._tell(progress_of(handle, item, error))

    def _hear(self, event: Event) -> None:
        if event.id in self._making and (state := _UNDER_WAY.get(type(event))):
            self._tell(Progress(event.id, state))

    def _tell(self, progress: Progress) -> None:
        self._news[progress.handle] = progress
        self._has_news.set()

    async def _note_news(self) -> None:
        while True:
            await self._has_news.wait()
            await asyncio.sleep(GATHERING)
            try:
                await self._note()
            except JournalError as error:
                log.error("how far orders have come cannot be stored for now: %s", error.message)
                await asyncio.sleep(TROUBLE_GAP)

    async def _note(self) -> None:
        self._has_news.clear()
        news, self._news = self._news, {}
        try:
            await self._orders.call(lambda file: file.note(news.values()))
        except JournalError:
            self._news = {**news, **self._news}
            self._has_news.set()
            raise
        self._orders.notice()

    async def _beat(self) -> None:
        last = None
        while True:
            statistics = attrs.asdict(self._run.statistics())
            if statistics != last:
                with suppress(JournalError):  # the next one will do
                    await self._orders.call(partial(OrderFile.write_pulse, statistics=statistics))
                    last = statistics
            await asyncio.sleep(PULSE)


async def _cancel(running: list[asyncio.Task[None]]) -> None:
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)
