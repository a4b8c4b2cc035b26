"""The file as a recorder: in a thread of its own, and steps that come together in one commit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.steps import Entry
from hunyuan_async._journal.troubles import once_more
from hunyuan_async._tally import log
from hunyuan_async._uncancelled import see_through
from hunyuan_async.errors import JournalError

T = TypeVar("T")
Waiting = tuple[Entry, "asyncio.Future[None]"]

PATIENCE = 0.05  # seconds
# Nobody pays if these are lost: the task is looked at, or its image fetched, once more.
_PATIENT = frozenset({Step.COMPLETE, Step.SAVE, Step.FAIL, Step.EXPIRE})


class Journal:
    """Stores steps in a journal, those that come together in one commit. Implements `Recorder`.

    While one group of steps is on its way to disk, the next one gathers. The thread opens the file at once; if it
    cannot, every call raises the reason. It is made inside the event loop that uses it.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "hunyuan-journal")
        opened = partial(JournalFile.open_any, path) if path.is_dir() else partial(JournalFile.open, path, root)
        self._file = self._thread.submit(opened)
        self._root = root
        self._waiting: list[Waiting] = []
        self._storing = 0
        self._next: asyncio.Handle | None = None
        self._urgent = False
        self._closed = False

    async def open(self, budget: Budget) -> None:
        """Take up what an earlier process of the same client left; see `Recorder.open`.

        Raises:
            JournalError: It could not be opened.
        """

        def begin(file: JournalFile) -> tuple[int, int]:
            file.lose_answers("")
            return file.credits("")

        spent, at_risk = await self.call(begin)
        budget.book(spent=spent, at_risk=at_risk)

    async def find(self, task_id: str) -> Item | None:
        """Look up the item of a task; see `Recorder.find`."""
        return await self.call(lambda file: file.find(task_id))

    async def unfinished(self) -> list[Item]:
        """Read what is paid and was not seen finished; see `Recorder.unfinished`."""
        return await self.call(lambda file: file.items("", [State.SUBMITTED], limit=-1))

    async def record(self, item: Item, step: Step) -> None:
        """Store a step; see `Recorder.record`. Once begun, it is stored whether or not the caller stays.

        If the caller is cancelled during `Step.SEND`, nothing is sent, so the step is taken back before the
        cancellation goes on.

        Raises:
            JournalError: It could not be stored.
        """
        entry = Entry.of(item, step, self._root)
        stored = self._put(entry)
        try:
            await stored
        except asyncio.CancelledError:
            if not stored.cancelled():  # cancelled after it was told, before it could hear
                _log_loss(entry, stored.exception())
            if step is Step.SEND:
                await see_through(self._take_back(item))
            raise

    async def call(self, function: Callable[[JournalFile], T]) -> T:
        """Run *function* on the file, in its thread, after all steps that were recorded before.

        Raises:
            JournalError: The journal is closed, could not be opened, or *function* raised it.
        """
        self._check_open()
        self._store()
        return await self._loop.run_in_executor(self._thread, lambda: function(self._file.result()))

    async def aclose(self) -> None:
        """Store what still waits, and let the file go."""
        if not self._closed:
            self._store()
            self._closed = True
            await see_through(self._close())

    async def _close(self) -> None:
        await self._loop.run_in_executor(self._thread, self._close_file)
        self._thread.shutdown()

    def _close_file(self) -> None:
        if not self._file.exception():
            self._file.result().close()

    async def _take_back(self, item: Item) -> None:
        with suppress(JournalError):  # then the step before was not stored either, or the disk will say so to others
            await self._put(Entry.of(item, Step.TAKE_BACK, self._root))

    def _put(self, entry: Entry) -> asyncio.Future[None]:
        self._check_open()
        stored = self._loop.create_future()
        self._waiting.append((entry, stored))
        self._gather(urgent=entry.step not in _PATIENT)
        return stored

    def _gather(self, *, urgent: bool) -> None:
        """Have what waits stored: in this turn of the loop, or if nothing is urgent, once it had time for company."""
        if self._next and urgent and not self._urgent:
            self._next.cancel()
            self._next = None
        self._urgent |= urgent
        if self._next is None and not self._storing:
            soon = self._loop.call_soon if self._urgent else partial(self._loop.call_later, PATIENCE)
            self._next = soon(self._store)

    def _store(self) -> None:
        if self._next:
            self._next.cancel()
        self._next, self._urgent = None, False
        if self._waiting:
            group, self._waiting = self._waiting, []
            self._storing += 1
            storing = self._loop.run_in_executor(self._thread, self._store_all, [entry for entry, _ in group])
            storing.add_done_callback(partial(self._landed, group))

    def _store_all(self, entries: list[Entry]) -> list[JournalError | None]:
        return self._file.result().store(entries)

    def _landed(self, group: list[Waiting], storing: asyncio.Future[list[JournalError | None]]) -> None:
        self._storing -= 1
        failure = storing.exception()
        errors = failure and [once_more(failure) if isinstance(failure, JournalError) else failure for _ in group]
        for (entry, stored), error in zip(group, errors or storing.result(), strict=True):
            if not stored.done():
                stored.set_exception(error) if error else stored.set_result(None)
            else:
                _log_loss(entry, error)
        if self._waiting:
            self._gather(urgent=self._urgent)

    def _check_open(self) -> None:
        if self._closed:
            raise JournalError("The journal is closed.")


def _log_loss(entry: Entry, error: BaseException | None) -> None:
    """Tell of an error whose caller went away; it may be about the id of a paid task."""
    if error and entry.step is not Step.SEND:
        _, task_id, *_ = entry.progress
        log.error("%s of item %s, task %s, could not be stored: %s", entry.step.value, entry.key[1], task_id, error)
