"""How many requests a second does the service take?

Between two recoveries from "too many requests" the limit was in use, so the requests accepted, divided by the time,
*are* the limit, for token buckets and for windows alike (the closest relative is the policer model of Linux's BBR). So
the rate starts by doubling, then searches, then holds just below what was measured, and after a while probes above it.
"""

from __future__ import annotations

import enum
import math
from collections import deque

import attrs

SLOWEST = 0.05  # requests a second

# While the rate is the bottleneck, it grows.
BINDING = 0.5  # of the interval between two requests; one that leaves within it was held back by the pace
SLACK_OVER = 12  # requests; over about so many the share that was not held back is averaged
CLEAN_SECONDS, LEAST_CLEAN = 1.0, 4.0  # answers for so many seconds at the rate, and so many, before it is doubled
CREEP = 0.05  # a second, while searching
LONGEST_STEP = 1.0  # second; a longer time between two answers does not count in full

# Near a measured limit it holds, and then probes.
MARGIN = 0.98  # of the measured limit
HOLD, SHORT_HOLD = 60.0, 10.0  # seconds
DOUBTFUL = 0.7  # of the old limit; a new one below is held for a short time
RAMP = 0.02  # a second, after that time
TOP, STAY = 1.25, 20.0  # of the measured limit, and seconds there, until that counts as out of date
ABOVE, NUDGE = 1.05, 1.03  # of the measured limit: if we were so far above, what we met is at least so much higher

# A recovery tells whether the limit was in use all the time.
SHORT_GAP = 5.0  # seconds; an episode that lasts longer was a window that had to end
SHORT_EPOCH, LEAST_ACCEPTED = 5.0, 8  # seconds, requests; less measures nothing
TRUSTED_EPOCH = 15.0  # seconds; a longer one is checked against the peak
IDLE_SHARE = 0.3  # of the time, or of the last requests; with more of it, the measure is a lower bound
QUIET = 5.0  # seconds; a longer gap in our own demand is no time at all
PEAK_SECONDS, PEAK_REQUESTS = 2.0, 12  # the peak is the rate over the longer of the two
AGREE = 1.35  # of the measure; a higher peak says that the measure is too low
CUT, LEAP = 0.85, 1.5  # of the peak, but no more than of the measure: where the search then begins

SAME_CAUSE = 10.0  # seconds; a limit taken back so soon also takes back what was learned from it
UNDISTURBED = 90.0  # seconds without a limit, after which the rate counts as known


class Phase(enum.Enum):
    """How the rate is being found."""

    START = "start"
    SEARCH = "search"
    HOLD = "hold"


@attrs.frozen
class _Belief:
    limited_at: float
    phase: Phase
    rate: float
    found: float | None
    hold_until: float


@attrs.define
class Limit:
    """Finds the service's limit, or keeps to a given rate and below it if the service takes less.

    An episode lasts from the first limit to the recovery, an epoch from one recovery to the next.

    Attributes:
        rate: Requests a second that may leave now.
        ceiling: As far as the rate may grow. If it is the *rate* to begin with, the user gave it.
        found: The service's limit in requests a second, as measured.
        phase: How the rate is being found.
        limited_since: When the episode began; infinite outside of one.
    """

    rate: float
    ceiling: float
    found: float | None = None
    phase: Phase = Phase.START
    limited_since: float = math.inf
    _given: bool = attrs.field(init=False)
    _binding: bool = False  # whether the pace held the last request back
    _slack: float = 0.0  # share of the last requests that the pace did not hold back
    _clean: int = 0  # answers since the rate was doubled
    _answered_at: float = -math.inf
    _hold_until: float = math.inf
    _started_at: float = math.inf
    _epoch_at: float = math.inf
    _accepted: int = 0  # in this epoch, as all that follows
    _gated: float = 0.0  # seconds in short episodes
    _idle: float = 0.0  # seconds in which a request might have left, and none wanted to
    _recent: deque[float] = attrs.field(factory=deque)  # when the last requests were accepted
    _before: _Belief | None = None

    def __attrs_post_init__(self) -> None:
        self._given = self.rate >= self.ceiling
        if self._given:
            self.phase = Phase.SEARCH

    @property
    def known(self) -> float:
        """Requests a second that the service is known to take; 0 while that is being found, or if nothing limits."""
        known = self.found
        if known is None:
            known = self.ceiling if self._given else 0.0
        elif self.phase is Phase.SEARCH:
            known = max(known, self.rate)  # it may have been raised since it was measured
        return known if known < math.inf else 0.0

    def sure(self, now: float) -> bool:
        """Whether the rate is known, so that a request that nobody wants really is spare."""
        return self._given or self.phase is Phase.HOLD or now - self._started_at > UNDISTURBED

    def used(self, now: float, *, late: float, idle: float) -> None:
        """Learn that a request left, so many seconds after the pace let it, and after so many *idle* ones."""
        self._binding = late < BINDING / self.rate
        self._slack += ((not self._binding) - self._slack) / SLACK_OVER
        if idle > QUIET:
            self.leave_out(idle)
        else:
            self._idle += idle
        if self._started_at == math.inf:
            self._started_at = self._epoch_at = now

    def leave_out(self, seconds: float) -> None:
        """Measure as if these had not been: nothing could be accepted meanwhile, or nothing was asked for."""
        self._epoch_at += seconds

    def accepted(self, now: float) -> None:
        """Learn that the service took a request: the rate may grow."""
        self._accepted += 1
        if self.limited_since < math.inf:
            return
        self._recent.append(now)
        while len(self._recent) > PEAK_REQUESTS and self._recent[0] < now - PEAK_SECONDS:
            self._recent.popleft()
        if self._binding and self._slack <= IDLE_SHARE:
            self._set_rate(self._grown(now, min(LONGEST_STEP, now - self._answered_at)))
        self._answered_at = now

    def limited(self, now: float) -> None:
        """Learn that the service refused a request as one too many."""
        if self.limited_since == math.inf:
            self.limited_since = now
            self._before = _Belief(now, self.phase, self.rate, self.found, self._hold_until)

    def recovered(self, now: float) -> None:
        """Learn that requests pass again: the limit is measured if the epoch was long enough, and the rate is cut."""
        gap, self.limited_since = now - self.limited_since, math.inf
        brief = gap < SHORT_GAP
        self._gated += gap if brief else 0.0
        if self.phase is Phase.START and brief:
            self._search(CUT * self._peak())
            self._new_epoch(now)
        elif now - self._epoch_at >= SHORT_EPOCH and self._accepted >= LEAST_ACCEPTED:
            self._measure(now, brief=brief)
            self._new_epoch(now)
        self._recent.clear()

    def forgive(self, now: float) -> None:
        """Take the last limit back: it was not about the request rate."""
        if self._before and now - self._before.limited_at < SAME_CAUSE:
            self.phase, self.found, self._hold_until = self._before.phase, self._before.found, self._before.hold_until
            self._set_rate(self._before.rate)
        self._before, self.limited_since = None, math.inf

    def _measure(self, now: float, *, brief: bool) -> None:
        duration = now - self._epoch_at
        # A small bucket overflows while nothing leaves: take half of that time as lost.
        measured = self._accepted / (duration - self._gated / 2)
        idle, gated = self._idle > IDLE_SHARE * duration, self._gated > IDLE_SHARE * duration
        if brief and (idle or gated):
            # The limit was not in use all the time: what was accepted is a lower bound.
            self._search(max(measured, CUT * self.ceiling if self._given and idle else 0.0))
        elif brief and duration > TRUSTED_EPOCH and self._peak() > AGREE * measured:
            self._search(min(LEAP * measured, CUT * self._peak()))
        else:
            self._hold(now, measured)

    def _search(self, rate: float) -> None:
        self.phase = Phase.SEARCH
        self._set_rate(rate)

    def _hold(self, now: float, measured: float) -> None:
        if self.found and self.phase is Phase.HOLD and self.rate > ABOVE * self.found:
            measured = max(measured, NUDGE * self.found)
        doubtful = self.found is not None and measured < DOUBTFUL * self.found
        self.phase, self.found = Phase.HOLD, measured
        self._hold_until = now + (SHORT_HOLD if doubtful else HOLD)
        self._set_rate(MARGIN * measured)

    def _set_rate(self, rate: float) -> None:
        if self.rate < math.inf:  # else nobody wants a pace
            self.rate = min(self.ceiling, max(SLOWEST, rate))

    def _grown(self, now: float, seconds: float) -> float:
        """Return the rate after so many seconds in which it was the bottleneck."""
        if self.phase is Phase.START:
            self._clean += 1
            if self._clean < max(LEAST_CLEAN, self.rate * CLEAN_SECONDS):
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

    def _new_epoch(self, now: float) -> None:
        self._epoch_at, self._accepted, self._gated, self._idle = now, 0, 0.0, 0.0

    def _peak(self) -> float:
        """Requests a second that were accepted just before the episode."""
        if len(self._recent) <= 2 or self._recent[-1] <= self._recent[0]:
            return self.rate
        return (len(self._recent) - 1) / (self._recent[-1] - self._recent[0])
