"""When may a request leave?

The generic cell rate algorithm spaces requests evenly with one float of state, so nothing bursts after a pause or a
suspended laptop. Around it, a rate that nobody told us is found: it doubles while answers are clean, is cut when the
service says "too many requests", and creeps up again. A pause belongs to everybody: no request backs off alone.
"""

from __future__ import annotations

import math

import attrs

MAX_RETRY_AFTER = 300.0  # seconds; a longer wish is a mistake or an attack
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0  # seconds, when the service names no time
SLOWEST = 0.1  # requests a second
CUT, CREEP = 0.7, 1.05


@attrs.define
class Pacer:
    """Spaces requests, submits and polls alike.

    Attributes:
        rate: Requests a second that may leave now.
        ceiling: As far as the rate may grow: a rate that the user gave, or the most that we try.
        burst: Requests that may leave together after a quiet time.
        paused_until: No request leaves before this instant.
        reason: Why the last pause was made.
        setbacks: Pauses since the last clean answer.
    """

    rate: float
    ceiling: float
    burst: int = 1
    paused_until: float = -math.inf
    reason: str = ""
    setbacks: int = 0
    _arrival: float = -math.inf  # the algorithm's "theoretical arrival time"
    _clean: int = 0
    _cut_at: float = -math.inf
    _doubling: bool = True

    def ready_at(self, now: float) -> float:
        """Return the instant from which the next request may leave."""
        return max(now, self.paused_until, self._arrival - (self.burst - 1) / self.rate)

    def take(self, now: float) -> None:
        """Count a request that leaves at *now*."""
        self._arrival = max(now, self._arrival) + 1 / self.rate

    def answered(self) -> None:
        """Learn from an answer that was not a limit: the rate may grow."""
        self.setbacks = 0
        if self.rate >= self.ceiling:
            return
        self._clean += 1
        if self._clean >= max(4.0, self.rate):
            self._clean = 0
            self.rate = min(self.ceiling, self.rate * (2 if self._doubling else CREEP))

    def limited(self, now: float, sent_at: float, retry_after: float | None, jitter: float) -> float:
        """Learn from a "too many requests" and return the pause in seconds.

        Answers to requests that were sent before the last cut belong to the same episode: they can lengthen the
        pause, and do not cut again.
        """
        self._clean = 0
        if sent_at >= self._cut_at:
            self._cut_at = now
            self._doubling = False
            if math.isfinite(self.rate):
                self.rate = max(SLOWEST, self.rate * CUT)
        elif retry_after is None:
            return max(0.0, self.paused_until - now)
        return self.pause(now, "the service limits requests", retry_after, jitter)

    def pause(self, now: float, reason: str, delay: float | None, jitter: float) -> float:
        """Hold every request back and return for how many seconds.

        *delay* is the service's own wish, capped; without one the pause doubles with each setback, half of it
        jittered (*jitter* in [0, 1)).
        """
        if delay is None:
            delay = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.setbacks, 16)) * (0.5 + jitter / 2)
        delay = min(max(delay, 0.0), MAX_RETRY_AFTER)
        self.setbacks += 1
        self.reason = reason
        self.paused_until = max(self.paused_until, now + delay)
        return delay
