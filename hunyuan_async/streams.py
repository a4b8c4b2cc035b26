"""Many requests in, outcomes as they complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._saving import Target
from hunyuan_async._uncancelled import see_through
from hunyuan_async.errors import (
    AuthError,
    BudgetExceeded,
    HunyuanError,
    InvalidRequest,
    JournalError,
    OutOfCredits,
)
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.tasks import GenerationTask

if TYPE_CHECKING:
    from hunyuan_async._engine import Engine

Requests = Iterable[str | ImageRequest] | AsyncIterable[str | ImageRequest]
FATAL = AuthError, OutOfCredits, BudgetExceeded, JournalError  # the next item would meet the same


class OutcomeStream:
    """Outcomes of many requests, made by `Client.stream`; a class, so that leaving early is safe anywhere.

    At most *window* items are accepted and not yet handed over, so memory is bounded and a slow consumer slows the
    spending. An item's failure is an outcome. A refused key, an empty account or a spent budget ends the stream:
    nothing more is sent, what is paid is yielded, then the error is raised.
    """

    def __init__(
        self,
        engine: Engine,
        requests: Requests,
        plan: Callable[[str | ImageRequest], Item],
        *,
        window: int,
        ordered: bool,
        target: Callable[[ImageRequest], Target] | None,
    ) -> None:
        self._engine = engine
        self._requests = requests
        self._plan = plan
        self._ordered = ordered
        self._target = target
        self._places = asyncio.Semaphore(window)
        self._under_way: dict[int, GenerationTask] = {}
        self._ended: dict[int, Outcome] = {}  # by the request's number, in the order of ending
        self._handed_over = 0
        self._changed = asyncio.Event()
        self._feeding: asyncio.Task[None] | None = None
        self._fatal: HunyuanError | None = None

    @property
    def unfinished(self) -> list[GenerationTask]:
        """Tasks that are accepted and paid, and had not ended when they were last looked at."""
        return [task for task in self._under_way.values() if task.id]

    def stop(self) -> None:
        """Send nothing more; what is under way is still yielded, and then the stream ends."""
        if self._feeding:
            self._feeding.cancel()

    async def aclose(self) -> None:
        """Send nothing more; tasks that are accepted go on at the client and stand in `unfinished`."""
        if self._feeding:
            await see_through(self._stop_feeding(self._feeding))
        for task in self._under_way.values():
            self._engine.let_go(task.running)

    async def __aenter__(self) -> Self:
        self._feeding = asyncio.create_task(self._feed(), name="hunyuan_async stream")
        self._feeding.add_done_callback(lambda _: self._changed.set())
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
            number = self._handed_over if self._ordered else next(iter(self._ended), -1)
            if number in self._ended:
                self._handed_over += 1
                self._places.release()
                return self._ended.pop(number)
            if self._feeding.done() and not self._under_way:
                break
            await self._changed.wait()
        if not self._feeding.cancelled():
            self._feeding.result()  # raises what the caller's own iterator raised
        if self._fatal:
            raise self._fatal
        raise StopAsyncIteration

    async def _feed(self) -> None:
        number = 0
        async for request in _each(self._requests):
            await self._places.acquire()
            if self._fatal:
                return
            try:
                item = self._plan(request)
                ticket = await self._engine.admit(item)
            except FATAL as error:
                self._fatal = error
                return
            except HunyuanError as error:
                self._end(number, Outcome(_as_request(request), error=error))
            else:
                assert item.request is not None
                running = self._engine.start(item, ticket, self._target(item.request) if self._target else None)
                self._under_way[number] = GenerationTask(item, running)
                running.add_done_callback(partial(self._collect, number))
            number += 1

    def _collect(self, number: int, running: asyncio.Task[Outcome]) -> None:
        del self._under_way[number]
        self._changed.set()
        if running.cancelled():
            return
        outcome = running.result()
        if isinstance(outcome.error, FATAL):
            self._fatal = outcome.error
        self._end(number, outcome)

    def _end(self, number: int, outcome: Outcome) -> None:
        self._ended[number] = outcome
        self._changed.set()

    async def _stop_feeding(self, feeding: asyncio.Task[None]) -> None:
        feeding.cancel()
        await asyncio.wait([feeding])


async def _each(requests: Requests) -> AsyncIterator[str | ImageRequest]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
    else:
        for request in requests:
            yield request


def _as_request(request: str | ImageRequest) -> ImageRequest:
    return request if isinstance(request, ImageRequest) else ImageRequest(request)
