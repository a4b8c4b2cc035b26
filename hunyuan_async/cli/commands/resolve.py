"""`hunyuan resolve`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from hunyuan_async._core.lifecycle import State
from hunyuan_async._journal.resuming import Resolution
from hunyuan_async._journal.resuming import resolve as write_down
from hunyuan_async.cli.directories import edit_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.ids import Ids, id_options
from hunyuan_async.cli.terminal import say
from hunyuan_async.errors import InvalidRequest

GO_ON = "accepted", "not_charged", "resubmit"


@click.command
@run_directory
@id_options
@click.option("--task-id", metavar="T", help="It was accepted as task T: resume fetches its image.")
@click.option(
    "--not-charged", "resolution", flag_value="not_charged", help="The vendor did not charge it: resume makes it."
)
@click.option(
    "--resubmit", "resolution", flag_value="resubmit", help="Nobody can tell: resume makes it, and you may pay twice."
)
@click.option("--abandon", "resolution", flag_value="abandon", help="Give it up; its credits stay at risk.")
def resolve(directory: Path, ids: Ids, task_id: str | None, resolution: Resolution | None) -> int:
    """Say what became of requests of the run in DIR whose outcome is unknown; see `hunyuan unknown DIR`.

    This sends nothing: `hunyuan resume DIR` then fetches or makes what is left.

    \b
    hunyuan resolve koi koi-7 --task-id n68xxxx_hunyuan3
    hunyuan resolve koi koi-9 --not-charged
    """
    if (task_id is None) == (resolution is None):
        raise InvalidRequest("say one thing: --task-id T, --not-charged, --resubmit or --abandon")
    with edit_run(directory) as (file, record):
        wanted = ids.read(lambda: (item.id for item in file.each(record.run, State.UNKNOWN)))
        with file.planning(record.run) as planning:
            items = write_down(file, planning, wanted, resolution or "accepted", task_id)
            planning.keep = True
    say(f"{len(items):,} resolved")
    if (resolution or "accepted") in GO_ON:
        say(f"Go on:   hunyuan resume {shlex.quote(str(directory))}")
    return Exit.DONE
