"""Drawings of the report, each in words and numbers as well."""

from __future__ import annotations

import html
from collections.abc import Iterable
from itertools import pairwise

from hunyuan_async.cli.drawing import Area, Label, Strip, draw
from hunyuan_async.cli.latencies import Histogram

_GAP = 0.03  # of the columns' width, before the last one


def figure(told: str, drawing: str, names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a *drawing* with what it says *told* above, and a table of *rows* below for who opens it."""
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    body = "".join(f"<tr>{''.join(f'<td>{_cell(cell)}</td>' for cell in row)}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return (
        f"<figure><figcaption>{html.escape(told)}</figcaption>{drawing}"
        f"<details><summary>Figures</summary><div>{table}</div></details></figure>"
    )


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else html.escape(str(value))


def latency_figure(histogram: Histogram) -> str:
    """Return how long tasks took."""
    count = sum(histogram.counts) + histogram.longer
    told = (
        f"Tasks: {count:,}. From acceptance until they were seen finished half took up to {histogram.p50:.1f} s, "
        f"95 of 100 up to {histogram.p95:.1f} s."
    )
    bins = len(histogram.counts)
    tail = [[histogram.longer]] if histogram.longer else []
    gap = bins * _GAP
    total = (bins + (1 + gap if tail else 0)) * histogram.width
    ticks = [(bins * part // 4 * histogram.width) for part in range(4 if tail else 5)]
    labels = [Label(tick / total, f"{histogram.start + tick:g} s") for tick in ticks]
    marks = [
        Label((seconds - histogram.start) / total, f"{name} {seconds:.1f} s")
        for name, seconds in (("p50", histogram.p50), ("p95", histogram.p95))
    ]
    drawing = draw(
        "latencies",
        "How long tasks took",
        told,
        [
            Strip(
                "Tasks",
                (Area([histogram.counts, *tail]),),
                f"up to {max(*histogram.counts, histogram.longer):,}",
                height=110,
            )
        ],
        gap=gap,
        ticks=[*labels, Label(1, "longer")] if tail else labels,
        marks=marks,
    )
    edges = [histogram.start + number * histogram.width for number in range(bins + 1)]
    rows = [(f"{a:g} s", f"{b:g} s", count) for (a, b), count in zip(pairwise(edges), histogram.counts, strict=True)]
    return figure(told, drawing, ("From", "To", "Tasks"), [*rows, (f"{histogram.end:g} s", "", histogram.longer)])
