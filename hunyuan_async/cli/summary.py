"""The last lines of a run: why it ended, what it made and cost, and how to go on."""

from __future__ import annotations

from hunyuan_async._core.text import printable
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.settings import API_IN_ONE

COMMANDS_SHOWN = 5


def summary(run: BatchRun, to_go: int, *, go_on: str | None, report: str, collectable: bool = True) -> list[str]:
    """Return the lines, safe to print.

    Args:
        run: As it ended.
        to_go: Images that were not made and can still be.
        go_on: The command that makes them.
        report: Where the report is.
        collectable: Whether the service still knows what is paid and not on disk.
    """
    seen, counts = run.progress.statistics(), run.counts
    to_collect = f"   to collect {counts['submitted']:,}" if counts["submitted"] else ""
    dollars = (seen.credits_spent + seen.credits_at_risk) * API_IN_ONE.usd_per_credit
    lines = [
        _why(run, to_go),
        f"done {counts['succeeded']:,}   failed {counts['failed']:,}   unknown {counts['unknown']:,}{to_collect}   "
        f"to go {to_go:,}",
        f"{seen.credits_spent:,} credits spent, {seen.credits_at_risk:,} at risk: about ${dollars:,.2f}",
        *(f"  {count:,} x {message}" for message, count in run.guard.messages.most_common(3)),
        *(_fetch_commands(run) if collectable else ()),
        *([f"Go on:   {go_on}"] if go_on else []),
        f"Report:  {report}",
    ]
    return [printable(line, 1000) for line in lines]


def _why(run: BatchRun, to_go: int) -> str:
    if run.stop:
        return f"Stopped: {run.stop.reason}"
    return "Finished: the part that was asked for." if to_go else "Finished: every image was asked for."


def _fetch_commands(run: BatchRun) -> list[str]:
    # What the results do not hold stands nowhere else: it is shown to the last one.
    unrecorded = [line["task_id"] for line in run.unrecorded if line["task_id"]]
    others = [task_id for task_id in run.unsaved if task_id not in unrecorded]
    shown = [*unrecorded, *others[:COMMANDS_SHOWN]]
    lines = [f"Paid, not on disk: hunyuan task {task_id} -o {task_id}.png" for task_id in shown]
    if len(others) > COMMANDS_SHOWN:
        lines.append(f"... and {len(others) - COMMANDS_SHOWN:,} more with status `submitted` in results.jsonl")
    return lines
