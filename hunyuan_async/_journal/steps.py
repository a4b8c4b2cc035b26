"""A step of an item on its way into the journal."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Self

import attrs

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.rows import INSERT, Cells, key_of, origin_of, progress_of

_UPDATE = """UPDATE items SET state = ?, credits = ?, task_id = ?, sending_at = ?, submitted_at = ?, finished_at = ?,
    error = ?, files = ?, urls = ?, raw = ? WHERE number = ?"""


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
    def of(cls, item: Item, step: Step, root: Path | None = None) -> Self:
        """Copy what *item*, as it takes *step*, brings; images are named as seen from *root*."""
        beginning = None
        if item.request is None:  # a task of which the id alone is known
            beginning = State.SUBMITTED, origin_of(item)
        elif step is Step.SEND and not item.number:
            beginning = State.PLANNED, origin_of(item)
        return cls(step, key_of(item), progress_of(item, root), beginning)

    def write(self, connection: sqlite3.Connection) -> None:
        """Change the item's row.

        Raises:
            ValueError: There is no such step from where the row stands.
        """
        held = connection.execute(
            "SELECT number, state FROM items WHERE run = ? AND id = ? AND attempt = ?", self.key
        ).fetchone()
        before, origin = (State(held["state"]), ()) if held else self.beginning or (State.PLANNED, ())
        after = advance(before, self.step)
        if held:
            connection.execute(_UPDATE, (after.value, *self.progress, held["number"]))
        else:
            connection.execute(INSERT, (after.value, *self.key, *origin, *self.progress))
