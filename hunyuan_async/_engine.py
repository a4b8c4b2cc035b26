"""The one place that writes the order of an item's life.

planned -> sending (recorded before the first byte) -> submitted (recorded before anyone polls) -> completed (recorded
before any download) -> downloaded (recorded after the rename). `generate`, `submit`, `attach`, `stream` and a durable
run all go through `Engine.run`, which takes an item from the state it is in to its end. Each run is an asyncio task
that belongs to the engine, not to the caller: a caller who goes away never loses an id.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol
from weakref import WeakSet

from hunyuan_async._core.dispatch import Dispatch, Ticket
from hunyuan_async._core.endings import CLOSED, closed, cut_short, result_of
from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._core.replies import Reply
from hunyuan_async._core.text import shown
from hunyuan_async._core.watch import NOT_YET, KeepWaiting, Watch, one_look
from hunyuan_async._core.wire import as_task_id
from hunyuan_async._dispatcher import Dispatcher
from hunyuan_async._poller import Poller
from hunyuan_async._recorder import Recorder, Steps
from hunyuan_async._saving import Saver
from hunyuan_async._sending import Sender
from hunyuan_async._tally import UNCLAIMED, Tally, log, utc_now
from hunyuan_async._targets import Target
from hunyuan_async.errors import (
    ContentRefused,
    DownloadFailed,
    HunyuanError,
    InvalidRequest,
    NotSent,
    TaskFailed,
    TaskLost,
)
from hunyuan_async.events import Statistics
from hunyuan_async.models import Outcome, SavedImage, TaskStatus
from hunyuan_async.settings import Service, Timeouts
from hunyuan_async.transport import Transport

UNCLAIMED_KEPT = 1000  # whose caller went away; the oldest are forgotten, their ids were logged


class Feed(Protocol):
    """Somebody who hands in items for as long as the engine runs."""

    def client_closed(self, error: HunyuanError) -> None:
        """Hand in no more, because of *error*."""


class Engine:
    """Takes items to their end over one transport, one dispatcher and one recorder, on one event loop."""

    def __init__(
        self,
        transport: Transport,
        recorder: Recorder,
        dispatch: Dispatch,
        *,
        service: Service,
        timeouts: Timeouts,
        downloads: int,
        tally: Tally,
    ) -> None:
        self._transport = transport
        self._recorder = recorder
        self._steps = Steps(recorder)
        self._dispatch = dispatch
        self._service = service
        self._timeouts = timeouts
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._poller = Poller(transport, dispatch, self._wake, tally.looked)
        self._dispatcher = Dispatcher(dispatch, self._poller.look, self._poller.broken)
        self.sender = Sender(
            transport, self._dispatcher, self._steps, tally, service=service, patience=timeouts.trouble
        )
        self._saver = Saver(transport, downloads)
        self.running: dict[asyncio.Task[Outcome], Item] = {}
        self.unclaimed: dict[asyncio.Task[Outcome], Item] = {}
        self.streams: WeakSet[Feed] = WeakSet()  # fed from outside, so that they must be told
        self.bug: Exception | None = None  # what ended an item and was no error of the service or the caller
        self.closing = False
        self._closing: asyncio.Future[None] | None = None

    def start(self, item: Item, ticket: Ticket | None = None, target: Target | None = None) -> asyncio.Task[Outcome]:
        """Run *item* in an asyncio task of the engine's own; *ticket* is needed to submit it."""
        if ticket is None:
            self._dispatch.slots.take()
        running = asyncio.create_task(self.run(item, ticket, target))
        self.running[running] = item
        running.add_done_callback(self._ended)
        return running

    def _ended(self, running: asyncio.Task[Outcome]) -> None:
        if self.running.pop(running).task_id is None:
            self.unclaimed.pop(running, None)

    def attach(self, task_id: str) -> tuple[Item, asyncio.Task[Outcome]]:
        """Run a task of which the id alone is known, unless it is under way already.

        Raises:
            InvalidRequest: It is no task id.
        """
        _check_task_id(task_id)
        for running, item in self.running.items():
            if item.task_id == task_id:
                return item, running
        item = Item(task_id, None, self._service.credits_per_image, State.SUBMITTED, task_id)
        return item, self.start(item)

    def disown(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Note that nobody waits for a run any more: it is stopped if it costs nothing yet, else it goes on."""
        self.withdraw(item, running)
        if item.task_id is not None:
            log.warning(UNCLAIMED, item.task_id)
        if item.task_id is not None or running in self.running:
            self.unclaimed[running] = item
            if len(self.unclaimed) > UNCLAIMED_KEPT:
                self.unclaimed.pop(next(iter(self.unclaimed)))

    def withdraw(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Let a run stop, unless it has cost something; what has been sent is not sent again."""
        item.withdrawn = True
        if item.state is State.PLANNED and item not in self.sender.leaving:
            running.cancel()  # one that is about to leave notices by itself, once its step is stored

    async def run(self, item: Item, ticket: Ticket | None, target: Target | None) -> Outcome:
        """Take *item* from the state it is in to its end, which is an outcome whatever happens."""
        error: HunyuanError | None = None
        try:
            first = await self.sender.submit(item, ticket) if ticket else None
            if item.state is State.SUBMITTED:
                await self._collect(item, first)
            if item.state is State.COMPLETED and target:
                await self._save(item, target)
        except HunyuanError as failure:
            error = failure.with_traceback(None)  # its frames would live as long as the outcome
        except (Exception, asyncio.CancelledError) as end:
            # What has cost something ends as an outcome, whatever happens.
            if item.state is State.PLANNED and not self.closing:
                raise
            error = self._cut_short(item, end)
        if error:
            if error.charged != "no" and (self.closing or item.withdrawn or error.__cause__):
                log.warning("item %s: %s", item.id, error.message)
            self._tally.ended_badly(item.id, error, finished=item.completion is not None)
        return Outcome(item.request, result_of(item), error, item.files)

    def _cut_short(self, item: Item, end: BaseException) -> HunyuanError:
        if self.closing:
            return cut_short(item)
        if isinstance(end, Exception):
            self.bug = self.bug or end
            log.error("a bug of ours, or a resource that ran out, ended item %s", item.id, exc_info=end)
        error = cut_short(item, "The client failed" if self.bug else "The event loop was shut down")
        error.__cause__ = end
        return error

    async def _collect(self, item: Item, first: Reply | None) -> None:
        """Wait until the task ends; the first answer that says so is recorded before anything else is done."""
        assert item.task_id is not None
        now = self._loop.time()
        new = item.submitted_at is not None
        images = item.request.images if item.request else ()
        watch = Watch(item.task_id, self._service, now + self._timeouts.task, now + NOT_YET if new else now, images)
        verdict = watch.judge(first, now) if first else KeepWaiting()
        try:
            if isinstance(verdict, KeepWaiting):
                verdict = await self._poller.verdict(item.task_id, watch.judge, new=new)
        finally:
            slots = self._dispatch.slots
            (slots.finished if isinstance(verdict, TaskStatus) else slots.give_back)()
            self._wake()
        if isinstance(verdict, TaskStatus):
            item.completion, item.finished_at = verdict, utc_now()
            await self._steps.take(item, Step.COMPLETE)
            self._tally.completed(item.id, item.task_id, self._loop.time() - now)
            return
        if isinstance(verdict, TaskFailed | ContentRefused):
            await self._steps.take(item, Step.FAIL)
        elif isinstance(verdict, TaskLost):
            await self._steps.take(item, Step.LOSE_TASK)
        raise verdict

    async def _save(self, item: Item, target: Target) -> None:
        assert item.completion is not None
        self._dispatch.saving += 1
        try:
            item.files = await self.save(item.completion, target)
        except DownloadFailed as error:
            if error.kind == "expired":
                await self._steps.take(item, Step.EXPIRE)
            raise
        finally:
            self._dispatch.saving -= 1
            self._wake()
        await self._steps.take(item, Step.SAVE)
        self._tally.downloaded(item.id, item.completion.task_id, item.files)

    async def save(self, completion: TaskStatus, target: Target) -> tuple[SavedImage, ...]:
        """Save a finished task's images; see `Saver.save`."""
        try:
            return await self._saver.save(completion.urls, target, partial(self._fresh, completion.task_id))
        except DownloadFailed as error:
            error.task_id = completion.task_id
            raise

    async def status(self, task_id: str) -> TaskStatus | HunyuanError:
        """Look once at a task, when the pace allows.

        Raises:
            InvalidRequest: It is no task id.
        """
        _check_task_id(task_id)
        return await self._poller.verdict(task_id, partial(one_look, task_id), new=False)

    async def _fresh(self, task_id: str) -> TaskStatus | None:
        seen = await self.status(task_id) if task_id else None  # a task finished at once may have no id
        return seen if isinstance(seen, TaskStatus) else None

    async def aclose(self) -> None:
        """Stop sending and looking, wait for the answers to submits already sent, and release everything.

        Whoever still waits gets an error that says what became of the item.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
            await asyncio.shield(self._closing)
        else:
            await asyncio.wait([self._closing])

    async def _close(self) -> None:
        self.closing = True
        for stream in [*self.streams]:
            stream.client_closed(NotSent(f"{CLOSED} before everything was sent."))
        self._saver.close()
        self.sender.close()
        self._poller.give_up(closed)
        await asyncio.sleep(0)  # a run that was just made begins, so that it can give back what it holds
        for running, item in [*self.running.items()]:
            self.withdraw(item, running)
            if item.state is State.COMPLETED and not item.files:
                running.cancel()
        if self.running:
            await asyncio.wait([*self.running], timeout=self._timeouts.close)
        for running in [*self.running]:
            running.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        await self._dispatcher.aclose()
        try:
            await self._recorder.aclose()
        finally:
            await self._transport.aclose()

    def statistics(self) -> Statistics:
        """Take a snapshot."""
        dispatch, budget, tally = self._dispatch, self._dispatch.budget, self._tally
        return Statistics(
            waiting=dispatch.waiting,
            in_flight=dispatch.slots.in_use,
            slots=dispatch.slots.bound,
            saving=dispatch.saving,
            credits_spent=budget.spent,
            credits_reserved=budget.reserved,
            credits_at_risk=budget.at_risk,
            rate=dispatch.pacer.rate,
            waiting_for=self._dispatcher.reason,
            succeeded=tally.succeeded,
            failed=tally.failed,
            unknown=tally.unknown,
            submits=tally.submits,
            polls=tally.polls,
            limited=tally.limited,
            unclear=tally.unclear,
        )

    def _wake(self) -> None:
        self._dispatcher.wake()


def _check_task_id(task_id: str) -> None:
    if as_task_id(task_id) is None:
        raise InvalidRequest(f"{shown(task_id)} is no task id; one looks like n68xxxx_hunyuan3")
