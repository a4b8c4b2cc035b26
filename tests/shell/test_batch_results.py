"""results.jsonl: what its lines say, and that the file is complete at any time."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async.cli.directories import open_run
from hunyuan_async.cli.result_lines import STATUS, end_status, failure_reason, result_line
from hunyuan_async.cli.results import write_results
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    DownloadFailed,
    HunyuanError,
    NotSent,
    SubmitUnknown,
    TaskFailed,
    TaskTimedOut,
)
from hunyuan_async.models import SavedImage
from hunyuan_async.settings import API_IN_ONE

if TYPE_CHECKING:
    from hunyuan_async.cli.result_lines import ResultLine
    from tests.shell.conftest import WriteRun

MakeItem = Callable[..., Item]

OUT = Path("out")


def write(out: Path) -> list[ResultLine]:
    """Write the results of a run and read them."""
    with open_run(out) as (reader, record):
        write_results(reader, record.run, out, API_IN_ONE)
    return lines(out)


def lines(out: Path) -> list[ResultLine]:
    """Read the results of a run."""
    return [json.loads(line) for line in (out / "results.jsonl").read_bytes().splitlines()]


def test_a_line_says_what_was_asked_for_and_what_came_of_it(batch_item: MakeItem) -> None:
    """It holds the request as it was sent, so that the image can be made again."""
    file = SavedImage(OUT / "images" / "0000" / "x7.png", "https://cdn.example/a", "ab" * 32, 9, 1024, 1000)
    assert result_line(batch_item(7, State.DOWNLOADED, files=(file,), attempt=2), OUT, API_IN_ONE) == {
        "id": "x7",
        "index": 7,
        "line": 9,
        "variation": 1,
        "attempt": 2,
        "status": "succeeded",
        "request": {
            "prompt": "a koi",
            "type": "text-to-image",
            "size": "1024*1024",
            "images": (),
            "seed": 7,
            "model": "hunyuan-image-3",
        },
        "input": {"sku": 7},
        "images": [
            {
                "path": "images/0000/x7.png",
                "url": "https://cdn.example/a",
                "sha256": "ab" * 32,
                "bytes": 9,
                "width": 1024,
                "height": 1000,
            }
        ],
        "task_id": "n7",
        "credits": 25,
        "error": None,
        "submitted_at": "2026-11-22T12:00:00.000Z",
        "finished_at": "2026-11-22T12:00:09.500Z",
    }


@pytest.mark.parametrize(
    ("state", "status", "credits"),
    [
        (State.PLANNED, "pending", 0),
        (State.SENDING, "unknown", 25),
        (State.SUBMITTED, "submitted", 25),
        (State.COMPLETED, "submitted", 25),
        (State.DOWNLOADED, "succeeded", 25),
        (State.REJECTED, "failed", 0),
        (State.FAILED, "failed", 25),
        (State.EXPIRED, "failed", 25),
        (State.LOST, "failed", 25),
        (State.UNKNOWN, "unknown", 25),
        (State.ABANDONED, "failed", 25),
        (State.SKIPPED, "skipped", 0),
    ],
)
def test_a_state_is_told_with_what_it_costs(state: State, status: str, credits: int, batch_item: MakeItem) -> None:
    """Paid and not yet collected is neither failed nor unknown."""
    row = result_line(batch_item(0, state), OUT, API_IN_ONE)
    assert (row["status"], row["credits"], {*STATUS}) == (status, credits, {*State})


@pytest.mark.parametrize(
    ("state", "error", "told"),
    [
        (
            State.REJECTED,
            ContentRefused("no", code="1301"),
            {"kind": "refused", "message": "no", "code": "1301", "charged": "no", "retry": "after_change"},
        ),
        (State.DOWNLOADED, DownloadFailed("it was gone once"), None),
        (State.SUBMITTED, None, None),
        (
            State.SKIPPED,
            None,
            {"kind": "gone", "message": "no longer in the input", "code": None, "charged": "no", "retry": "no"},
        ),
    ],
)
def test_an_error_is_told_in_fields(
    state: State, error: HunyuanError | None, told: dict[str, str] | None, batch_item: MakeItem
) -> None:
    """A program can tell what to do; what came right in the end has none."""
    assert result_line(batch_item(0, state, error=error), OUT, API_IN_ONE)["error"] == told


def test_a_repeat_names_what_is_made(batch_item: MakeItem) -> None:
    """It is told apart from a row that is no longer asked for."""
    item = batch_item(1, State.SKIPPED)
    item.detail = {**item.detail, "duplicate_of": "x0"}
    error = result_line(item, OUT, API_IN_ONE)["error"]
    assert error
    assert (error["kind"], error["message"]) == ("duplicate", "the same as x0, which is made")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ContentRefused("no"), "failed"),
        (NotSent("no"), "pending"),
        (TaskFailed("no", task_id="n1"), "failed"),
        (SubmitUnknown("?"), "unknown"),
        (TaskTimedOut("late", task_id="n1"), "submitted"),
        (DownloadFailed("disk", task_id="n1"), "submitted"),
        (AuthError("key", task_id="n1", charged="yes"), "submitted"),
        (DownloadFailed("gone", task_id="n1", kind="expired"), "failed"),
        (TaskFailed("no address", task_id="n1", charged="yes"), "failed"),
        (AuthError("key"), "pending"),
    ],
)
def test_an_error_tells_how_an_item_stands(error: HunyuanError, status: str) -> None:
    """What met a trouble of the whole run and cost nothing is still to go."""
    assert end_status(error) == status


def test_failures_that_differ_in_an_id_or_an_address_are_one() -> None:
    """They are counted together, and no signed address is shown."""
    errors = [TaskFailed(f"task {n} failed: see https://cdn.example/{n}?s=1 now", task_id=n) for n in ("n1", "n2")]
    assert {failure_reason(error) for error in errors} == {"task_failed: task failed: see (address) now"}


def test_the_file_holds_the_latest_attempt_of_every_item(batch_item: MakeItem, write_run: WriteRun) -> None:
    """It is in the order of the input, whatever it held before, and nothing else is left beside it."""
    items = [batch_item(0, State.DOWNLOADED), batch_item(1), batch_item(2, State.REJECTED)]
    out = write_run(*items)
    (out / "results.jsonl").write_text("koi")
    assert [(row["id"], row["status"]) for row in write(out)] == [
        ("x0", "succeeded"),
        ("x1", "pending"),
        ("x2", "failed"),
    ]
    write_run(batch_item(0, State.UNKNOWN, attempt=2))
    assert [(row["status"], row["attempt"]) for row in write(out)] == [("unknown", 2), ("pending", 1), ("failed", 1)]
    assert [name for name in os.listdir(out) if "results" in name] == ["results.jsonl"]


def test_a_full_disk_leaves_the_results_as_they_were(batch_item: MakeItem, write_run: WriteRun) -> None:
    """The old file stays whole, and no part of the new one lies about."""
    out = write_run(*(batch_item(index) for index in range(50)))
    rows = write(out)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_run(out) as (reader, record):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                write_results(reader, record.run, out, API_IN_ONE)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert lines(out) == rows
    assert [name for name in os.listdir(out) if "results" in name] == ["results.jsonl"]


def test_any_text_survives(batch_item: MakeItem, write_run: WriteRun) -> None:
    """Other scripts stay readable in the file; half a character and line separators survive too."""
    prompt = "锦鲤 \u2028 \ud800 \n é"
    (row,) = write(out := write_run(batch_item(0, prompt=prompt)))
    assert row["request"]["prompt"] == prompt
    assert "锦鲤" in (out / "results.jsonl").read_text(encoding="utf-8")


def test_only_the_owner_may_read_the_file(batch_item: MakeItem, write_run: WriteRun) -> None:
    """It holds prompts, and addresses that may be signed."""
    write(out := write_run(batch_item(0)))
    assert (out / "results.jsonl").stat().st_mode & 0o777 == 0o600


def test_times_are_in_utc_wherever_they_are_from(batch_item: MakeItem) -> None:
    """Lines of machines in different places compare."""
    local = datetime(2026, 11, 22, 13, tzinfo=UTC).astimezone()
    assert result_line(batch_item(0, submitted_at=local), OUT, API_IN_ONE)["submitted_at"] == "2026-11-22T13:00:00.000Z"
