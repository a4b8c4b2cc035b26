"""When may a request leave, and how many does the service take?

Requests are spaced evenly (the generic cell rate algorithm, kept as permits owed, so that a changed rate never lets
more through). A rate that nobody told us is measured: between two recoveries from "too many requests" the limit was
in use, so the requests accepted, divided by the time, *are* the limit, for token buckets and for windows alike (the
closest relative is the policer model of Linux's BBR). So it starts by doubling, then searches, then holds just below
what it measured, and after a while probes above it. A limit belongs to everybody: no request backs off alone, and
after an episode one request at a time leaves until the first is answered.
"""

from __future__ import annotations

import enum
import math
from collections import deque

import attrs

MAX_RETRY_AFTER = 300.0  # seconds; a longer wish is a mistake or an attack
FIRST_PAUSE = 0.5  # seconds, when the service names no time; doubled with each setback
LONGEST_LIMITED, LONGEST_PAUSE = 5.0, 30.0  # seconds: when it limits; when it is in trouble
NOTHING_ELSE, SHUT = 60.0, 60.0  # seconds of limits alone, after which a pause may be so long: no window is longer
PATIENCE = 5.0  # seconds without an answer, after which another request is tried
SLOWEST = 0.05  # requests a second
MARGIN = 0.98  # of the measured limit
CUT = 0.85  # of the rate just before the limit was hit, while it is not measured
CREEP, RAMP, TOP, STAY = 0.05, 0.02, 1.25, 20.0  # a second, a second, of the measured limit, seconds
HOLD, SHORT_HOLD, DROP = 60.0, 10.0, 0.7  # seconds, seconds, share of the old limit that makes the new one doubtful
NUDGE = 1.03  # a limit met while probing above the measured one is at least that much higher
SHORT_GAP = 5.0  # seconds; an episode that lasts longer was a window that had to end
QUIET = 5.0  # seconds; a longer gap in our own demand says nothing about the limit
IDLE_SHARE = 0.3  # of the time, or of the last requests; with more of it, the measure is a lower bound
SHORT_EPOCH, LEAST_ACCEPTED, TRUSTED_EPOCH = 5.0, 8, 15.0  # seconds, requests, seconds
AGREE = 1.35  # the peak may be so much above the measure
PEAK_OVER, PEAK_OF = 2.0, 12  # seconds, requests
STILL_THE_SAME = 10.0  # seconds; a limit taken back so soon also takes back what was learned from it
UNDISTURBED = 90.0  # seconds without a limit, after which the rate counts as known


class Phase(enum.Enum):
    """How the rate is being found."""

    START = "start"
    SEARCH = "search"
    HOLD = "hold"


@attrs.frozen
class _Belief:
    phase: Phase
    rate: float
    found: float | None
    hold_until: float


@attrs.define
class Pacer:
    """Spaces requests, submits and polls alike, at a given rate or at the one it finds.

    Attributes:
        rate: Requests a second that may leave now.
        ceiling: As far as the rate may grow. If it is the *rate* to begin with, the user gave it.
        burst: Requests that may leave together after a quiet time.
        found: The service's limit in requests a second, as measured.
        paused_until: No request leaves before this instant.
        reason: Why the last pause was made.
        setbacks: Episodes of trouble since the last clean answer; all answers to one burst are one episode.
        phase: How the rate is being found.
    """

    rate: float
    ceiling: float
    burst: int = 1
    found: float | None = None
    paused_until: float = -math.inf
    reason: str = ""
    setbacks: int = 0
    phase: Phase = Phase.START
    _given: bool = attrs.field(init=False)
    _owed: float = 0.0  # permits taken and not yet earned, at the instant of the last change
    _owed_at: float = -math.inf
    _binding: bool = False  # whether the pace held the last request back
    _slack: float = 0.0  # share of the last requests that the pace did not hold back
    _clean: int = 0  # answers since the rate was doubled
    _answered_at: float = -math.inf
    _hold_until: float = math.inf
    # An epoch lasts from one recovery to the next.
    _started_at: float = math.inf
    _epoch_at: float = math.inf
    _accepted: int = 0
    _gated: float = 0.0  # seconds in short gaps after a limit
    _idle: float = 0.0  # seconds in which a request might have left, and none wanted to
    _recent: deque[float] = attrs.field(factory=deque)
    # An episode lasts from the first limit to the first clean answer to a request sent after its pause.
    _in_episode: bool = False
    _episode_at: float = -math.inf
    _fence: float = -math.inf  # what was sent before belongs to the last setback
    _tried_at: float = -math.inf
    _before: _Belief | None = None

    def __attrs_post_init__(self) -> None:
        self._given = self.rate >= self.ceiling
        if self._given:
            self.phase = Phase.SEARCH

    def ready_at(self, now: float) -> float:
        """Return the instant from which the next request may leave."""
        tried = self._in_episode and self._tried_at >= self._fence
        return max(now, self.paused_until, self._earned_at(), self._tried_at + PATIENCE if tried else -math.inf)

    def take(self, now: float) -> None:
        """Count a request that leaves at *now*."""
        self._binding = now - self._earned_at() < 0.5 / self.rate
        self._slack += ((not self._binding) - self._slack) / PEAK_OF
        idle = max(0.0, now - max(self._earned_at(), self.paused_until))
        if idle > QUIET:
            self._epoch_at += idle
        else:
            self._idle += idle
        self._owed = self._owes(now) + 1.0
        self._owed_at = self._tried_at = now
        if self._started_at == math.inf:
            self._started_at = self._epoch_at = now

    def answered(self, now: float, sent_at: float) -> None:
        """Learn from an answer that was not a limit: the rate may grow."""
        if sent_at >= self._fence:
            self.setbacks = 0
            if self._in_episode:
                self._recover(now)
        self._accepted += 1
        if self._in_episode:
            return
        self._recent.append(now)
        while len(self._recent) > PEAK_OF and self._recent[0] < now - PEAK_OVER:
            self._recent.popleft()
        if self._binding and self._slack <= IDLE_SHARE:
            self._set_rate(self._grown(now, min(1.0, now - self._answered_at)))
        self._answered_at = now

    def limited(self, now: float, sent_at: float, retry_after: float | None, jitter: float) -> float:
        """Learn from a "too many requests" and return for how many seconds from now every request is held back.

        That is what the service asks for, or a growing pause if it names no time. The rate is cut when requests pass
        again, by what was accepted until then.
        """
        backoff = 0.0
        if sent_at >= self._fence:
            if not self._in_episode:
                self._before = _Belief(self.phase, self.rate, self.found, self._hold_until)
                self._in_episode, self._episode_at = True, now
            shut = now - self._episode_at >= NOTHING_ELSE
            backoff = self._backoff(SHUT if shut else LONGEST_LIMITED, jitter)
        return self._hold_back(now, self._limits(now), retry_after or backoff)

    def pause(self, now: float, sent_at: float, reason: str, wish: float | None, jitter: float) -> float:
        """Hold every request back and return for how many seconds from now.

        A pause lasts as long as the service *wishes*, or longer: it doubles with each setback, by a third more or less
        (*jitter* in [0, 1)). The answer to a request *sent* before the last setback belongs to that setback: it can
        lengthen the pause by its wish alone.
        """
        backoff = self._backoff(LONGEST_PAUSE, jitter) if sent_at >= self._fence else 0.0
        already_until = max(now, self.paused_until)
        pause = self._hold_back(now, reason, max(wish or 0.0, backoff))
        self._epoch_at += max(0.0, self.paused_until - already_until)  # nothing can be accepted meanwhile
        return pause

    def forgive(self, now: float) -> None:
        """Take the last "too many requests" back: it was not about the request rate."""
        if self._before and now - self._episode_at < STILL_THE_SAME:
            self.phase, self.found, self._hold_until = self._before.phase, self._before.found, self._before.hold_until
            self._set_rate(self._before.rate)
        if self._in_episode:
            self.paused_until = self._fence = min(self.paused_until, now)
        self._before, self._in_episode, self.setbacks = None, False, 0

    @property
    def known(self) -> float:
        """Requests a second that the service is known to take; 0 while that is being found, or if nothing limits."""
        known = self.ceiling if self._given else self.found or 0.0
        return known if known < math.inf else 0.0

    def sure(self, now: float) -> bool:
        """Whether the rate is known, so that a request that nobody wants really is spare."""
        return self._given or self.phase is Phase.HOLD or now - self._started_at > UNDISTURBED

    def _limits(self, now: float) -> str:
        minutes = int((now - self._episode_at) // 60) if self._in_episode else 0
        return f"the service has limited every request for {minutes} min" if minutes else "the service limits requests"

    def _owes(self, now: float) -> float:
        if now <= self._owed_at or self._owed == 0.0:
            return self._owed
        return max(0.0, self._owed - (now - self._owed_at) * self.rate)

    def _earned_at(self) -> float:
        """The instant at which one more permit is earned."""
        return self._owed_at + max(0.0, self._owed + 1.0 - self.burst) / self.rate

    def _set_rate(self, rate: float) -> None:
        if self.rate < math.inf:  # else nobody wants a pace
            self.rate = min(self.ceiling, max(SLOWEST, rate))

    def _grown(self, now: float, seconds: float) -> float:
        """Return the rate after so many seconds in which it was the bottleneck."""
        if self.phase is Phase.START:
            self._clean += 1
            if self._clean < max(4.0, self.rate):
                return self.rate
            self._clean = 0
            return self.rate * 2
        if self.phase is Phase.SEARCH or self.found is None:
            return self.rate * (1 + CREEP * seconds)
        if now <= self._hold_until:
            return self.rate
        if now > self._hold_until + STAY + math.log(TOP / MARGIN) / RAMP:
            self.phase = Phase.SEARCH  # the limit was raised
        return min(TOP * self.found, self.rate * (1 + RAMP * min(seconds, now - self._hold_until)))

    def _recover(self, now: float) -> None:
        """End an episode, and measure the limit if the epoch was long enough."""
        gap, self._in_episode = now - self._episode_at, False
        self._gated += gap if gap < SHORT_GAP else 0.0
        duration = now - self._epoch_at
        enough = duration >= SHORT_EPOCH and self._accepted >= LEAST_ACCEPTED
        if self.phase is Phase.START and gap < SHORT_GAP:
            self.phase = Phase.SEARCH
            self._set_rate(CUT * self._peak())
            self._new_epoch(now)
        elif enough:
            # A small bucket overflows while nothing leaves: take half of that time as lost.
            measured = self._accepted / (duration - self._gated / 2)
            idle = self._idle > IDLE_SHARE * duration
            if gap < SHORT_GAP and (idle or self._gated > IDLE_SHARE * duration):
                # The limit was not in use all the time: what was accepted is a lower bound.
                self.phase = Phase.SEARCH
                self._set_rate(max(measured, CUT * self.ceiling if self._given and idle else 0.0))
            elif gap >= SHORT_GAP or duration <= TRUSTED_EPOCH or self._peak() <= AGREE * measured:
                self._hold(now, measured)
            else:
                self.phase = Phase.SEARCH
                self._set_rate(min(1.5 * measured, max(MARGIN * measured, CUT * self._peak())))
            self._new_epoch(now)
        self._recent.clear()

    def _hold(self, now: float, measured: float) -> None:
        if self.found and self.phase is Phase.HOLD and self.rate > 1.05 * self.found:
            measured = max(measured, NUDGE * self.found)
        doubtful = self.found is not None and measured < DROP * self.found
        self.phase, self.found = Phase.HOLD, measured
        self._hold_until = now + (SHORT_HOLD if doubtful else HOLD)
        self._set_rate(MARGIN * measured)

    def _new_epoch(self, now: float) -> None:
        self._epoch_at, self._accepted, self._gated, self._idle = now, 0, 0.0, 0.0

    def _peak(self) -> float:
        """Requests a second that were accepted just before the episode."""
        if len(self._recent) <= 2 or self._recent[-1] <= self._recent[0]:
            return self.rate
        return (len(self._recent) - 1) / (self._recent[-1] - self._recent[0])

    def _backoff(self, longest: float, jitter: float) -> float:
        backoff = min(longest, FIRST_PAUSE * 2.0 ** min(self.setbacks, 16)) * (0.75 + jitter / 2)
        self.setbacks += 1
        return backoff

    def _hold_back(self, now: float, reason: str, delay: float) -> float:
        until = now + min(delay, MAX_RETRY_AFTER)
        if until > self.paused_until:
            self.paused_until, self.reason = until, reason
        self._fence = max(self._fence, self.paused_until)
        return max(0.0, self.paused_until - now)
