"""Our client beside hand-written loops at the services of `benchmarks.targets`: every figure, and what was promised.

In virtual time and exact: the same seeds give the same figures on any machine.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks.batch import Figures, Play
from benchmarks.drawing import Span, draw_spans
from benchmarks.parties import Loop, ours, ours_told_all
from benchmarks.report import print_table
from benchmarks.targets import KNOWN, SEEDS, UNKNOWN, Case, measure

OURS, TOLD = "ours", "ours, told all"
FIGURES = {
    "ratio": ("time over the bound", ".2f"),
    "polls": ("looks a task", ".2f"),
    "delay": ("seconds until noticed, mean", ".2f"),
    "p95": ("seconds until noticed, slowest in twenty", ".2f"),
    "limited": ("requests refused with 429", ".1%"),
}

Results = Mapping[str, Mapping[str, Figures]]  # by scenario and party


@attrs.frozen
class Group:
    """Cases that are compared with the same *others*, by these *figures*."""

    title: str
    cases: Sequence[Case]
    others: Mapping[str, Play]
    figures: Sequence[str]


GROUPS = (
    Group(
        "Known request rate",
        KNOWN,
        {
            "0.5 s": Loop(0.5),
            "1 s": Loop(1.0),
            "2 s": Loop(2.0),
            "5 s": Loop(5.0),
            "1 s, growing": Loop(1.0, growth=1.5),
        },
        ("ratio", "polls", "delay", "p95"),  # nothing is refused
    ),
    Group(
        "Limits to be found",
        UNKNOWN,
        {
            TOLD: ours_told_all,
            "2 s": Loop(2.0, paced=False),
            "2 s, 32 workers": Loop(2.0, paced=False, workers=32),
        },
        tuple(FIGURES),
    ),
)


def _tables(group: Group, seeds: Sequence[int]) -> Results:
    """Print a table for each figure, with what ours must not exceed in the last column."""
    parties = {OURS: ours, **group.others}
    results = {
        scenario.name: {party: measure(scenario, make, seeds) for party, make in parties.items()}
        for scenario, _ in group.cases
    }
    for figure in group.figures:
        title = f"{group.title}: {FIGURES[figure][0]}"
        print_table(title, ("", *parties, "ours at most"), _rows(group, results, figure))
    return results


def _rows(group: Group, results: Results, figure: str) -> Iterator[tuple[str, ...]]:
    digits = FIGURES[figure][1]
    for scenario, target in group.cases:
        measured = results[scenario.name]
        most = getattr(target, figure)
        missed = " **missed**" if figure in target.missed(measured[OURS]) else ""
        shown = (format(getattr(one, figure), digits) for one in measured.values())
        yield scenario.name, *shown, "" if most is None else f"{most:{digits}}{missed}"


def _spans(results: Results) -> Iterator[Span]:
    for scenario, measured in results.items():
        loops = [figures.ratio for party, figures in measured.items() if party not in {OURS, TOLD}]
        yield Span(scenario, measured[OURS].ratio, min(loops), max(loops))


def _check(cases: Sequence[Case], seeds: Sequence[int]) -> bool:
    """Print what ours missed, and return whether it met every target."""
    all_met = True
    for scenario, target in cases:
        figures = measure(scenario, seeds=seeds)
        missed = [f"{name} {getattr(figures, name):.3f} > {getattr(target, name)}" for name in target.missed(figures)]
        print(f"{scenario.name}: {', '.join(missed) or 'met'}", flush=True)
        all_met = all_met and not missed
    return all_met


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenarios")
    parser.add_argument("names", nargs="*", metavar="NAME", help="scenarios; all of them if none is named")
    parser.add_argument("--seeds", type=lambda text: tuple(map(int, text.split(","))), default=SEEDS)
    parser.add_argument("--check", action="store_true", help="ours alone; exit with 1 if a target is missed")
    parser.add_argument("--draw", type=Path, metavar="FILE", help="write a picture of the first figure")
    options = parser.parse_args()
    if strangers := {*options.names} - {scenario.name for group in GROUPS for scenario, _ in group.cases}:
        parser.error(f"there is no scenario {', '.join(sorted(strangers))}")
    groups = [
        attrs.evolve(group, cases=cases)
        for group in GROUPS
        if (cases := [case for case in group.cases if not options.names or case[0].name in options.names])
    ]
    if options.check:
        sys.exit(not _check([case for group in groups for case in group.cases], options.seeds))
    panels = {group.title: [*_spans(_tables(group, options.seeds))] for group in groups}
    if options.draw:
        options.draw.write_text(draw_spans(FIGURES["ratio"][0], panels, "hand-written loops"), encoding="utf-8")


if __name__ == "__main__":
    main()
