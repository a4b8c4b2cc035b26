"""`hunyuan edit`."""

from __future__ import annotations

import click

from hunyuan_async.cli.connection import Connection, connection_options
from hunyuan_async.cli.single import Destination, destination_options, make_image
from hunyuan_async.cli.terminal import run
from hunyuan_async.models import ImageRequest


@click.command
@click.argument("prompt")
@click.option(
    "--image", "images", multiple=True, required=True, metavar="URL", help="What to start from; may be given twice."
)
@click.option("--size", default="1024*1024", show_default=True, help="WxH in pixels, or a ratio such as 16:9.")
@click.option("--seed", type=int, help="The same seed makes the same image; without one, one is drawn and shown.")
@destination_options
@connection_options
def edit(
    prompt: str,
    images: tuple[str, ...],
    size: str,
    seed: int | None,
    destination: Destination,
    connection: Connection,
) -> int:
    """Change one or two images as PROMPT says, and print the path of the new one.

    The service fetches the images itself: give http(s) addresses that it can reach.

    \b
    hunyuan edit "make it night" --image https://example.com/koi.png -o night.png
    """
    request = ImageRequest(prompt, "edit", size=size, images=images, seed=seed)
    return run(make_image(connection, request, destination))
