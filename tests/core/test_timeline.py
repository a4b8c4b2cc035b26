"""The time axis of a report: which breaks it leaves out, its columns, and what stands in them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.cli.timeline import MOST_BREAKS, MOST_COLUMNS, Axis, Span, axis_of, breaks_among, columns_of

HOUR = 3600.0


@pytest.mark.parametrize(
    ("length", "quiet", "left_out"),
    [
        (600, [], []),
        (10 * HOUR, [(300, 9 * HOUR)], [(300, 9 * HOUR)]),
        (10 * HOUR, [(300, 9 * HOUR), (10, 80)], [(300, 9 * HOUR)]),
        (10 * HOUR, [(1200, 9.8 * HOUR), (300, 700)], [(300, 700), (1200, 9.8 * HOUR)]),
        (10 * HOUR, [(HOUR, 1.5 * HOUR)], []),
        (200, [(0, 200)], [(0, 200)]),
    ],
    ids=["none", "a night", "a pause in an hour", "a pause in minutes", "a pause in hours", "nothing else"],
)
def test_a_quiet_time_is_left_out_if_it_is_long_beside_the_rest(
    length: float, quiet: list[Span], left_out: list[Span]
) -> None:
    """A tenth of the other time is long; breaks come in the order of time."""
    assert breaks_among((0, length), quiet) == left_out


spans = st.lists(st.floats(0, 1e8), min_size=2, max_size=2 * MOST_BREAKS + 2, unique=True).map(sorted)


@given(spans)
def test_the_axis_holds_all_that_is_no_break_in_a_few_columns(edges: list[float]) -> None:
    """Whatever its length, and however its breaks lie; no column comes twice."""
    edges = edges[: len(edges) // 2 * 2]
    breaks = list(zip(edges[1:-1:2], edges[2:-1:2], strict=True))
    axis = axis_of((edges[0], edges[-1]), breaks)

    assert sum(map(len, axis.stretches)) <= MOST_COLUMNS + 2 * (len(breaks) + 1) <= 300
    assert all(earlier.stop < later.start for earlier, later in pairwise(axis.stretches))
    for instant in edges:
        assert any(int(instant // axis.width) in stretch for stretch in axis.stretches)


@pytest.mark.parametrize(("length", "width"), [(0, 1), (30, 1), (241, 2), (3600, 20), (43_200, 300), (1e9, 7_372_800)])
def test_columns_have_a_round_width(length: float, width: int) -> None:
    """Of the round ones the smallest that will do."""
    assert axis_of((0, length), []).width == width


def test_columns_tell_how_many_are_in_flight() -> None:
    """What was accepted before a break still is after it; a clock that was set back leaves none below nothing."""
    axis = Axis(10, (range(3), range(100, 102)))
    columns = columns_of(axis, [(0, 3, 0), (1, 2, 1), (100, 0, 3), (101, 0, 2)], [])
    seen = [[(column.finished, column.in_flight) for column in stretch] for stretch in columns]
    assert seen == [[(0, 3), (1, 4), (1, 4)], [(4, 1), (6, 0)]]


@pytest.mark.parametrize(
    ("axis", "loads"),
    [
        (Axis(1, (range(108, 120),)), [6.0, 6.0, *[0.4] * 10]),
        (Axis(5, (range(21, 24),)), [2.4, 0.4, 0.4]),
        (Axis(10, (range(10, 12),)), [1.2, 0.4]),
    ],
)
def test_requests_of_an_interval_are_spread_over_its_columns(axis: Axis, loads: list[float]) -> None:
    """As far as these are on the axis; all are counted."""
    (columns,) = columns_of(axis, [], [(100, 12, 12, 12), (110, 4, 4, 4)])
    for kind in ("submits", "polls", "limited"):
        assert [getattr(column, kind) for column in columns] == pytest.approx(loads)
    assert sum(loads) * axis.width == pytest.approx(16)
