"""`hunyuan edit`."""

from __future__ import annotations

import attrs
import click

from hunyuan_async._core.requests import prepare
from hunyuan_async.cli.connection import Connection, connection_options
from hunyuan_async.cli.local_images import is_local, web_addresses
from hunyuan_async.cli.single import Destination, destination_options, make_image
from hunyuan_async.cli.terminal import run
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE

SOMEWHERE = "https://example.com/uploaded.png"  # in the place of an address that is not known yet


@click.command
@click.argument("prompt")
@click.option(
    "--image",
    "images",
    multiple=True,
    required=True,
    metavar="URL|FILE",
    help="What to start from; may be given twice.",
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

    The service fetches the images itself: give http(s) addresses that it can reach. A file
    is uploaded first, by the command in HUNYUAN_UPLOAD_COMMAND, which gets its path for
    {file} and prints its address; an image of a run needs none while its address works.

    \b
    hunyuan edit "make it night" --image https://example.com/koi.png -o night.png
    HUNYUAN_UPLOAD_COMMAND='./upload.sh {file}' hunyuan edit "make it night" --image koi.png
    """
    request = ImageRequest(prompt, "edit", size=size, images=images, seed=seed)
    uploaded = [SOMEWHERE if is_local(image) else image for image in images]
    prepare(attrs.evolve(request, images=uploaded), API_IN_ONE)  # before anything is uploaded
    return run(_edit(request, destination, connection))


async def _edit(request: ImageRequest, destination: Destination, connection: Connection) -> int:
    destination.check()
    images = await web_addresses(request.images, connection)
    return await make_image(connection, attrs.evolve(request, images=images), destination)
