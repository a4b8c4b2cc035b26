"""The page about faults, made from what the tests check, and the list of their kinds on the emulator's page."""

from __future__ import annotations

from hunyuan_async.emulator import FAULT_KINDS
from tests.e2e.fault_table import TABLES, End, Place, Row

INTRO = """\
# Faults

What becomes of an image if something goes wrong on the way: with its submit, a look at its task, or its download.
What an error says beyond that is in [errors](errors.md), why it is so in [what is paid when](../explanation/money.md).

Each row is tested with the real client over real sockets, against an emulator that does all of the row's
[kinds](emulator.md#kinds-of-faults) of faults; in their names, `*` and `[...]` stand for what they do in file names.
Each comes with and without TLS, and a look meets it on a fresh and on a kept connection.
Every end is compared with the emulator's log of what it received and was paid:
nothing is sent again unless it was refused or never received, and nothing counts as free that was paid.

"Lasting" is what you get in the end if every such request meets the fault: when `Timeouts.trouble` has passed for a
submit, `Timeouts.task` for a look, or after four attempts for a download. Where nothing stands, it is the same.
What takes minutes is decided by plain code and tested without a clock instead.
This page is made from the tests' table by `python -m docs`.
"""
HEADINGS: dict[Place, str] = {
    "submit": "A submit\n\nNot yet paid, and never sent again if it may have been received.",
    "poll": "A look at a task\n\nThe task is paid, and a failed look is no failed task.",
    "fetch": "A download\n\nThe image is made and paid. A file appears whole, or not at all.",
}
WIRE = {True: " (https)", False: " (http)", None: ""}
KINDS_HEAD = "| Kind | Meets it | Request | Seen |\n|---|---|---|---|\n"


def table(place: Place) -> str:
    """The rows of a place."""
    lines = ["| Seen | Once | Charged | To do | Lasting | Kinds |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_line, TABLES[place]), ""])


def _line(row: Row) -> str:
    once = row.once
    kinds = ", ".join(f"`{kind}`" for kind in row.kinds)
    cells = (row.seen + WIRE[row.https], once.words, once.charged, once.to_do, _lasting(row.lasting), kinds)
    return f"| {' | '.join(cells)} |"


def _lasting(end: End | None) -> str:
    return f"{end.words}; charged: {end.charged}; {end.to_do}" if end else ""


def page() -> str:
    """The whole page."""
    return INTRO + "".join(f"\n## {heading}\n\n{table(place)}" for place, heading in HEADINGS.items())


def kinds() -> str:
    """The kinds of faults, one a line, as they follow `KINDS_HEAD`."""
    return "".join(
        f"| `{kind.word}` | {', '.join(kind.at)} | {kind.effect} | {kind.means} |\n" for kind in FAULT_KINDS.values()
    )
