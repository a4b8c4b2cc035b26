"""A batch on its way: items in, images and results.jsonl out, and one reason why it ended."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import attrs

from hunyuan_async.cli.exits import Exit, exit_code, explanation
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.names import NameTemplate
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.cli.result_lines import ResultLine, Status, end_status, failure_reason, result_line
from hunyuan_async.cli.results import ResultsFile
from hunyuan_async.cli.views import shown
from hunyuan_async.client import Client
from hunyuan_async.events import Event, Submitted
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.settings import API_IN_ONE
from hunyuan_async.streams import OutcomeStream

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
    """Sends a batch through a client and writes down how each item ends.

    Attributes:
        items: What to make, in the order of the input.
        out_dir: Where images and results go.
        name: How image files are named.
        guard: Says when too many have failed.
        progress: Counts for the view.
        view: Shows it.
        stop: Why it ended early, if it did.
        counts: How many items ended how.
        ended: Ids of the items that have ended; the others were not sent, or refused for no fault of theirs.
        unsaved: Ids of paid tasks whose image is not on disk.
        unrecorded: Lines that the results could not take.
    """

    items: Sequence[BatchItem]
    out_dir: Path
    name: NameTemplate
    guard: FailureGuard
    progress: Progress
    view: View
    stop: Stop | None = None
    counts: Counter[Status] = attrs.field(factory=Counter, init=False)
    ended: set[str] = attrs.field(factory=set, init=False)
    unsaved: list[str] = attrs.field(factory=list, init=False)
    unrecorded: list[ResultLine] = attrs.field(factory=list, init=False)
    _submitted_at: dict[str, datetime] = attrs.field(factory=dict, init=False)
    _under_way: tuple[Client, OutcomeStream] | None = attrs.field(default=None, init=False)
    _leaving: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    def happened(self, event: Event) -> None:
        """Take note of an event of the client's."""
        self.progress.happened(event)
        self.view.happened(event)
        if isinstance(event, Submitted) and event.id:
            self._submitted_at[event.id] = event.when

    async def run(self, client: Client, results: ResultsFile) -> None:
        """Make every item; returns when the last one that was sent has ended.

        Raises:
            HunyuanError: The key was refused, or there is nothing left to spend; what is paid is collected.
        """
        by_id = {item.id: item for item in self.items}

        def path(request: ImageRequest) -> Path:
            return self.out_dir / self.name.path(attrs.evolve(by_id[request.id or ""], request=request))

        self.progress.statistics = client.statistics
        requests = (item.request for item in self.items)
        # Saving has a bound of its own, which the view can tell; the stream's must not be met before it.
        window = (client.limits.in_flight or client.service.max_in_flight) + client.limits.unsaved + 1
        with shown(self.progress, self.view):
            async with client.stream(requests, window=window, save_to=path) as outcomes:
                self._under_way = client, outcomes
                if self.stop:
                    outcomes.stop()
                try:
                    async for outcome in outcomes:
                        assert outcome.request is not None
                        self._take(by_id[outcome.request.id or ""], outcome, results)
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
            self._leaving = asyncio.get_running_loop().create_task(self._under_way[0].aclose())
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
        except OSError as error:
            self.failed(error)

    def _stop(self, stop: Stop, note: str | None = None) -> None:
        self.stop = stop
        self.progress.note = note or f"stopping: {stop.reason}"
        if self._under_way:
            self._under_way[1].stop()

    def _take(self, item: BatchItem, outcome: Outcome, results: ResultsFile) -> None:
        submitted_at = self._submitted_at.pop(item.id, None)
        # What the stream stops for by itself, it raises in the end.
        if outcome.error and exit_code(outcome.error) in {Exit.DISK, Exit.TRY_LATER}:
            self.failed(outcome.error)
        if outcome.error and end_status(outcome.error) == "pending":
            return
        line = result_line(
            item, outcome, self.out_dir, API_IN_ONE, submitted_at=submitted_at, ended_at=datetime.now(UTC)
        )
        self.ended.add(item.id)
        self.counts[line["status"]] += 1
        if line["status"] == "submitted" and line["task_id"]:
            self.unsaved.append(line["task_id"])
        try:
            results.append(line)
        except OSError as failure:
            self.failed(failure)
            self.unrecorded.append(line)
        self.guard.ended(failure_reason(line))
        if len(self.ended) < len(self.items) and (reason := self.guard.too_many) and not self.stop:
            self._stop(Stop(reason, Exit.TRY_LATER))

    def exit_code(self) -> int:
        """Return what the shell is told: why the run stopped, else what became of its items."""
        if self.stop:
            return self.stop.code
        if self.counts["unknown"]:
            return Exit.SOME_UNKNOWN
        return Exit.DONE if self.counts["succeeded"] == len(self.items) else Exit.SOME_FAILED
