"""How long tasks took, as a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs

MOST_BINS = 28
_WIDTHS = (1, 2, 5, 10, 20, 50, 100, 200, 300, 600, 1200, 3000)  # tenths of a second
_TAIL = 2  # times the 95th percentile: what took longer shares the last bin


@attrs.frozen
class Histogram:
    """Tasks by the time that they took, in seconds.

    Attributes:
        start: Where the first bin begins.
        width: Of a bin.
        counts: Tasks in each bin.
        longer: Tasks beyond the last bin.
        p50: Half of the tasks took no longer.
        p95: 95 of 100 took no longer.
    """

    start: float
    width: float
    counts: tuple[int, ...]
    longer: int
    p50: float
    p95: float

    @property
    def end(self) -> float:
        """Where the last bin ends."""
        return self.start + self.width * len(self.counts)


def histogram_of(latencies: Sequence[tuple[int, int]]) -> Histogram | None:
    """Sort tasks into bins of a round width; None if there are none.

    Args:
        latencies: Tenths of a second in rising order, and how many tasks took that long.
    """
    if not latencies:
        return None
    p50, p95 = _percentile(latencies, 0.5), _percentile(latencies, 0.95)
    low, high = latencies[0][0], min(latencies[-1][0], _TAIL * p95)
    width = next((width for width in _WIDTHS if (high - low) / width < MOST_BINS - 4), _WIDTHS[-1])
    first = low // width
    # By fours, so that the axis has round numbers at its quarters.
    bins = math.ceil((high // width + 1 - first) / 4) * 4
    counts = [0] * (bins + 1)
    for tenths, count in latencies:
        counts[min(tenths // width - first, bins)] += count
    return Histogram(first * width / 10, width / 10, tuple(counts[:-1]), counts[-1], p50 / 10, p95 / 10)


def _percentile(latencies: Sequence[tuple[int, int]], share: float) -> int:
    """The shortest time that *share* of the tasks did not exceed."""
    wanted = math.ceil(sum(count for _, count in latencies) * share)
    for tenths, count in latencies:
        wanted -= count
        if wanted <= 0:
            return tenths
    raise AssertionError
