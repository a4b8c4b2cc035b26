"""Where an item's steps are stored."""

from __future__ import annotations

from typing import Protocol

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async.errors import JournalError


class Recorder(Protocol):
    """Stores the steps of items, each before anything is done that relies on it."""

    async def record(self, item: Item, step: Step) -> None:
        """Store that *item*, which holds what the step brought, takes *step*.

        When it returns, the step survives whatever happens next. If it raises for `Step.SEND`, nothing is sent.
        """

    async def aclose(self) -> None:
        """Store what is still under way and release everything."""


class MemoryRecorder:
    """Keeps nothing beyond the items themselves: for callers that hold the results in their own hands."""

    async def record(self, item: Item, step: Step) -> None:
        """Do nothing; see `Recorder.record`."""

    async def aclose(self) -> None:
        """Do nothing."""


class Steps:
    """Takes items from state to state: first the recorder stores a step, then the item takes it."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

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
            await self._recorder.record(item, step)
        except JournalError as error:
            if item.state is not State.PLANNED:
                error.task_id, error.retry = item.task_id, "no"
                error.charged = "unknown" if item.task_id is None else "yes"
            raise
