"""Results as flat rows: what a row of the input held, then what came of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TextIO, cast

from hunyuan_async._core.lifecycle import Item
from hunyuan_async.cli.cells import cell
from hunyuan_async.cli.result_lines import result_line
from hunyuan_async.settings import API_IN_ONE

Row = Mapping[str, object]

COLUMNS = (
    "result_status",
    "result_kind",
    "result_message",
    "result_charged",
    "result_credits",
    "result_attempt",
    "result_task_id",
    "result_seed",
    "result_images",
    "result_run",
)
_INPUT_FIRST = "id", "prompt", "size", "seed", "type", "images"


def result_row(item: Item, out_dir: Path) -> dict[str, object]:
    """The row of an item of the run in *out_dir*; its first columns are an input that asks for the same again."""
    line = result_line(item, out_dir, API_IN_ONE)
    given = cast("Row", item.detail["given"])
    error = line["error"] or {}
    results = (
        line["status"],
        error.get("kind"),
        error.get("message"),
        error.get("charged"),
        line["credits"],
        line["attempt"],
        line["task_id"],
        line["request"]["seed"],
        [str(out_dir / str(image["path"])) for image in line["images"]],
        str(out_dir),
    )
    # A prompt or id that was made from other columns stands in place of the column of that name. A repeat has the id of
    # the row that it repeats: read again, it is a repeat again.
    columns = {**line["input"], **given, "id": item.detail.get("duplicate_of", item.id)}
    order = dict.fromkeys(["id", *given, *columns])
    return {name: columns[name] for name in order if name not in COLUMNS} | dict(zip(COLUMNS, results, strict=True))


def write_jsonl(rows: Iterable[Row], file: TextIO) -> None:
    """Write a JSON object a line."""
    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def write_csv(rows: Iterable[Row], header: Iterable[str], file: TextIO) -> None:
    """Write a table that a spreadsheet opens; `read_rows` reads its cells again as they were."""
    table = csv.writer(file)
    names = [*header]
    table.writerow(map(cell, names))
    for row in rows:
        table.writerow(cell(_joined(name, row.get(name))) for name in names)


def header_of(rows: Iterable[Row]) -> list[str]:
    """All columns of *rows*: those of the request, others in the order in which they appear, those of the result."""
    names = {name: None for row in rows for name in row}
    others = [name for name in names if name not in {*_INPUT_FIRST, *COLUMNS}]
    return [*[name for name in _INPUT_FIRST if name in names], *others, *COLUMNS]


def _joined(name: str, value: object) -> object:
    match name, value:
        case "result_images", [*paths]:
            return ";".join(map(str, paths))
        case "images", [*addresses]:
            return " ".join(map(str, addresses))
    return value
