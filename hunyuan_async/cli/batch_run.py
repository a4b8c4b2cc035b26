"""A batch on its way: how its items end, and one reason why it ended itself."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import attrs

from hunyuan_async.cli.exits import Exit, exit_code, explanation
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.cli.result_lines import end_status, failure_reason
from hunyuan_async.cli.views import shown
from hunyuan_async.errors import JournalError
from hunyuan_async.events import Event
from hunyuan_async.models import Outcome
from hunyuan_async.run import Run

STOPPING = "stopping: collecting what is paid; once more leaves at once"
LEAVING = "leaving: waiting for answers to requests already sent"


@attrs.frozen
class Stop:
    """Why a run ended before its last item.

    Attributes:
        reason: In words.
        code: What the shell is told.
    """

    reason: str
    code: int


@attrs.define(eq=False)
class BatchRun:
    """Takes a run's items to their ends, and says when to stop.

    Attributes:
        guard: Says when too many have failed.
        progress: Counts for the view.
        view: Shows it.
        stop: Why it ended early, if it did.
        unrecorded: Ids of paid tasks that the journal could not take.
    """

    guard: FailureGuard
    progress: Progress
    view: View
    stop: Stop | None = None
    unrecorded: list[str] = attrs.field(factory=list, init=False)
    _under_way: Run | None = attrs.field(default=None, init=False)
    _leaving: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    @property
    def reason(self) -> str:
        """Why it ended, in words."""
        return f"Stopped: {self.stop.reason}" if self.stop else "Finished."

    def happened(self, event: Event) -> None:
        """Take note of an event of the client's."""
        self.progress.happened(event)
        self.view.happened(event)

    async def carry_out(self, run: Run) -> None:
        """Make every item; returns when the last one that was sent has ended.

        Raises:
            HunyuanError: The key was refused, or there is nothing left to spend; what is paid is collected.
        """
        self.progress.statistics = run.statistics
        with shown(self.progress, self.view):
            self._under_way = run
            if self.stop:
                run.stop()
            try:
                async for outcome in run:
                    self._take(outcome)
            finally:
                self._under_way = None

    def interrupted(self, number: signal.Signals) -> None:
        """On the first Ctrl-C, stop sending; on a second, or another signal, wait only for answers on their way."""
        again = self.stop is not None and self.stop.code >= Exit.SIGNAL
        self._stop(Stop(f"interrupted ({number.name})", Exit.SIGNAL + number), STOPPING)
        if self._under_way is None:
            return
        if self._leaving is None and (again or number != signal.SIGINT):
            self.progress.note = LEAVING
            self._leaving = asyncio.get_running_loop().create_task(self._under_way.client.aclose())
        with suppress(OSError):  # a terminal that hangs up cannot be written to
            self.view.show(self.progress.snapshot())

    def failed(self, error: Exception) -> None:
        """Take *error* for the reason why the run ended, unless there was one before."""
        if self.stop is None:
            self._stop(Stop(explanation(error), exit_code(error)))

    @contextmanager
    def disk_trouble_noted(self) -> Iterator[None]:
        """Take an error of the disk inside for the reason why the run ended, and go on after it."""
        try:
            yield
        except (OSError, JournalError) as error:
            self.failed(error)

    def _stop(self, stop: Stop, note: str | None = None) -> None:
        self.stop = stop
        self.progress.note = note or f"stopping: {stop.reason}"
        if self._under_way:
            self._under_way.stop()

    def _take(self, outcome: Outcome) -> None:
        error = outcome.error
        # What the stream stops for by itself, it raises in the end.
        if error and exit_code(error) in {Exit.DISK, Exit.TRY_LATER}:
            self.failed(error)
        if isinstance(error, JournalError) and error.task_id:
            self.unrecorded.append(error.task_id)
        if error and (self._leaving or end_status(error) == "pending"):
            return
        self.guard.ended(failure_reason(error) if error else None)
        is_something_left = self.progress.snapshot().ended < self.progress.total
        if not self.stop and is_something_left and (reason := self.guard.too_many):
            self._stop(Stop(reason, Exit.TRY_LATER))
