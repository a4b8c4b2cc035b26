"""Prints the table of faults in docs/reference/emulator.md: `python docs/fault_kinds.py`."""

from __future__ import annotations

import sys

from hunyuan_async.emulator import FAULT_KINDS


def table() -> str:
    """The kinds of faults, one a line."""
    rows = [f"| `{kind.word}` | {', '.join(kind.at)} | {kind.effect} | {kind.means} |" for kind in FAULT_KINDS.values()]
    return "\n".join(["| Kind | Meets it | Request | Seen |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    sys.stdout.write(table())
