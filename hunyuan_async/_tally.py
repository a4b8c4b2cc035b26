"""What the engine tells while it works: events, counts and log records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import NamedTuple

import attrs

from hunyuan_async._core.watch import KeepWaiting
from hunyuan_async.errors import HunyuanError, SubmitUnknown
from hunyuan_async.events import Completed, Downloaded, Event, Failed, Paused, Polled, Sending, Submitted
from hunyuan_async.models import SavedImage, TaskState, TaskStatus

log = logging.getLogger("hunyuan_async")

UNCLAIMED = "task %s is paid and its caller went away; the client goes on watching it, see Client.unclaimed"


class Traffic(NamedTuple):
    """Requests by what they are, and how many of them were answered with "too many requests"."""

    submits: int
    polls: int
    limited: int


@attrs.define
class Tally:
    """Counts what happens and passes it on; the attributes are those of `Statistics` by the same names."""

    on_event: Callable[[Event], None] | None
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    submits: int = 0
    polls: int = 0
    limited: int = 0
    unclear: int = 0
    _unknown_words: set[str] = attrs.field(factory=set)

    def traffic(self) -> Traffic:
        """Return the counts of requests; any thread may ask."""
        return Traffic(self.submits, self.polls, self.limited)

    def sending(self, item_id: str) -> None:
        """A submit is about to leave."""
        self.submits += 1
        self._tell(Sending(when=utc_now(), id=item_id))

    def submitted(self, item_id: str, task_id: str, credits: int) -> None:
        """The service accepted a task."""
        self._tell(Submitted(when=utc_now(), id=item_id, task_id=task_id, credits=credits))

    def looked(self, task_id: str, verdict: KeepWaiting | TaskStatus | HunyuanError, pause: float | None) -> None:
        """A look was answered."""
        self.polls += 1
        state = verdict.state if isinstance(verdict, TaskStatus) else None
        if isinstance(verdict, KeepWaiting):
            state = TaskState.RUNNING if verdict.delay is None else None
            self.unclear += state is None or verdict.unknown_word is not None
            self._warn_of(verdict.unknown_word, task_id)
        self._tell(Polled(when=utc_now(), task_id=task_id, state=state))
        if pause is not None:
            self.limited += 1
            self.paused("the service limits requests", pause)

    def paused(self, reason: str, seconds: float) -> None:
        """Nothing leaves for some seconds."""
        self._tell(Paused(when=utc_now(), reason=reason, seconds=seconds))

    def completed(self, item_id: str, task_id: str, seconds: float) -> None:
        """A task finished well."""
        self.succeeded += 1
        self._tell(Completed(when=utc_now(), id=item_id, task_id=task_id, seconds=seconds))

    def downloaded(self, item_id: str, task_id: str, files: tuple[SavedImage, ...]) -> None:
        """An item's images are on disk."""
        without_urls = tuple(attrs.evolve(file, url="") for file in files)
        self._tell(Downloaded(when=utc_now(), id=item_id, task_id=task_id, files=without_urls))

    def ended_badly(self, item_id: str, error: HunyuanError, *, finished: bool) -> None:
        """An item ended with an error; *finished* if its task had finished well before."""
        if isinstance(error, SubmitUnknown):
            self.unknown += 1
        elif not finished:
            self.failed += 1
        self._tell(Failed(when=utc_now(), id=item_id, error=error))

    def _warn_of(self, word: str | None, task_id: str) -> None:
        if word and word not in self._unknown_words:
            self._unknown_words.add(word)
            log.warning("task %s has the unknown status %r, taken as still running", task_id, word)

    def _tell(self, event: Event) -> None:
        if self.on_event is None:
            return
        try:
            self.on_event(event)
        except (Exception, asyncio.CancelledError):  # a listener's bug must not cost a paid image
            log.exception("on_event failed for %s", type(event).__name__)


def utc_now() -> datetime:
    """Return the wall-clock time."""
    return datetime.now(UTC)
