"""`hunyuan unknown`."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import click

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.text import printable
from hunyuan_async._journal.lock import holder
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.directories import open_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.result_lines import time_text
from hunyuan_async.cli.status import utc_text
from hunyuan_async.cli.terminal import say

LONGEST_PROMPT = 70
WAYS = {
    "--task-id T": "it was accepted as task T: resume fetches its image",
    "--not-charged": "the vendor did not charge it: resume makes it",
    "--resubmit": "nobody can tell: resume makes it, and you may pay twice",
    "--abandon": "give it up; its credits stay at risk",
}


@click.command
@run_directory
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each instead.")
def unknown(directory: Path, as_json: bool) -> int:
    """List the requests of the run in DIR that may have been charged, though no answer tells.

    They are never sent again by themselves. Exit code 3 says that there are some.

    \b
    hunyuan unknown out
    """
    count = credits = 0
    with open_run(directory) as (reader, record):
        for item in _unknown(reader, record.run):
            count, credits = count + 1, credits + item.credits
            click.echo(json.dumps(_fields(item)) if as_json else "\n".join(_lines(item)))
    if not count:
        say("nothing is unknown")
        return Exit.DONE
    say(f"{count:,} unknown, {credits:,} credits at risk. Ask the vendor, by time and request ids, then tell for each:")
    for way, meaning in WAYS.items():
        say(f"  hunyuan resolve {shlex.quote(str(directory))} ID {way:13}  {meaning}")
    return Exit.SOME_UNKNOWN


def _unknown(reader: JournalReader, run: str) -> Iterator[Item]:
    # Without a runner nobody waits for the answer any more.
    states = [State.UNKNOWN] if holder(reader.path) else [State.UNKNOWN, State.SENDING]
    return reader.each(run, *states)


def _fields(item: Item) -> dict[str, object]:
    return {
        "id": item.id,
        "attempt": item.attempt,
        "prompt": item.request.prompt if item.request else None,
        "sent_at": time_text(item.sending_at),
        "task_id": item.task_id,
        "request_ids": item.error.request_ids if item.error else {},
        "credits": item.credits,
        "message": item.error.message if item.error else None,
    }


def _lines(item: Item) -> list[str]:
    prompt = item.request.prompt if item.request else ""
    found = {"task": item.task_id or "", **(item.error.request_ids if item.error else {})}
    told = "   ".join(f"{name} {value}" for name, value in found.items() if value)
    return [
        f"{printable(item.id, 80)}   sent {utc_text(item.sending_at)}   {item.credits} credits at risk",
        *(f"    {printable(text, LONGEST_PROMPT if text == prompt else 300)}" for text in (prompt, told) if text),
    ]
