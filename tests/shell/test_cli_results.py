"""`hunyuan results`: rows that say what came of them, and that go back into a batch."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Planning
from hunyuan_async.cli.app import hunyuan
from hunyuan_async.cli.inputs import BadLine, Format, read_rows
from hunyuan_async.cli.items import RowOptions, read_items
from hunyuan_async.cli.result_rows import COLUMNS
from hunyuan_async.cli.seen import Seen
from hunyuan_async.cli.templates import parse_template
from hunyuan_async.errors import ContentRefused, HunyuanError, TaskFailed
from hunyuan_async.models import SavedImage

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

MakeItem = Callable[..., Item]

ROWS: list[dict[str, object]] = [
    {"id": "a", "prompt": " a koi\npond ", "seed": 7, "price": "=1+1", "note": None},
    {"prompt": "'@home' neon, \"锦鲤\"", "size": "16:9", "seed": -1},
    {"prompt": "=koi"},
    {"prompt": "=koi", "tags": ["x", 1]},
    {"prompt": "night", "type": "edit", "images": ["https://a.example/1", "https://a.example/2"], "result_run": "old"},
]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS).encode()


def run(*arguments: str | Path) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(hunyuan, ["results", *map(str, arguments)])


def rows(*arguments: str | Path) -> list[dict[str, object]]:
    """What it prints."""
    return [json.loads(line) for line in run(*arguments).stdout.splitlines()]


def plan(out: Path, source: bytes, form: Format, options: RowOptions) -> Planning:
    """Plan an input as a batch does, and let what is planned be submitted."""
    with JournalFile.open(out / "journal.sqlite", out) as file:
        record = file.begin_run()
        with file.planning(record.run) as planning, Seen() as seen:
            for item in read_items(read_rows(io.BytesIO(source), form), options, record, seen):
                assert not isinstance(item, BadLine)
                planning.add(item)
            planning.keep = True
        for item in file.items(record.run, [State.PLANNED]):
            file.record(item, Step.SEND)
    return planning


def test_a_row_is_its_input_and_then_its_result(batch_item: MakeItem, write_run: WriteRun, tmp_path: Path) -> None:
    """Paths are as seen from here; what an earlier result left in the input gives way to the fresh one."""
    out = tmp_path / "out"
    file = SavedImage(out / "images" / "x7.png", "https://cdn.example/a", "ab" * 32, 9, 8, 8)
    item = batch_item(7, State.DOWNLOADED, files=(file,))
    item.detail = {**item.detail, "input": {"result_status": "failed", "sku": 7, "result_run": "before"}}
    (row,) = rows(write_run(item, out=out))
    assert [*row.items()] == [
        ("id", "x7"),
        ("prompt", "a koi"),
        ("sku", 7),
        ("result_status", "succeeded"),
        ("result_kind", None),
        ("result_message", None),
        ("result_charged", None),
        ("result_credits", 25),
        ("result_attempt", 1),
        ("result_task_id", "n7"),
        ("result_seed", 7),
        ("result_images", [str(out / "images" / "x7.png")]),
        ("result_run", str(out)),
    ]


@pytest.mark.parametrize("form", ["jsonl", "csv"])
@pytest.mark.parametrize(
    "options", [RowOptions(), RowOptions(variations=2), RowOptions(prompt=parse_template("{prompt} at night"))]
)
def test_rows_that_come_back_unchanged_are_known(form: Format, options: RowOptions, tmp_path: Path) -> None:
    """Nothing is made again, whatever they hold, and a repeat is still one."""
    first = plan(tmp_path, LINES, "jsonl", options)
    assert (first.new, first.repeats) == (4 * options.variations, options.variations)
    printed = run(tmp_path, "--format", form).stdout_bytes
    again = plan(tmp_path, printed, form, RowOptions())
    assert (again.new, again.changed, again.edited, again.known) == (0, 0, 0, first.new)
    assert again.repeats == first.repeats


def test_a_table_has_the_columns_of_all_rows(batch_item: MakeItem, write_run: WriteRun, tmp_path: Path) -> None:
    """It opens in a spreadsheet: marked as UTF-8, no formula in it, and images in one cell."""
    files = tuple(SavedImage(tmp_path / name, "https://cdn.example/a", "ab" * 32, 9, 8, 8) for name in "ab")
    first = batch_item(0, State.DOWNLOADED, files=files)
    second = batch_item(1)
    second.detail = {**second.detail, "input": {"=price": "=1+1"}, "given": {"prompt": "锦鲤", "images": ["a", "b"]}}
    data = run(write_run(first, second), "--format", "csv").stdout_bytes
    header, *table = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    assert data.startswith(b"\xef\xbb\xbf")
    assert header == ["id", "prompt", "images", "sku", "'=price", *COLUMNS]
    assert table[0][:5] == ["x0", "a koi", "", "7", ""]
    assert table[1][:6] == ["x1", "锦鲤", "a b", "", "'=1+1", "pending"]
    assert table[0][-2] == f"{tmp_path / 'a'};{tmp_path / 'b'}"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), ["x0", "x1", "x2", "x3"]),
        (("--status", "failed"), ["x1", "x2"]),
        (("--status", "failed", "--status", "pending"), ["x0", "x1", "x2"]),
        (("--kind", "refused"), ["x1"]),
        (("--status", "failed", "--kind", "refused", "--kind", "gone"), ["x1"]),
        (("--kind", "gone", "--format", "csv"), ["x3"]),
    ],
)
def test_rows_are_chosen_by_status_and_kind(
    options: tuple[str, ...], ids: list[str], batch_item: MakeItem, write_run: WriteRun
) -> None:
    """Both must hold if both are given."""
    errors: list[HunyuanError] = [ContentRefused("no"), TaskFailed("no")]
    failed = [batch_item(index, State.FAILED, error=error) for index, error in enumerate(errors, start=1)]
    out = write_run(batch_item(0), *failed, batch_item(3, State.SKIPPED))
    printed = run(out, *options).stdout
    if "csv" in options:
        assert [row["\ufeffid"] for row in csv.DictReader(io.StringIO(printed))] == ids
    else:
        assert [json.loads(line)["id"] for line in printed.splitlines()] == ids


def test_several_runs_merge(batch_item: MakeItem, write_run: WriteRun, tmp_path: Path) -> None:
    """Every row says which one it is of."""
    for day in ("monday", "tuesday"):
        write_run(batch_item(0), out=tmp_path / day)
    merged = [row["result_run"] for row in rows(tmp_path / "monday", tmp_path / "tuesday")]
    assert merged == [str(tmp_path / "monday"), str(tmp_path / "tuesday")]


def test_a_runner_does_not_refuse_readers(batch_item: MakeItem, write_run: WriteRun) -> None:
    """What is stored by then is shown."""
    out = write_run(batch_item(0))
    with JournalFile.open(out / "journal.sqlite"):
        assert [row["id"] for row in rows(out)] == ["x0"]


def test_a_directory_without_a_run_is_refused_with_advice(tmp_path: Path) -> None:
    """It says what is missing, and how a run begins."""
    refused = run(tmp_path)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert f"{tmp_path} holds no run: there is no journal.sqlite." in refused.stderr
    assert f"hunyuan batch FILE --out {tmp_path}" in refused.stderr
    (tmp_path / "journal.sqlite").symlink_to("elsewhere.sqlite")
    assert "it was kept at elsewhere.sqlite. Bring it back" in run(tmp_path).stderr
    JournalFile.open(tmp_path / "elsewhere.sqlite").close()
    assert "its journal is empty" in run(tmp_path).stderr
