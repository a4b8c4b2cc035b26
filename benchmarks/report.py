"""How figures become Markdown tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

COMPARED = ("", "bare", "ours", "ratio", "at most")


def compare(what: str, bare: Sequence[float], ours: Sequence[float], at_most: str = "") -> tuple[object, ...]:
    """Return a table's row: medians, and the median of the ratios within each round.

    What else runs on the machine changes from round to round, and disturbs that ratio least.
    """
    ratio = statistics.median(mine / theirs for mine, theirs in zip(ours, bare, strict=True))
    return what, statistics.median(bare), statistics.median(ours), ratio, at_most


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table; numbers stand to the right."""
    print(f"\n### {title}\n\n| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(_shown(cell) for cell in row)} |", flush=True)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:,.0f}" if cell >= 100 else f"{cell:.2f}" if cell < 10 else f"{cell:.1f}"
    return str(cell)
