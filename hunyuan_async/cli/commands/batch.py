"""`hunyuan batch`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from hunyuan_async._core.text import printable
from hunyuan_async._journal.disk import JOURNAL, find_journal, place_journal
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Planning
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.cli.batch_options import (
    Bounds,
    Conduct,
    Part,
    Resumption,
    Rows,
    bound_options,
    conduct_options,
    part_options,
    resumption_options,
    row_options,
)
from hunyuan_async.cli.carry_out import Order
from hunyuan_async.cli.connection import Connection, connection_options
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.inputs import BadLine, input_format, opened, read_rows
from hunyuan_async.cli.invalid import write_invalid
from hunyuan_async.cli.names import parse_name
from hunyuan_async.cli.planning import InputPlan, plan_input
from hunyuan_async.cli.results import FILE_NAME
from hunyuan_async.cli.run_settings import RunSettings
from hunyuan_async.cli.terminal import say
from hunyuan_async.errors import InvalidRequest

INVALID = "invalid.csv"
BAD_LINES_SHOWN = 20


@click.command
@click.argument("source", metavar="FILE")
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where images and results go.",
)
@row_options
@part_options
@bound_options
@resumption_options
@conduct_options
@connection_options
def batch(
    source: str,
    out: Path,
    rows: Rows,
    part: Part,
    bounds: Bounds,
    resumption: Resumption,
    conduct: Conduct,
    connection: Connection,
) -> int:
    """Make an image for every row of FILE: a prompt a line, or .jsonl, .csv, .tsv; "-" reads standard input.

    Columns id, prompt, size, seed, type and images say what to make; others come back in the results. DIR gets
    images/, results.jsonl and report.html, and a journal: however the command ends, the same command goes on where it
    stopped, and pays for nothing twice.

    \b
    hunyuan batch prompts.txt --out koi --emulator
    hunyuan batch shop.csv --out shop --prompt "photo of {title}" --id-column sku
    """
    if part.name:
        parse_name(part.name)
    if Path(source).resolve() == (out / INVALID).resolve():
        raise InvalidRequest(f"{source} is where this run's bad lines would go: choose another --out")
    with _open(out, part.journal) as file:
        record = file.begin_run()
        settings = _settings(record, part, bounds, connection)
        order = Order(out, settings, resumption, conduct)
        file.lose_answers(record.run)
        with file.planning(record.run) as planning:
            wanted = _plan(planning, source, rows, part, record)
            _tell_bad(wanted.bad, out, rows)
            wanted.check(rows.options())
            for line in wanted.lines():
                say(line)
            file.write_run(settings.stored_in(record))
            planning.keep = order.agree(file, planning, wanted.rows)
    return Exit.DONE if conduct.dry_run else order.carry_out()


@contextmanager
def _open(out: Path, journal: Path | None) -> Iterator[JournalFile]:
    """Open the directory's journal; of a new one nothing is left if nothing was planned."""
    if find_journal(out) is None and any((out / made).exists() for made in (FILE_NAME, "images")):
        raise InvalidRequest(f"{out} already holds images of something else: choose another --out")
    is_new = not out.exists()
    try:
        with JournalFile.open(place_journal(out, journal), out) as file, file.erased_if_empty():
            yield file
    finally:
        link = out / JOURNAL
        if link.is_symlink() and not link.exists():
            link.unlink()
        if is_new and out.exists() and not any(out.iterdir()):
            out.rmdir()


def _settings(record: RunRecord, part: Part, bounds: Bounds, connection: Connection) -> RunSettings:
    settings = RunSettings(connection, part.name or "{id}", bounds)
    if record.settings or record.base_url:
        before = RunSettings.of(record)
        settings = RunSettings(connection, part.name or before.name, bounds.over(before.bounds))
        settings.stored_in(record)
    return settings


def _plan(planning: Planning, source: str, rows: Rows, part: Part, record: RunRecord) -> InputPlan:
    form = input_format(source, rows.input_format)
    with opened(source) as file:
        return plan_input(
            planning,
            read_rows(file, form),
            rows.options(),
            record,
            limit=part.limit,
            sample=part.sample,
            on_rows=_tell_progress,
        )


def _tell_progress(rows: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"reading: {rows:,} rows\r", err=True, nl=False)


def _tell_bad(bad: Sequence[BadLine], out: Path, rows: Rows) -> None:
    """Show what is wrong with the input before anything is sent, and stop unless told to go on."""
    if not bad:
        return
    table = out / INVALID
    for line in bad[:BAD_LINES_SHOWN]:
        say(f"line {line.line}: {printable(line.problem)}")
    out.mkdir(parents=True, exist_ok=True)
    write_invalid(table, bad)
    say(f"{len(bad):,} bad lines; all of them are in {table}")
    if not rows.skip_invalid:
        raise InvalidRequest("nothing was sent: correct the lines, or add --skip-invalid to go on without them")
