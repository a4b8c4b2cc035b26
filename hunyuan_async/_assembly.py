"""Puts the parts of a client together; kept apart so that importing the client loads neither aiohttp nor cattrs."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Dispatch
from hunyuan_async._core.latency import LatencyModel
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.slots import Slots
from hunyuan_async._engine import Engine
from hunyuan_async._http.api import check_key
from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async._journal.recorder import Journal
from hunyuan_async._keys import BASE_URL_VARIABLE, FILE_VARIABLE, KEY_VARIABLE, find_key
from hunyuan_async._recorder import Book, Books, MemoryRecorder
from hunyuan_async._tally import Tally
from hunyuan_async.errors import AuthError
from hunyuan_async.events import Listener
from hunyuan_async.settings import ApiKey

if TYPE_CHECKING:
    from hunyuan_async.client import Client

MAX_RATE = 100.0  # requests a second; as far as an unknown limit is probed


def assemble(client: Client, listeners: Collection[Listener]) -> Engine:
    """Return an engine for the running loop, made as *client*'s settings say; its *listeners* may change meanwhile.

    Raises:
        AuthError: There is no key.
        InvalidRequest: The key or the base URL cannot be right.
    """
    limits, service = client.limits, client.service
    transport = client.transport or over_aiohttp(client)
    recorder = MemoryRecorder() if client.journal is None else Journal(Path(client.journal))
    dispatch = Dispatch(
        Pacer(limits.rate or service.start_rate, limits.rate or MAX_RATE, limits.burst),
        PollSchedule(client.polling, LatencyModel()),
        Slots(limits.in_flight or service.start_in_flight, limits.in_flight or service.max_in_flight),
        limits.unsaved,
    )
    return Engine(
        transport,
        Books(Book(recorder, Budget(client.max_credits))),
        dispatch,
        service=service,
        timeouts=client.timeouts,
        downloads=limits.downloads,
        tally=Tally(listeners),
    )


def base_url_of(client: Client) -> str:
    """Return the address that *client* talks to."""
    return client.base_url or os.environ.get(BASE_URL_VARIABLE) or client.service.base_url


def key_of(client: Client) -> ApiKey:
    """Return the key that *client* uses.

    Raises:
        AuthError: There is none.
        InvalidRequest: It is none that could be right.
    """
    if client.api_key is not None:
        return check_key(client.api_key)
    found = find_key(os.environ)
    if found is None:
        raise AuthError(
            f"No API key: set {KEY_VARIABLE}, or {FILE_VARIABLE} to a file that holds it, or pass api_key=. "
            "To try without a key, use hunyuan_async.emulator.Emulator."
        )
    return check_key(found.key)


def over_aiohttp(client: Client) -> AiohttpTransport:
    """Return a transport to the service, made as *client*'s settings say.

    Raises:
        AuthError, InvalidRequest: As `key_of`; or the base URL cannot be right.
    """
    return AiohttpTransport(
        client.service,
        key_of(client),
        base_url=base_url_of(client),
        timeouts=client.timeouts,
        limits=client.limits,
        proxy=client.proxy,
    )
