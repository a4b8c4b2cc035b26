"""Where an item's steps are stored."""

from __future__ import annotations

from typing import Protocol

from hunyuan_async._core.lifecycle import Item, Step


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
