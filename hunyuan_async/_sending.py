"""The steps of an item's life that cost money: from the queue to the service's yes or no.

A submit is sent again only if it was provably never sent, or refused for now; `judge_submit` decides that. The step to
"sending" is stored inside the transport's hook, before the first byte leaves.
"""

from __future__ import annotations

import asyncio
import math
import random

import attrs

from hunyuan_async._core.dispatch import Ticket
from hunyuan_async._core.endings import CLOSED, cut_short
from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.retry import Accepted, TryAgain, judge_submit
from hunyuan_async._core.watch import read_status
from hunyuan_async._core.wire import read_answer
from hunyuan_async._dispatcher import Dispatcher
from hunyuan_async._recorder import Books
from hunyuan_async._tally import UNCLAIMED, Tally, log, utc_now
from hunyuan_async.errors import AuthError, HunyuanError, NotSent, OutOfCredits, ServiceUnavailable, SubmitUnknown
from hunyuan_async.models import ImageRequest, Outcome, TaskState
from hunyuan_async.settings import Service
from hunyuan_async.transport import Transport


class Sender:
    """Submits items, each once, unless the service put it off.

    Attributes:
        leaving: Items whose step to "sending" is being stored: no longer to be cancelled, not yet sent.
        closed: Whether nothing may be sent any more.
    """

    def __init__(
        self,
        transport: Transport,
        dispatcher: Dispatcher,
        books: Books,
        tally: Tally,
        *,
        service: Service,
        patience: float,
    ) -> None:
        self.leaving: set[Item] = set()
        self.closed = False
        self._transport = transport
        self._dispatcher = dispatcher
        self._books = books
        self._tally = tally
        self._service = service
        self._patience = patience  # seconds
        self._loop = asyncio.get_running_loop()
        self._acceptance: dict[Item, asyncio.Future[None]] = {}
        self._accepted_at = -math.inf
        self._denied = False  # whether the last answer that was about the key refused it

    async def admit(self, item: Item, *, behind: float = 0) -> Ticket:
        """Wait for *item*'s turn to be sent, with so many more *behind* it; cancelling the wait costs nothing.

        Raises:
            BudgetExceeded: A limit on credits is spent.
            JournalError: Nothing can be recorded.
            ServiceUnavailable: Nobody can tell what becomes of submits.
            HunyuanError: Whatever the whole queue was turned away with, for example a refused key.
        """
        ticket = Ticket(
            item.credits,
            self._books.of(item).budget,
            tenant=item.tenant or item.run,
            interactive=item.interactive,
            behind=behind,
        )
        try:
            if not self.closed:
                await self._books.open()
            if self.closed:
                raise NotSent(f"{CLOSED}; nothing was sent. Make a new one.")
            if given_up := self._given_up():
                raise given_up
            await self._dispatcher.permit(ticket)
        except HunyuanError as error:
            self._tally.ended_badly(item, error)
            raise
        if self.closed:
            self._dispatcher.dispatch.give_back(ticket)
            raise cut_short(item)
        return ticket

    async def accepted(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        """Wait until *item*, just started, has been accepted, or has ended."""
        acceptance = self._acceptance[item] = self._loop.create_future()
        try:
            await asyncio.wait([acceptance, running], return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._acceptance[item]

    async def submit(self, item: Item, ticket: Ticket) -> Reply | None:
        """Send *item* until it is accepted or refused; return an answer that shows it finished already.

        Raises:
            HunyuanError: It was not accepted, or nobody knows (`SubmitUnknown`).
        """
        since = self._loop.time()
        while True:
            seen, verdict = await self._exchange(item, ticket)
            match verdict:
                case Accepted(answer=answer):
                    await self._accept(item, ticket, verdict, seen)
                    finished = answer and (answer.urls or answer.state in {TaskState.COMPLETED, TaskState.FAILED})
                    return seen if finished and isinstance(seen, Reply) else None
                case TryAgain():
                    await self._put_off(item, ticket, verdict, since)
                case AuthError() if not self._denied:  # not yet for everyone: one answer may be a mishap
                    self._denied = True
                    self._dispatcher.dispatch.refused(ticket)
                    await self._again(item, ticket, verdict)
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
                item.task_id = verdict.task_id  # not to be forgotten, whatever becomes of the look
                seen, verdict = await self._confirm(verdict)
        except BaseException:
            if item.state is State.SENDING:
                await self._lose(item, ticket, cut_short(item, "The client stopped"))
            else:
                self._dispatcher.dispatch.give_back(ticket)
            self._dispatcher.wake()
            raise
        return seen, verdict

    async def _send(self, item: Item, request: ImageRequest) -> Reply | NoReply:
        async def before_send() -> None:
            self.leaving.add(item)
            item.sending_at, item.error = utc_now(), None
            try:
                await self._books.take(item, Step.SEND)
            finally:
                self.leaving.discard(item)
            if item.withdrawn or self.closed:
                await self._books.take(item, Step.TAKE_BACK)
                raise NotSent("The caller went away before this was sent.")
            self._tally.sending(item)

        seen = await self._transport.submit(request, before_send)
        if item.state is State.SENDING and isinstance(seen, NoReply):
            return attrs.evolve(seen, sent=True)
        if item.state is State.PLANNED and (isinstance(seen, Reply) or seen.sent):
            # The hook did not fire: too late to hold back, not to remember.
            self._tally.sending(item)
            item.sending_at = utc_now()
            await self._books.catch_up(item, Step.SEND)
        return seen

    async def _confirm(self, salvaged: Accepted) -> tuple[Reply | NoReply, Accepted | HunyuanError]:
        """Look whether an id out of a cut-off answer is a task; the look itself may show it finished."""
        seen = await self._transport.poll(salvaged.task_id)
        if isinstance(seen, Reply) and read_status(seen, salvaged.task_id):
            return seen, attrs.evolve(salvaged, certain=True, answer=read_answer(seen.body))
        return seen, SubmitUnknown(
            f"The answer was cut off; it held the id {salvaged.task_id}, which the service did not confirm. "
            "It may have been charged, so it is not sent again by itself.",
            task_id=salvaged.task_id,
        )

    async def _accept(self, item: Item, ticket: Ticket, verdict: Accepted, seen: Reply | NoReply) -> None:
        item.task_id = verdict.task_id
        assert item.request is not None
        status = read_status(seen, item.task_id, item.request.images) if isinstance(seen, Reply) else None
        if status and status.state is TaskState.COMPLETED and status.urls:
            item.completion = status  # stored with the acceptance: without an id, nobody could look again
        item.submitted_at, self._denied = utc_now(), False
        self._accepted_at = now = self._loop.time()
        self._dispatcher.dispatch.accepted(ticket, now)
        try:
            await self._books.take(item, Step.ACCEPT)
        except BaseException:
            self._dispatcher.dispatch.slots.give_back()  # nobody watches it here
            raise
        finally:
            self._dispatcher.wake()
        self._tally.submitted(item, now - ticket.sent_at)
        if item.withdrawn:
            log.warning(UNCLAIMED, item.task_id)
        if acceptance := self._acceptance.get(item):
            acceptance.set_result(None)

    async def _put_off(self, item: Item, ticket: Ticket, verdict: TryAgain, since: float) -> None:
        """Wait for another permit, at the head of the queue, unless nothing was accepted for too long *since*."""
        now = self._loop.time()
        jitter = random.random()  # noqa: S311 - spreads load, hides nothing
        pause = self._dispatcher.dispatch.put_off(ticket, verdict, now=now, jitter=jitter)
        self._tally.limited += verdict.limited
        if pause:
            self._tally.paused(self._dispatcher.dispatch.pacer.reason, pause)
        lasts = now - max(since, self._accepted_at) >= self._patience
        await self._again(item, ticket, verdict.error, lasts=lasts)

    async def _again(self, item: Item, ticket: Ticket, error: HunyuanError, *, lasts: bool = False) -> None:
        """Wait for another permit at the head of the queue, unless the trouble *lasts* or nobody waits any more."""
        self._dispatcher.wake()
        await self._take_back(item, error)
        if item.withdrawn or self.closed:
            raise error
        if lasts:
            self._dispatcher.turn_away(error)
            raise error
        await self._dispatcher.permit(ticket, again=True)

    async def _take_back(self, item: Item, error: HunyuanError) -> None:
        item.error = error
        if item.state is State.SENDING:
            await self._books.take(item, Step.TAKE_BACK)
            self._tally.put_off(item, error)

    async def _refuse(self, item: Item, ticket: Ticket, error: HunyuanError) -> None:
        if isinstance(error, SubmitUnknown):
            await self._lose(item, ticket, error)
            return
        self._dispatcher.dispatch.refused(ticket)
        self._dispatcher.wake()
        if isinstance(error, AuthError | OutOfCredits):
            self._dispatcher.turn_away(error)  # the next one in the queue would be refused as well
            await self._take_back(item, error)  # it is not the item's fault
        elif item.state is State.SENDING:
            item.error = error
            await self._books.take(item, Step.REJECT)

    async def _lose(self, item: Item, ticket: Ticket, error: HunyuanError) -> None:
        dispatch = self._dispatcher.dispatch
        if rest := dispatch.unanswered(ticket, self._loop.time()):
            self._tally.paused(f"{dispatch.breaker.unclear} submits in a row got no clear answer", rest)
        if given_up := self._given_up():
            self._dispatcher.turn_away(given_up)
        self._dispatcher.wake()
        if isinstance(error, SubmitUnknown):
            error.sent_at = item.sending_at
        item.error = error
        await self._books.take(item, Step.LOSE_ANSWER)

    def _given_up(self) -> ServiceUnavailable | None:
        breaker = self._dispatcher.dispatch.breaker
        if not breaker.has_given_up or breaker.ready_at() <= self._loop.time():
            return None
        return ServiceUnavailable(
            f"The service gave no clear answer to {breaker.unclear} submits in a row; each may have been charged. "
            "Nothing more is sent: find out what is wrong, then go on."
        )

    def close(self) -> None:
        """Send nothing from now on, and turn away who waits."""
        self.closed = True
        self._dispatcher.turn_away(NotSent(f"{CLOSED} before this was sent."))
