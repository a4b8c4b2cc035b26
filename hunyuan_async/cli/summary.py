"""The last lines of a run: why it ended, what it made and cost, and how to go on."""

from __future__ import annotations

import shlex
from pathlib import Path

from hunyuan_async._core.text import printable
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.status import RunStatus
from hunyuan_async.settings import API_IN_ONE


def summary(run: BatchRun, standing: RunStatus, out_dir: Path, *, report: str, collectable: bool = True) -> list[str]:
    """Return the lines, safe to print.

    Args:
        run: As it ended.
        standing: How the directory stands, whichever commands made it so.
        out_dir: The directory.
        report: Where the report is.
        collectable: Whether the service still knows what is paid and not on disk.
    """
    to_collect, to_go, unknown = (standing.count(status) for status in ("submitted", "pending", "unknown"))
    dollars = (standing.spent + standing.at_risk) * API_IN_ONE.usd_per_credit
    counts = [("done", standing.count("succeeded")), ("failed", standing.count("failed")), ("unknown", unknown)]
    counts += [("to collect", to_collect)] * bool(to_collect) + [("to go", to_go)]
    directory = shlex.quote(str(out_dir))
    lines = [
        run.reason,
        "   ".join(f"{name} {count:,}" for name, count in counts),
        f"{standing.spent:,} credits spent, {standing.at_risk:,} at risk: about ${dollars:,.2f}",
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
