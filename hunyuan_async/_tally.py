"""What the engine tells while it works: events, counts and log records."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import attrs

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.watch import KeepWaiting
from hunyuan_async.errors import HunyuanError, SubmitUnknown
from hunyuan_async.events import (
    Completed,
    Downloaded,
    Event,
    Failed,
    Listener,
    Paused,
    Polled,
    PutOff,
    Resumed,
    Sending,
    StreamClosed,
    StreamOpened,
    Submitted,
    Withdrawn,
)
from hunyuan_async.models import TaskState, TaskStatus

log = logging.getLogger("hunyuan_async")

UNCLAIMED = "task %s is paid and its caller went away; the client goes on watching it, see Client.unclaimed"


class Traffic(NamedTuple):
    """Requests by what they are, and how many of them were answered with "too many requests"."""

    submits: int
    polls: int
    limited: int


@attrs.define
class Tally:
    """Counts what happens and passes it on; the other attributes are those of `Statistics` by the same names.

    Attributes:
        listeners: Who hears of it: those in it at that moment.
    """

    listeners: Collection[Listener] = ()
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    submits: int = 0
    polls: int = 0
    limited: int = 0
    unclear: int = 0
    _streams: Iterator[int] = attrs.field(factory=itertools.count)
    _unknown_words: set[str] = attrs.field(factory=set)

    def traffic(self) -> Traffic:
        """Return the counts of requests; any thread may ask."""
        return Traffic(self.submits, self.polls, self.limited)

    def stream_opened(self) -> int:
        """A stream begins; it gets this number."""
        number = next(self._streams)
        self._tell(StreamOpened(when=utc_now(), stream=number))
        return number

    def stream_closed(self, number: int) -> None:
        """A stream is over."""
        self._tell(StreamClosed(when=utc_now(), stream=number))

    def sending(self, item: Item) -> None:
        """A submit is about to leave."""
        self.submits += 1
        self._tell(Sending(when=utc_now(), id=item.id, tenant=item.tenant))

    def put_off(self, item: Item, error: HunyuanError) -> None:
        """A submit did not leave, or was refused for now."""
        self._tell(PutOff(when=utc_now(), id=item.id, tenant=item.tenant, error=error))

    def withdrawn(self, item: Item) -> None:
        """Its caller went away before it cost anything."""
        self._tell(Withdrawn(when=utc_now(), id=item.id, tenant=item.tenant))

    def submitted(self, item: Item, seconds: float) -> None:
        """The service accepted a task."""
        assert item.task_id is not None
        self._tell(
            Submitted(
                when=utc_now(),
                id=item.id,
                tenant=item.tenant,
                task_id=item.task_id,
                credits=item.credits,
                seconds=seconds,
            )
        )

    def resumed(self, item: Item, task_id: str) -> None:
        """A task paid earlier is watched again."""
        self._tell(Resumed(when=utc_now(), id=item.id, tenant=item.tenant, task_id=task_id))

    def looked(
        self,
        task_id: str,
        item: Item | None,
        verdict: KeepWaiting | TaskStatus | HunyuanError,
        *,
        seconds: float,
        pause: float | None,
    ) -> None:
        """A look at the task of *item*, if that is known, was answered."""
        self.polls += 1
        state = verdict.state if isinstance(verdict, TaskStatus) else None
        if isinstance(verdict, KeepWaiting):
            state = TaskState.RUNNING if verdict.delay is None else None
            self.unclear += state is None or verdict.unknown_word is not None
            self._warn_of(verdict.unknown_word, task_id)
        item_id, tenant = (item.id, item.tenant) if item else (None, "")
        self._tell(Polled(when=utc_now(), id=item_id, tenant=tenant, task_id=task_id, state=state, seconds=seconds))
        if pause is not None:
            self.limited += 1
            self.paused("the service limits requests", pause)

    def paused(self, reason: str, seconds: float) -> None:
        """Nothing leaves for some seconds."""
        self._tell(Paused(when=utc_now(), reason=reason, seconds=seconds))

    def completed(self, item: Item, seconds: float, *, saving: bool) -> None:
        """A task finished well."""
        assert item.task_id is not None
        self.succeeded += 1
        self._tell(
            Completed(
                when=utc_now(), id=item.id, tenant=item.tenant, task_id=item.task_id, seconds=seconds, saving=saving
            )
        )

    def downloaded(self, item: Item, task_id: str, seconds: float) -> None:
        """An item's images are on disk."""
        files = tuple(attrs.evolve(file, url="") for file in item.files)
        self._tell(
            Downloaded(when=utc_now(), id=item.id, tenant=item.tenant, task_id=task_id, files=files, seconds=seconds)
        )

    def ended_badly(self, item: Item, error: HunyuanError) -> None:
        """An item ended with an error."""
        if isinstance(error, SubmitUnknown):
            self.unknown += 1
        elif item.completion is None:
            self.failed += 1
        self._tell(Failed(when=utc_now(), id=item.id, tenant=item.tenant, error=error, task_id=item.task_id))

    def _warn_of(self, word: str | None, task_id: str) -> None:
        if word and word not in self._unknown_words:
            self._unknown_words.add(word)
            log.warning("task %s has the unknown status %r, taken as still running", task_id, word)

    def _tell(self, event: Event) -> None:
        for listen in [*self.listeners]:
            try:
                listen(event)
            except (Exception, asyncio.CancelledError):  # a listener's bug must not cost a paid image
                log.exception("a listener failed for %s", type(event).__name__)


def utc_now() -> datetime:
    """Return the wall-clock time."""
    return datetime.now(UTC)
