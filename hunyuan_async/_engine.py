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

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Dispatch, Ticket
from hunyuan_async._core.endings import CLOSED, closed, cut_short, result_of
from hunyuan_async._core.lifecycle import TRANSITIONS, Item, State, Step
from hunyuan_async._core.replies import Reply
from hunyuan_async._core.text import shown
from hunyuan_async._core.watch import NOT_YET, KeepWaiting, Watch, one_look
from hunyuan_async._core.wire import as_task_id
from hunyuan_async._dispatcher import Dispatcher
from hunyuan_async._poller import Poller
from hunyuan_async._recorder import Book, Books, Recorder
from hunyuan_async._saving import Saver
from hunyuan_async._sending import Sender
from hunyuan_async._tally import UNCLAIMED, Tally, Traffic, log, utc_now
from hunyuan_async._targets import Target
from hunyuan_async.errors import (
    ContentRefused,
    DownloadFailed,
    HunyuanError,
    InvalidRequest,
    JournalError,
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
        books: Books,
        dispatch: Dispatch,
        *,
        service: Service,
        timeouts: Timeouts,
        downloads: int,
        tally: Tally,
    ) -> None:
        self._transport = transport
        self.books = books
        self._dispatch = dispatch
        self._service = service
        self._timeouts = timeouts
        self.tally = tally
        self._loop = asyncio.get_running_loop()
        self._poller = Poller(transport, dispatch, self._wake, tally.looked)
        self._dispatcher = Dispatcher(dispatch, self._poller.look, self._poller.broken)
        self.sender = Sender(transport, self._dispatcher, books, tally, service=service, patience=timeouts.trouble)
        self._saver = Saver(transport, downloads)
        self.running: dict[asyncio.Task[Outcome], Item] = {}
        self.unclaimed: dict[asyncio.Task[Outcome], Item] = {}
        self.streams: WeakSet[Feed] = WeakSet()  # fed from outside, so that they must be told
        self.bug: Exception | None = None  # what ended an item and was no error of the service or the caller
        self.closing = False
        self._closing: asyncio.Future[None] | None = None

    def start(self, item: Item, ticket: Ticket | None = None, target: Target | None = None) -> asyncio.Task[Outcome]:
        """Run *item* in an asyncio task of the engine's own; *ticket* is needed if it is still to be submitted."""
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

    async def recover(self) -> list[tuple[Item, asyncio.Task[Outcome]]]:
        """Run the tasks that an earlier process paid for and did not see finished, but for those under way already.

        Raises:
            JournalError: The recorder cannot be read.
        """
        await self.books.open()
        items = await self.books.own.recorder.unfinished()
        under_way = {item.task_id for item in self.running.values()}
        return [(item, self.start(item)) for item in items if item.task_id not in under_way]

    def disown(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Note that nobody waits for a run any more: it is stopped if it costs nothing yet, else it goes on."""
        self.withdraw(item, running)
        if item.run:  # its journal remembers it
            return
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
            if item.request is None:
                await self._recall(item)
            first = await self.sender.submit(item, ticket) if ticket else None
            if item.state is State.SUBMITTED:
                sent_at = ticket.sent_at if ticket else None
                await self._collect(item, first, sent_at=sent_at, saving=target is not None)
            if item.state is State.COMPLETED and item.completion and not item.completion.urls:
                item.completion, item.finished_at = await self._look_for_images(item.completion.task_id), utc_now()
            if item.state is State.COMPLETED and target:
                await self._save(item, target)
        except HunyuanError as failure:
            error = failure.with_traceback(None)  # its frames would live as long as the outcome
        except (Exception, asyncio.CancelledError) as end:
            # What has cost something ends as an outcome, whatever happens.
            if item.state is State.PLANNED and not self.closing:
                self.tally.withdrawn(item)
                raise
            error = self._cut_short(item, end)
        if error:
            nobody_hears = self.closing or item.withdrawn or error.__cause__
            if error.charged != "no" and nobody_hears and (not item.run or isinstance(error, JournalError)):
                log.warning("item %s: %s", item.id, error.message)
            self.tally.ended_badly(item, error)
        files = () if isinstance(error, DownloadFailed) else item.files  # those that are lost are not on disk
        return Outcome(item.request, result_of(item), error, files)

    def _cut_short(self, item: Item, end: BaseException) -> HunyuanError:
        if self.closing:
            return cut_short(item)
        if isinstance(end, Exception):
            self.bug = self.bug or end
            log.error("a bug of ours, or a resource that ran out, ended item %s", item.id, exc_info=end)
        error = cut_short(item, "The client failed" if self.bug else "The run or its event loop ended")
        error.__cause__ = end
        return error

    async def _recall(self, item: Item) -> None:
        """Go on with what the recorder knows of a task that was attached by its id alone."""
        await self.books.open()
        known = await self.books.own.recorder.find(item.task_id or "")
        if known is None or known.state not in TRANSITIONS:
            return
        item.become(known)
        if known.state is State.UNKNOWN:
            item.submitted_at, item.error = item.sending_at, None
            self.books.of(item).budget.book(at_risk=-item.credits, spent=item.credits)
            await self.books.take(item, Step.ACCEPT)

    async def _collect(self, item: Item, first: Reply | None, *, sent_at: float | None, saving: bool) -> None:
        """Wait until the task ends; the first answer that says so is recorded before anything else is done."""
        assert item.task_id is not None
        now, new = self._loop.time(), sent_at is not None
        images = item.request.images if item.request else ()
        watch = Watch(item.task_id, self._service, now + self._timeouts.task, now + NOT_YET if new else now, images)
        verdict = item.completion or (watch.judge(first, now) if first else KeepWaiting())
        if not new:
            self.tally.resumed(item, item.task_id)
            self._dispatch.slots.take()
        try:
            if isinstance(verdict, KeepWaiting):
                verdict = await self._poller.verdict(item.task_id, watch.judge, item=item, sent_at=sent_at)
        finally:
            slots = self._dispatch.slots
            (slots.finished if isinstance(verdict, TaskStatus) else slots.give_back)()
            self._wake()
        if isinstance(verdict, TaskStatus):
            item.completion, item.finished_at = verdict, utc_now()
            await self.books.take(item, Step.COMPLETE)
            self.tally.completed(item, self._loop.time() - now, saving=saving)
            return
        item.error = verdict
        if isinstance(verdict, TaskFailed) and verdict.charged == "yes":  # finished, in a shape that we cannot read
            item.completion = watch.finished  # its body is kept, and the next process looks once more
            await self.books.take(item, Step.COMPLETE)
        elif isinstance(verdict, TaskFailed | ContentRefused):
            if item.request:  # without one, nobody counted it: it was attached by its id alone
                budget = self.books.of(item).budget
                (budget.book if new else budget.correct)(spent=self._service.credits_per_failure - item.credits)
            item.credits = self._service.credits_per_failure
            await self.books.take(item, Step.FAIL)
        elif isinstance(verdict, TaskLost):
            await self.books.take(item, Step.LOSE_TASK)
        raise verdict

    async def _save(self, item: Item, target: Target) -> None:
        assert item.completion is not None
        since = self._loop.time()
        self._dispatch.saving += 1
        try:
            item.files = await self.save(item.completion, target)
        except DownloadFailed as error:
            if error.kind == "expired":
                item.error = error
                await self.books.take(item, Step.EXPIRE)
            raise
        finally:
            self._dispatch.saving -= 1
            self._wake()
        await self.books.take(item, Step.SAVE)
        self.tally.downloaded(item, item.completion.task_id, self._loop.time() - since)

    async def _look_for_images(self, task_id: str) -> TaskStatus:
        seen = await self._fresh(task_id)
        if isinstance(seen, HunyuanError) or not seen.urls:
            told = seen.message if isinstance(seen, HunyuanError) else "its answer holds none that we can read."
            raise DownloadFailed(f"Task {task_id} is finished and has no image: {told}", task_id=task_id, retry="same")
        return seen

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
        return await self._poller.verdict(task_id, partial(one_look, task_id))

    async def _fresh(self, task_id: str) -> TaskStatus | HunyuanError:
        if not task_id:
            return TaskLost("The task was finished at once and has no id.")
        return await self.status(task_id)

    def open_book(self, run: str, recorder: Recorder, limit: int | None, *, spent: int, at_risk: int) -> Budget:
        """Record the items of *run* there from now on, and return the budget that has a *limit* on its credits.

        Raises:
            InvalidRequest: It is open already: somebody has copied it.
        """
        if run in self.books.of_runs:
            raise InvalidRequest("This client works on this run already: two copies of it would pay twice.")
        budget = Budget(limit, spent, at_risk=at_risk, within=self.books.own.budget)
        self.books.of_runs[run] = Book(recorder, budget)
        return budget

    def traffic(self) -> Traffic:
        """Count the requests so far; any thread may ask."""
        return self.tally.traffic()

    async def leave(self, run: str) -> None:
        """Let go of a run's items: answers to submits already sent are waited for, images are not."""
        ours = {running: item for running, item in self.running.items() if item.run == run}
        for running, item in ours.items():
            self.withdraw(item, running)
        answers = [
            asyncio.ensure_future(self.sender.accepted(item, running))
            for running, item in ours.items()
            if item.state in (State.PLANNED, State.SENDING)
        ]
        if answers:
            await asyncio.wait(answers, timeout=self._timeouts.close)
        for one in (*answers, *ours):
            one.cancel()
        await asyncio.gather(*answers, *ours, return_exceptions=True)
        del self.books.of_runs[run]

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
            await self.books.own.recorder.aclose()
        finally:
            await self._transport.aclose()

    def statistics(self) -> Statistics:
        """Take a snapshot."""
        dispatch, budget, tally = self._dispatch, self.books.own.budget, self.tally
        schedule, model = dispatch.schedule, dispatch.schedule.model
        learned = max(1, model.finished)
        return Statistics(
            waiting=dispatch.waiting,
            in_flight=dispatch.slots.in_use,
            slots=dispatch.slots.bound,
            saving=dispatch.saving,
            credits_spent=budget.spent,
            credits_reserved=budget.reserved,
            credits_at_risk=budget.at_risk,
            rate=dispatch.pacer.rate,
            rate_found=dispatch.pacer.limit.found,
            waiting_for=self._dispatcher.reason,
            waited={**dispatch.waited},
            latency_p50=model.quantile(0.5) if model.finished else None,
            latency_p95=model.quantile(0.95) if model.finished else None,
            polls_per_task=schedule.looks / learned if model.finished else None,
            notice_delay=schedule.delay / learned if model.finished else None,
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
