"""Where an item's steps are stored, and what may be spent on it."""

from __future__ import annotations

import asyncio
from typing import Protocol

import attrs

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async.errors import JournalError


class Recorder(Protocol):
    """Stores the steps of items, each before anything is done that relies on it."""

    async def open(self, budget: Budget) -> None:
        """Get ready, and count in *budget* what was spent or put at risk before.

        Raises:
            JournalError: Nothing can be stored, so nothing may be sent.
        """

    async def record(self, item: Item, step: Step) -> None:
        """Store that *item*, which holds what the step brought, takes *step*.

        When it returns, the step survives whatever happens next. If it raises for `Step.SEND`, nothing is sent.
        """

    async def find(self, task_id: str) -> Item | None:
        """Look up the item of a task that was accepted earlier."""

    async def unfinished(self) -> list[Item]:
        """Read the items that an earlier process paid for and did not see finished."""

    async def aclose(self) -> None:
        """Store what is still under way and release everything."""


class MemoryRecorder:
    """Keeps nothing beyond the items themselves: for callers that hold the results in their own hands."""

    async def open(self, budget: Budget) -> None:
        """Do nothing; see `Recorder.open`."""

    async def record(self, item: Item, step: Step) -> None:
        """Do nothing; see `Recorder.record`."""

    async def find(self, task_id: str) -> Item | None:
        """Find nothing; see `Recorder.find`."""

    async def unfinished(self) -> list[Item]:
        """Find nothing; see `Recorder.unfinished`."""
        return []

    async def aclose(self) -> None:
        """Do nothing."""


@attrs.frozen
class Book:
    """What the items of one run go into.

    Attributes:
        recorder: Stores their steps.
        budget: Counts their credits.
    """

    recorder: Recorder
    budget: Budget


class Books:
    """Takes items from state to state: first the recorder of their run stores a step, then the item takes it.

    Attributes:
        own: The book of items that belong to no run.
        of_runs: The others, by their run.
    """

    def __init__(self, own: Book) -> None:
        self.own = own
        self.of_runs: dict[str, Book] = {}
        self._is_open = False
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """See to it that the client's own recorder is ready.

        Raises:
            JournalError: As `Recorder.open`.
        """
        if self._is_open:
            return
        async with self._opening:
            if not self._is_open:
                await self.own.recorder.open(self.own.budget)
                self._is_open = True

    def of(self, item: Item) -> Book:
        """Return the book of *item*'s run."""
        return self.of_runs.get(item.run, self.own)

    async def take(self, item: Item, step: Step) -> None:
        """Take a step that nothing has done yet.

        Raises:
            JournalError: It could not be stored, so it was not taken; the error says what is paid.
            ValueError: There is no such step from the item's state; a bug in the caller.
        """
        after = advance(item.state, step)
        await self._store(item, step)
        item.state = after

    async def catch_up(self, item: Item, step: Step) -> None:
        """Take a step that has already happened, and store it then."""
        item.state = advance(item.state, step)
        await self._store(item, step)

    async def _store(self, item: Item, step: Step) -> None:
        try:
            await self.of(item).recorder.record(item, step)
        except JournalError as error:
            if item.state is not State.PLANNED:
                error.task_id, error.retry = item.task_id, "no"
                error.charged = "unknown" if item.task_id is None else "yes"
                if item.task_id:
                    error.message += f" Task {item.task_id} is paid; note its id."
            raise
