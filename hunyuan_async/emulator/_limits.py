"""The emulated service's limits, with the time passed in."""

from __future__ import annotations

import heapq
import math

import attrs


@attrs.define
class TokenBucket:
    """Lets *rate* requests a second pass, and one second's worth at once after a pause.

    Attributes:
        rate: Tokens added a second.
    """

    rate: float
    _tokens: float = attrs.field(default=0.0, init=False)
    _filled_at: float = attrs.field(default=-math.inf, init=False)

    def take(self, now: float) -> float:
        """Take a token and return 0, or leave it and return the seconds until there is one."""
        self._tokens = min(max(1.0, self.rate), self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self.rate
        self._tokens -= 1
        return 0.0


@attrs.define
class Workers:
    """Places tasks on *count* workers in the order of their arrival.

    Attributes:
        count: Tasks worked on at the same time; None for any number.
    """

    count: int | None
    _free_at: list[float] = attrs.field(factory=list, init=False)

    def place(self, seconds: float, now: float) -> float:
        """Return when a task that arrives now and takes *seconds* is finished."""
        if self.count is None:
            return now + seconds
        idle = len(self._free_at) < self.count
        done_at = (now if idle else max(now, heapq.heappop(self._free_at))) + seconds
        heapq.heappush(self._free_at, done_at)
        return done_at


@attrs.define
class InFlight:
    """Counts unfinished tasks by the instants at which they finish."""

    _done_at: list[float] = attrs.field(factory=list, init=False)

    def add(self, done_at: float) -> None:
        """Count a task until *done_at*."""
        heapq.heappush(self._done_at, done_at)

    def count(self, now: float) -> int:
        """How many tasks are unfinished."""
        while self._done_at and self._done_at[0] <= now:
            heapq.heappop(self._done_at)
        return len(self._done_at)

    def next_done_after(self, now: float) -> float:
        """Seconds until the first unfinished task finishes; there must be one."""
        return self._done_at[0] - now
