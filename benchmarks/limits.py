"""Request limits as services have them, in virtual time."""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

import attrs


class Limit(Protocol):
    """What a service does about too many requests."""

    def admits(self, now: float) -> bool:
        """Count a request that arrives at *now*, and return whether it may pass."""

    def retry_after(self, now: float) -> float:
        """Return the seconds that a refused client is told to wait."""


@attrs.define
class Bucket:
    """A token bucket: *rate* tokens a second, *size* at most; full at the start."""

    rate: float
    size: float
    _tokens: float = attrs.field(default=attrs.Factory(lambda self: self.size, takes_self=True), init=False)
    _filled_at: float = 0.0

    def admits(self, now: float) -> bool:
        """Take a token, if there is one."""
        self._tokens = min(self.size, self._tokens + (now - self._filled_at) * self.rate)
        self._filled_at = now
        if self._tokens < 1 - 1e-9:
            return False
        self._tokens -= 1
        return True

    def retry_after(self, now: float) -> float:
        """Whole seconds, as the header has them."""
        return max(1.0, math.ceil((1 - self._tokens) / self.rate))


@attrs.define
class FixedWindow:
    """*count* requests in each window of so many *seconds*, by the clock on the wall."""

    count: int
    seconds: float
    _window: int = -1
    _counted: int = 0

    def admits(self, now: float) -> bool:
        """Count the request in its window."""
        window = int(now // self.seconds)
        if window != self._window:
            self._window, self._counted = window, 0
        self._counted += 1
        return self._counted <= self.count

    def retry_after(self, now: float) -> float:
        """Until the window ends."""
        return math.ceil((self._window + 1) * self.seconds - now)


@attrs.define
class SlidingWindow:
    """*count* requests in any so many *seconds*; with *punishing*, refused ones count as well."""

    count: int
    seconds: float
    punishing: bool = False
    _times: deque[float] = attrs.field(factory=deque)

    def admits(self, now: float) -> bool:
        """Count the request among the recent ones."""
        while self._times and self._times[0] <= now - self.seconds:
            self._times.popleft()
        passes = len(self._times) < self.count
        if passes or self.punishing:
            self._times.append(now)
        return passes

    def retry_after(self, now: float) -> float:
        """Until there is room for one."""
        return max(1.0, math.ceil(self._times[len(self._times) - self.count] + self.seconds - now))
