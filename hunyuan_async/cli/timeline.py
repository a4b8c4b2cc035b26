"""The time axis of a run, without the breaks in it, and what happened in each of its columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import attrs

from hunyuan_async._journal.traffic import INTERVAL

SHORTEST_BREAK = 60.0  # seconds
MOST_BREAKS = 12
MOST_COLUMNS = 240  # and two more at most for each break
_WIDTHS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600)  # from 10 on multiples of the interval
_LARGE = 0.1  # of all the rest: a quiet time above this is left out

Span = tuple[float, float]


@attrs.frozen
class Axis:
    """Columns of equal width in stretches, between which time is left out.

    Attributes:
        width: Of a column, in seconds.
        stretches: The numbers of the columns; number n begins at n * width seconds since 1970.
    """

    width: int
    stretches: tuple[range, ...]


@attrs.frozen
class Column:
    """What happened in a part of the time.

    Attributes:
        finished: Tasks seen finished, up to its end.
        in_flight: Tasks accepted and not yet seen finished, at its end.
        submits: A second.
        polls: A second.
        limited: Answers "too many requests" a second.
    """

    finished: int
    in_flight: int
    submits: float
    polls: float
    limited: float


def breaks_among(run: Span, quiet: Sequence[Span]) -> list[Span]:
    """Return those *quiet* times of a *run*, given the longest first, that are long beside all the rest of it."""
    rest = run[1] - run[0]
    found = []
    for since, until in quiet:
        rest -= until - since
        if until - since <= rest * _LARGE:
            break
        found.append((since, until))
    return sorted(found)


def axis_of(run: Span, breaks: Sequence[Span]) -> Axis:
    """Lay out the time of a *run* but for *breaks*, the earliest first."""
    edges = [run[0], *(edge for pause in breaks for edge in pause), run[1]]
    parts = list(zip(edges[::2], edges[1::2], strict=True))
    busy = sum(until - since for since, until in parts)
    width = next((width for width in _WIDTHS if busy <= width * MOST_COLUMNS), _WIDTHS[-1])
    while busy > width * MOST_COLUMNS:
        width *= 2
    stretches: list[range] = []
    for since, until in parts:
        stretch = range(int(since // width), int(until // width) + 1)
        if stretches and stretch.start <= stretches[-1].stop:
            stretch = range(stretches.pop().start, stretch.stop)
        stretches.append(stretch)
    return Axis(width, tuple(stretches))


def columns_of(
    axis: Axis, changes: Iterable[tuple[int, int, int]], traffic: Iterable[tuple[int, int, int, int]]
) -> list[list[Column]]:
    """Fill the columns of each stretch.

    Args:
        axis: The columns.
        changes: A column's number, tasks accepted, tasks seen finished.
        traffic: The beginning of an interval, or of a column where that is longer; submits, polls and answers
            "too many requests".
    """
    by_number = {number: (accepted, finished) for number, accepted, finished in changes}
    loads = _spread(axis, traffic)
    accepted = finished = 0
    stretches = []
    for stretch in axis.stretches:
        columns = []
        for number in stretch:
            more_accepted, more_finished = by_number.get(number, (0, 0))
            accepted, finished = accepted + more_accepted, finished + more_finished
            # A clock that was set back may have tasks finish before they were accepted.
            columns.append(Column(finished, max(0, accepted - finished), *loads[number]))
        stretches.append(columns)
    return stretches


def _spread(axis: Axis, traffic: Iterable[tuple[int, int, int, int]]) -> defaultdict[int, tuple[float, float, float]]:
    """Requests a second by column; those of an interval are spread over its columns on the axis."""
    loads = defaultdict[int, tuple[float, float, float]](lambda: (0.0, 0.0, 0.0))
    for since, *counts in traffic:
        numbers = range(since // axis.width, (since + INTERVAL - 1) // axis.width + 1)
        shown = [number for number in numbers if any(number in stretch for stretch in axis.stretches)]
        for number in shown:
            submits, polls, limited = (count / len(shown) / axis.width for count in counts)
            before = loads[number]
            loads[number] = before[0] + submits, before[1] + polls, before[2] + limited
    return loads
