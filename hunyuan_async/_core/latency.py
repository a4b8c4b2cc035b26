"""How long do tasks take, and what does that say about one that was unfinished at the last look?

A finish is never seen, only that a task was running at one look and done at the next: the data are intervals. They fit
a hazard that is constant within narrow bins of age: finishes in a bin over the time spent there. Intervals are shared
out over the bins by what is known so far, one step of expectation-maximisation for each look (Turnbull 1976 for
intervals; Cappe and Moulines 2009 for taking the steps one by one). A documented guess counts as a few tasks, older
data fade, and one factor for all ages follows a service that becomes slower or faster within a few looks.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from itertools import accumulate, pairwise

import attrs

FIRST_EDGE, EDGE_RATIO, LAST_EDGE = 0.25, 1.06, 1200.0  # seconds of age, before the scale
GUESSED_MEDIAN = 10.0  # seconds; the service's page says that images take about 5 to 15
GUESSED_SHAPE = 3.0  # of a log-logistic curve: nine tasks in ten take between half and twice the median
GUESS_WEIGHT = 3.0  # tasks
MEMORY = 150  # tasks; what is older by so many counts for a third
SCALE_STEP, SCALE_RANGE = 0.04, 20.0
SCALE_NEEDS = 2  # finished tasks; before, the guess itself may be what is wrong
REFIT_AFTER = 30  # looks that found a task running; a finish counts for ten
EAGER = 30  # finished tasks; as long as there are fewer, each is fitted at once
NEARLY_NONE = 18.0  # accumulated hazard; fewer than 1e-7 of all tasks take longer, so the curve says nothing there
HEAVIEST = 1e6  # weight of a new look before all are divided by it


def _edges() -> tuple[float, ...]:
    edges = [0.0, FIRST_EDGE]
    while edges[-1] < LAST_EDGE:
        edges.append(edges[-1] * EDGE_RATIO)
    return tuple(edges)


EDGES = _edges()
WIDTHS = tuple(right - left for left, right in pairwise(EDGES))
BINS = len(WIDTHS)


def _bin(age: float) -> int:
    return min(bisect_right(EDGES, age) - 1, BINS - 1)


@attrs.frozen
class Survival:
    """What share of tasks is still running at each age, with the sums that answer in some microseconds.

    Attributes:
        hazard: Finishes a second among those still running, by bin.
        passed: Hazard accumulated until each edge; the share still running is `exp(-passed)`.
        lived: Mean seconds that a task has been running until each edge.
    """

    hazard: list[float]
    passed: list[float]
    lived: list[float]

    @classmethod
    def of(cls, hazard: list[float]) -> Survival:
        """Return the curve of these hazards."""
        passed = list(accumulate((h * width for h, width in zip(hazard, WIDTHS, strict=True)), initial=0.0))
        running = [math.exp(-one) for one in passed]
        spent = ((before - after) / h for h, (before, after) in zip(hazard, pairwise(running), strict=True))
        return cls(hazard, passed, list(accumulate(spent, initial=0.0)))

    def passed_at(self, age: float) -> float:
        """Return the hazard accumulated until *age*."""
        b = _bin(age)
        return self.passed[b] + self.hazard[b] * (age - EDGES[b])

    def age_at(self, passed: float) -> float:
        """Return the age at which so much hazard has accumulated."""
        b = min(bisect_right(self.passed, passed) - 1, BINS - 1)
        return EDGES[b] + (passed - self.passed[b]) / self.hazard[b]

    def p(self, seen: float, age: float) -> float:
        """Return how likely a task has finished by *age* that was running at the age *seen*."""
        return -math.expm1(self.passed_at(seen) - self.passed_at(age))

    def lost(self, seen: float, age: float) -> float:
        """Return the seconds for which such a task has been finished unnoticed by *age*, as expected at *seen*."""
        passed = self.passed_at(seen)
        if passed > NEARLY_NONE:
            return (age - seen) / 4
        return age - seen - (self._lived_at(age) - self._lived_at(seen)) * math.exp(passed)

    def age_when_lost(self, seen: float, seconds: float) -> float:
        """Return the age at which `lost` reaches *seconds*; right to about a hundredth within a bin."""
        passed = self.passed_at(seen)
        if passed > NEARLY_NONE:
            return seen + 4 * seconds
        lived, factor = self._lived_at(seen), math.exp(passed)

        def lost_by(edge: int) -> float:
            return EDGES[edge] - seen - (self.lived[edge] - lived) * factor

        right = bisect_left(range(BINS + 1), seconds, lo=bisect_right(EDGES, seen), key=lost_by)
        if right > BINS:
            return max(seen, EDGES[-1]) + seconds
        left_age, left_lost = max((seen, 0.0), (EDGES[right - 1], lost_by(right - 1)))
        return left_age + (EDGES[right] - left_age) * (seconds - left_lost) / (lost_by(right) - left_lost)

    def _lived_at(self, age: float) -> float:
        b = _bin(age)
        h = self.hazard[b]
        return self.lived[b] - math.exp(-self.passed[b]) * math.expm1(-h * (age - EDGES[b])) / h


def _guess() -> tuple[list[float], list[float]]:
    """The finishes and the time spent in each bin that the documented guess stands for."""
    running = [1 / (1 + (edge / GUESSED_MEDIAN) ** GUESSED_SHAPE) for edge in EDGES]
    finishes = [GUESS_WEIGHT * (before - after) for before, after in pairwise(running)]
    spent = [
        GUESS_WEIGHT * (before + after) / 2 * w for (before, after), w in zip(pairwise(running), WIDTHS, strict=True)
    ]
    return finishes, spent


@attrs.define(eq=False)
class LatencyModel:
    """Learns from looks how long tasks take. Ages are seconds from sending the submit to sending the look.

    Attributes:
        finished: Tasks seen to finish.
        scale: How much slower the service is now than the curve says.
    """

    finished: int = 0
    scale: float = 1.0
    _finishes: list[float] = attrs.field(factory=lambda: [0.0] * BINS)
    _spent: list[float] = attrs.field(factory=lambda: [0.0] * BINS)
    _weight: float = 1.0  # of a new look: growing it fades all the others
    _news: int = REFIT_AFTER
    _guessed: tuple[list[float], list[float]] = attrs.field(factory=_guess)
    _curve: Survival = attrs.field(init=False)
    _median: float = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._fit()

    @property
    def usual(self) -> float:
        """The age by which half of the tasks have finished."""
        self._fitted()
        return self._median * self.scale

    def p(self, seen: float, age: float) -> float:
        """Return how likely a task has finished by *age* that was running at the age *seen*; 0 is "never looked at"."""
        return self._fitted().p(seen / self.scale, age / self.scale)

    def lost(self, seen: float, age: float) -> float:
        """Return the seconds for which such a task is expected to have been finished unnoticed by *age*."""
        return self._fitted().lost(seen / self.scale, age / self.scale) * self.scale

    def unnoticed(self, seen: float, age: float) -> float:
        """Return for how many seconds such a task had been finished, as expected, when *age* showed that it was."""
        p = self.p(seen, age)
        return self.lost(seen, age) / p if p > 0 else (age - seen) / 2

    def age_when_done(self, seen: float, p: float) -> float:
        """Return the age at which a task, running at the age *seen*, has finished with probability *p*."""
        curve = self._fitted()
        return curve.age_at(curve.passed_at(seen / self.scale) - math.log1p(-p)) * self.scale

    def age_when_lost(self, seen: float, seconds: float) -> float:
        """Return the age at which `lost` reaches *seconds*."""
        return self._fitted().age_when_lost(seen / self.scale, seconds / self.scale) * self.scale

    def quantile(self, share: float) -> float:
        """Return the age by which such a *share* of tasks has finished."""
        return self.age_when_done(0.0, share)

    def observe(self, seen: float, age: float, *, done: bool) -> None:
        """Learn that a task, running at the age *seen*, was *done* or still running at *age*."""
        if age <= seen:
            return
        # By the scale before this look: by the one after it, finishes would land at other ages than the rest.
        seen, age = seen / self.scale, age / self.scale
        if self.finished >= SCALE_NEEDS:
            surprise = self._fitted().p(seen, age) - done
            self.scale = min(SCALE_RANGE, max(1 / SCALE_RANGE, self.scale * math.exp(SCALE_STEP * surprise)))
        first, last = _bin(seen), min(bisect_left(EDGES, age), BINS)
        bounds = (seen, *EDGES[first + 1 : last], age)
        if done:
            self._add_finish(first, bounds)
        else:
            for b, (left, right) in enumerate(pairwise(bounds), first):
                self._spent[b] += self._weight * (right - left)
        self._news += 10 if done else 1

    def _add_finish(self, first: int, bounds: tuple[float, ...]) -> None:
        """Share one finish out over the bins from the *first* on, cut at *bounds*, by what the curve expects."""
        curve = self._fitted()
        start = curve.passed_at(bounds[0])
        between = curve.passed[first + 1 : first + len(bounds) - 1]
        running = [1.0, *(math.exp(start - one) for one in between), math.exp(start - curve.passed_at(bounds[-1]))]
        expected = 1.0 - running[-1]
        still = 1.0
        for b, ((left, right), (before, after)) in enumerate(
            zip(pairwise(bounds), pairwise(running), strict=True), first
        ):
            width = right - left
            share = (before - after) / expected if expected > 0 else width / (bounds[-1] - bounds[0])
            still -= share
            self._finishes[b] += self._weight * share
            self._spent[b] += self._weight * width * (max(still, 0.0) + share / 2)
        self.finished += 1
        self._weight *= MEMORY / (MEMORY - 1)
        if self._weight > HEAVIEST:
            self._finishes = [one / self._weight for one in self._finishes]
            self._spent = [one / self._weight for one in self._spent]
            self._weight = 1.0

    def _fitted(self) -> Survival:
        if self._news >= REFIT_AFTER or (self._news >= 10 and self.finished < EAGER):
            self._fit()
        return self._curve

    def _fit(self) -> None:
        counts = zip(self._finishes, self._spent, *self._guessed, strict=True)
        weight = self._weight
        self._curve = Survival.of([max(1e-6, (d / weight + d0) / (x / weight + x0)) for d, x, d0, x0 in counts])
        self._median = self._curve.age_at(math.log(2))
        self._news = 0
