"""What one pass over an input remembers of its rows, however many they are."""

from __future__ import annotations

import sqlite3
from typing import Self

_CACHE = 32_768  # KiB
_REPEAT = "UPDATE seen SET repeats = repeats + 1 WHERE id = ? RETURNING repeats"


class Seen:
    """Ids, and where they were seen first; on disk, in a file without a name that is gone when it is closed."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect("", isolation_level=None)
        self._connection.execute(f"PRAGMA cache_size = -{_CACHE}")
        self._connection.execute("PRAGMA journal_mode = OFF")
        self._connection.execute("BEGIN")
        self._connection.execute("CREATE TABLE seen (id BLOB PRIMARY KEY, line, digest, repeats) WITHOUT ROWID")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def first(self, item_id: str) -> tuple[int, str] | None:
        """Return the line in which an id was seen, and what was noted with it."""
        found = self._connection.execute("SELECT line, digest FROM seen WHERE id = ?", (_bytes(item_id),)).fetchone()
        return found and (found[0], found[1])

    def note(self, item_id: str, line: int, digest: str = "") -> None:
        """Remember an id."""
        self._connection.execute("INSERT INTO seen VALUES (?, ?, ?, 0)", (_bytes(item_id), line, digest))

    def repeat(self, item_id: str) -> int:
        """Count how often an id was repeated, this time included."""
        [[count]] = self._connection.execute(_REPEAT, (_bytes(item_id),)).fetchall()
        return int(count)


def _bytes(item_id: str) -> bytes:
    return item_id.encode(errors="surrogatepass")  # an input may hold what is no text
