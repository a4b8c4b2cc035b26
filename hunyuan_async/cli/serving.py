"""A studio's page: announced, opened, and served until Ctrl-C."""

from __future__ import annotations

import asyncio
import webbrowser
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import attrs
import click

from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.cli.terminal import say
from hunyuan_async.errors import InvalidRequest

if TYPE_CHECKING:
    from hunyuan_async.studio._server import Studio


@attrs.frozen
class Place:
    """Where a page is to be served, and whether the browser is sent there.

    Attributes:
        host: The address to listen at.
        port: The port; 0 takes a free one.
        allow_remote: Whether other machines may reach it.
        no_browser: Whether the address is printed only.
    """

    host: str
    port: int
    allow_remote: bool
    no_browser: bool


place_options = option_group(
    "place",
    Place,
    click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS"),
    click.option("--port", default=0, metavar="N", help="The port to listen at; a free one if not given."),
    click.option("--allow-remote", is_flag=True, help="Listen at other addresses than this machine's own."),
    click.option("--no-browser", is_flag=True, help="Print the address, and open nothing."),
)
"""Adds `--host`, `--port`, `--allow-remote` and `--no-browser` to a command, which gets them as `place`."""


async def serve(place: Place, make: Callable[..., Studio]) -> int:
    """Serve what *make* returns for the arguments host, port and allow_remote, until cancelled.

    Raises:
        InvalidRequest: It cannot be served there.
    """
    async with AsyncExitStack() as stack:
        try:
            studio = make(host=place.host, port=place.port, allow_remote=place.allow_remote)
            await stack.enter_async_context(studio)
        except (ValueError, OSError) as error:
            problem = str(error).replace("pass allow_remote=True", "add --allow-remote")
        else:
            return await _until_cancelled(place, studio)
    raise InvalidRequest(f"the studio cannot be served at {place.host}:{place.port}: {problem}")


async def _until_cancelled(place: Place, studio: Studio) -> int:
    if place.allow_remote:
        say("Warning: other machines can reach this, unencrypted, and whoever has the address is let in.")
    click.echo(studio.url)
    opened = not place.no_browser and await asyncio.to_thread(webbrowser.open, studio.url)
    say(f"{'Your browser shows it' if opened else 'Open the address above in your browser'}. Stop with Ctrl-C.")
    await asyncio.Event().wait()
    raise AssertionError("nobody sets the event")
