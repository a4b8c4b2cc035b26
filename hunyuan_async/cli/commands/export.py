"""`hunyuan export`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.text import printable
from hunyuan_async.cli.directories import open_run, run_directory
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.picks import PICKS, read_picks
from hunyuan_async.cli.sharing import new_copy, share
from hunyuan_async.cli.terminal import say
from hunyuan_async.errors import InvalidRequest


@click.command
@run_directory
@click.option("--to", "target", required=True, metavar="FOLDER|FILE.zip", type=click.Path(path_type=Path))
@click.option("--picked", is_flag=True, help="Only images that hunyuan studio was told to keep.")
@click.option("--without-prompts", is_flag=True, help="Leave the prompts out.")
def export(directory: Path, target: Path, picked: bool, without_prompts: bool) -> int:
    """Copy the images of the run in DIR into a new folder or archive, to share them.

    A manifest.csv tells of each its id, prompt, size, seed and sha256. No address and no task id goes along, nor
    anything else of the run. The images are as the service made them.

    \b
    hunyuan export koi --picked --to koi.zip
    """
    is_wanted = _picked(directory) if picked else _any
    with open_run(directory) as (reader, record):
        items = (item for item in reader.latest(record.run) if item.state is State.DOWNLOADED and is_wanted(item))
        with new_copy(target) as add:
            shared = share(items, directory, add, prompts=not without_prompts)
            if not shared.images:
                raise InvalidRequest(f"there is no image{' to keep' if picked else ''}; nothing was copied")
    say(f"{shared.images:,} images copied to {target}")
    if not shared.missing:
        return Exit.DONE
    some = ", ".join(map(printable, shared.missing[:3]))
    say(f"{len(shared.missing):,} files were missing, or no images: {some}")
    return Exit.SOME_FAILED


def _any(item: Item) -> bool:
    return True


def _picked(directory: Path) -> Callable[[Item], bool]:
    """Return what tells the images that were kept, and were not made again since."""
    path = directory / PICKS
    picks = read_picks(path.read_bytes()) if path.is_file() else None
    if picks is None:
        raise InvalidRequest(f"nothing is picked: {path} is no table of verdicts; hunyuan studio writes it")
    latest = {pick.id: pick for pick in picks}

    def is_kept(item: Item) -> bool:
        pick = latest.get(item.id)
        return pick is not None and pick.verdict == "keep" and pick.is_about(item.sending_at)

    return is_kept
