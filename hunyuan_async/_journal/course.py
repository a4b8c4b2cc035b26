"""How a run went over time, added up by SQLite: however many items there are, few rows come back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence

from hunyuan_async._journal.traffic import INTERVAL

_LONGEST = 36_000  # tenths of a second; a task that took longer counts as that

# In seconds since 1970. The unixepoch() of SQLite drops their fractions before 3.42, and strftime() always does.
# A task of which nobody wrote down when it ended would be in flight for ever.
_TASKS = """CREATE TEMP TABLE tasks AS SELECT
    round((julianday(submitted_at) - 2440587.5) * 86400, 3) AS accepted,
    round((julianday(finished_at) - 2440587.5) * 86400, 3) AS finished
    FROM items WHERE run = ? AND submitted_at IS NOT NULL AND (finished_at IS NOT NULL OR state = 'submitted')"""
_CHANGES = """CREATE TEMP VIEW changes (at, accepted, finished) AS
    SELECT accepted, 1, 0 FROM tasks UNION ALL SELECT finished, 0, 1 FROM tasks WHERE finished IS NOT NULL"""
# Tasks tell to the fraction of a second when something happened, requests to the interval alone.
_QUIET = """WITH moments (interval, at) AS (
    SELECT CAST(at / ?2 AS INTEGER), at FROM changes
    UNION ALL SELECT strftime('%s', at) / ?2, NULL FROM traffic WHERE run = ?1
), busy (since, until) AS MATERIALIZED (
    SELECT coalesce(min(at), (interval + 0.5) * ?2), coalesce(max(at), (interval + 0.5) * ?2)
    FROM moments GROUP BY interval
), quiet (since, until) AS (SELECT lag(until) OVER (ORDER BY since), since FROM busy)
SELECT min(since), max(until) FROM busy
UNION ALL SELECT * FROM (SELECT * FROM quiet WHERE until - since > ?3 ORDER BY until - since DESC LIMIT ?4)"""
_COLUMNS = "SELECT CAST(at / ? AS INTEGER), sum(accepted), sum(finished) FROM changes GROUP BY 1"
_TRAFFIC = """SELECT strftime('%s', at) / ?2 * ?2, sum(submits), sum(polls), sum(limited) FROM traffic
    WHERE run = ?1 GROUP BY 1"""
_LATENCIES = """SELECT min(CAST(round((finished - accepted) * 10) AS INTEGER), ?), count(*) FROM tasks
    WHERE finished >= accepted
    AND NOT EXISTS (SELECT 1 FROM json_each(?) AS pause WHERE accepted < pause.value AND finished > pause.value)
    GROUP BY 1 ORDER BY 1"""


class Course:
    """The course of one run up to now. Times are seconds since 1970, by the wall clock; it may have been set meanwhile.

    Failed and lost tasks are left out: when they ended is not in the journal.
    """

    def __init__(self, rows: Callable[..., list[sqlite3.Row]], run: str) -> None:
        """Use *rows*, which runs a query with values on a connection that no other course uses."""
        self._rows = rows
        self._run = run
        rows(_TASKS, run)
        rows(_CHANGES)

    def span(self, shortest: float, most: int) -> tuple[tuple[float, float] | None, list[tuple[float, float]]]:
        """Return when the run began and ended, None if nothing was sent or accepted, and its longest quiet times.

        Of these only the *most* longest that are above the *shortest*, the longest first.
        """
        [(since, until), *quiet] = self._rows(_QUIET, self._run, INTERVAL, shortest, most)
        return None if since is None else (since, until), [(since, until) for since, until in quiet]

    def changes(self, width: int) -> list[tuple[int, int, int]]:
        """Count the tasks accepted and those seen finished, by columns of *width* seconds.

        Column n begins at n * width.
        """
        return [(number, accepted, finished) for number, accepted, finished in self._rows(_COLUMNS, width)]

    def traffic(self, width: int) -> list[tuple[int, int, int, int]]:
        """Sum up submits, polls and answers "too many requests" by *width* seconds, after the beginning of each.

        The width is a multiple of the interval.
        """
        rows = self._rows(_TRAFFIC, self._run, width)
        return [(since, submits, polls, limited) for since, submits, polls, limited in rows]

    def latencies(self, breaks: Sequence[float]) -> list[tuple[int, int]]:
        """Count tasks by the tenths of a second from acceptance until they were seen finished.

        Those are left out that nobody looked at in the meantime, because it was one of the *breaks*.
        """
        return [(tenths, count) for tenths, count in self._rows(_LATENCIES, _LONGEST, json.dumps(breaks))]
