"""Many requests in, outcomes as they complete."""

from __future__ import annotations

import asyncio
import itertools
import operator
import sys
from collections.abc import AsyncIterable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._uncancelled import see_through
from hunyuan_async.errors import (
    AuthError,
    BudgetExceeded,
    HunyuanError,
    InvalidRequest,
    JournalError,
    NotSent,
    OutOfCredits,
    ServiceUnavailable,
)
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.tasks import GenerationTask

if TYPE_CHECKING:
    from hunyuan_async._engine import Engine
    from hunyuan_async._targets import Target

Requests = Iterable[str | ImageRequest] | AsyncIterable[str | ImageRequest]
Entry = str | ImageRequest | Item
FATAL = AuthError, OutOfCredits, BudgetExceeded, JournalError, ServiceUnavailable  # the next item would meet the same


class OutcomeStream:
    """Outcomes of many requests, made by `Client.stream`; a class, so that leaving early is safe anywhere.

    At most *window* items are accepted and not yet handed over, so memory is bounded and a slow consumer slows the
    spending. An item's failure is an outcome. A refused key, an empty account, a spent budget or a service that is
    given up ends the stream: nothing more is sent, what is paid is yielded, then the error is raised.
    """

    def __init__(
        self,
        engine: Engine,
        entries: Iterable[Entry] | AsyncIterable[Entry],
        plan: Callable[[Entry], Item],
        *,
        window: int,
        ordered: bool,
        target: Callable[[Item], Target] | None,
    ) -> None:
        self._engine = engine
        self._entries = entries
        self._plan = plan
        self._ordered = ordered
        self._target = target
        self._places = asyncio.Semaphore(window)
        self._waiting: dict[int, GenerationTask | None] = {}  # by the entry's number, in order; None: never sent
        self._ended: dict[int, Outcome] = {}  # in the order of ending
        self._changed = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._number: int | None = None  # while it is open
        self._fatal: BaseException | None = None
        self._stopping = False

    @property
    def unfinished(self) -> list[GenerationTask]:
        """Tasks that are accepted and paid, and whose outcome was not handed over."""
        return [task for task in self._waiting.values() if task and task.item.task_id is not None]

    def stop(self) -> None:
        """Send nothing more, not even again; what is under way is still yielded, and then the stream ends."""
        self._stopping = True
        if self._feeding:
            self._feeding.cancel()
        for task in self._waiting.values():
            if task and task.item.task_id is None:
                # Once it has begun: a run that never begins would keep its slot.
                asyncio.get_running_loop().call_soon(self._engine.withdraw, task.item, task.running)

    def client_closed(self, error: HunyuanError) -> None:
        """Wait for no more requests; a stream that was still to send some ends with *error*."""
        if not self._stopping and self._feeding and not self._feeding.done():
            self._end_with(error)

    async def aclose(self) -> None:
        """Send nothing more; tasks that are accepted go on at the client and stand in `unfinished`."""
        if self._feeding:
            await see_through(self._leave(self._feeding))

    async def __aenter__(self) -> Self:
        self._feeding = asyncio.create_task(self._feed(), name="hunyuan_async stream")
        self._feeding.add_done_callback(self._fed)
        self._engine.streams.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        if self._feeding is None:
            raise InvalidRequest("use the stream as: async with client.stream(...) as outcomes: async for ...")
        while True:
            self._changed.clear()
            number = next(iter(self._waiting if self._ordered else self._ended), -1)
            if number in self._ended:
                del self._waiting[number]
                self._places.release()
                return self._ended.pop(number)
            if self._feeding.done() and not self._waiting:
                break
            await self._changed.wait()
        self._tell_of_end()
        if error := self._fatal or self._engine.bug:
            raise error
        raise StopAsyncIteration

    async def _feed(self) -> None:
        self._number = self._engine.tally.stream_opened()
        numbers = itertools.count()
        if isinstance(self._entries, AsyncIterable):
            later = aiter(self._entries)
            async for entry in later:
                await self._start(next(numbers), entry, _length(later))
        else:
            rest = iter(self._entries)
            for entry in rest:
                await self._start(next(numbers), entry, _length(rest))

    async def _start(self, number: int, entry: Entry, behind: int) -> None:
        await self._places.acquire()
        ticket = None
        try:
            item = self._plan(entry)
            target = self._target(item) if self._target else None
            if item.state is State.PLANNED:
                if target and target.taken:
                    raise InvalidRequest(f"{target.path} exists already; nothing was sent. Choose another name for it.")
                ticket = await self._engine.sender.admit(item, behind=behind)
        except HunyuanError as error:
            if isinstance(error, FATAL):
                raise
            self._waiting[number] = None
            self._ended[number] = Outcome(_request_of(entry), error=error)
            self._changed.set()
            return
        running = self._engine.start(item, ticket, target)
        self._waiting[number] = GenerationTask(item, running)
        running.add_done_callback(partial(self._collect, number))

    def _fed(self, feeding: asyncio.Task[None]) -> None:
        self._changed.set()
        if feeding.cancelled():
            if not self._stopping:
                self._end_with(InvalidRequest("the iterator of requests was cancelled; the rest of it was not sent"))
        elif error := feeding.exception():
            self._end_with(error)

    def _collect(self, number: int, running: asyncio.Task[Outcome]) -> None:
        self._changed.set()
        if running.cancelled():  # let go before it cost anything
            del self._waiting[number]
        elif bug := running.exception():
            del self._waiting[number]
            self._end_with(bug)
        else:
            outcome, task = running.result(), self._waiting[number]
            if task and task.item.withdrawn and isinstance(outcome.error, NotSent):  # let go while it was recorded
                del self._waiting[number]
                return
            self._ended[number] = outcome
            if isinstance(outcome.error, FATAL):
                self._end_with(outcome.error)

    def _tell_of_end(self) -> None:
        if self._number is not None:
            self._engine.tally.stream_closed(self._number)
            self._number = None

    def _end_with(self, error: BaseException) -> None:
        self._fatal = self._fatal or error
        self.stop()

    async def _leave(self, feeding: asyncio.Task[None]) -> None:
        self._stopping = True
        feeding.cancel()
        await asyncio.wait([feeding])
        self._tell_of_end()
        for task in self._waiting.values():
            if task:
                self._engine.disown(task.item, task.running)


def _length(rest: object) -> int:
    """How many entries are still to come; if nobody knows, very many."""
    return operator.length_hint(rest, sys.maxsize)


def _request_of(entry: Entry) -> ImageRequest | None:
    if isinstance(entry, Item):
        return entry.request
    return entry if isinstance(entry, ImageRequest) else ImageRequest(entry)
