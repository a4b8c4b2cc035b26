"""`hunyuan report`."""

from __future__ import annotations

from pathlib import Path

import click

from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.report import build_report


@click.command
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
def report(directory: Path) -> int:
    """Write report.html of the run in DIR again, and print its path."""
    click.echo(build_report(directory))
    return Exit.DONE
