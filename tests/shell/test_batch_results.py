"""results.jsonl: what its lines say, and that none is lost, doubled or torn."""

from __future__ import annotations

import os
import resource
from datetime import datetime, timedelta, timezone
from pathlib import Path

import attrs
import pytest

from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.result_lines import ResultLine, result_line
from hunyuan_async.cli.results import ResultsFile, read_results
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    DownloadFailed,
    HunyuanError,
    InvalidRequest,
    NotSent,
    SubmitUnknown,
    TaskFailed,
    TaskTimedOut,
)
from hunyuan_async.models import ImageRequest, ImageResult, Outcome, SavedImage
from hunyuan_async.settings import API_IN_ONE

NOON = datetime(2026, 11, 22, 13, tzinfo=timezone(timedelta(hours=1)))
OUT = Path("out")


def item(index: int, prompt: str = "a koi") -> BatchItem:
    """An item with the id x0, x1, ..."""
    return BatchItem(f"x{index}", index, index + 2, 1, ImageRequest(prompt, id=f"x{index}"), {"sku": 7})


def line(index: int, outcome: Outcome | None = None, out: Path = OUT) -> ResultLine:
    """The line of an item that failed, or else had *outcome*."""
    return result_line(item(index), outcome or Outcome(None, error=TaskFailed("no")), out, API_IN_ONE)


def statuses(out: Path) -> dict[str, str]:
    """Status by id, in the order of the file."""
    return {row["id"]: row["status"] for row in read_results(out / "results.jsonl")}


def test_a_line_says_what_was_asked_for_and_what_came_of_it() -> None:
    """It holds the request as it was sent, so that the image can be made again."""
    request = attrs.evolve(item(0).request, seed=7)
    result = ImageResult("n1", request, ("https://cdn.example/a",), 25, NOON, NOON + timedelta(seconds=9.5))
    file = SavedImage(OUT / "images" / "0000" / "x0.png", "https://cdn.example/a", "ab" * 32, 9, 1024, 1000)
    assert line(0, Outcome(request, result, files=(file,))) == {
        "id": "x0",
        "index": 0,
        "line": 2,
        "variation": 1,
        "attempt": 1,
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
                "path": "images/0000/x0.png",
                "url": "https://cdn.example/a",
                "sha256": "ab" * 32,
                "bytes": 9,
                "width": 1024,
                "height": 1000,
            }
        ],
        "task_id": "n1",
        "credits": 25,
        "error": None,
        "submitted_at": "2026-11-22T12:00:00.000Z",
        "finished_at": "2026-11-22T12:00:09.500Z",
    }


@pytest.mark.parametrize(
    ("error", "status", "credits"),
    [
        (ContentRefused("no"), "failed", 0),
        (NotSent("no"), "pending", 0),
        (TaskFailed("no", task_id="n1"), "failed", 25),
        (TaskFailed("no", task_id="n1", charged="no"), "failed", 0),
        (SubmitUnknown("?"), "unknown", 25),
        (TaskTimedOut("late", task_id="n1"), "submitted", 25),
        (DownloadFailed("disk", task_id="n1"), "submitted", 25),
        (AuthError("key", task_id="n1", charged="yes"), "submitted", 25),
        (DownloadFailed("gone", task_id="n1", kind="expired"), "failed", 25),
        (TaskFailed("no address", task_id="n1", charged="yes"), "failed", 25),
        (AuthError("key"), "pending", 0),
    ],
)
def test_errors_are_told_with_what_they_cost(error: HunyuanError, status: str, credits: int) -> None:
    """Paid and not yet collected is neither failed nor unknown."""
    row = result_line(item(0), Outcome(item(0).request, error=error), OUT, API_IN_ONE, submitted_at=NOON, ended_at=NOON)
    assert (row["status"], row["credits"], row["task_id"]) == (status, credits, error.task_id)
    assert row["error"] == {
        "kind": error.kind,
        "message": error.message,
        "code": None,
        "charged": error.charged,
        "retry": error.retry,
    }
    assert row["submitted_at"] == row["finished_at"] == "2026-11-22T12:00:00.000Z"


def test_what_never_ended_is_pending_and_a_repeat_is_skipped() -> None:
    """Both cost nothing."""
    repeat = attrs.evolve(item(1), duplicate_of="x0")
    rows = [result_line(each, None, OUT, API_IN_ONE) for each in (item(0), repeat)]
    assert [row["status"] for row in rows] == ["pending", "skipped"]
    assert [row["credits"] for row in rows] == [0, 0]
    assert [row["finished_at"] for row in rows] == [None, None]


def test_the_last_line_of_an_id_wins(tmp_path: Path) -> None:
    """A later attempt replaces an earlier one."""
    with ResultsFile(tmp_path) as results:
        results.append(line(0))
        results.append(line(1))
        results.append(line(0, Outcome(None, error=SubmitUnknown("?"))))
    assert statuses(tmp_path) == {"x1": "failed", "x0": "unknown"}


def test_every_line_is_on_disk_when_it_is_appended(tmp_path: Path) -> None:
    """A crash of this process loses no line."""
    with ResultsFile(tmp_path) as results:
        results.append(line(0))
        assert statuses(tmp_path) == {"x0": "failed"}


def test_the_rewritten_file_is_in_input_order_and_complete(tmp_path: Path) -> None:
    """One line for every item, and none that stood there is lost."""
    items = [item(index) for index in range(4)]
    items[2] = attrs.evolve(items[2], duplicate_of="x0")
    with ResultsFile(tmp_path) as results:
        for index in (9, 3, 0, 3):
            results.append(line(index))
        results.rewrite(items, API_IN_ONE)
    assert list(statuses(tmp_path).items()) == [
        ("x0", "failed"),
        ("x1", "pending"),
        ("x2", "skipped"),
        ("x3", "failed"),
        ("x9", "failed"),
    ]
    assert len((tmp_path / "results.jsonl").read_bytes().splitlines()) == 5
    assert os.listdir(tmp_path) == ["results.jsonl"]


@pytest.mark.parametrize("torn", [b'{"id":"x1","ind', b"\xff", b"x"])
def test_a_torn_last_line_is_dropped(torn: bytes, tmp_path: Path) -> None:
    """What a crash left of a line neither counts nor spoils the next one."""
    path = tmp_path / "results.jsonl"
    with ResultsFile(tmp_path) as results:
        results.append(line(0))
    with path.open("ab") as file:
        file.write(torn)
    assert statuses(tmp_path) == {"x0": "failed"}
    with ResultsFile(tmp_path) as results:
        results.append(line(2))
        assert statuses(tmp_path) == {"x0": "failed", "x2": "failed"}
        results.rewrite([item(1), item(2), item(0)], API_IN_ONE)
    assert statuses(tmp_path) == {"x1": "pending", "x2": "failed", "x0": "failed"}


def test_a_line_that_did_not_fit_on_the_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    """The lines before it stay readable, and later ones can follow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ResultsFile(tmp_path) as results:
        results.append(line(0))
        size = (tmp_path / "results.jsonl").stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        try:
            with pytest.raises(OSError, match="too large"):
                results.append(line(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        results.append(line(2))
    assert statuses(tmp_path) == {"x0": "failed", "x2": "failed"}


@pytest.mark.parametrize("text", ["{}\n", "[]\n", "koi\n", '{"id": "x"}\n', "\n"])
def test_a_file_that_holds_something_else_is_an_error(text: str, tmp_path: Path) -> None:
    """Nothing is written to or read from what is no results file."""
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(InvalidRequest, match="not a result"):
        ResultsFile(tmp_path)
    assert (tmp_path / "results.jsonl").read_text() == text


def test_any_text_survives(tmp_path: Path) -> None:
    """Other scripts stay readable in the file; half a character and line separators survive too."""
    prompt = "锦鲤 \u2028 \ud800 \n é"
    with ResultsFile(tmp_path) as results:
        results.append(result_line(item(0, prompt), None, tmp_path, API_IN_ONE))
    (row,) = read_results(tmp_path / "results.jsonl")
    assert row["request"]["prompt"] == prompt
    assert "锦鲤" in (tmp_path / "results.jsonl").read_text(encoding="utf-8")


def test_only_the_owner_may_read_the_file(tmp_path: Path) -> None:
    """It holds prompts, and addresses that may be signed."""
    with ResultsFile(tmp_path) as results:
        results.append(line(0))
        assert (tmp_path / "results.jsonl").stat().st_mode & 0o777 == 0o600
        results.rewrite([item(0)], API_IN_ONE)
    assert (tmp_path / "results.jsonl").stat().st_mode & 0o777 == 0o600
