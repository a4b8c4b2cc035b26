"""A batch on its way: items in, images and results.jsonl out, and one reason why it ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import attrs

from hunyuan_async.cli.exits import Exit, exit_code, is_disk_error
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.names import NameTemplate
from hunyuan_async.cli.progress import Snapshot, Speed, View, keep_showing
from hunyuan_async.cli.result_lines import Status, result_line
from hunyuan_async.cli.results import FILE_NAME, ResultsFile
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, NotSent, RateLimited, ServiceUnavailable
from hunyuan_async.events import Event, Submitted
from hunyuan_async.models import Outcome
from hunyuan_async.streams import OutcomeStream

STOPPING = "stopping: collecting what is paid; once more leaves at once"
LEAVING = "leaving: waiting for answers to requests already sent"


@attrs.define
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
        title: What the view shows on top.
        stop: Why it ended early, if it did.
        made: Images on disk.
        failed: Images that will not come.
        unknown: Requests whose outcome nobody knows.
        unsaved: Ids of paid tasks whose image is not on disk.
    """

    items: Sequence[BatchItem]
    out_dir: Path
    name: NameTemplate
    guard: FailureGuard
    title: str
    stop: Stop | None = None
    made: int = 0
    failed: int = 0
    unknown: int = 0
    unsaved: list[str] = attrs.field(factory=list)
    _ended: set[str] = attrs.field(factory=set)
    _submitted_at: dict[str, datetime] = attrs.field(factory=dict)
    _speed: Speed = attrs.field(factory=Speed)
    _note: str | None = None

    def happened(self, event: Event) -> None:
        """Take note of an event of the client's."""
        if isinstance(event, Submitted) and event.id:
            self._submitted_at[event.id] = event.when

    async def run(self, client: Client, results: ResultsFile, view: View) -> None:
        """Make every item; returns when the last one that was sent has ended."""
        by_id = {item.id: item for item in self.items}
        paths = {item.id: self.out_dir / self.name.path(item) for item in self.items}
        showing = asyncio.create_task(keep_showing(view, lambda: self._snapshot(client)))
        requests = (item.request for item in self.items)
        try:
            async with client.stream(requests, save_to=lambda request: paths[request.id or ""]) as outcomes:
                with self._signals(client, outcomes):
                    await self._collect(client, outcomes, results, by_id)
        finally:
            showing.cancel()
            with suppress(asyncio.CancelledError):
                await showing
            view.show(self._snapshot(client))

    async def _collect(
        self, client: Client, outcomes: OutcomeStream, results: ResultsFile, by_id: dict[str, BatchItem]
    ) -> None:
        try:
            async for outcome in outcomes:
                assert outcome.request is not None
                self._write(results, by_id[outcome.request.id or ""], outcome, client)
                if self.stop is None and (stop := self._reason_to_stop(outcome)):
                    self.stop, self._note = stop, f"stopping: {stop.reason}"
                    outcomes.stop()
        except HunyuanError as error:
            self.stop = self.stop or Stop(error.message, exit_code(error))

    def _write(self, results: ResultsFile, item: BatchItem, outcome: Outcome, client: Client) -> None:
        submitted_at = self._submitted_at.pop(item.id, None)
        line = result_line(
            item, outcome, self.out_dir, client.service, submitted_at=submitted_at, ended_at=datetime.now(UTC)
        )
        self._count(line["status"], outcome.error)
        self._ended.add(item.id)
        try:
            results.append(line)
        except OSError as failure:
            self.stop = self.stop or Stop(f"{FILE_NAME} cannot be written: {failure.strerror}", Exit.DISK)

    def _count(self, status: Status, error: HunyuanError | None) -> None:
        self._speed.count()
        self.guard.ended(error)
        self.made += status == "succeeded"
        self.failed += status == "failed"
        self.unknown += status == "unknown"
        if status == "submitted" and error and error.task_id:
            self.unsaved.append(error.task_id)

    @property
    def left(self) -> list[BatchItem]:
        """The items that were not sent."""
        return [item for item in self.items if item.id not in self._ended]

    def _reason_to_stop(self, outcome: Outcome) -> Stop | None:
        error = outcome.error
        if error and is_disk_error(error):
            return Stop(error.message, Exit.DISK)
        if isinstance(error, NotSent | RateLimited | ServiceUnavailable):
            return Stop(error.message, Exit.TRY_LATER)
        if self.guard.too_many:
            commonest = "; ".join(f"{count} x {text}" for text, count in self.guard.messages.most_common(3))
            return Stop(f"too many failures: {commonest}", Exit.TRY_LATER)
        return None

    @contextmanager
    def _signals(self, client: Client, outcomes: OutcomeStream) -> Iterator[None]:
        """First Ctrl-C: stop sending. A second one, or another signal to end: wait only for answers on their way."""
        loop = asyncio.get_running_loop()
        leaving: list[asyncio.Task[None]] = []

        def interrupted(number: int) -> None:
            first = self.stop is None or self.stop.code < Exit.SIGNAL
            self.stop = Stop(f"interrupted ({signal.Signals(number).name})", Exit.SIGNAL + number)
            outcomes.stop()
            if first and number == signal.SIGINT:
                self._note = STOPPING
            elif not leaving:
                self._note = LEAVING
                leaving.append(loop.create_task(client.aclose()))

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, interrupted, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _snapshot(self, client: Client) -> Snapshot:
        return Snapshot(
            self.title, len(self.items), self._speed.ended, client.statistics(), self._speed.per_minute(), self._note
        )

    def exit_code(self) -> int:
        """Return what the shell is told: why the run stopped, else what became of its items."""
        if self.stop:
            return self.stop.code
        if self.unknown:
            return Exit.SOME_UNKNOWN
        return Exit.DONE if self.made == len(self.items) else Exit.SOME_FAILED
