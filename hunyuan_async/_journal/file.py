"""The journal: the items of runs in an SQLite file, each step on disk before anything relies on it.

A plain synchronous class for one thread; `Journal` gives it a thread of its own. What a row becomes is decided by the
table of `lifecycle` and by what the row says, not by what a caller believes.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import islice
from pathlib import Path
from typing import Self, TypeVar

import attrs

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._core.text import shown
from hunyuan_async._journal.disk import drop_ballast, is_on_network, lay_ballast, make_durable
from hunyuan_async._journal.lock import RunLock
from hunyuan_async._journal.reader import JournalReader, RunRecord
from hunyuan_async._journal.rows import Cells, error_text, key_of, origin_of, progress_of
from hunyuan_async._journal.schema import bring_up_to_date, version_of
from hunyuan_async._journal.troubles import explained, in_words, is_final, once_more
from hunyuan_async.errors import JournalError, SubmitUnknown

T = TypeVar("T")

CHUNK = 50_000  # items planned in one transaction: ids in no order touch much of their index each time

_INSERT = """INSERT INTO items (
        state, run, id, attempt, tenant, credits, given, request, detail,
        task_id, sending_at, submitted_at, finished_at, error, files, urls, raw
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_HELD = "SELECT given, attempt FROM items WHERE run = ? AND id = ? AND latest"
_UPDATE = """UPDATE items SET state = ?, task_id = ?, sending_at = ?, submitted_at = ?, finished_at = ?, error = ?,
    files = ?, urls = ?, raw = ? WHERE number = ?"""


@attrs.frozen
class Planned:
    """What planning some items came to.

    Attributes:
        new: Items that the journal did not hold.
        known: Items that it holds already, asked for as they were.
        changed: Ids of items that it holds with another request, which it keeps.
    """

    new: int = 0
    known: int = 0
    changed: tuple[str, ...] = ()


@attrs.frozen
class Entry:
    """A step as it goes into the journal: a copy, because the item goes on changing.

    Attributes:
        step: What happens.
        key: Whose row it concerns.
        progress: The row's cells from then on.
        beginning: For an item that the journal need not hold yet, where it stood before, and its other cells.
    """

    step: Step
    key: tuple[str, str, int]
    progress: Cells
    beginning: tuple[State, Cells] | None

    @classmethod
    def of(cls, item: Item, step: Step) -> Self:
        """Copy what *item*, as it takes *step*, brings."""
        beginning = None
        if item.request is None:  # a task of which the id alone is known
            beginning = State.SUBMITTED, origin_of(item)
        elif step is Step.SEND and not item.number:
            beginning = State.PLANNED, origin_of(item)
        return cls(step, key_of(item), progress_of(item), beginning)


class JournalFile(JournalReader):
    """A journal that is open to be written, by one process at a time."""

    def __init__(self, path: Path, connection: sqlite3.Connection, held: ExitStack) -> None:
        super().__init__(path, connection, held)
        self._held_back: JournalError | None = None  # why no item is let go any more
        self._given_up: JournalError | None = None  # why nothing is written any more

    @classmethod
    def open(cls, path: Path, *, wal: bool | None = None) -> Self:
        """Open the journal at *path*; make it, or bring it up to date, where needed.

        Args:
            path: The file; others stand beside it, whose names begin with its own.
            wal: Whether to write ahead to a log; None does, unless the file lies on a network file system.

        Raises:
            JournalError: Another process has it, or it cannot be used; the message says what to do.
        """
        return in_words(path, lambda: cls._open(path, wal))

    @classmethod
    def _open(cls, path: Path, wal: bool | None) -> Self:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as held:
            held.callback(RunLock.take(path).release)
            path.touch(0o600)  # the files that SQLite puts beside it become as private
            connection = sqlite3.connect(path, isolation_level=None)
            held.callback(connection.close)
            version_of(connection, path)  # before anything is changed in a file that may be somebody else's
            make_durable(connection, path, wal=not is_on_network(path) if wal is None else wal)
            bring_up_to_date(connection, path)
            lay_ballast(path)
            return cls(path, connection, held.pop_all())

    def write_run(self, record: RunRecord) -> None:
        """Store what a run is pinned to, in place of what was stored before."""
        *cells, created_at, settings = attrs.astuple(record, recurse=False)
        values = (*cells, created_at.isoformat(), json.dumps(dict(settings)))
        self._transact(lambda: self._connection.execute("REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)", values))

    def plan(self, items: Iterable[Item], chunk: int = CHUNK) -> Planned:
        """Store those of *items* that are new, in their order, a *chunk* in a transaction and in memory.

        Items are told apart by run, id and attempt; whether one has changed, by `given` of its latest attempt. A new
        attempt takes the place of those before it; if they were not sent yet, they never are.
        """
        planned, remaining = Planned(), iter(items)
        while True:
            more = self._transact(lambda: self._plan(islice(remaining, chunk)))
            if more == Planned():
                return planned
            planned = Planned(planned.new + more.new, planned.known + more.known, planned.changed + more.changed)

    def _plan(self, items: Iterable[Item]) -> Planned:
        new, known, changed = 0, 0, list[str]()

        def rows() -> Iterator[Cells]:
            nonlocal new, known
            for item in items:
                held = self._connection.execute(_HELD, (item.run, item.id)).fetchone()
                if held is None or held["attempt"] < item.attempt:
                    new += 1
                    yield State.PLANNED.value, *key_of(item), *origin_of(item), *progress_of(item)
                elif held["given"] == item.given:
                    known += 1
                else:
                    changed.append(item.id)

        self._connection.executemany(_INSERT, rows())
        return Planned(new, known, tuple(changed))

    def record(self, item: Item, step: Step) -> None:
        """Store one step: when this returns, it is on disk."""
        [failure] = self.store([Entry.of(item, step)])
        if failure:
            raise failure

    def store(self, entries: Sequence[Entry]) -> list[JournalError | None]:
        """Store steps in one transaction. An error in the place of a step says that this one is not stored.

        After a failure no item is let go any more, for its task's id might not find room. The steps of those that are
        out already are tried again, with the bytes that were put by.
        """
        if self._held_back is None:
            try:
                return self._take_all(entries)
            except JournalError as error:
                self._held_back = error
            drop_ballast(self.path)
        out = [entry for entry in entries if entry.step is not Step.SEND]
        try:
            results = iter(self._take_all(out))
        except JournalError as error:
            results = iter([once_more(error) for _ in out])
        return [once_more(self._held_back) if entry.step is Step.SEND else next(results) for entry in entries]

    def _take_all(self, entries: Sequence[Entry]) -> list[JournalError | None]:
        return self._transact(lambda: [self._take(entry) for entry in entries])

    def _take(self, entry: Entry) -> JournalError | None:
        held = self._connection.execute(
            "SELECT number, state FROM items WHERE run = ? AND id = ? AND attempt = ?", entry.key
        ).fetchone()
        before, origin = (State(held["state"]), ()) if held else entry.beginning or (State.PLANNED, ())
        try:
            after = advance(before, entry.step)
        except ValueError as error:
            problem = str(error)
        else:
            if held:
                self._connection.execute(_UPDATE, (after.value, *entry.progress, held["number"]))
            else:
                self._connection.execute(_INSERT, (after.value, *entry.key, *origin, *entry.progress))
            return None
        return JournalError(
            f"The journal {self.path} does not take this step of item {shown(entry.key[1])}: {problem}. Nothing was "
            "written; what is new needs an id of its own, or counts as another attempt."
        )

    def recover(self, run: str) -> int:
        """Make the items unknown that an earlier process was sending when it ended; return how many they are."""
        error = SubmitUnknown(
            "The program ended before the answer to this submit was stored. It may have been charged, so it is not "
            "sent again by itself."
        )
        after = advance(State.SENDING, Step.LOSE_ANSWER)
        values = (after.value, error_text(error), run, State.SENDING.value)
        statement = "UPDATE items SET state = ?, error = ? WHERE run = ? AND state = ?"
        return self._transact(lambda: self._connection.execute(statement, values).rowcount)

    def _transact(self, work: Callable[[], T]) -> T:
        if self._given_up:
            raise once_more(self._given_up)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            done = work()
            self._connection.execute("COMMIT")
            return done
        except sqlite3.Error as error:
            failure = error
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
        told = explained(self.path, failure)
        self._given_up = told if is_final(failure) else None
        raise told
