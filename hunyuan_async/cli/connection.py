"""Whom a command talks to: the service with your key, or an emulator that it starts itself."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import click
import platformdirs

from hunyuan_async._keys import BASE_URL_VARIABLE, FILE_VARIABLE, KEY_VARIABLE, FoundKey, find_key
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.client import Client
from hunyuan_async.emulator import Emulator, EmulatorSettings
from hunyuan_async.errors import AuthError, InvalidRequest
from hunyuan_async.events import Event
from hunyuan_async.settings import Limits, Timeouts

EMULATOR_SPEED = 5.0
EMULATOR_RATE = 50.0  # requests a second
EMULATOR_IN_FLIGHT = 100


@attrs.frozen
class Connection:
    """What the options say about whom to talk to.

    Attributes:
        base_url: Instead of HUNYUAN_BASE_URL or the service's own address.
        emulator: Whether to start an emulator.
    """

    base_url: str | None = None
    emulator: bool = False


connection_options = option_group(
    "connection",
    Connection,
    click.option("--base-url", metavar="URL", help=f"Where the API is; also read from {BASE_URL_VARIABLE}."),
    click.option("--emulator", is_flag=True, help="Use a built-in stand-in: no key, no money, made-up images."),
)
"""Adds `--base-url` and `--emulator` to a command, which gets them as `connection`."""


@asynccontextmanager
async def open_client(
    connection: Connection,
    *,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    max_credits: int | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> AsyncIterator[Client]:
    """Open a client of the service, or of an emulator that lives as long as the client.

    Raises:
        AuthError: There is no key; the message says where it is looked for.
    """
    limits = limits or Limits()
    if connection.emulator:
        if connection.base_url:
            raise InvalidRequest("--emulator starts a service of its own: leave --base-url out")
        limits = attrs.evolve(
            limits, rate=limits.rate or EMULATOR_RATE, in_flight=limits.in_flight or EMULATOR_IN_FLIGHT
        )

    def client(key: str, base_url: str | None) -> Client:
        return Client(
            key,
            base_url=base_url,
            limits=limits,
            timeouts=timeouts or Timeouts(),
            max_credits=max_credits,
            on_event=on_event,
        )

    if not connection.emulator:
        async with client(required_key().key, connection.base_url) as opened:
            yield opened
        return
    settings = EmulatorSettings(speed=EMULATOR_SPEED, requests_per_second=limits.rate, tasks_in_flight=limits.in_flight)
    async with Emulator(settings=settings) as emulator, client(emulator.api_key, emulator.base_url) as opened:
        yield opened


def key_file() -> Path:
    """Return where `hunyuan key set` stores the key."""
    return platformdirs.user_config_path("hunyuan_async") / "api_key"


def required_key() -> FoundKey:
    """Return the key and its source.

    Raises:
        AuthError: There is none.
        InvalidRequest: Its file cannot be read, or others can read it.
    """
    found = find_key(os.environ, key_file())
    if found is None:
        raise AuthError(
            f"There is no API key. Set {KEY_VARIABLE}, or {FILE_VARIABLE} to a file that holds it, or run "
            "`hunyuan key set`. To try without a key, add --emulator."
        )
    return found


def key_note() -> str:
    """Say in words which key is used, without showing it."""
    found = required_key()
    return f"The key ends in {found.key[-4:]} and comes from {found.source}."
