"""How long the emulated service takes to make an image: seconds, drawn from a distribution."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping

Latency = Callable[[random.Random], float]
"""Draws the seconds that one task takes, queueing not counted."""


def fixed(seconds: float = 10.0) -> Latency:
    """Every task takes *seconds*."""
    return lambda rng: seconds


def uniform(low: float = 5.0, high: float = 15.0) -> Latency:
    """Any time from *low* to *high* is as likely as any other; the default is what the vendor states."""
    return lambda rng: rng.uniform(low, high)


def lognormal(median: float = 9.0, spread: float = 0.4) -> Latency:
    """Half of all tasks take less than *median*; *spread* is the standard deviation of the logarithm."""
    return lambda rng: rng.lognormvariate(math.log(median), spread)


def bimodal(fast: float = 6.0, slow: float = 30.0, slow_share: float = 0.1) -> Latency:
    """Most tasks take about *fast*, a share of them about *slow*, each up to a fifth more or less."""
    return lambda rng: (slow if rng.random() < slow_share else fast) * rng.uniform(0.8, 1.2)


LATENCIES: Mapping[str, Callable[..., Latency]] = {
    "fixed": fixed,
    "uniform": uniform,
    "lognormal": lognormal,
    "bimodal": bimodal,
}
"""The distributions by name, for a command line."""
