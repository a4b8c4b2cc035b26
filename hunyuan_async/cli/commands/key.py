"""`hunyuan key`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from hunyuan_async._http.api import check_key
from hunyuan_async.cli.connection import Connection, base_url_option, key_file, key_note, open_client, required_key
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.terminal import run, say
from hunyuan_async.errors import InvalidRequest, TaskLost


@click.group
def key() -> None:
    """Store, check or locate the API key. It is never given as an argument, where other users could see it."""


@key.command
@base_url_option
def check(base_url: str | None) -> int:
    """Ask the service whether it accepts the key. It costs nothing."""
    return run(_check(Connection(base_url)))


@key.command("set")
def set_key() -> int:
    """Ask for the key, unseen, and store it in the config file for you alone."""
    text = click.prompt("API key", hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
    _store(check_key(text.strip()), key_file())
    say(f"Stored in {key_file()}")
    return Exit.DONE


@key.command
def path() -> int:
    """Print the path of the config file that holds the key."""
    click.echo(key_file())
    return Exit.DONE


async def _check(connection: Connection) -> int:
    say(key_note(required_key()))
    async with open_client(connection) as client:
        with suppress(TaskLost):  # the service knows no such task, and let us ask: the key is accepted
            await client.status("key-check")
    click.echo("accepted")
    return Exit.DONE


def _store(text: str, file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = file.with_name(f".{file.name}.part")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="ascii") as stream:
            stream.write(f"{text}\n")
        temporary.replace(file)
        return
    except OSError as error:
        problem = error.strerror
    raise InvalidRequest(f"The key could not be stored in {file}: {problem}.")
