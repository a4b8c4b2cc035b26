"""The last lines of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hunyuan_async.cli.batch_run import BatchRun, Stop
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.names import parse_name
from hunyuan_async.cli.pending import go_on_command, write_pending
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.cli.result_lines import result_line
from hunyuan_async.cli.summary import summary
from hunyuan_async.errors import TaskTimedOut
from hunyuan_async.events import Statistics
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.settings import API_IN_ONE

SPENT = Statistics(credits_spent=1250, credits_at_risk=25)


def item(number: int) -> BatchItem:
    """One of many."""
    request = ImageRequest("锦鲤 \ud800", seed=number, id=f"k{number}")
    return BatchItem(f"k{number}", number, number, 1, request, {"sku": f"s{number}", "prompt": "{title}"})


def run(items: int = 60) -> BatchRun:
    """A run that has ended well."""
    progress = Progress("koi", items, lambda: SPENT)
    return BatchRun([item(n) for n in range(items)], Path("out"), parse_name("{id}"), FailureGuard(), progress, View())


def test_a_run_that_ended_well_says_so() -> None:
    """What it made and cost, and where to look."""
    ended = run()
    ended.counts["succeeded"] = 60
    assert summary(ended, 0, go_on=None, report="out/report.html") == [
        "Finished: every image was asked for.",
        "done 60   failed 0   unknown 0   to go 0",
        "1,250 credits spent, 25 at risk: about $2.55",
        "Report:  out/report.html",
    ]
    assert ended.exit_code() == 0


def test_a_run_that_stopped_says_why_and_how_to_go_on() -> None:
    """Hostile words stay words."""
    ended = run()
    ended.stop = Stop("the service said \x1b[2J", 7)
    ended.counts.update({"succeeded": 40, "failed": 3, "unknown": 1, "submitted": 7})
    ended.unsaved += [f"n{number}" for number in range(7)]
    for reason in ("refused: no", "lost: no", "refused: no"):
        ended.guard.ended(reason)
    lines = summary(ended, 9, go_on="hunyuan batch out/pending.jsonl --out out-2", report="out/report.html")
    assert lines == [
        "Stopped: the service said \\u001b[2J",
        "done 40   failed 3   unknown 1   to collect 7   to go 9",
        "1,250 credits spent, 25 at risk: about $2.55",
        "  2 x refused: no",
        "  1 x lost: no",
        *(f"Paid, not on disk: hunyuan task n{number} -o n{number}.png" for number in range(5)),
        "... and 2 more with status `submitted` in results.jsonl",
        "Go on:   hunyuan batch out/pending.jsonl --out out-2",
        "Report:  out/report.html",
    ]


def test_paid_tasks_that_stand_nowhere_else_are_all_shown() -> None:
    """A full disk may keep their lines out of the results; the emulator's are gone anyway."""
    ended = run()
    for number in range(9):
        error = TaskTimedOut("late", task_id=f"n{number}")
        outcome = Outcome(item(number).request, error=error)
        ended.unrecorded.append(result_line(item(number), outcome, Path("out"), API_IN_ONE))
        ended.unsaved.append(f"n{number}")
    shown = summary(ended, 0, go_on=None, report="")
    assert [f"Paid, not on disk: hunyuan task n{number} -o n{number}.png" for number in range(9)] == shown[3:-1]
    assert len(summary(ended, 0, go_on=None, report="", collectable=False)) == 4


@pytest.mark.parametrize(
    ("stop", "unknown", "succeeded", "code"),
    [(None, 0, 60, 0), (None, 0, 59, 1), (None, 1, 59, 3), (Stop("no", 6), 1, 40, 6), (Stop("no", 130), 0, 60, 130)],
)
def test_why_a_run_stopped_wins(stop: Stop | None, unknown: int, succeeded: int, code: int) -> None:
    """Then unknown items, then failed ones."""
    ended = run()
    ended.stop = stop
    ended.counts.update({"succeeded": succeeded, "unknown": unknown})
    assert ended.exit_code() == code


def test_what_is_left_is_an_input_again(tmp_path: Path) -> None:
    """It holds ids and everything else of the rows; the command takes a directory that is not there yet."""
    out = tmp_path / "my out"
    (tmp_path / "my out-2").mkdir()
    out.mkdir()
    pending = write_pending(out, [item(7)])
    assert pending.read_text() == (
        '{"sku": "s7", "prompt": "锦鲤 \\ud800", "type": "text-to-image", "size": "1024*1024", "images": [], '
        '"seed": 7, "id": "k7"}\n'
    )
    assert pending.stat().st_mode & 0o777 == 0o600
    assert go_on_command(pending, " --emulator") == f"hunyuan batch '{pending}' --out '{out}-3' --emulator"
