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
        setbacks: Episodes of trouble since the last clean answer; all answers to one burst are one episode.
    """

    rate: float
    ceiling: float
    burst: int = 1
    paused_until: float = -math.inf
    reason: str = ""
    setbacks: int = 0
    _arrival: float = -math.inf  # the algorithm's "theoretical arrival time"
    _clean: int = 0
    _setback_at: float = -math.inf
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
        self._clean += 1
        if self._clean >= max(4.0, self.rate):
            self._clean = 0
            self.rate = min(self.ceiling, self.rate * (2 if self._doubling else CREEP))

    def limited(self, now: float, sent_at: float, retry_after: float | None, jitter: float) -> float:
        """Learn from a "too many requests": pause as `pause` does, and cut the rate once for each setback."""
        self._clean = 0
        if sent_at > self._setback_at:
            self._doubling = False
            self.rate = min(self.rate, max(SLOWEST, self.rate * CUT))
        return self.pause(now, sent_at, "the service limits requests", retry_after, jitter)

    def pause(self, now: float, sent_at: float, reason: str, wish: float | None, jitter: float) -> float:
        """Hold every request back and return for how many seconds from now.

        A pause lasts as long as the service *wishes*, or longer: it doubles with each setback, half of it jittered
        (*jitter* in [0, 1)). The answer to a request *sent* before the last setback belongs to that setback: it can
        lengthen the pause by its wish alone.
        """
        delay = max(wish or 0.0, 0.0)
        if sent_at > self._setback_at:
            self._setback_at = now
            backoff = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.setbacks, 16)) * (0.5 + jitter / 2)
            delay = max(delay, backoff)
            self.setbacks += 1
        until = now + min(delay, MAX_RETRY_AFTER)
        if until > self.paused_until:
            self.paused_until, self.reason = until, reason
        return self.paused_until - now
