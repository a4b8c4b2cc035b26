"""`hunyuan studio`."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from hunyuan_async.cli.connection import Connection, connection_options, open_client
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.cli.serving import Place, place_options, serve
from hunyuan_async.cli.terminal import run
from hunyuan_async.errors import InvalidRequest

if TYPE_CHECKING:
    from hunyuan_async.studio._generate import Generator


@attrs.frozen
class Keeping:
    """Where the studio keeps what it makes.

    Attributes:
        store: The directory; None for the usual one, or with an emulator one that is thrown away.
        key_changed: Whether another key than before may be used in it.
    """

    store: Path | None = None
    key_changed: bool = False


keeping_options = option_group(
    "keeping",
    Keeping,
    click.option(
        "--store",
        metavar="FOLDER",
        type=click.Path(file_okay=False, path_type=Path),
        help="Where images and the journal are kept, instead of your own data folder.",
    ),
    click.option("--key-changed", is_flag=True, help="The key is another one of the same account."),
)


@click.command
@click.argument(
    "directory", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@keeping_options
@connection_options
@place_options
def studio(directory: Path | None, keeping: Keeping, connection: Connection, place: Place) -> int:
    """Make images in your browser, or look through those of the run in DIR.

    Without DIR: a prompt, its size and seed, variations side by side, edits, and the raw requests and responses.
    What you order is kept, and goes on after a restart. With --emulator nothing costs anything or is kept.

    With DIR: keep, reject, or mark images to be made again. What you think of them is stored in DIR/picks.csv at once;
    nothing is paid for here.

    The page is for this machine's browser alone, and for whoever has the address that is printed.

    \b
    hunyuan studio --emulator
    hunyuan studio koi
    hunyuan redo koi --ids koi/picks.csv
    hunyuan export koi --picked --to koi.zip
    """
    if directory is None:
        if connection.emulator and keeping != Keeping():
            raise InvalidRequest("an emulator's images are not kept: leave --store and --key-changed out")
        return run(_generate(keeping, connection, place))
    if keeping != Keeping() or connection != Connection():
        raise InvalidRequest("looking through a run needs no service: leave the other options or DIR out")
    return run(_review(directory, place))


async def _review(directory: Path, place: Place) -> int:
    from hunyuan_async.studio._review import Review
    from hunyuan_async.studio._server import Studio

    with closing(await asyncio.to_thread(Review, directory)) as review:
        return await serve(place, partial(Studio, "review.html", review.routes()))


async def _generate(keeping: Keeping, connection: Connection, place: Place) -> int:
    from hunyuan_async.studio._server import Studio

    async with _opened(keeping, connection) as generator:
        return await serve(place, partial(Studio, "generate.html", generator.routes()))


@asynccontextmanager
async def _opened(keeping: Keeping, connection: Connection) -> AsyncIterator[Generator]:
    from hunyuan_async.studio._generate import open_generator
    from hunyuan_async.uploads import uploader_of

    with tempfile.TemporaryDirectory(prefix="hunyuan-studio-") as throwaway:
        uploader = None if connection.emulator else uploader_of(os.environ, connection.address)
        async with (
            open_client(connection) as client,
            open_generator(
                client,
                keeping.store or (Path(throwaway) if connection.emulator else _data_folder()),
                uploader=uploader,
                emulated=connection.emulator,
                key_changed=keeping.key_changed,
            ) as generator,
        ):
            yield generator


def _data_folder() -> Path:
    import platformdirs

    return platformdirs.user_data_path("hunyuan_async") / "studio"
