"""Whom a command talks to: the service with your key, or an emulator that it starts itself."""

from __future__ import annotations

import os
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import attrs
import click

from hunyuan_async._http.api import check_base_url, check_key
from hunyuan_async._keys import BASE_URL_VARIABLE, FILE_VARIABLE, KEY_VARIABLE, FoundKey, find_key
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.client import Client
from hunyuan_async.errors import AuthError, InvalidRequest
from hunyuan_async.events import Event
from hunyuan_async.settings import API_IN_ONE, Limits, Timeouts

EMULATOR_SPEED = 5.0
EMULATOR_LIMITS = Limits(rate=50.0, in_flight=100)


@attrs.frozen
class Connection:
    """What the options say about whom to talk to.

    Attributes:
        base_url: Instead of HUNYUAN_BASE_URL or the service's own address.
        emulator: Whether to start an emulator.
    """

    base_url: str | None = None
    emulator: bool = False

    def limits(self, rate: float | None = None, in_flight: int | None = None) -> Limits:
        """Return the given limits; of what is not given, an emulator's are known."""
        if self.emulator:
            return Limits(rate=rate or EMULATOR_LIMITS.rate, in_flight=in_flight or EMULATOR_LIMITS.in_flight)
        return Limits(rate=rate, in_flight=in_flight)

    def check(self) -> None:
        """Find what is wrong with them before anything is done.

        Raises:
            AuthError, InvalidRequest: As `open_client`.
        """
        if not self.emulator:
            check_key(required_key().key)
            check_base_url(self.address)
        elif self.base_url:
            raise InvalidRequest("--emulator starts a service of its own: leave --base-url out")

    @property
    def address(self) -> str:
        """Where the service is, if it is not an emulator."""
        return self.base_url or os.environ.get(BASE_URL_VARIABLE) or API_IN_ONE.base_url

    def title(self, work: str) -> str:
        """Return what a view shows above *work*."""
        return f"emulator: {work}" if self.emulator else work

    def options(self) -> str:
        """Return the options that lead another command to the same place."""
        if self.emulator:
            return " --emulator"
        return f" --base-url {shlex.quote(self.base_url)}" if self.base_url else ""


base_url_option = click.option(
    "--base-url", metavar="URL", help=f"Where the API is; also read from {BASE_URL_VARIABLE}."
)
connection_options = option_group(
    "connection",
    Connection,
    base_url_option,
    click.option("--emulator", is_flag=True, help="Use a built-in stand-in: no key, no money, made-up images."),
)
"""Adds `--base-url` and `--emulator` to a command, which gets them as `connection`."""


@asynccontextmanager
async def open_client(
    connection: Connection,
    *,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    journal: Path | None = None,
    on_event: Callable[[Event], None] | None = None,
) -> AsyncIterator[Client]:
    """Open a client of the service, or of an emulator that lives as long as the client.

    Raises:
        AuthError: There is no key, and the message says where it is looked for; or the service refuses it, and the
            message says which one it is.
        InvalidRequest: The options contradict each other, or the key's file cannot be used.
    """
    connection.check()
    limits = limits or connection.limits()
    client = partial(Client, limits=limits, timeouts=timeouts or Timeouts(), journal=journal, on_event=on_event)
    if connection.emulator:
        # It draws its images with Pillow and listens with aiohttp: only who asks for it waits for these.
        from hunyuan_async.emulator import Emulator, EmulatorSettings

        settings = EmulatorSettings(
            speed=EMULATOR_SPEED, requests_per_second=limits.rate, tasks_in_flight=limits.in_flight
        )
        async with (
            Emulator(settings=settings) as emulator,
            client(emulator.api_key, base_url=emulator.base_url) as opened,
        ):
            yield opened
        return
    found = required_key()
    try:
        async with client(found.key, base_url=connection.base_url) as opened:
            yield opened
    except AuthError as error:
        error.message += f" {key_note(found)}"
        raise


def key_file() -> Path:
    """Return where `hunyuan key set` stores the key."""
    import platformdirs

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


def key_note(found: FoundKey) -> str:
    """Say in words which key is used, without showing it."""
    return f"The key ends in {found.key[-4:]} and comes from {found.source}."
