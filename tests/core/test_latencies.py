"""The histogram of how long tasks took."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.latencies import MOST_BINS, Histogram, histogram_of

tasks = st.lists(st.integers(0, 36_000), min_size=1)


@given(tasks)
def test_every_task_is_in_one_bin(tenths: list[int]) -> None:
    """However they are spread, in bins that are few; percentiles are times that a task took."""
    histogram = histogram_of(sorted(Counter(tenths).items()))
    assert histogram
    assert sum(histogram.counts) + histogram.longer == len(tenths)
    assert len(histogram.counts) <= MOST_BINS
    assert histogram.start <= min(tenths) / 10
    assert {histogram.p50, histogram.p95} <= {each / 10 for each in tenths}
    assert histogram.start <= histogram.p50 <= histogram.p95 <= histogram.end
    assert sum(each <= histogram.p95 * 10 for each in tenths) >= len(tenths) * 0.95


@pytest.mark.parametrize(
    ("latencies", "expected"),
    [
        ([], None),
        ([(83, 1)], Histogram(8.3, 0.1, (1, 0, 0, 0), 0, 8.3, 8.3)),
        ([(50, 10), (70, 9), (90, 1)], Histogram(5.0, 0.2, (10, *[0] * 9, 9, *[0] * 9, 1, *[0] * 3), 0, 5.0, 7.0)),
        ([(10, 99), (9000, 1)], Histogram(1.0, 0.1, (99, *[0] * 11), 1, 1.0, 1.0)),
    ],
    ids=["none", "one", "some", "one that took very long"],
)
def test_bins_are_of_a_round_width(latencies: list[tuple[int, int]], expected: Histogram | None) -> None:
    """A few that take very long do not make the others one bar."""
    assert histogram_of(latencies) == expected
