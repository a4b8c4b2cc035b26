"""Puts the parts of a client together; kept apart so that importing the client loads neither aiohttp nor cattrs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Dispatch
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.slots import Slots
from hunyuan_async._engine import Engine
from hunyuan_async._http.api import check_key
from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async._keys import BASE_URL_VARIABLE, FILE_VARIABLE, KEY_VARIABLE, find_key
from hunyuan_async._recorder import MemoryRecorder
from hunyuan_async._tally import Tally
from hunyuan_async.errors import AuthError

if TYPE_CHECKING:
    from hunyuan_async.client import Client

MAX_RATE = 100.0  # requests a second; as far as an unknown limit is probed


def assemble(client: Client) -> Engine:
    """Return an engine for the running loop, made as *client*'s settings say.

    Raises:
        AuthError: There is no key.
        InvalidRequest: The key or the base URL cannot be right.
    """
    limits, service = client.limits, client.service
    dispatch = Dispatch(
        Pacer(limits.rate or service.start_rate, limits.rate or MAX_RATE, limits.burst),
        PollSchedule(client.polling),
        Slots(limits.in_flight or service.start_in_flight, limits.in_flight or service.max_in_flight),
        Budget(client.max_credits),
        limits.unsaved,
    )
    return Engine(
        client.transport or _over_aiohttp(client),
        MemoryRecorder(),
        dispatch,
        service=service,
        timeouts=client.timeouts,
        downloads=limits.downloads,
        tally=Tally(client.on_event),
    )


def _over_aiohttp(client: Client) -> AiohttpTransport:
    key = client.api_key
    if key is None:
        found = find_key(os.environ)
        if found is None:
            raise AuthError(
                f"No API key: set {KEY_VARIABLE}, or {FILE_VARIABLE} to a file that holds it, or pass api_key=. "
                "To try without a key, use hunyuan_async.emulator.Emulator."
            )
        key = found.key
    return AiohttpTransport(
        client.service,
        check_key(key),
        base_url=client.base_url or os.environ.get(BASE_URL_VARIABLE) or client.service.base_url,
        timeouts=client.timeouts,
        limits=client.limits,
        proxy=client.proxy,
    )
