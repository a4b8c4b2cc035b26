"""When may a request leave?

Requests are spaced evenly (the generic cell rate algorithm, kept as permits owed, so that a changed rate never lets
more through). A limit belongs to everybody: no request backs off alone, and after an episode of limits one request at a
time leaves until the first is answered.
"""

from __future__ import annotations

import math

from hunyuan_async._core.limit import Limit

MAX_RETRY_AFTER = 300.0  # seconds; a longer wish is a mistake or an attack
FIRST_PAUSE = 0.5  # seconds, when the service names no time; doubled with each setback
LONGEST_LIMITED, LONGEST_PAUSE = 5.0, 30.0  # seconds: when it limits; when it is in trouble
NOTHING_ELSE, SHUT = 60.0, 60.0  # seconds of limits alone, after which a pause may be so long: no window is longer
MOST_DOUBLINGS = 16  # then any pause is at its longest
JITTER = 0.5  # of a pause: half of it less, half of it more
PATIENCE = 5.0  # seconds without an answer, after which another request is tried


class Pacer:
    """Spaces requests, submits and polls alike, at a given rate or at the one it finds.

    Attributes:
        limit: How many the service takes.
        burst: Requests that may leave together after a quiet time.
        paused_until: No request leaves before this instant.
        reason: Why the last pause was made.
        setbacks: Episodes of trouble since the last clean answer; all answers to one burst are one episode.
    """

    def __init__(self, rate: float, ceiling: float, burst: int = 1) -> None:
        self.limit = Limit(rate, ceiling)
        self.burst = burst
        self.paused_until = -math.inf
        self.reason = ""
        self.setbacks = 0
        self._owed = 0.0  # permits taken and not yet earned, at the instant of the last request
        self._left_at = -math.inf
        self._troubled_until = -math.inf  # as far as the pause is not about limits
        self._fence = -math.inf  # what was sent before belongs to the last setback

    @property
    def rate(self) -> float:
        """Requests a second that may leave now."""
        return self.limit.rate

    def ready_at(self, now: float) -> float:
        """Return the instant from which the next request may leave."""
        tried = self._in_episode and self._left_at >= self._fence
        return max(now, self.paused_until, self._earned_at(), self._left_at + PATIENCE if tried else -math.inf)

    def take(self, now: float) -> None:
        """Count a request that leaves at *now*."""
        late = now - self._earned_at()
        self.limit.used(now, late=late, idle=max(0.0, min(late, now - self.paused_until)))
        self._owed, self._left_at = self._owes(now) + 1.0, now

    def answered(self, now: float, sent_at: float) -> None:
        """Learn from an answer that was not a limit: the rate may grow."""
        if sent_at >= self._fence:
            self.setbacks = 0
            if self._in_episode:
                self.limit.recovered(now)
        self.limit.accepted(now)

    def limited(self, now: float, sent_at: float, retry_after: float | None, jitter: float) -> float:
        """Learn from a "too many requests" and return for how many seconds from now every request is held back.

        That is what the service asks for, or a growing pause if it names no time. The rate is cut when requests pass
        again, by what was accepted until then.
        """
        backoff = 0.0
        if sent_at >= self._fence:
            self.limit.limited(now)
            shut = now - self.limit.limited_since >= NOTHING_ELSE
            backoff = self._backoff(SHUT if shut else LONGEST_LIMITED, jitter)
        minutes = int((now - self.limit.limited_since) // 60) if self._in_episode else 0
        lasting = f"the service has limited every request for {minutes} min"
        return self._hold_back(now, lasting if minutes else "the service limits requests", retry_after or backoff)

    def pause(self, now: float, sent_at: float, reason: str, wish: float | None, jitter: float) -> float:
        """Hold every request back and return for how many seconds from now.

        A pause lasts as long as the service *wishes*, or longer: it doubles with each setback, by a quarter more or
        less (*jitter* in [0, 1)). The answer to a request *sent* before the last setback belongs to that setback: it
        can lengthen the pause by its wish alone.
        """
        backoff = self._backoff(LONGEST_PAUSE, jitter) if sent_at >= self._fence else 0.0
        already_until, delay = max(now, self.paused_until), max(wish or 0.0, backoff)
        self._troubled_until = max(self._troubled_until, now + min(delay, MAX_RETRY_AFTER))
        pause = self._hold_back(now, reason, delay)
        self.limit.leave_out(max(0.0, self.paused_until - already_until))
        return pause

    def forgive(self, now: float) -> None:
        """Take the last "too many requests" back: it was not about the request rate."""
        if self._in_episode:
            self.paused_until = self._fence = min(self.paused_until, max(now, self._troubled_until))
        self.limit.forgive(now)
        self.setbacks = 0

    @property
    def _in_episode(self) -> bool:
        return self.limit.limited_since < math.inf

    def _owes(self, now: float) -> float:
        if now <= self._left_at or self._owed == 0.0:
            return self._owed
        return max(0.0, self._owed - (now - self._left_at) * self.rate)

    def _earned_at(self) -> float:
        """The instant at which one more permit is earned."""
        return self._left_at + max(0.0, self._owed + 1.0 - self.burst) / self.rate

    def _backoff(self, longest: float, jitter: float) -> float:
        backoff = min(longest, FIRST_PAUSE * 2.0 ** min(self.setbacks, MOST_DOUBLINGS))
        self.setbacks += 1
        return backoff * (1 - JITTER / 2 + JITTER * jitter)

    def _hold_back(self, now: float, reason: str, delay: float) -> float:
        until = now + min(delay, MAX_RETRY_AFTER)
        if until > self.paused_until:
            self.paused_until, self.reason = until, reason
        self._fence = max(self._fence, self.paused_until)
        return max(0.0, self.paused_until - now)
