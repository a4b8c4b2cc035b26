"""Planning: what a run is asked for, against what its journal holds."""

from __future__ import annotations

import json
import sqlite3
from typing import Literal

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.rows import INSERT, key_of, origin_of, progress_of
from hunyuan_async._journal.steps import Entry

IDS_KEPT = 20
Changed = Literal["stop", "redo", "keep"]

_HELD = "SELECT number, state, attempt, given FROM items WHERE run = ? AND id = ? AND latest"
_REWRITE = "UPDATE items SET state = ?, credits = ?, given = ?, request = ?, detail = ? WHERE number = ?"
# Rows that this pass wrote have higher numbers than all before it, as a rule, so they need not be remembered.
_REST = "run = ? AND state = ? AND latest AND number <= ? AND number NOT IN (SELECT number FROM temp.asked)"
_RESTORE = """UPDATE items SET latest = 1 WHERE run = ? AND NOT latest
    AND attempt = (SELECT max(attempt) FROM items AS others WHERE others.run = items.run AND others.id = items.id)"""


class Planning:
    """One pass over what a run is asked for; `JournalFile.planning` opens it.

    Attributes:
        keep: To be set if the journal is to keep what was planned.
        new: Items that are planned and were not before.
        known: Items that it holds already, asked for as they were.
        edited: Items asked for otherwise before they were sent, and now so.
        withdrawn: Further attempts that waited to be sent, and are not wanted any more.
        changed: Items asked for otherwise since they were sent.
        changed_credits: What making these again costs.
        changed_ids: The first of their ids.
        repeats: Items that are not wanted, because they repeat others.
    """

    def __init__(self, connection: sqlite3.Connection, run: str) -> None:
        self.run = run
        self.keep = False
        self.new = self.known = self.edited = self.withdrawn = self.changed = self.changed_credits = self.repeats = 0
        self.changed_ids: list[str] = []
        self._connection = connection
        self._next_index = self._last_before = 0

    def begin(self) -> None:
        """Look at what the journal holds; a transaction is open."""
        execute = self._connection.execute
        [[self._last_before]] = execute("SELECT coalesce(max(number), 0) FROM items")
        [[self._next_index]] = execute("SELECT count(*) FROM items WHERE run = ? AND attempt = 1", (self.run,))
        execute("CREATE TEMP TABLE IF NOT EXISTS asked (number INTEGER PRIMARY KEY)")
        execute("DELETE FROM temp.asked")

    def add(self, item: Item, changed: Changed = "stop") -> None:
        """Plan *item*, or find it planned.

        An item of a new id or with a higher attempt is stored as it is, and one that was skipped and is wanted after
        all as a new attempt. Whether one has changed, `given` tells. What was not sent yet is changed where it stands;
        a further attempt that was not sent yet is withdrawn if what was sent before is wanted again.

        Args:
            item: Planned, or skipped if it repeats another; its `detail` gets the "index".
            changed: For an item that was sent with another request: "redo" plans a new attempt, the others leave it.
        """
        held = self._held(item)
        before = State(held["state"]) if held else None
        if held:
            self._connection.execute("INSERT OR IGNORE INTO temp.asked VALUES (?)", (held["number"],))
        if item.state is State.SKIPPED:
            self._add_repeat(item, held)
        elif held is None or item.attempt > held["attempt"]:
            self.new += 1
            self._insert(item, held)
        elif before is State.SKIPPED:
            self.new += 1
            self._insert_again(item, held)
        elif item.given == held["given"]:
            self.known += 1
        elif before is State.PLANNED:
            self.edited += 1
            self._rewrite(item, held, before)
        else:
            self._note_change(item)
            if changed == "redo":
                self._insert_again(item, held)

    def take(self, item: Item, step: Step) -> None:
        """Take a step of an item that stands in the journal."""
        Entry.of(item, step).write(self._connection)

    def was_asked(self, item: Item) -> bool:
        """Whether an item of the journal was added in this pass."""
        statement = "SELECT 1 FROM temp.asked WHERE number = ?"
        return item.number > self._last_before or bool(self._connection.execute(statement, (item.number,)).fetchone())

    def skip_rest(self) -> int:
        """Skip the items that wait to be sent and were not added in this pass; return how many they are.

        Of an item that was sent before, the attempt that waits is withdrawn.
        """
        execute, which = self._connection.execute, (self.run, State.PLANNED.value, self._last_before)
        withdrawn = execute(f"DELETE FROM items WHERE {_REST} AND attempt > 1", which).rowcount  # noqa: S608
        execute(_RESTORE, (self.run,))
        after = advance(State.PLANNED, Step.SKIP).value
        return withdrawn + execute(f"UPDATE items SET state = ? WHERE {_REST}", (after, *which)).rowcount  # noqa: S608

    def _held(self, item: Item) -> sqlite3.Row | None:
        """Look up the latest attempt; one that was never sent, and is not what is asked for, is withdrawn first."""
        while True:
            held: sqlite3.Row | None = self._connection.execute(_HELD, (self.run, item.id)).fetchone()
            if held is None or held["attempt"] == 1 or item.attempt > held["attempt"] or held["given"] == item.given:
                return held
            if held["state"] not in (State.PLANNED.value, State.SKIPPED.value):
                return held
            self.withdrawn += 1
            self._connection.execute("DELETE FROM items WHERE number = ?", (held["number"],))
            self._connection.execute(_RESTORE + " AND id = ?", (self.run, item.id))

    def _add_repeat(self, item: Item, held: sqlite3.Row | None) -> None:
        self.repeats += 1
        if held is None:
            self._insert(item, None)
        elif held["state"] == State.PLANNED.value and held["attempt"] == 1:
            self._rewrite(item, held, advance(State.PLANNED, Step.SKIP))

    def _note_change(self, item: Item) -> None:
        self.changed += 1
        self.changed_credits += item.credits
        if len(self.changed_ids) < IDS_KEPT:
            self.changed_ids.append(item.id)

    def _insert_again(self, item: Item, held: sqlite3.Row) -> None:
        item.attempt = held["attempt"] + 1
        self._insert(item, held)

    def _insert(self, item: Item, held: sqlite3.Row | None) -> None:
        self._number(item, held)
        values = (item.state.value, *key_of(item), *origin_of(item), *progress_of(item))
        number = self._connection.execute(INSERT, values).lastrowid
        if number is not None and number <= self._last_before:  # that of an attempt which was withdrawn
            self._connection.execute("INSERT OR IGNORE INTO temp.asked VALUES (?)", (number,))

    def _rewrite(self, item: Item, held: sqlite3.Row, state: State) -> None:
        self._number(item, held)
        _, given, request, detail = origin_of(item)
        self._connection.execute(_REWRITE, (state.value, item.credits, given, request, detail, held["number"]))

    def _number(self, item: Item, held: sqlite3.Row | None) -> None:
        """Give an item its place among all ids of the run, which is the same for all its attempts."""
        if held is None:
            index = self._next_index
            self._next_index += 1
        else:
            [[detail]] = self._connection.execute("SELECT detail FROM items WHERE number = ?", (held["number"],))
            index = json.loads(detail)["index"]
        item.detail = {**item.detail, "index": index}
