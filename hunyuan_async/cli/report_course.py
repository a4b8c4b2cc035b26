"""The course of a run in the report: two drawings, each in words and numbers as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from operator import attrgetter

from hunyuan_async._journal.course import Course
from hunyuan_async._journal.traffic import INTERVAL
from hunyuan_async.cli.drawing import Area, Label, Strip, draw
from hunyuan_async.cli.figures import figure, latency_figure
from hunyuan_async.cli.latencies import histogram_of
from hunyuan_async.cli.plan import duration_text
from hunyuan_async.cli.timeline import (
    MOST_BREAKS,
    SHORTEST_BREAK,
    Axis,
    Column,
    Span,
    axis_of,
    breaks_among,
    columns_of,
)

_GAP = 0.03  # of the columns' width, for a break
_NAMED_BREAKS = 3  # the longest
_SHORT = 600  # seconds: a run that took no longer has them on its axis

Stretches = Sequence[Sequence[Column]]


def course_of(course: Course) -> str:
    """Return the section of the report's first page on a run's *course*; empty if nothing was ever sent."""
    run, quiet = course.span(SHORTEST_BREAK, MOST_BREAKS)
    if run is None:
        return ""
    breaks = breaks_among(run, quiet)
    axis = axis_of(run, breaks)
    stretches = columns_of(axis, course.changes(axis.width), course.traffic(max(axis.width, INTERVAL)))
    histogram = histogram_of(course.latencies([(since + until) / 2 for since, until in breaks]))
    latencies = latency_figure(histogram) if histogram else ""
    return f'<section class="course"><h2>Course</h2>{_timeline(axis, stretches, run, breaks)}{latencies}</section>'


def _timeline(axis: Axis, stretches: Stretches, run: Span, breaks: Sequence[Span]) -> str:
    rows = _sessions(axis, stretches)
    finished, submits, polls, limited = (sum(int(row[place]) for row in rows) for place in range(2, 6))
    pause = sum(until - since for since, until in breaks)
    told = f"Finished: {finished:,}, from {_when(run[0])} to {_when(run[1])}: "
    told += f"{duration_text(run[1] - run[0] - pause)} of work"
    told += f" and {duration_text(pause)} of breaks." if breaks else "."
    if submits + polls:
        told += f" Submits: {submits:,}; polls: {polls:,}; answered with 429: {limited:,}."
    gap = _GAP * sum(map(len, stretches))
    drawing = draw(
        "timeline",
        "The run over time",
        told,
        _strips(stretches, with_traffic=submits + polls > 0),
        gap=gap,
        ticks=_clock(axis, gap),
        marks=_marks(axis, gap),
    )
    return figure(told, drawing, ("From", "To", "Finished", "Submits", "Polls", "429"), rows)


def _sessions(axis: Axis, stretches: Stretches) -> list[tuple[str, str, int, int, int, int]]:
    """What happened in each stretch, as a row of a table."""
    rows, before = [], 0
    for stretch, columns in zip(axis.stretches, stretches, strict=True):
        loads = [(column.submits, column.polls, column.limited) for column in columns]
        submits, polls, limited = (round(sum(load) * axis.width) for load in zip(*loads, strict=True))
        since, until = _when(stretch.start * axis.width), _when(stretch.stop * axis.width)
        rows.append((since, until, columns[-1].finished - before, submits, polls, limited))
        before = columns[-1].finished
    return rows


def _strips(stretches: Stretches, *, with_traffic: bool) -> list[Strip]:
    finished, in_flight, submits, limited = (
        [[*map(attrgetter(name), columns)] for columns in stretches]
        for name in ("finished", "in_flight", "submits", "limited")
    )
    both = [[column.submits + column.polls for column in columns] for columns in stretches]
    strips = [
        Strip("Finished", (Area(finished),), f"{_most(finished):,}"),
        Strip("In flight", (Area(in_flight),), f"up to {_most(in_flight):,}"),
    ]
    if with_traffic:
        requests = Area(both, "light", "polls"), Area(submits, "", "submits")
        strips.append(Strip("Requests a second", requests, f"up to {_most(both):,.1f}"))
    if _most(limited):
        strips.append(Strip("Answers 429 a second", (Area(limited, "alert"),), f"up to {_most(limited):,.1f}"))
    return strips


def _most(stretches: Iterable[Iterable[float]]) -> float:
    return max(value for values in stretches for value in values)


def _clock(axis: Axis, gap: float) -> list[Label]:
    """Times below the axis, as many as a phone has room for."""
    first, last = axis.stretches[0].start * axis.width, axis.stretches[-1].stop * axis.width
    is_one_day = _at(first).date() == _at(last).date()
    form = "%H:%M" if is_one_day else "%d %b %H:%M"
    form += ":%S" if is_one_day and last - first <= _SHORT else ""
    total = sum(map(len, axis.stretches)) + gap * (len(axis.stretches) - 1)
    labels, place = dict[str, Label](), 0.0
    for stretch in axis.stretches:
        for part in (0, 0.25, 0.5, 0.75, 1) if form == "%H:%M" else (0, 0.5, 1):
            if place <= part * total <= place + len(stretch):
                when = (stretch.start + part * total - place) * axis.width
                text = f"{_at(when):{form}}"
                labels.setdefault(text, Label(part, text))
        place += len(stretch) + gap
    return [*labels.values()]


def _marks(axis: Axis, gap: float) -> list[Label]:
    lengths = [(later.start - earlier.stop) * axis.width for earlier, later in pairwise(axis.stretches)]
    named = sorted(lengths)[-_NAMED_BREAKS:]
    total = sum(map(len, axis.stretches)) + gap * len(lengths)
    labels, place = [], 0.0
    for stretch, length in zip(axis.stretches, lengths, strict=False):
        place += len(stretch) + gap
        labels.append(Label((place - gap / 2) / total, f"{duration_text(length)} left out" if length in named else ""))
    return labels


def _when(seconds: float) -> str:
    return f"{_at(seconds):%Y-%m-%d %H:%M:%S} UTC"


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
