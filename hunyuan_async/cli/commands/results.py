"""`hunyuan results`."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click

from hunyuan_async.cli.directories import open_run
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.result_lines import Status
from hunyuan_async.cli.result_rows import Row, header_of, result_row, write_csv, write_jsonl
from hunyuan_async.errors import Kind

KINDS = *get_args(Kind), "duplicate", "gone"


@click.command
@click.argument(
    "directories",
    metavar="DIR...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(get_args(Status)), help="Only these; may be repeated."
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    type=click.Choice(KINDS),
    help="Only errors of this kind, such as refused.",
)
@click.option("--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True)
def results(directories: tuple[Path, ...], statuses: tuple[str, ...], kinds: tuple[str, ...], form: str) -> int:
    """Print what came of every row of the runs in DIR...: the columns of the input first, then result_status and so on.

    `hunyuan batch` reads it again: edit the prompts of failures, and they go into another run, or into the same one
    once nothing waits to be sent in it.

    \b
    hunyuan results out --status failed --kind refused --format csv > failures.csv
    hunyuan batch failures.csv --out out --changed redo
    hunyuan results monday tuesday > both.jsonl
    """

    def rows() -> Iterator[Row]:
        for directory in directories:
            with open_run(directory) as (reader, record):
                for item in reader.latest(record.run):
                    row = result_row(item, directory)
                    wanted = not statuses or row["result_status"] in statuses
                    if wanted and (not kinds or row["result_kind"] in kinds):
                        yield row

    # Spreadsheets take a table for UTF-8 only if it starts with a byte order mark.
    encoding = "utf-8-sig" if form == "csv" else "utf-8"
    output = io.TextIOWrapper(sys.stdout.buffer, encoding, "backslashreplace", newline="")
    try:
        if form == "csv":
            write_csv(rows(), header_of(rows()), output)
        else:
            write_jsonl(rows(), output)
        output.flush()
    finally:
        output.detach()
    return Exit.DONE
