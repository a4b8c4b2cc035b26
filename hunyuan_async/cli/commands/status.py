"""`hunyuan status`."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hunyuan_async._core.lifecycle import State
from hunyuan_async.cli.directories import open_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.status import RunStatus, look
from hunyuan_async.cli.terminal import say

EVERY = 2.0  # seconds between two looks


@click.command
@run_directory
@click.option("--watch", is_flag=True, help="Look again every 2 s, until nobody works on the run or Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead.")
def status(directory: Path, watch: bool, as_json: bool) -> int:
    """Show how the run in DIR stands: images, credits, speed and failures. It disturbs no runner.

    \b
    hunyuan status out
    hunyuan status out --watch
    """
    with open_run(directory) as (reader, record), _display(watch, as_json) as show:
        seen = follow(lambda: look(reader, record.run), show, watch=watch)
    if seen.to_go and not seen.runner:
        say(f"Nobody works on it. Go on with: hunyuan resume {shlex.quote(str(directory))}")
    if State.UNKNOWN in seen.items:
        say(f"What may have been charged: hunyuan unknown {shlex.quote(str(directory))}")
    return Exit.DONE


def follow(
    see: Callable[[], RunStatus],
    show: Callable[[RunStatus], None],
    *,
    watch: bool,
    pause: Callable[[float], object] = time.sleep,
) -> RunStatus:
    """Show what is seen, with *watch* again and again while a runner is there; return what was seen last."""
    show(seen := see())
    while watch and seen.runner:
        pause(EVERY)
        show(seen := see())
    return seen


@contextmanager
def _display(watch: bool, as_json: bool) -> Iterator[Callable[[RunStatus], None]]:
    """Open what shows a status: in place on a terminal that is watched."""
    if as_json:
        yield lambda seen: click.echo(json.dumps(seen.fields()))
    elif watch and sys.stdout.isatty():
        from rich.live import Live
        from rich.text import Text

        with Live(auto_refresh=False) as live:
            yield lambda seen: live.update(Text("\n".join(seen.lines())), refresh=True)
    else:
        yield lambda seen: click.echo("\n".join(seen.lines()))
