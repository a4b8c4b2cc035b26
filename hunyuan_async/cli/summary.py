"""The last lines of a run: why it ended, what it made and cost, and how to go on."""

from __future__ import annotations

import shlex
from collections import Counter
from pathlib import Path

import attrs

from hunyuan_async._core.lifecycle import State
from hunyuan_async._core.text import printable
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.result_lines import STATUS, Status
from hunyuan_async.settings import API_IN_ONE


@attrs.frozen
class Totals:
    """How all items of a directory stand, whichever command made them.

    Attributes:
        states: How many are in each state.
        spent: Credits of accepted tasks.
        at_risk: Credits of those whose outcome is unknown, or was given up.
    """

    states: Counter[State]
    spent: int
    at_risk: int

    def count(self, status: Status) -> int:
        """Count the items of a status."""
        return sum(count for state, count in self.states.items() if STATUS[state] == status)

    def exit_code(self) -> Exit:
        """Return what the shell is told of a run that was not stopped."""
        if self.count("unknown"):
            return Exit.SOME_UNKNOWN
        return Exit.SOME_FAILED if self.count("failed") or self.count("submitted") else Exit.DONE


def summary(run: BatchRun, totals: Totals, out_dir: Path, *, report: str, collectable: bool = True) -> list[str]:
    """Return the lines, safe to print.

    Args:
        run: As it ended.
        totals: How the directory stands.
        out_dir: The directory.
        report: Where the report is.
        collectable: Whether the service still knows what is paid and not on disk.
    """
    to_collect, to_go, unknown = (totals.count(status) for status in ("submitted", "pending", "unknown"))
    dollars = (totals.spent + totals.at_risk) * API_IN_ONE.usd_per_credit
    counts = [("done", totals.count("succeeded")), ("failed", totals.count("failed")), ("unknown", unknown)]
    counts += [("to collect", to_collect)] * bool(to_collect) + [("to go", to_go)]
    directory = shlex.quote(str(out_dir))
    lines = [
        run.reason,
        "   ".join(f"{name} {count:,}" for name, count in counts),
        f"{totals.spent:,} credits spent, {totals.at_risk:,} at risk: about ${dollars:,.2f}",
        *(f"  {count:,} x {message}" for message, count in run.guard.messages.most_common(3)),
        *(unrecorded(run) if collectable else []),
        *([f"Unknown: hunyuan unknown {directory}"] if unknown else []),
        *([f"Go on:   hunyuan resume {directory}"] if to_go or to_collect else []),
        f"Report:  {report}",
    ]
    return [printable(line, 1000) for line in lines]


def unrecorded(run: BatchRun) -> list[str]:
    """Return lines about what the journal could not take: it stands nowhere else."""
    return [f"Paid, not recorded: hunyuan task {task_id} -o {task_id}.png" for task_id in run.unrecorded]
