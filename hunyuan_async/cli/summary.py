"""The last lines of a run: why it ended, what it made and cost, and how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hunyuan_async._core.text import printable
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.pending import write_pending
from hunyuan_async.models import Statistics
from hunyuan_async.settings import Service

SHOWN = 5


def summary(run: BatchRun, seen: Statistics, report: Path, service: Service) -> list[str]:
    """Return the lines; items that were not sent are written down as the next batch's input."""
    left = run.left
    dollars = (seen.credits_spent + seen.credits_at_risk) * service.usd_per_credit
    return [
        f"Stopped: {printable(run.stop.reason, 1000)}" if run.stop else "Every image was asked for.",
        f"done {run.made:,}   failed {run.failed:,}   unknown {run.unknown:,}   to go {len(left):,}",
        f"{seen.credits_spent:,} credits spent, {seen.credits_at_risk:,} at risk: about ${dollars:,.2f}",
        *_failures(run),
        *_fetch_commands(run.unsaved),
        *([f"Go on:   hunyuan batch {write_pending(run.out_dir, left)} --out ANOTHER_DIR"] if left else []),
        f"Report:  {report}",
    ]


def _failures(run: BatchRun) -> list[str]:
    commonest = run.guard.messages.most_common(3)
    return [f"  {count:,} x {printable(message, 300)}" for message, count in commonest]


def _fetch_commands(task_ids: Sequence[str]) -> list[str]:
    lines = [f"Paid, not on disk: hunyuan task {task_id} -o {task_id}.png" for task_id in task_ids[:SHOWN]]
    if len(task_ids) > SHOWN:
        lines.append(f"... and {len(task_ids) - SHOWN:,} more with status `submitted` in results.jsonl")
    return lines
