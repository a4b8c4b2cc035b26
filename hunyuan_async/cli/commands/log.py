"""`hunyuan log`."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import click

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.names import slug
from hunyuan_async._core.text import printable
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.directories import log_folder
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.result_lines import time_text
from hunyuan_async.cli.status import WORDS, utc_text
from hunyuan_async.cli.terminal import say

# Where an image of a single command was saved, its journal does not know: finished is all that it says.
WORDS_HERE = {**WORDS, State.COMPLETED: "made"}
FETCH = {State.SUBMITTED: "paid; fetch it with", State.COMPLETED: "fetch it once more with"}
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@click.command
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The latest N.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each instead.")
def log(limit: int, as_json: bool) -> int:
    """List the images that `generate` and `edit` asked for, the latest first, and how to fetch what is paid.

    \b
    hunyuan log --limit 5
    """
    items: list[Item] = []
    for path in log_folder().glob("*.sqlite"):
        with JournalReader.read_only(path) as reader:
            items += reader.newest("", [*State], limit)
    items.sort(key=lambda item: item.sending_at or _LONG_AGO, reverse=True)
    if not items:
        say(f"There is nothing in {log_folder()} yet.")
    for item in items[:limit]:
        click.echo(json.dumps(_fields(item)) if as_json else "\n".join(_lines(item)))
    return Exit.DONE


def _fields(item: Item) -> dict[str, object]:
    request = item.request
    return {
        "sent_at": time_text(item.sending_at),
        "state": item.state.value,
        "prompt": request.prompt if request else None,
        "seed": request.seed if request else None,
        "task_id": item.task_id,
        "error": item.error.message if item.error else None,
    }


def _lines(item: Item) -> list[str]:
    asked, name = "", item.task_id
    if item.request:
        asked = f"seed {item.request.seed}  {printable(item.request.prompt, 60)}"
        name = f"{slug(item.request.prompt)}-{item.request.seed}"
    task = f"task {item.task_id}" if item.task_id else "no task"
    line = f"{utc_text(item.sending_at)}  {WORDS_HERE[item.state]:14}  {task}  {asked}".rstrip()
    told = FETCH.get(item.state)
    return [line, f"    {told}: hunyuan task {item.task_id} -o {name}.png"] if told else [line]
