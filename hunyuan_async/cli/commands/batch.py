"""`hunyuan batch`."""

from __future__ import annotations

import random
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hunyuan_async._core.text import printable
from hunyuan_async.cli.batch_options import Bounds, Conduct, Rows, bound_options, conduct_options, row_options
from hunyuan_async.cli.batch_run import BatchRun
from hunyuan_async.cli.connection import Connection, connection_options, open_client
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.failures import FailureGuard
from hunyuan_async.cli.inputs import BadLine, input_format, read_rows
from hunyuan_async.cli.invalid import write_invalid
from hunyuan_async.cli.items import Batch, BatchItem, read_batch
from hunyuan_async.cli.names import parse_name
from hunyuan_async.cli.pending import go_on_command, write_pending
from hunyuan_async.cli.plan import make_plan
from hunyuan_async.cli.progress import Progress
from hunyuan_async.cli.report import PER_PAGE, build_report
from hunyuan_async.cli.results import FILE_NAME, ResultsFile
from hunyuan_async.cli.summary import summary
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.cli.views import open_view
from hunyuan_async.errors import HunyuanError, InvalidRequest
from hunyuan_async.settings import API_IN_ONE, Limits, Timeouts

INVALID = "invalid.csv"
BAD_LINES_SHOWN = 20
ASK_ABOVE = 100  # images


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
@bound_options
@conduct_options
@connection_options
def batch(source: str, out: Path, rows: Rows, bounds: Bounds, conduct: Conduct, connection: Connection) -> int:
    """Make an image for every row of FILE: a prompt a line, or .jsonl, .csv, .tsv; "-" reads standard input.

    Columns id, prompt, size, seed, type and images say what to make; others come back in the results. DIR gets
    images/, results.jsonl and report.html.

    \b
    hunyuan batch prompts.txt --out koi --emulator
    hunyuan batch shop.csv --out shop --prompt "photo of {title}" --id-column sku
    """
    name = parse_name(conduct.name)
    if any((out / made).exists() for made in (FILE_NAME, "images")):
        raise InvalidRequest(f"{out} already holds results: choose another --out")
    if Path(source).resolve() == (out / INVALID).resolve():
        raise InvalidRequest(f"{source} is where this run's bad lines would go: choose another --out")
    wanted = _read(source, rows)
    _tell_bad(wanted.bad, out, rows)
    items = _part(wanted.items, conduct)
    limits = connection.limits(bounds.rate, bounds.in_flight)
    _show_plan(items, wanted, bounds, limits, out)
    if conduct.dry_run:
        return Exit.DONE
    connection.check()
    _ask(len(items), conduct)
    progress = Progress(connection.title(f"{source} -> {out}"), len(items))
    batch_run = BatchRun(items, out, name, FailureGuard(bounds.max_failures), progress, open_view(conduct.progress))
    run(_make(batch_run, wanted, bounds, limits, connection), batch_run.interrupted)
    return _finish(batch_run, wanted, connection, conduct)


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
    table = out / INVALID
    for line in bad[:BAD_LINES_SHOWN]:
        say(f"line {line.line}: {printable(line.problem)}")
    out.mkdir(parents=True, exist_ok=True)
    write_invalid(table, bad)
    say(f"{len(bad):,} bad lines; all of them are in {table}")
    if not rows.skip_invalid:
        raise InvalidRequest("nothing was sent: correct the lines, or add --skip-invalid to go on without them")


def _part(items: tuple[BatchItem, ...], conduct: Conduct) -> tuple[BatchItem, ...]:
    if conduct.sample and conduct.sample < len(items):
        drawn = random.sample(items, conduct.sample)
        items = tuple(sorted(drawn, key=lambda item: item.index))
    if not items:
        raise InvalidRequest("there is nothing to make: the input holds no row")
    return items[: conduct.limit]


def _show_plan(items: Sequence[BatchItem], wanted: Batch, bounds: Bounds, limits: Limits, out: Path) -> None:
    folder = next(folder for folder in (out, *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(folder).free
    plan = make_plan(items, API_IN_ONE, rate=limits.rate, in_flight=limits.in_flight, bytes_free=free)
    for line in plan.lines():
        say(line)
    if wanted.duplicates:
        say(f"{len(wanted.duplicates):,} more would repeat others exactly: left out (--duplicates make buys them)")
    if bounds.budget is not None and bounds.budget < plan.credits:
        covered = bounds.budget // API_IN_ONE.credits_per_image
        say(f"The limit of {bounds.budget:,} credits covers {covered:,} of them")


def _ask(images: int, conduct: Conduct) -> None:
    if images <= ASK_ABOVE or conduct.yes or not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    if not click.confirm("Go on?", err=True):
        raise InvalidRequest("nothing was sent")


async def _make(batch_run: BatchRun, wanted: Batch, bounds: Bounds, limits: Limits, connection: Connection) -> int:
    batch_run.out_dir.mkdir(parents=True, exist_ok=True)
    with ResultsFile(batch_run.out_dir) as results:
        try:
            async with open_client(
                connection,
                limits=limits,
                timeouts=Timeouts(trouble=bounds.give_up),
                max_credits=bounds.budget,
                on_event=batch_run.happened,
            ) as client:
                await batch_run.run(client, results)
        except HunyuanError as error:
            batch_run.failed(error)
        finally:
            if not batch_run.unrecorded:  # or a paid item would be told to be pending
                everything = sorted([*wanted.items, *wanted.duplicates], key=lambda item: item.index)
                with batch_run.disk_trouble_noted():
                    results.rewrite(everything, API_IN_ONE)
    return Exit.DONE


def _finish(batch_run: BatchRun, wanted: Batch, connection: Connection, conduct: Conduct) -> int:
    """Write what a person reads; return the exit code."""
    out = batch_run.out_dir
    left = [item for item in wanted.items if item.id not in batch_run.ended]
    go_on, report = None, f"hunyuan report {shlex.quote(str(out))}"
    with batch_run.disk_trouble_noted():
        if left:
            named = "" if conduct.name == "{id}" else f" --name {shlex.quote(conduct.name)}"
            go_on = go_on_command(write_pending(out, left), connection.options() + named)
        if len(batch_run.items) > PER_PAGE:
            say("Writing the report; Ctrl-C leaves it out.")
        try:
            report = str(build_report(out))
        except KeyboardInterrupt:
            say("left out")
    for line in summary(batch_run, len(left), go_on=go_on, report=report, collectable=not connection.emulator):
        say(line)
    return batch_run.exit_code()
