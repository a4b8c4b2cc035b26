"""`hunyuan resume`."""

from __future__ import annotations

from pathlib import Path

import attrs
import click

from hunyuan_async.cli.batch_options import (
    Bounds,
    Conduct,
    Resumption,
    bound_options,
    conduct_options,
    resumption_options,
)
from hunyuan_async.cli.carry_out import Order
from hunyuan_async.cli.directories import edit_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.run_settings import RunSettings


@click.command
@run_directory
@bound_options
@resumption_options
@conduct_options
def resume(directory: Path, bounds: Bounds, resumption: Resumption, conduct: Conduct) -> int:
    """Go on with the run in DIR where it stopped, however it stopped.

    What is paid is fetched, what is not sent yet is sent, images that are gone from DIR are fetched again. Nothing is
    paid twice. What was said to `batch` holds, but for the options given here.

    \b
    hunyuan resume koi
    hunyuan resume koi --max-credits 5000 --retry-failed
    """
    with edit_run(directory) as (file, record):
        settings = RunSettings.of(record)
        settings = attrs.evolve(settings, bounds=bounds.over(settings.bounds))
        order = Order(directory, settings, resumption, conduct, address_stored=True)
        with file.planning(record.run) as planning:
            file.write_run(settings.stored_in(record))
            planning.keep = order.agree(file, planning)
    return Exit.DONE if conduct.dry_run else order.carry_out()
