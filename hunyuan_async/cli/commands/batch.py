"""`hunyuan batch`."""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hunyuan_async._core.text import printable
from hunyuan_async.cli.batch_options import Bounds, Conduct, Rows, bound_options, conduct_options, row_options
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.connection import EMULATOR_IN_FLIGHT, EMULATOR_RATE, Connection, connection_options, open_client
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.inputs import BadLine, input_format, read_rows
from hunyuan_async.cli.invalid import write_invalid
from hunyuan_async.cli.items import Batch, BatchItem, read_batch
from hunyuan_async.cli.names import parse_name
from hunyuan_async.cli.plan import make_plan
from hunyuan_async.cli.progress import open_view
from hunyuan_async.cli.report import build_report
from hunyuan_async.cli.results import FILE_NAME, ResultsFile
from hunyuan_async.cli.summary import summary
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.events import Event
from hunyuan_async.settings import API_IN_ONE, Limits, Timeouts

BAD_LINES_SHOWN = 20
ASK_ABOVE = 100  # images


@click.command
@click.argument("source", metavar="FILE")
@click.option("--out", required=True, metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@row_options
@bound_options
@conduct_options
@connection_options
def batch(source: str, out: Path, rows: Rows, bounds: Bounds, conduct: Conduct, connection: Connection) -> None:
    """Make an image for every row of FILE: a prompt a line, or .jsonl, .csv, .tsv; "-" reads standard input.

    Columns id, prompt, size, seed, type and images say what to make; others come back in the results. DIR gets
    images/, results.jsonl and report.html.

    \b
    hunyuan batch prompts.txt --out koi --emulator
    hunyuan batch shop.csv --out shop --prompt "photo of {title}" --id-column sku --max-cost 25usd
    """
    name = parse_name(conduct.name)
    if (out / FILE_NAME).exists():
        raise InvalidRequest(f"{out} already holds results: choose another --out")
    wanted = _read(source, rows)
    _tell_bad(wanted.bad, out, rows)
    items = _part(wanted.items, conduct)
    _show_plan(items, wanted, bounds, connection, out)
    if conduct.dry_run:
        return
    if len(items) > ASK_ABOVE and not conduct.yes and sys.stdin.isatty() and sys.stderr.isatty():
        click.confirm("Go on?", abort=True, err=True)
    title = f"{source} -> {out}" + ("   [emulator]" if connection.emulator else "")
    batch_run = BatchRun(items, out, name, FailureGuard(bounds.max_failures), title)
    everything = sorted([*wanted.items, *wanted.duplicates], key=lambda item: item.index)
    run(_make(batch_run, everything, bounds, conduct, connection))


def _read(source: str, rows: Rows) -> Batch:
    form = input_format(source, rows.input_format)
    if source == "-":
        return read_batch(read_rows(sys.stdin.buffer, form), rows.options())
    try:
        with open(source, "rb") as file:
            return read_batch(read_rows(file, form), rows.options())
    except OSError as error:
        problem = error.strerror
    raise InvalidRequest(f"{source} cannot be read: {problem}")


def _tell_bad(bad: Sequence[BadLine], out: Path, rows: Rows) -> None:
    """Show what is wrong with the input before anything is sent, and stop unless told to go on."""
    if not bad:
        return
    for line in bad[:BAD_LINES_SHOWN]:
        say(f"line {line.line}: {printable(line.problem)}")
    out.mkdir(parents=True, exist_ok=True)
    write_invalid(out / "invalid.csv", bad)
    say(f"{len(bad):,} bad lines; all of them are in {out / 'invalid.csv'}")
    if not rows.skip_invalid:
        raise InvalidRequest("nothing was sent: correct the lines, or add --skip-invalid to go on without them")


def _part(items: tuple[BatchItem, ...], conduct: Conduct) -> tuple[BatchItem, ...]:
    if conduct.sample and conduct.sample < len(items):
        drawn = random.sample(items, conduct.sample)
        items = tuple(sorted(drawn, key=lambda item: item.index))
    if not items:
        raise InvalidRequest("there is nothing to make: the input holds no row")
    return items[: conduct.limit]


def _show_plan(items: Sequence[BatchItem], wanted: Batch, bounds: Bounds, connection: Connection, out: Path) -> None:
    folder = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    plan = make_plan(
        items,
        API_IN_ONE,
        rate=bounds.rate or (EMULATOR_RATE if connection.emulator else None),
        in_flight=bounds.in_flight or (EMULATOR_IN_FLIGHT if connection.emulator else None),
        bytes_free=shutil.disk_usage(folder).free,
    )
    for line in plan.lines():
        say(line)
    if wanted.duplicates:
        say(f"{len(wanted.duplicates):,} equal rows are made once (--duplicates make buys each)")
    if bounds.budget is not None and bounds.budget < plan.credits:
        covered = bounds.budget // API_IN_ONE.credits_per_image
        say(f"The limit of {bounds.budget:,} credits covers {covered:,} of them")


async def _make(
    batch_run: BatchRun, everything: Sequence[BatchItem], bounds: Bounds, conduct: Conduct, connection: Connection
) -> int:
    batch_run.out_dir.mkdir(parents=True, exist_ok=True)
    view = open_view(conduct.progress)

    def happened(event: Event) -> None:
        batch_run.happened(event)
        view.happened(event)

    with ResultsFile(batch_run.out_dir) as results:
        try:
            async with open_client(
                connection,
                limits=Limits(rate=bounds.rate, in_flight=bounds.in_flight),
                timeouts=Timeouts(trouble=bounds.give_up),
                max_credits=bounds.budget,
                on_event=happened,
            ) as client:
                await batch_run.run(client, results, view)
                statistics = client.statistics()
        finally:
            view.close()
            results.rewrite(everything, API_IN_ONE)
    report = await asyncio.to_thread(build_report, batch_run.out_dir)
    for line in summary(batch_run, statistics, report, API_IN_ONE):
        say(line)
    if connection.emulator and batch_run.unsaved:
        say("(the emulator is gone, and its tasks with it)")
    return batch_run.exit_code()
