"""The table of bad lines that a person corrects."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from hunyuan_async.cli.cells import cell
from hunyuan_async.cli.inputs import BadLine


def write_invalid(path: Path, bad: Sequence[BadLine]) -> None:
    """Write bad lines as a CSV that a spreadsheet opens and `read_rows` reads again once it is corrected."""
    names = dict.fromkeys(["line", "problem"])
    for line in bad:
        names.update(dict.fromkeys(line.columns))
    path.unlink(missing_ok=True)  # it may be a link
    # Spreadsheets take a file for UTF-8 only if it starts with a byte order mark.
    with path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        table = csv.writer(file)
        table.writerow(map(cell, names))
        for line in bad:
            row = {**line.columns, "line": line.line, "problem": line.problem}
            table.writerow(cell(row.get(name)) for name in names)
