"""How many requests a run made, by the time of day."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime

from hunyuan_async._tally import Traffic

INTERVAL = 10  # seconds a row

_ADD = """INSERT INTO traffic VALUES (?, ?, ?, ?, ?) ON CONFLICT (run, at) DO UPDATE SET
    submits = submits + excluded.submits, polls = polls + excluded.polls, limited = limited + excluded.limited"""


class TrafficLog:
    """Writes down how counts grow. What a commit that fails would have held is forgotten: nobody pays for it."""

    def __init__(self, run: str, counts: Callable[[], Traffic]) -> None:
        self._run = run
        self._counts = counts
        self._written = counts()

    def write(self, connection: sqlite3.Connection) -> None:
        """Add what came since the last time to the present interval."""
        counts = self._counts()
        growth = [now - before for now, before in zip(counts, self._written, strict=True)]
        if any(growth):
            now = datetime.now(UTC)
            at = now.replace(second=now.second // INTERVAL * INTERVAL, microsecond=0)
            connection.execute(_ADD, (self._run, at.isoformat(), *growth))
        self._written = counts
