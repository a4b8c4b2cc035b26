"""`hunyuan status`, `unknown` and `log`: how things stand, live or dead, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest
from click.testing import CliRunner, Result

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async.cli.app import hunyuan
from hunyuan_async.cli.commands.status import follow
from hunyuan_async.cli.directories import log_folder, open_run
from hunyuan_async.cli.status import WORDS, RunStatus, look
from hunyuan_async.errors import ContentRefused, SubmitUnknown, TaskFailed

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

MakeItem = Callable[..., Item]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def run(*arguments: str | Path) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(hunyuan, [*map(str, arguments)])


def seen(out: Path, item: Item, after: timedelta) -> RunStatus:
    """How a run stands some time after *item* was sent."""
    assert item.sending_at
    with open_run(out) as (reader, record):
        return look(reader, record.run, item.sending_at + after)


@pytest.fixture
def busy(batch_item: MakeItem, write_run: WriteRun) -> Path:
    """A run with something of everything."""
    unknown = SubmitUnknown("?")
    unknown.request_ids = {"x-request-id": "abc\x1b[2J"}
    return write_run(
        batch_item(0, State.DOWNLOADED),
        batch_item(1, State.DOWNLOADED),
        batch_item(2, State.FAILED, error=TaskFailed("task n2 failed", task_id="n2")),
        batch_item(3, State.FAILED, error=TaskFailed("task n3 failed", task_id="n3")),
        batch_item(4, State.REJECTED, error=ContentRefused("no \x1b[2J")),
        batch_item(5, State.SENDING),
        batch_item(6, State.SUBMITTED),
        batch_item(7, State.UNKNOWN, error=unknown, prompt="a \x1b[2J koi " * 20),
        batch_item(8),
        batch_item(9, State.SKIPPED),
    )


def test_every_state_has_a_word() -> None:
    """And no two have the same."""
    assert {*WORDS} == {*State}
    assert len({*WORDS.values()}) == len(WORDS)


def test_a_dead_run_says_how_it_stands_and_how_to_go_on(busy: Path) -> None:
    """What was being sent is at risk, for nobody waits for the answer any more; hostile words stay words."""
    shown = run("status", busy)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "Runner   none",
        "Images   9:   to go 1   at the service 1   done 2   refused 1   failed 2   unknown 2   left out 1",
        "Credits  125 spent, 0 reserved, 50 at risk: about $0.35",
        "Speed    - images/min of late, to go -",
        "Latest failures:",
        "  2 x task_failed: task failed",
        "  1 x refused: no \\u001b[2J",
    ]
    assert f"Go on with: hunyuan resume {busy}" in shown.stderr
    assert f"hunyuan unknown {busy}" in shown.stderr


def test_a_live_run_is_looked_at_without_disturbing_it(busy: Path) -> None:
    """Its runner is named; what is being sent is reserved and not yet at risk."""
    with JournalFile.open(busy / "journal.sqlite", busy):
        shown = json.loads(run("status", busy, "--json").stdout)
        listed = run("unknown", busy, "--json").stdout
    assert shown["runner"].startswith("process ")
    assert shown["items"]["sending"] == shown["items"]["unknown"] == 1
    assert shown["credits"] == {"spent": 125, "reserved": 25, "at_risk": 25}
    assert [json.loads(line)["id"] for line in listed.splitlines()] == ["x7"]


@pytest.mark.parametrize(
    ("after", "per_minute"), [(10.0, 12.0), (60.0, 2.0), (600.0, 0.2), (605.0, 0.2), (700.0, None)]
)
def test_the_speed_is_that_of_the_last_ten_minutes(busy: Path, after: float, per_minute: float | None) -> None:
    """A run that began later is measured from its first request on; the rest is guessed only while somebody works."""
    with open_run(busy) as (reader, record):
        [done, *_] = reader.items(record.run, [State.DOWNLOADED])
    dead = seen(busy, done, timedelta(seconds=after))
    with JournalFile.open(busy / "journal.sqlite", busy):
        live = seen(busy, done, timedelta(seconds=after))
    assert live.per_minute == dead.per_minute == (per_minute and pytest.approx(per_minute))
    assert dead.seconds_left is None
    assert live.seconds_left == (per_minute and pytest.approx(3 / per_minute * 60))


def test_watching_ends_with_the_runner(batch_item: MakeItem, write_run: WriteRun) -> None:
    """What the runner stored last is shown; without a runner there is one look."""
    out = write_run(batch_item(0))
    shown: list[dict[State, int]] = []
    runner = JournalFile.open(out / "journal.sqlite", out)

    def work(_: float) -> None:
        if runner.totals(record.run) == {State.PLANNED: 1}:
            runner.record(attrs.evolve(batch_item(0), run=record.run), Step.SEND)
        else:
            runner.record(attrs.evolve(batch_item(0, State.SUBMITTED), run=record.run), Step.ACCEPT)
            runner.close()

    with open_run(out) as (reader, record):
        follow(lambda: look(reader, record.run), lambda it: shown.append({**it.items}), watch=True, pause=work)
    assert shown == [{State.PLANNED: 1}, {State.SENDING: 1}, {State.SUBMITTED: 1}]
    assert len(run("status", out, "--watch", "--json").stdout.splitlines()) == 1


def test_unknown_requests_are_listed_for_the_vendor_and_with_what_to_do(busy: Path) -> None:
    """By id, prompt, time, request ids and credits; one that was being sent when its runner died is among them."""
    listed = run("unknown", busy)
    assert listed.exit_code == 3
    assert listed.stdout.splitlines() == [
        "x5   sent 2026-11-22 12:00:00 UTC   25 credits at risk",
        "    a koi",
        "x7   sent 2026-11-22 12:00:00 UTC   25 credits at risk",
        "    " + ("a \\u001b[2J koi " * 20)[:67] + "...",
        "    x-request-id abc\\u001b[2J",
    ]
    assert "2 unknown, 50 credits at risk." in listed.stderr
    for way in ("--task-id T", "--not-charged", "--resubmit", "--abandon"):
        assert f"hunyuan resolve {busy} ID {way}" in listed.stderr
    assert json.loads(run("unknown", busy, "--json").stdout.splitlines()[1]) == {
        "id": "x7",
        "attempt": 1,
        "prompt": "a \x1b[2J koi " * 20,
        "sent_at": "2026-11-22T12:00:00.000Z",
        "task_id": None,
        "request_ids": {"x-request-id": "abc\x1b[2J"},
        "credits": 25,
        "message": "?",
    }


def test_a_run_without_unknown_requests_says_so(batch_item: MakeItem, write_run: WriteRun) -> None:
    """Its exit code tells a script."""
    listed = run("unknown", write_run(batch_item(0, State.DOWNLOADED)))
    assert (listed.exit_code, listed.stdout, listed.stderr) == (0, "", "nothing is unknown\n")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's own journals are."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return log_folder()


def test_the_log_is_of_all_journals_the_latest_first(folder: Path, batch_item: MakeItem) -> None:
    """A paid image that is not on disk comes with the command that fetches it."""
    minute = timedelta(minutes=1)
    rows = (
        ("a", 0, State.DOWNLOADED, [Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.SAVE]),
        ("b", 1, State.SUBMITTED, [Step.SEND, Step.ACCEPT]),
        ("b", 2, State.REJECTED, [Step.SEND, Step.REJECT]),
    )
    for name, index, state, steps in rows:
        item = batch_item(index, state)
        item.sending_at = NOON + index * minute
        with JournalFile.open(folder / f"{name}.sqlite") as file:
            for step in steps:
                file.record(item, step)
    shown = run("log")
    assert (shown.exit_code, shown.stderr) == (0, "")
    assert shown.stdout.splitlines() == [
        "2026-11-22 12:02:00 UTC  refused         no task  seed 2  a koi",
        "2026-11-22 12:01:00 UTC  at the service  task n1  seed 1  a koi",
        "    paid; fetch it with: hunyuan task n1 -o a-koi-1.png",
        "2026-11-22 12:00:00 UTC  done            task n0  seed 0  a koi",
    ]
    assert [json.loads(line)["seed"] for line in run("log", "--limit", "2", "--json").stdout.splitlines()] == [2, 1]


def test_an_attached_task_is_logged_by_its_id(folder: Path) -> None:
    """What was asked for, and when, nobody knows."""
    with JournalFile.open(folder / "a.sqlite") as file:
        file.record(Item("n1", None, 0, State.SUBMITTED, "n1"), Step.COMPLETE)
    lines = run("log").stdout.splitlines()
    assert [line.split() for line in lines] == [
        ["-", "made", "task", "n1"],
        ["fetch", "it", "once", "more", "with:", "hunyuan", "task", "n1", "-o", "n1.png"],
    ]
    assert json.loads(run("log", "--json").stdout)["prompt"] is None


def test_an_empty_log_says_where_it_would_be(folder: Path) -> None:
    """Nobody has to look for it."""
    shown = run("log")
    assert (shown.exit_code, shown.stdout) == (0, "")
    assert str(folder) in shown.stderr
