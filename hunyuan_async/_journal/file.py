"""The journal: the items of runs in an SQLite file, each step on disk before anything relies on it.

A plain synchronous class for one thread; `Journal` gives it a thread of its own. What a row becomes is decided by the
table of `lifecycle` and by what the row says, not by what a caller believes.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

import attrs

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._core.text import shown
from hunyuan_async._journal.disk import SUFFIXES, drop_ballast, is_on_network, lay_ballast, make_durable, refuse_links
from hunyuan_async._journal.lock import JournalInUse, RunLock
from hunyuan_async._journal.planning import Planning
from hunyuan_async._journal.reader import JournalReader, RunRecord
from hunyuan_async._journal.rows import error_text
from hunyuan_async._journal.schema import bring_up_to_date, version_of
from hunyuan_async._journal.steps import Entry
from hunyuan_async._journal.traffic import TrafficLog
from hunyuan_async._journal.troubles import explained, in_words, is_final, once_more
from hunyuan_async._tally import Traffic
from hunyuan_async.errors import JournalError, SubmitUnknown

T = TypeVar("T")


class JournalFile(JournalReader):
    """A journal that is open to be written, by one process at a time."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, held: ExitStack, root: Path | None, lock: RunLock
    ) -> None:
        super().__init__(path, connection, held, root)
        self._opened = path.stat()
        self._lock = lock
        self._traffic: TrafficLog | None = None
        self._held_back: JournalError | None = None  # why no item is let go any more
        self._given_up: JournalError | None = None  # why nothing is written any more

    @classmethod
    def open(cls, path: Path, root: Path | None = None, *, wal: bool | None = None) -> Self:
        """Open the journal at *path*; make it, or bring it up to date, where needed.

        Args:
            path: The file, or a link to it; others stand beside it, whose names begin with its own.
            root: What the paths of images are relative to in it, so that they can be moved together.
            wal: Whether to write ahead to a log; None does, unless the file lies on a network file system.

        Raises:
            JournalError: Another process has it, or it cannot be used; the message says what to do.
        """
        return in_words(path, lambda: cls._open(path.resolve(), root, wal))

    @classmethod
    def _open(cls, path: Path, root: Path | None, wal: bool | None) -> Self:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_links(path)
        with ExitStack() as held:
            lock = RunLock.take(path)
            held.callback(lock.release)
            path.touch(0o600)  # the files that SQLite puts beside it become as private
            connection = sqlite3.connect(path, isolation_level=None)
            held.callback(connection.close)
            version_of(connection, path)  # before anything is changed in a file that may be somebody else's
            make_durable(connection, path, wal=not is_on_network(path) if wal is None else wal)
            bring_up_to_date(connection, path)
            lay_ballast(path)
            return cls(path, connection, held.pop_all(), root, lock)

    @classmethod
    def open_any(cls, folder: Path) -> Self:
        """Open the first journal in *folder* that no other process uses, or a new one.

        Raises:
            JournalError: As `open`.
        """
        for number in itertools.count(1):
            with suppress(JournalInUse):
                return cls.open(folder / f"{number}.sqlite")
        raise AssertionError

    @contextmanager
    def erased_if_empty(self) -> Iterator[None]:
        """Leave nothing of the journal if no item is in it at the end."""
        try:
            yield
        finally:
            if self.last_number() == 0:
                self._connection.close()
                for suffix in SUFFIXES:
                    self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def write_run(self, record: RunRecord) -> None:
        """Store what a run is pinned to, in place of what was stored before; also while items are planned."""
        *cells, created_at, settings = attrs.astuple(record, recurse=False)
        values = (*cells, created_at.isoformat(), json.dumps(dict(settings)))
        statement = "REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?, ?)"
        if self._connection.in_transaction:
            self._connection.execute(statement, values)
        else:
            self._transact(lambda: self._connection.execute(statement, values))

    def begin_run(self) -> RunRecord:
        """Return the run of a journal that belongs to one directory; the first call makes it, pinned to nothing yet."""
        record = self.only_run()
        if record is None:
            name, salt, seed = secrets.token_hex(8), secrets.token_bytes(16), secrets.randbits(63)
            record = RunRecord(name, "", "", salt, seed, datetime.now(UTC))
            self.write_run(record)
        return record

    @contextmanager
    def planning(self, run: str) -> Iterator[Planning]:
        """Plan items of *run*, in one transaction: all of it is stored if `keep` is set by its end, or else nothing."""
        planning = Planning(self._connection, run)
        with self._transaction(lambda: planning.keep):
            planning.begin()
            yield planning

    def count_traffic(self, run: str, counts: Callable[[], Traffic]) -> None:
        """Store how the *counts* of a run grow from now on, with every group of steps and when the file is closed."""
        self._traffic = TrafficLog(run, counts)
        self._held.callback(self._count_once_more)

    def _count_once_more(self) -> None:
        with suppress(JournalError):
            self._check_place()
            self._take_all(())

    def limit_cache(self, kibibytes: int) -> None:
        """Keep no more than so much of the file in memory: who looks items up one by one needs little."""
        self._connection.execute(f"PRAGMA cache_size = -{kibibytes}")

    def record(self, item: Item, step: Step) -> None:
        """Store one step: when this returns, it is on disk."""
        [failure] = self.store([Entry.of(item, step, self.root)])
        if failure:
            raise failure

    def store(self, entries: Sequence[Entry]) -> list[JournalError | None]:
        """Store steps in one transaction. An error in the place of a step says that this one is not stored.

        After a failure no item is let go any more, for its task's id might not find room. The steps of those that are
        out already are tried again, with the bytes that were put by.
        """
        if self._held_back is None:
            try:
                self._check_place()
                return self._take_all(entries)
            except JournalError as error:
                self._held_back = error
            drop_ballast(self.path)
        out = [entry for entry in entries if entry.step is not Step.SEND]
        try:
            results = iter(self._take_all(out))
            self._check_place()
        except JournalError as error:
            results = iter([once_more(error) for _ in out])
        return [once_more(self._held_back) if entry.step is Step.SEND else next(results) for entry in entries]

    def _check_place(self) -> None:
        """Fail if the file or its lock is gone: nobody will ever read it, or another process may write it, too."""
        with suppress(OSError):
            if os.path.samestat(self.path.stat(), self._opened) and self._lock.is_in_place():
                return
        raise explained(self.path, OSError(errno.ESTALE, os.strerror(errno.ESTALE)))

    def _take_all(self, entries: Sequence[Entry]) -> list[JournalError | None]:
        def work() -> list[JournalError | None]:
            if self._traffic and self._held_back is None:
                self._traffic.write(self._connection)
            return [self._take(entry) for entry in entries]

        return self._transact(work)

    def _take(self, entry: Entry) -> JournalError | None:
        try:
            entry.write(self._connection)
            return None
        except ValueError as error:
            problem = str(error)
        return JournalError(
            f"The journal {self.path} does not take this step of item {shown(entry.key[1])}: {problem}. Nothing was "
            "written; what is new needs an id of its own, or counts as another attempt."
        )

    def move(self, numbers: Sequence[int], state: State, step: Step) -> None:
        """Have the items of these numbers, which are in *state*, take a step that brings nothing else."""
        after = advance(state, step).value
        statement = "UPDATE items SET state = ? WHERE number = ?"
        values = [(after, number) for number in numbers]
        self._transact(lambda: self._connection.executemany(statement, values))

    def lose_answers(self, run: str) -> int:
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
        with self._transaction():
            return work()

    @contextmanager
    def _transaction(self, is_kept: Callable[[], bool] = lambda: True) -> Iterator[None]:
        if self._given_up:
            raise once_more(self._given_up)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            if is_kept():
                self._connection.execute("COMMIT")
            return
        except sqlite3.Error as error:
            failure = error
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
        told = explained(self.path, failure)
        self._given_up = told if is_final(failure) else None
        raise told
