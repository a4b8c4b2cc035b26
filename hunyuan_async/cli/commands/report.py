"""`hunyuan report`."""

from __future__ import annotations

from pathlib import Path

import click

from hunyuan_async.cli.directories import open_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.report import build_report
from hunyuan_async.cli.results import write_results
from hunyuan_async.settings import API_IN_ONE


@click.command
@run_directory
def report(directory: Path) -> int:
    """Write report.html and results.jsonl of the run in DIR again, and print the report's path.

    \b
    hunyuan report out
    """
    with open_run(directory) as (reader, record):
        write_results(reader, record.run, directory, API_IN_ONE)
    click.echo(build_report(directory))
    return Exit.DONE
