"""What a journal can be asked."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

import attrs

from hunyuan_async._core.lifecycle import AT_RISK, SPENT, Item, State
from hunyuan_async._journal.course import Course
from hunyuan_async._journal.rows import ODD, Types, checked, files_of, item_of, when
from hunyuan_async._journal.schema import TRAFFIC, version_of
from hunyuan_async._journal.troubles import explained, in_words

T = TypeVar("T")

PAGE = 1000  # items read at once

# By one state the index gives them in order; a union of such queries is merged, without a sort.
_IN_ONE_STATE = "SELECT * FROM items WHERE run = ? AND state = ? AND number > ? AND (latest OR state <> 'planned')"
# The plus keeps SQLite from looking up all items of the run, in order to sort them, for every page.
_LATEST = """SELECT items.*, first.number AS place FROM items AS first CROSS JOIN items USING (run, id)
    WHERE +first.run = ? AND first.attempt = 1 AND first.number > ? AND items.latest ORDER BY place LIMIT ?"""
_SAVED = """SELECT number, files FROM items WHERE run = ? AND state = ? AND number > ? AND files IS NOT NULL
    ORDER BY number LIMIT ?"""
_SAVED_AS = "SELECT files, finished_at FROM items WHERE instr(files, ?) ORDER BY number DESC"
_NEWEST = """SELECT * FROM items WHERE run = ? AND state IN (SELECT value FROM json_each(?))
    ORDER BY sending_at DESC, number DESC LIMIT ?"""

_RUN: Types = {**dict.fromkeys(("run", "base_url", "key_fingerprint"), str), "salt": bytes, "seed": int}


@attrs.frozen
class RunRecord:
    """What a run is pinned to.

    Attributes:
        run: Its name.
        base_url: The service that it pays.
        key_fingerprint: Tells its key from others without giving it away.
        salt: What the fingerprint was made with.
        seed: What undrawn seeds derive from.
        created_at: When it was first planned.
        settings: What else its owner wants back, as JSON allows.
    """

    run: str
    base_url: str
    key_fingerprint: str
    salt: bytes = attrs.field(repr=False)
    seed: int
    created_at: datetime
    settings: Mapping[str, object] = attrs.field(factory=dict)


class JournalReader:
    """A journal that is open to be looked at.

    Every method raises `JournalError` if the disk or the file do not allow what it does.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, held: ExitStack, root: Path | None = None) -> None:
        """Use an open *connection*; what is *held* is released by `close`."""
        self.path = path
        self.root = root
        self._connection = connection
        self._connection.row_factory = sqlite3.Row
        self._held = held
        self._process = os.getpid()

    @staticmethod
    def read_only(path: Path, root: Path | None = None) -> JournalReader:
        """Open the journal at *path*, also while another process writes it; it shows what is stored by then.

        The paths of images are given below *root*.

        Raises:
            JournalError: There is none, or it cannot be read.
        """
        return in_words(path, lambda: JournalReader._read_only(path, root))

    @staticmethod
    def _read_only(path: Path, root: Path | None) -> JournalReader:
        path.stat()
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
        with ExitStack() as held:
            held.callback(connection.close)
            if version_of(connection, path) < 2:  # and it cannot be changed
                connection.execute(f"CREATE TEMP {TRAFFIC}")
            return JournalReader(path, connection, held.pop_all(), root)

    def close(self) -> None:
        """Release everything. In a forked child it does nothing: all is the parent's."""
        if self._process == os.getpid():
            self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run(self, name: str) -> RunRecord | None:
        """Look up what a run is pinned to."""
        return next(iter(self._read(self._rows("SELECT * FROM runs WHERE run = ?", name), _record)), None)

    def only_run(self) -> RunRecord | None:
        """Look up the run of a journal that belongs to one directory; None before it has begun."""
        return next(iter(self._read(self._rows("SELECT * FROM runs"), _record)), None)

    def item(self, run: str, item_id: str) -> Item | None:
        """Look up an item's latest attempt."""
        return self._first("SELECT * FROM items WHERE run = ? AND id = ? AND latest", run, item_id)

    def find(self, task_id: str) -> Item | None:
        """Look up the item of a task, in whatever run."""
        return self._first("SELECT * FROM items WHERE task_id = ? ORDER BY number DESC LIMIT 1", task_id)

    def items(self, run: str, states: Collection[State], after: int = 0, limit: int = PAGE) -> list[Item]:
        """Return a page of a run's items in the order of planning; the last one's `number` is the next page's *after*.

        All attempts are among them but those that a later one replaced before they were sent.
        """
        query = " UNION ALL ".join([_IN_ONE_STATE] * len(states)) + " ORDER BY number LIMIT ?"
        values = [value for state in states for value in (run, state.value, after)]
        return self._items(query, *values, limit)

    def latest(self, run: str) -> Iterator[Item]:
        """Read the latest attempt of every item, in the order in which their first attempts were planned.

        It is read by pages, so that a slow reader does not hold the writer's log back.
        """
        place = 0
        while rows := self._rows(_LATEST, run, place, PAGE):
            yield from self._read(rows, self._item)
            place = rows[-1]["place"]

    def each(self, run: str, *states: State) -> Iterator[Item]:
        """Read all attempts in some states as `items` does, by pages; they may change their states meanwhile."""
        after = 0
        while page := self.items(run, states, after):
            yield from page
            after = page[-1].number

    def saved(self, run: str, state: State, after: int, limit: int) -> list[tuple[int, list[dict[str, object]]]]:
        """Return a page of the items in a state that were saved: their numbers, and what is stored of their files."""
        rows = self._rows(_SAVED, run, state.value, after, limit)
        return self._read(rows, lambda row: (row["number"], files_of(row["files"])))

    def saved_as(self, sha256: str) -> list[tuple[list[dict[str, object]], datetime | None]]:
        """Look up the items that have a file of this SHA-256, the latest first: their files, and when they finished."""
        rows = self._rows(_SAVED_AS, sha256)
        return self._read(rows, lambda row: (files_of(row["files"]), when(row["finished_at"])))

    def last_number(self) -> int:
        """Return the number of the item that was planned last."""
        [(number,)] = self._rows("SELECT coalesce(max(number), 0) FROM items")
        return int(number)

    def attempts(self, run: str, item_id: str) -> list[Item]:
        """Look up all attempts of an item, the first one first."""
        return self._items("SELECT * FROM items WHERE run = ? AND id = ? ORDER BY attempt", run, item_id)

    def totals(self, run: str) -> dict[State, int]:
        """Count a run's items by the states of their latest attempts."""
        rows = self._rows("SELECT state, count(*) FROM items WHERE run = ? AND latest GROUP BY state", run)
        return dict(self._read(rows, _by_state))

    def waiting(self, run: str, after: int = 0) -> tuple[int, int]:
        """Count a run's items that are still to be sent, planned *after* one, and sum up their prices in credits."""
        query = "SELECT count(*), sum(credits) FROM items WHERE run = ? AND state = ? AND latest AND number > ?"
        [(count, credits)] = self._rows(query, run, State.PLANNED.value, after)
        return count, credits or 0

    def credits(self, run: str) -> tuple[int, int]:
        """Sum up what all attempts of a run's items cost: the credits spent, and those at risk."""
        sums = self.costs(run)
        return sum(sums.get(state, 0) for state in SPENT), sum(sums.get(state, 0) for state in AT_RISK)

    def costs(self, run: str) -> dict[State, int]:
        """Sum up the prices of all attempts of a run's items by the states they are in."""
        rows = self._rows("SELECT state, sum(credits) FROM items WHERE run = ? GROUP BY state", run)
        return dict(self._read(rows, _by_state))

    def newest(self, run: str, states: Collection[State], limit: int) -> list[Item]:
        """Return the attempts in *states* that were sent last, the latest first; in the end what never was sent."""
        return self._items(_NEWEST, run, json.dumps([state.value for state in states]), limit)

    def finished(self, run: str, since: datetime) -> tuple[int, datetime | None]:
        """Count the tasks that were seen to finish from *since* on, and tell when the first of them was sent."""
        query = "SELECT count(*), min(sending_at) FROM items WHERE run = ? AND finished_at >= ?"
        rows = self._rows(query, run, since.astimezone(UTC).isoformat())
        [(count, first)] = self._read(rows, lambda row: (row[0], when(row[1])))
        return count, first

    def course(self, run: str) -> Course:
        """Return what tells how a run went over time."""
        return Course(self._rows, run)

    def _first(self, query: str, *values: str) -> Item | None:
        return next(iter(self._items(query, *values)), None)

    def _item(self, row: sqlite3.Row) -> Item:
        return item_of(row, self.root)

    def _items(self, query: str, *values: str | float) -> list[Item]:
        return self._read(self._rows(query, *values), self._item)

    def _read(self, rows: list[sqlite3.Row], convert: Callable[[sqlite3.Row], T]) -> list[T]:
        with suppress(*ODD):
            return [convert(row) for row in rows]
        raise explained(self.path, OSError(errno.EINVAL, os.strerror(errno.EINVAL)))

    def _rows(self, query: str, *values: str | float) -> list[sqlite3.Row]:
        return in_words(self.path, lambda: self._connection.execute(query, values).fetchall())


def _record(row: sqlite3.Row) -> RunRecord:
    checked(row, _RUN)
    if row["seed"] < 0:
        raise ValueError(row["seed"])
    created_at, settings = datetime.fromisoformat(row["created_at"]), json.loads(row["settings"])
    return RunRecord(**{**dict(row), "created_at": created_at, "settings": checked({"": settings}, {"": dict})[""]})


def _by_state(row: sqlite3.Row) -> tuple[State, int]:
    return State(row[0]), row[1]
