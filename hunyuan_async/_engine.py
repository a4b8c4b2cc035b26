"""The one place that writes the order of an item's life.

planned -> sending (recorded before the first byte) -> submitted (recorded before anyone polls) -> completed (recorded
before any download) -> downloaded (recorded after the rename). `generate`, `submit`, `attach`, `stream` and a durable
run all go through `Engine.run`, which takes an item from the state it is in to its end. Each run is an asyncio task
that belongs to the engine, not to the caller: a caller who goes away never loses an id.
"""

from __future__ import annotations

import asyncio
import math
import random
from functools import partial

import attrs

from hunyuan_async._core.dispatch import Dispatch, Ticket
from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.retry import Accepted, TryAgain, judge_submit
from hunyuan_async._core.text import shown
from hunyuan_async._core.watch import NOT_YET, KeepWaiting, Watch, one_look, read_status
from hunyuan_async._core.wire import as_task_id
from hunyuan_async._dispatcher import Dispatcher
from hunyuan_async._poller import Poller
from hunyuan_async._recorder import Recorder
from hunyuan_async._saving import Saver, Target
from hunyuan_async._tally import UNCLAIMED, Tally, log, utc_now
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    DownloadFailed,
    HunyuanError,
    InvalidRequest,
    JournalError,
    NotSent,
    OutOfCredits,
    SubmitUnknown,
    TaskFailed,
    TaskLost,
    TaskTimedOut,
)
from hunyuan_async.models import ImageRequest, ImageResult, Outcome, SavedImage, Statistics, TaskState, TaskStatus
from hunyuan_async.settings import Service, Timeouts
from hunyuan_async.transport import Transport

CLOSED = "The client was closed"
UNCLAIMED_KEPT = 1000  # whose caller went away; the oldest are forgotten, their ids were logged
LEFT = "task %s is paid, and the client closed before it was done with it; attach to it by its id"


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
        self._dispatch = dispatch
        self._service = service
        self._timeouts = timeouts
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._poller = Poller(transport, dispatch, self._wake, tally.looked)
        self._dispatcher = Dispatcher(dispatch, self._poller.look, self._poller.broken)
        self._saver = Saver(transport, downloads)
        self.running: dict[asyncio.Task[Outcome], Item] = {}
        self.unclaimed: dict[asyncio.Task[Outcome], Item] = {}
        self._acceptance: dict[Item, asyncio.Future[None]] = {}
        self._leaving: set[Item] = set()  # their first step is being stored
        self._accepted_at = -math.inf
        self.closing = False

    async def admit(self, item: Item) -> Ticket:
        """Wait for *item*'s turn to be sent; cancelling the wait costs nothing.

        Raises:
            BudgetExceeded: The limit on credits is spent.
            HunyuanError: Whatever the whole queue was turned away with, for example a refused key.
        """
        ticket = Ticket(item.credits)
        try:
            if self.closing:
                raise NotSent(f"{CLOSED}; nothing was sent. Make a new one.")
            await self._dispatcher.permit(ticket)
        except HunyuanError as error:
            self._tally.ended_badly(item.id, error, finished=False)
            raise
        if self.closing:
            self._dispatch.give_back(ticket)
            raise _left_at_closing(item)
        return ticket

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

    async def accepted(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Wait until *item*, just started, has been accepted, or has ended."""
        acceptance = self._acceptance[item] = self._loop.create_future()
        try:
            await asyncio.wait([acceptance, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._acceptance[item]

    def disown(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Note that nobody waits for a run any more: it is stopped if it costs nothing yet, else it goes on."""
        self.withdraw(item, running)
        if item.task_id is not None:
            log.info(UNCLAIMED, item.task_id)
        if item.task_id is not None or running in self.running:
            self.unclaimed[running] = item
            if len(self.unclaimed) > UNCLAIMED_KEPT:
                self.unclaimed.pop(next(iter(self.unclaimed)))

    def withdraw(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Let a run stop, unless it has cost something; what has been sent is not sent again."""
        item.withdrawn = True
        if item.state is State.PLANNED and item not in self._leaving:
            running.cancel()  # one that is about to leave notices by itself, once its step is stored

    async def run(self, item: Item, ticket: Ticket | None, target: Target | None) -> Outcome:
        """Take *item* from the state it is in to its end, which is an outcome whatever happens."""
        error: HunyuanError | None = None
        try:
            first = await self._submit(item, ticket) if ticket else None
            if item.state is State.SUBMITTED:
                await self._collect(item, first)
            if item.state is State.COMPLETED and target:
                if self.closing:
                    raise _left_at_closing(item)
                await self._save(item, target)
        except HunyuanError as failure:
            error = failure.with_traceback(None)  # its frames would live as long as the outcome
        except asyncio.CancelledError:
            if not self.closing:
                raise
            error = _left_at_closing(item)
        if error:
            if self.closing and item.task_id is not None:
                log.info(LEFT, item.task_id)
            self._tally.ended_badly(item.id, error, finished=item.completion is not None)
        return Outcome(item.request, _result(item), error, item.files)

    # Submitting: the steps that cost money.

    async def _submit(self, item: Item, ticket: Ticket) -> Reply | None:
        """Send *item* until it is accepted or refused; return an answer that shows it finished already."""
        since = self._loop.time()
        while True:
            sent_at = self._loop.time()
            seen, verdict = await self._exchange(item, ticket)
            match verdict:
                case Accepted(answer=answer):
                    await self._accept(item, ticket, verdict)
                    finished = answer and (answer.urls or answer.state in {TaskState.COMPLETED, TaskState.FAILED})
                    return seen if finished and isinstance(seen, Reply) else None
                case TryAgain():
                    ticket = await self._put_off(item, ticket, verdict, sent_at, since)
                case _:
                    await self._refuse(item, ticket, verdict)
                    raise verdict

    async def _exchange(self, item: Item, ticket: Ticket) -> tuple[Reply | NoReply, Accepted | TryAgain | HunyuanError]:
        """Send *item* once and judge what came back; if that is cut short, its credits are free again or at risk."""
        assert item.request is not None
        try:
            seen = await self._send(item, item.request)
            verdict = judge_submit(seen, item.request, self._service)
            if isinstance(verdict, Accepted) and not verdict.certain:
                verdict = await self._confirm(verdict)
        except BaseException:
            if item.state is State.SENDING:
                self._dispatch.unanswered(ticket)
                await self._take(item, Step.LOSE_ANSWER)
            else:
                self._dispatch.give_back(ticket)
            self._wake()
            raise
        return seen, verdict

    async def _send(self, item: Item, request: ImageRequest) -> Reply | NoReply:
        async def before_send() -> None:
            self._leaving.add(item)
            try:
                await self._take(item, Step.SEND)
            finally:
                self._leaving.discard(item)
            if item.withdrawn or self.closing:
                await self._take(item, Step.TAKE_BACK)
                raise NotSent("The caller went away before this was sent.")
            self._tally.sending(item.id)

        seen = await self._transport.submit(request, before_send)
        if item.state is State.SENDING and isinstance(seen, NoReply):
            return attrs.evolve(seen, sent=True)
        if item.state is State.PLANNED and (isinstance(seen, Reply) or seen.sent):
            # The hook did not fire: too late to hold back, not to remember.
            item.state = advance(item.state, Step.SEND)
            self._tally.sending(item.id)
            await self._store(item, Step.SEND)
        return seen

    async def _confirm(self, salvaged: Accepted) -> Accepted | HunyuanError:
        """Look whether an id out of a cut-off answer is a task."""
        seen = await self._transport.poll(salvaged.task_id)
        if isinstance(seen, Reply) and read_status(seen, salvaged.task_id):
            return attrs.evolve(salvaged, certain=True)
        return SubmitUnknown(
            f"The answer was cut off; it held the id {salvaged.task_id}, which the service did not confirm. "
            "It may have been charged, so it is not sent again by itself."
        )

    async def _accept(self, item: Item, ticket: Ticket, verdict: Accepted) -> None:
        item.task_id = verdict.task_id
        item.submitted_at = utc_now()
        self._dispatch.accepted(ticket)
        self._accepted_at = self._loop.time()
        try:
            await self._take(item, Step.ACCEPT)
        except BaseException:
            self._dispatch.slots.give_back()  # nobody watches it here
            raise
        finally:
            self._wake()
        self._tally.submitted(item.id, item.task_id, item.credits)
        if item.withdrawn:
            log.info(UNCLAIMED, item.task_id)
        if acceptance := self._acceptance.get(item):
            acceptance.set_result(None)

    async def _put_off(self, item: Item, ticket: Ticket, verdict: TryAgain, sent_at: float, since: float) -> Ticket:
        """Wait for another permit, at the head of the queue, unless nothing was accepted for too long *since*."""
        now = self._loop.time()
        pause = self._dispatch.put_off(ticket, verdict, now=now, sent_at=sent_at, jitter=_jitter())
        self._wake()
        if item.state is State.SENDING:
            await self._take(item, Step.TAKE_BACK)
        self._tally.limited += verdict.limited
        if pause:
            self._tally.paused(self._dispatch.pacer.reason, pause)
        if item.withdrawn or self.closing:
            raise verdict.error
        if now - max(since, self._accepted_at) >= self._timeouts.trouble:
            self._dispatcher.turn_away(verdict.error)
            raise verdict.error
        again = Ticket(item.credits)
        await self._dispatcher.permit(again, again=True)
        return again

    async def _refuse(self, item: Item, ticket: Ticket, error: HunyuanError) -> None:
        if isinstance(error, SubmitUnknown):
            self._dispatch.unanswered(ticket)
            await self._take(item, Step.LOSE_ANSWER)
        else:
            self._dispatch.give_back(ticket)
            if item.state is State.SENDING:
                await self._take(item, Step.REJECT)
        self._wake()
        if isinstance(error, AuthError | OutOfCredits):
            self._dispatcher.turn_away(error)  # the next one in the queue would be refused as well

    # Collecting and saving: the steps that cost nothing any more.

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
            await self._take(item, Step.COMPLETE)
            self._tally.completed(item.id, item.task_id, self._loop.time() - now)
            return
        if isinstance(verdict, TaskFailed | ContentRefused):
            await self._take(item, Step.FAIL)
        elif isinstance(verdict, TaskLost):
            await self._take(item, Step.LOSE_TASK)
        raise verdict

    async def _save(self, item: Item, target: Target) -> None:
        assert item.completion is not None
        self._dispatch.saving += 1
        try:
            item.files = await self.save(item.completion, target)
        except DownloadFailed as error:
            if error.kind == "expired":
                await self._take(item, Step.EXPIRE)
            raise
        finally:
            self._dispatch.saving -= 1
            self._wake()
        await self._take(item, Step.SAVE)
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
        if self.closing:
            return
        self.closing = True
        self._saver.close()
        self._dispatcher.turn_away(NotSent(f"{CLOSED} before this was sent."))
        self._poller.give_up(_closed)
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

    async def _take(self, item: Item, step: Step) -> None:
        after = advance(item.state, step)
        await self._store(item, step)
        item.state = after

    async def _store(self, item: Item, step: Step) -> None:
        try:
            await self._recorder.record(item, step)
        except JournalError as error:
            if item.state is not State.PLANNED:
                error.task_id, error.retry = item.task_id, "no"
                error.charged = "unknown" if item.task_id is None else "yes"
            raise

    def _wake(self) -> None:
        self._dispatcher.wake()


def _result(item: Item) -> ImageResult | None:
    if item.completion is None or item.finished_at is None:
        return None
    return ImageResult(
        task_id=item.completion.task_id,
        request=item.request,
        urls=item.completion.urls,
        credits=item.credits,
        submitted_at=item.submitted_at,
        finished_at=item.finished_at,
        raw=item.completion.raw,
    )


def _check_task_id(task_id: str) -> None:
    if as_task_id(task_id) is None:
        raise InvalidRequest(f"{shown(task_id)} is no task id; one looks like n68xxxx_hunyuan3")


def _closed(task_id: str) -> HunyuanError:
    return TaskTimedOut(
        f"{CLOSED} while task {task_id} was under way; it is paid. Attach to it by its id.", task_id=task_id
    )


def _left_at_closing(item: Item) -> HunyuanError:
    match item.state:
        case State.PLANNED:
            return NotSent(f"{CLOSED} before this was sent.")
        case State.COMPLETED:
            return DownloadFailed(
                f"{CLOSED} before the image of task {item.task_id} was saved.", task_id=item.task_id, retry="same"
            )
    if item.task_id is None:
        return SubmitUnknown(f"{CLOSED} before the service answered; the request may have been charged.")
    return _closed(item.task_id)


def _jitter() -> float:
    return random.random()  # noqa: S311 - spreads load, hides nothing
