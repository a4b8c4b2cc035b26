"""Eight services with a known request rate, seven with limits to be found, and what our client promises at each."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import partial

import attrs

from benchmarks.batch import Draw, Figures, Play, Scenario, play
from benchmarks.limits import Bucket, FixedWindow
from benchmarks.parties import ours

SEEDS = (1, 2, 3)


def uniform(least: float, most: float) -> Draw:
    """Between two durations."""
    return lambda chance: chance.uniform(least, most)


def lognormal(median: float, sigma: float) -> Draw:
    """Around a median, skewed."""
    return lambda chance: chance.lognormvariate(math.log(median), sigma)


def bimodal(chance: random.Random) -> float:
    """Three in ten take a second, the others about eleven."""
    return chance.uniform(0.8, 1.6) if chance.random() < 0.3 else max(0.3, chance.gauss(11, 1.5))


def heavy_tailed(chance: random.Random) -> float:
    """One in ten takes long, up to a minute and a half."""
    return (
        chance.lognormvariate(math.log(8), 0.3) if chance.random() < 0.9 else min(90.0, 10 * chance.paretovariate(1.5))
    )


USUAL = uniform(5, 15)
LIMITED = partial(Scenario, draw=lognormal(9, 0.35), in_flight=100, rate=10.0, tasks=1500)


@attrs.frozen
class Target:
    """What `Figures` must not exceed; None where nothing is promised."""

    ratio: float
    delay: float
    polls: float | None = None
    p95: float | None = None
    limited: float | None = None

    def missed(self, figures: Figures) -> list[str]:
        """Return the names of the figures that exceed it."""
        promised = attrs.asdict(self, filter=lambda _, most: most is not None)
        return [name for name, most in promised.items() if getattr(figures, name) > most]


Case = tuple[Scenario, Target]

KNOWN: tuple[Case, ...] = (
    (Scenario("uniform-10", USUAL, 10, 100, 2000), Target(1.08, 5.0, 1.15, 10.0)),
    (Scenario("lognormal-50", lognormal(9, 0.35), 50, 500, 3000), Target(1.10, 6.8, 1.17, 12.5)),
    (Scenario("bimodal-10", bimodal, 10, 100, 2000), Target(1.08, 5.8, 1.15, 13.0)),
    (Scenario("heavytail-50", heavy_tailed, 50, 500, 3000), Target(1.10, 7.3, 1.25, 13.0)),
    (Scenario("shift-10", USUAL, 10, 150, 2000, later=uniform(12, 30)), Target(1.12, 6.5, 1.22, 15.5)),
    (Scenario("slots-20", USUAL, 10, 20, 600), Target(1.13, 0.95, 4.3, 2.2)),
    (Scenario("queue-20", USUAL, 10, 60, 600, workers=20), Target(1.04, 1.4, 3.6, 3.2)),
    (Scenario("free-200", USUAL, math.inf, 200, 1000), Target(1.28, 0.75, 5.4, 1.7)),
)
UNKNOWN: tuple[Case, ...] = (
    (LIMITED("10/s, bursts of 20, Retry-After", submits=lambda: Bucket(10, 20)), Target(1.12, 6.8, limited=0.01)),
    (LIMITED("10/s, bursts of 20, bare", submits=lambda: Bucket(10, 20), tells=False), Target(1.12, 6.8, limited=0.01)),
    (LIMITED("600/min, Retry-After", submits=lambda: FixedWindow(600, 60)), Target(1.25, 10.0, limited=0.015)),
    (LIMITED("600/min, bare", submits=lambda: FixedWindow(600, 60), tells=False), Target(1.27, 10.5, limited=0.02)),
    (
        LIMITED("20 tasks and 10/s, bare", submits=lambda: Bucket(10, 20), tells=False, slots=20, tasks=500),
        Target(1.20, 1.1, limited=0.02),
    ),
    (
        LIMITED("3 tasks and 20/s, bare", submits=lambda: Bucket(20, 20), tells=False, slots=3, tasks=100, rate=20.0),
        Target(1.13, 0.9, limited=0.04),
    ),
    (
        LIMITED("POST 5/s, GET 50/s", submits=lambda: Bucket(5, 50), polls=lambda: Bucket(50, 500)),
        Target(1.10, 7.0, limited=0.015),
    ),
)


def measure(scenario: Scenario, make: Play = ours, seeds: Sequence[int] = SEEDS) -> Figures:
    """Return the mean figures of *scenario* over the seeds."""
    return Figures.mean([play(scenario, seed, make) for seed in seeds])
