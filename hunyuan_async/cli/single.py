"""One image from the command line: `generate` and `edit` differ only in what they ask for."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path

import attrs
import click

from hunyuan_async._core.names import slug
from hunyuan_async.cli.connection import Connection, open_client
from hunyuan_async.cli.directories import log_folder
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.cli.progress import Progress, View
from hunyuan_async.cli.terminal import can_draw, say
from hunyuan_async.cli.views import Troubles, shown
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, InvalidRequest, JournalError
from hunyuan_async.events import Event, Submitted
from hunyuan_async.models import ImageRequest, ImageResult, SavedImage
from hunyuan_async.settings import API_IN_ONE


@attrs.frozen
class Destination:
    """Where an image goes.

    Attributes:
        output: As given: a file, "-" for stdout, or None for a name made from the prompt and the seed.
        force: Whether a file may be replaced.
        as_json: Whether stdout gets a JSON object instead of the path.
        no_log: Whether what is paid is not noted in your own journal.
    """

    output: str | None = None
    force: bool = False
    as_json: bool = False
    no_log: bool = False

    def journal(self, connection: Connection) -> Path | None:
        """Return the folder of your own journals; None if nothing is to be noted, or what is made costs nothing.

        Raises:
            AuthError, InvalidRequest: As `Connection.check`; then no folder is made.
            JournalError: The folder cannot be made.
        """
        connection.check()
        if self.no_log or connection.emulator:
            return None
        folder = log_folder()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            problem = error.strerror
        else:
            return folder
        raise JournalError(f"{folder} cannot be made: {problem}.")

    def check(self) -> None:
        """Find what cannot be written before anything is paid.

        Raises:
            InvalidRequest: The file exists, or its folder does not.
        """
        if self.output == "-" and self.as_json:
            raise InvalidRequest("-o - and --json both want standard output: leave one out")
        if self.output in (None, "-"):
            return
        path = Path(str(self.output))
        if path.is_dir():
            raise InvalidRequest(f"{path} is a folder: name the file, for example -o {path / 'image.png'}")
        if not path.parent.is_dir():
            raise InvalidRequest(f"there is no folder {path.parent}: make it first")
        if path.exists() and not self.force:
            raise InvalidRequest(f"{path} exists: choose another name, or add --force to replace it")

    async def save(self, client: Client, result: ImageResult) -> None:
        """Save the images and print on stdout what was asked for."""
        if self.output not in (None, "-"):
            self._tell(result, await client.download(result, str(self.output), overwrite=self.force))
            return
        # Here the extension follows from the bytes, and the files get their names when they are whole.
        with tempfile.TemporaryDirectory(prefix=".hunyuan-", dir=None if self.output else ".") as folder:
            saved = await client.download(result, folder + os.sep)
            if self.output:
                sys.stdout.buffer.write(saved[0].path.read_bytes())
                sys.stdout.buffer.flush()
            else:
                self._tell(result, tuple(_kept(image, _stem(result)) for image in saved))

    def _tell(self, result: ImageResult, saved: tuple[SavedImage, ...]) -> None:
        paths = "\n".join(str(image.path) for image in saved)
        click.echo(json.dumps(_description(result, saved)) if self.as_json else paths)


destination_options = option_group(
    "destination",
    Destination,
    click.option("-o", "--output", metavar="FILE", help='Save exactly there; "-" writes the image to stdout.'),
    click.option("--force", is_flag=True, help="Replace the file if it exists."),
    click.option("--no-log", is_flag=True, help="Do not note it for `hunyuan log`: then a crash may lose a paid task."),
    click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of the path."),
)
"""Adds `-o`, `--force`, `--no-log` and `--json` to a command, which gets them as `destination`."""


async def make_image(connection: Connection, request: ImageRequest, destination: Destination) -> int:
    """Make one image, saying on stderr what goes on; return the exit code."""
    destination.check()
    paid: list[str] = []  # also of a task that is accepted after Ctrl-C
    view = waiting_view()

    def happened(event: Event) -> None:
        view.happened(event)
        if isinstance(event, Submitted):
            paid.append(event.task_id)

    try:
        journal = destination.journal(connection)
        async with open_client(connection, journal=journal, on_event=happened) as client:
            with shown(Progress(connection.title(request.prompt), 1, client.statistics), view):
                result = await _made(client, request)
            await destination.save(client, result)
    except BaseException as error:
        if isinstance(error, JournalError) and error.task_id:
            paid.append(error.task_id)
        elif isinstance(error, JournalError) and not paid and error.charged == "no":
            say("Nothing was sent. To go on without a record, add --no-log.")
        is_lost = isinstance(error, HunyuanError) and error.charged != "yes"
        if paid and not is_lost and not connection.emulator:
            say(f"It is paid. Fetch it with: {_fetch_command(paid[0], connection, destination)}")
        raise
    return Exit.DONE


async def _made(client: Client, request: ImageRequest) -> ImageResult:
    try:
        task = await client.submit(request)
    except asyncio.CancelledError:
        if client.statistics().credits_reserved:
            say("Interrupted: waiting for the answer to the request already sent.")
        raise
    assert task.request is not None
    credits = API_IN_ONE.credits_per_image
    cost = f"{credits} credits (about ${credits * API_IN_ONE.usd_per_credit:.2f})"
    say(f"task {task.id}, seed {task.request.seed}, {cost}")
    return await task


def waiting_view() -> View:
    """Return what is shown while one image is waited for: a panel on a terminal that can draw it."""
    if not can_draw():
        return Troubles()
    from hunyuan_async.cli.panel import LivePanel

    return LivePanel(transient=True)


def _fetch_command(task_id: str, connection: Connection, destination: Destination) -> str:
    where = f"-o {shlex.quote(destination.output)}" if destination.output else "--wait"
    return f"hunyuan task {task_id} {where}{' --force' if destination.force else ''}{connection.options()}"


def _description(result: ImageResult, saved: tuple[SavedImage, ...]) -> dict[str, object]:
    images = [{**attrs.asdict(one, filter=attrs.filters.exclude("url")), "path": str(one.path)} for one in saved]
    return {
        "task_id": result.task_id,
        "prompt": result.request.prompt if result.request else None,
        "size": result.request.size if result.request else None,
        "seed": result.seed,
        "credits": result.credits,
        "images": images,
    }


def _stem(result: ImageResult) -> str:
    return f"{slug(result.request.prompt)}-{result.request.seed}" if result.request else result.task_id


def _kept(image: SavedImage, stem: str) -> SavedImage:
    """Move *image* to the first name that no file has."""
    for number in itertools.count(1):
        path = Path(f"{stem}{'' if number == 1 else f'-{number}'}{image.path.suffix}")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        image.path.replace(path)
        return attrs.evolve(image, path=path)
    raise AssertionError
