"""One image from the command line: `generate` and `edit` differ only in what they ask for."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import attrs
import click

from hunyuan_async.cli.connection import Connection, open_client
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.names import slug
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.cli.terminal import say
from hunyuan_async.client import Client
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest, ImageResult, SavedImage
from hunyuan_async.settings import API_IN_ONE
from hunyuan_async.tasks import GenerationTask


@attrs.frozen
class Destination:
    """Where an image goes.

    Attributes:
        output: As given: a file, "-" for stdout, or None for a name made from the prompt and the seed.
        force: Whether a file may be replaced.
        as_json: Whether stdout gets a JSON object instead of the path.
    """

    output: str | None = None
    force: bool = False
    as_json: bool = False

    def check(self) -> None:
        """Find what cannot be written before anything is paid.

        Raises:
            InvalidRequest: The file exists, or its folder does not.
        """
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
        if self.output == "-":
            with tempfile.TemporaryDirectory() as folder:
                saved = await client.download(result, Path(folder) / "image")
                sys.stdout.buffer.write(saved[0].path.read_bytes())
                sys.stdout.buffer.flush()
            return
        path = Path(self.output) if self.output else free_name(result)
        saved = await client.download(result, path, overwrite=self.force)
        click.echo(
            json.dumps(description(result, saved)) if self.as_json else "\n".join(str(one.path) for one in saved)
        )


destination_options = option_group(
    "destination",
    Destination,
    click.option("-o", "--output", metavar="FILE", help='Save exactly there; "-" writes the image to stdout.'),
    click.option("--force", is_flag=True, help="Replace the file if it exists."),
    click.option("--json", "as_json", is_flag=True, help="Print a JSON object instead of the path."),
)
"""Adds `-o`, `--force` and `--json` to a command, which gets them as `destination`."""


async def make_image(connection: Connection, request: ImageRequest, destination: Destination) -> int:
    """Make one image, saying on stderr what goes on; return the exit code."""
    destination.check()
    async with open_client(connection) as client:
        task = await client.submit(request)
        assert task.request is not None
        say(f"task {task.id}, seed {task.request.seed}, {price_text()}")
        try:
            await destination.save(client, await task)
        except BaseException:
            if not connection.emulator:
                say(f"It is paid. Fetch it with: {go_on_command(task, destination)}")
            raise
    return Exit.DONE


def go_on_command(task: GenerationTask, destination: Destination) -> str:
    """Return the command that fetches a paid image later."""
    output = destination.output if destination.output not in (None, "-") else f"{task.id}.png"
    return f"hunyuan task {task.id} -o {output}"


def price_text() -> str:
    """Return the price of one image in words."""
    credits = API_IN_ONE.credits_per_image
    return f"{credits} credits (about ${credits * API_IN_ONE.usd_per_credit:.2f})"


def free_name(result: ImageResult) -> Path:
    """Return a file name from the prompt and the seed that no file has yet."""
    request = result.request
    stem = f"{slug(request.prompt)}-{request.seed}" if request else result.task_id
    path, number = Path(f"{stem}.png"), 1
    while path.exists():
        number += 1
        path = Path(f"{stem}-{number}.png")
    return path


def description(result: ImageResult, saved: tuple[SavedImage, ...]) -> dict[str, object]:
    """Return what `--json` prints of an image."""
    images = [{**attrs.asdict(one, filter=attrs.filters.exclude("url")), "path": str(one.path)} for one in saved]
    return {
        "task_id": result.task_id,
        "prompt": result.request.prompt if result.request else None,
        "size": result.request.size if result.request else None,
        "seed": result.seed,
        "credits": result.credits,
        "images": images,
    }
