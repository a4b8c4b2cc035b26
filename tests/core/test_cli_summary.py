"""The last lines of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from hunyuan_async._core.lifecycle import State
from hunyuan_async.cli.batch_run import BatchRun, Stop
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.cli.status import RunStatus
from hunyuan_async.cli.summary import summary


def run(stop: Stop | None = None) -> BatchRun:
    """A run that has ended."""
    return BatchRun(FailureGuard(), Progress("koi", 60), View(), stop)


def standing(items: Mapping[State, int]) -> RunStatus:
    """A directory in which nobody works any more."""
    return RunStatus(None, items, 1250, 0, 25, None, Counter())


def test_a_run_that_ended_well_says_so() -> None:
    """What it made and cost, and where to look."""
    ended_well = standing({State.DOWNLOADED: 60, State.SKIPPED: 3})
    assert summary(run(), ended_well, Path("out"), report="out/report.html") == [
        "Finished.",
        "done 60   failed 0   unknown 0   to go 0",
        "1,250 credits spent, 25 at risk: about $2.55",
        "Report:  out/report.html",
    ]


def test_a_run_that_stopped_says_why_and_how_to_go_on() -> None:
    """Hostile words stay words, and of what the emulator had nothing is to be fetched."""
    ended = run(Stop("the service said \x1b[2J", 7))
    for reason in ("refused: no", "lost: no", "refused: no"):
        ended.guard.ended(reason)
    ended.unrecorded += ["n1", "n2"]
    states = {
        State.PLANNED: 9,
        State.SUBMITTED: 5,
        State.COMPLETED: 2,
        State.REJECTED: 2,
        State.LOST: 1,
        State.UNKNOWN: 1,
        State.DOWNLOADED: 40,
    }
    lines = summary(ended, standing(states), Path("my out"), report="my out/report.html")
    assert lines == [
        "Stopped: the service said \\u001b[2J",
        "done 40   failed 3   unknown 1   to collect 7   to go 9",
        "1,250 credits spent, 25 at risk: about $2.55",
        "  2 x refused: no",
        "  1 x lost: no",
        "Paid, not recorded: hunyuan task n1 -o n1.png",
        "Paid, not recorded: hunyuan task n2 -o n2.png",
        "Unknown: hunyuan unknown 'my out'",
        "Go on:   hunyuan resume 'my out'",
        "Report:  my out/report.html",
    ]
    without = summary(ended, standing(states), Path("my out"), report="my out/report.html", collectable=False)
    assert without == [line for line in lines if not line.startswith("Paid")]


@pytest.mark.parametrize(
    ("states", "code"),
    [
        ({State.DOWNLOADED: 60, State.SKIPPED: 1, State.PLANNED: 1}, 0),
        ({State.DOWNLOADED: 59, State.SUBMITTED: 1}, 1),
        ({State.DOWNLOADED: 59, State.ABANDONED: 1}, 1),
        ({State.REJECTED: 1, State.UNKNOWN: 1}, 3),
    ],
)
def test_the_worst_end_of_an_item_is_told_to_the_shell(states: dict[State, int], code: int) -> None:
    """First what nobody knows, then what failed or did not come."""
    assert standing(states).exit_code() == code
