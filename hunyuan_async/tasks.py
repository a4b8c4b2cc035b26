"""The handle on a task that was accepted and paid."""

from __future__ import annotations

import asyncio
from collections.abc import Generator

from hunyuan_async._core.lifecycle import Item
from hunyuan_async.models import ImageRequest, ImageResult, Outcome


class GenerationTask:
    """A task at the service: awaiting it waits for its images, and never spends.

    Any number of callers may await it; cancelling one of them harms no other and not the task.
    """

    __slots__ = ("item", "running")

    def __init__(self, item: Item, running: asyncio.Task[Outcome]) -> None:
        self.item = item
        self.running = running

    @property
    def id(self) -> str:
        """The service's id: with it, `Client.attach` finds the task again from any process."""
        return self.item.task_id or ""

    @property
    def request(self) -> ImageRequest | None:
        """What was asked for, with the seed that was sent; None for an attached task."""
        return self.item.request

    @property
    def done(self) -> bool:
        """Whether awaiting it returns at once."""
        return self.running.done()

    async def result(self) -> ImageResult:
        """Wait for the images.

        Raises:
            TaskFailed, ContentRefused, TaskTimedOut, TaskLost, AuthError: How it ended instead.
        """
        outcome = await asyncio.shield(self.running)
        self.item.withdrawn = False
        return unwrap(outcome)

    def __await__(self) -> Generator[object, None, ImageResult]:
        return self.result().__await__()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GenerationTask) and self.running is other.running

    def __hash__(self) -> int:
        return hash(self.running)

    def __repr__(self) -> str:
        return f"<GenerationTask {self.id!r} {self.item.state.value}>"


def unwrap(outcome: Outcome) -> ImageResult:
    """Return the result of *outcome*, or raise its error."""
    if outcome.error:
        raise outcome.error.with_traceback(None)
    assert outcome.result is not None
    return outcome.result
