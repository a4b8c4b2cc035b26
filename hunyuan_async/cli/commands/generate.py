"""`hunyuan generate`."""

from __future__ import annotations

import click

from hunyuan_async.cli.connection import Connection, connection_options
from hunyuan_async.cli.single import Destination, destination_options, make_image
from hunyuan_async.cli.terminal import run
from hunyuan_async.models import ImageRequest


@click.command
@click.argument("prompt")
@click.option("--size", default="1024*1024", show_default=True, help="WxH in pixels, or a ratio such as 16:9.")
@click.option("--seed", type=int, help="The same seed makes the same image; without one, one is drawn and shown.")
@destination_options
@connection_options
def generate(prompt: str, size: str, seed: int | None, destination: Destination, connection: Connection) -> int:
    """Make one image of PROMPT and print the path of its file.

    \b
    hunyuan generate "a koi pond, watercolor" -o koi.png --size 16:9 --seed 7
    hunyuan generate "a koi pond" --emulator
    """
    return run(make_image(connection, ImageRequest(prompt, size=size, seed=seed), destination))
