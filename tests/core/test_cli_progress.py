"""What a run shows of itself."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest
from rich.console import Console

from hunyuan_async.cli.panel import render
from hunyuan_async.cli.progress import Progress, Snapshot
from hunyuan_async.cli.views import JsonLines, Lines, open_view
from hunyuan_async.errors import AuthError, HunyuanError, NotSent, SubmitUnknown, TaskFailed, TaskTimedOut
from hunyuan_async.events import Downloaded, Failed, Paused, Statistics, Submitted
from hunyuan_async.models import SavedImage

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
BUSY = Statistics(
    waiting=900,
    in_flight=64,
    slots=64,
    saving=3,
    credits_spent=1_250_000,
    credits_reserved=50,
    credits_at_risk=25,
    limited=7,
    rate=12.5,
    rate_found=12.75,
    waited={"rate": 0.5, "slots": 40.0, "pause": 130.0},
    latency_p50=9.23,
    latency_p95=14.06,
    polls_per_task=2.31,
    notice_delay=1.14,
    waiting_for="all 64 slots are in use",
)
SNAPSHOT = Snapshot(
    title="prompts.txt -> out",
    total=60_000,
    done=49_000,
    failed=900,
    unknown=1,
    to_collect=0,
    per_minute=310.0,
    note=None,
    statistics=BUSY,
)


def picture(snapshot: Snapshot, width: int = 78) -> str:
    """The panel as it stands on a terminal without colours."""
    console = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(snapshot, width))
    return capture.get()


def test_the_panel_tells_everything_without_colour() -> None:
    """It fits a terminal of 80 columns, with room for the ^C that one echoes."""
    lines = picture(SNAPSHOT).splitlines()
    assert {len(line) for line in lines} == {78}
    text = "\n".join(line.strip("│ ").rstrip() for line in lines)
    for told in (
        "prompts.txt -> out",
        "49,901 of 60,000",
        "done 49,000   failed 900   unknown 1   in flight 64 of 64   saving 3",
        "310 images/min   to go 33 min   requests 12.5 of 12.8/s, limited 7 times",
        "images take 9.2 s (95%: 14.1 s), 2.3 looks each, noticed after 1.1 s",
        "held back 2 min by pauses, 40 s by slots",
        "credits 1,250,000 spent, 50 reserved, 25 at risk",
        "waiting: all 64 slots are in use",
    ):
        assert told in text


def test_what_comes_from_outside_cannot_draw() -> None:
    """Neither escape sequences nor markup get through."""
    seen = attrs.evolve(BUSY, waiting_for="\x1b[2J[bold]said\nthe service")
    text = picture(attrs.evolve(SNAPSHOT, title="[red]a\x1b[2J", statistics=seen))
    assert "\x1b" not in text
    assert "[red]a\\u001b[2J" in text
    assert "waiting: \\u001b[2J[bold]said the service" in text


@pytest.mark.parametrize(
    ("snapshot", "activity"),
    [
        (SNAPSHOT, "waiting: all 64 slots are in use"),
        (attrs.evolve(SNAPSHOT, note="stopping: no"), "stopping: no"),
        (attrs.evolve(SNAPSHOT, done=60_000), "finished"),
        (attrs.evolve(SNAPSHOT, statistics=Statistics(waiting=1)), "sending"),
        (attrs.evolve(SNAPSHOT, statistics=Statistics(in_flight=1)), "collecting"),
    ],
)
def test_a_run_says_what_it_does(snapshot: Snapshot, activity: str) -> None:
    """It waits for something, sends, collects, stops, or is finished."""
    assert snapshot.activity == activity


@attrs.define
class Clock:
    """A clock that stands still unless set."""

    now: float = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def failed(error: HunyuanError) -> Failed:
    """The event of an item that ended with *error*."""
    return Failed(when=NOON, id="x", error=error)


def test_images_are_counted_from_events() -> None:
    """What met a trouble of the whole run is still to go, and what is paid and not saved can be collected."""
    clock = Clock()
    progress = Progress("koi", 10, clock=clock)
    assert progress.snapshot().per_minute is None
    clock.now = 30.0
    progress.happened(Downloaded(when=NOON, id="a", task_id="n1", files=()))
    for error in (
        TaskFailed("no"),
        SubmitUnknown("?"),
        TaskTimedOut("late", task_id="n2"),
        AuthError("key"),
        NotSent("no connection"),
    ):
        progress.happened(failed(error))
    seen = progress.snapshot()
    assert (seen.done, seen.failed, seen.unknown, seen.to_collect) == (1, 1, 1, 1)
    assert (seen.ended, seen.per_minute, seen.eta) == (4, 8.0, 45.0)
    assert "to collect 1" in seen.counts
    clock.now = 91.0
    assert progress.snapshot().per_minute is None


def test_trouble_is_told_every_five_minutes(capsys: pytest.CaptureFixture[str]) -> None:
    """What heals by itself does not fill the screen."""
    clock = Clock()
    lines = Lines(clock)
    for clock.now in (0.0, 1.0, 299.0, 300.0):
        lines.happened(Paused(when=NOON, reason=f"no connection\x1b {clock.now:.0f}", seconds=1.0))
    said = [line.partition("  ")[2] for line in capsys.readouterr().err.splitlines()]
    assert said == [f"waiting: no connection\\u001b {second}" for second in (0, 300)]


def test_lines_say_the_same_as_the_panel(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a snapshot, on stderr."""
    Lines().show(SNAPSHOT)
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.endswith(
        "  49,901 of 60,000   "
        + "   ".join([SNAPSHOT.counts, SNAPSHOT.speed, SNAPSHOT.money, "waiting: all 64 slots are in use\n"])
    )


def test_json_lines_hold_events_and_snapshots(capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that a program wants, and no address, which may be signed."""
    view = JsonLines()
    view.happened(Submitted(when=NOON, id="a", task_id="n1", credits=25, seconds=1.5))
    image = SavedImage(Path("out/a.png"), "https://cdn.example/secret", "ab" * 32, 9, 64, 32)
    view.happened(Downloaded(when=NOON, id="a", task_id="n1", files=(image,)))
    view.happened(failed(TaskFailed("no", task_id="n2")))
    view.show(SNAPSHOT)
    streams = capsys.readouterr()
    submitted, downloaded, failure, progress = map(json.loads, streams.out.splitlines())
    assert submitted == {
        "event": "submitted",
        "when": "2026-11-22T12:00:00+00:00",
        "id": "a",
        "tenant": "",
        "task_id": "n1",
        "credits": 25,
        "seconds": 1.5,
    }
    assert downloaded["files"] == [{"path": "out/a.png", "sha256": "ab" * 32, "bytes": 9, "width": 64, "height": 32}]
    assert failure["error"] == {"kind": "task_failed", "message": "no", "charged": "unknown", "task_id": "n2"}
    assert (progress["event"], progress["done"], progress["statistics"]["slots"]) == ("progress", 49_000, 64)
    assert "secret" not in streams.out + streams.err


def test_without_a_terminal_there_are_lines() -> None:
    """A panel is for a terminal that can draw it."""
    assert isinstance(open_view(None), Lines)
