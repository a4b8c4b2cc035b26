"""`hunyuan redo`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import attrs
import click

from hunyuan_async._core.lifecycle import PAID, Item, State
from hunyuan_async._core.requests import prepare
from hunyuan_async._core.seeds import derived_seed
from hunyuan_async._core.text import shown
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.cli.batch_options import Conduct, Resumption, conduct_options
from hunyuan_async.cli.carry_out import Order
from hunyuan_async.cli.directories import edit_run, open_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.ids import Ids, id_options
from hunyuan_async.cli.picks import Pick
from hunyuan_async.cli.run_settings import RunSettings
from hunyuan_async.cli.templates import Template, parse_template
from hunyuan_async.cli.terminal import say
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import API_IN_ONE


@click.command
@run_directory
@id_options
@click.option("--new-seed/--same-seed", default=True, help="Draw another seed, or see whether the same bytes come.")
@click.option("--prompt", metavar="TEMPLATE", help='Another prompt, which may use columns: "{prompt}, at night".')
@conduct_options
def redo(directory: Path, ids: Ids, new_seed: bool, prompt: str | None, conduct: Conduct) -> int:
    """Make images of the run in DIR again, by their IDs; it costs as much as the first time.

    The older images are kept. Each attempt counts in the results. Of a picks.csv, which
    hunyuan studio writes, those are made whose latest verdict is "redo", each once.

    \b
    hunyuan redo koi koi-7 koi-9
    hunyuan redo koi --ids picks.csv --prompt "{prompt}, at night" --same-seed
    """
    template = parse_template(prompt) if prompt else None
    with edit_run(directory) as (file, record):
        everything = (item.id for item in file.latest(record.run) if item.state is State.DOWNLOADED)
        wanted = ids.read(lambda: everything, partial(_is_open, file, record.run))
        settings = RunSettings.of(record)
        settings = attrs.evolve(settings, bounds=attrs.evolve(settings.bounds, on_unknown="hold"))
        order = Order(directory, settings, Resumption(), conduct, file.last_number(), address_stored=True)
        with file.planning(record.run) as planning:
            for item_id in wanted:
                planning.add(_again(file, record, item_id, template, new_seed=new_seed))
            planning.keep = order.agree(file, planning)
    if conduct.dry_run:
        return Exit.DONE
    code = order.carry_out()
    if not new_seed:
        say(_compared(directory, wanted))
    return code


def _is_open(file: JournalFile, run: str, pick: Pick) -> bool:
    """Whether what a verdict asks for was not made yet; what there is not, is complained of later."""
    item = file.item(run, pick.id)
    return item is None or pick.is_about(item.sending_at)


def _again(file: JournalFile, record: RunRecord, item_id: str, template: Template | None, *, new_seed: bool) -> Item:
    """Return an item's next attempt.

    Raises:
        InvalidRequest: There is no such item, or it is paid and not settled.
    """
    item = file.item(record.run, item_id)
    if item is None or item.request is None:
        raise InvalidRequest(f"there is no item {shown(item_id)} in this run; nothing was sent")
    if item.state in PAID | {State.SENDING}:
        raise InvalidRequest(f"{shown(item_id)} is paid and not finished: run hunyuan resume first")
    if item.state is State.UNKNOWN:
        raise InvalidRequest(f"the outcome of {shown(item_id)} is unknown: see hunyuan unknown and hunyuan resolve")
    request = item.request
    if template:
        columns = {**dict(item.detail["input"]), "id": item.id, "prompt": request.prompt}  # type: ignore[call-overload]
        request = attrs.evolve(request, prompt=template.fill(columns))
    if new_seed:
        request = attrs.evolve(request, seed=derived_seed(record.seed, f"{item.id} {item.attempt + 1}"))
    again = item.next_attempt(prepare(request, API_IN_ONE))
    again.credits = API_IN_ONE.credits_per_image
    return again


def _compared(directory: Path, ids: Sequence[str]) -> str:
    """Say of how many items the two last attempts made the same bytes."""
    same = different = 0
    with open_run(directory) as (reader, record):
        for item_id in ids:
            made = [[file.sha256 for file in item.files] for item in reader.attempts(record.run, item_id) if item.files]
            if len(made) > 1:
                same, different = same + (made[-1] == made[-2]), different + (made[-1] != made[-2])
    return f"The same seed made the same bytes {same:,} times, and others {different:,} times."
