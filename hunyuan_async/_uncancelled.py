"""Seeing something through however often we are cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import anyio


async def see_through(work: Coroutine[Any, Any, None]) -> None:
    """Run *work* to its end and pass a cancellation on only then.

    A native `Task.cancel` passes anyio's shield, and an anyio scope cancels again at every await that asyncio's
    shield protects; it takes both to keep a clean-up whole.
    """
    running = asyncio.ensure_future(work)
    cancelled = False
    with anyio.CancelScope(shield=True):
        while not running.done():
            try:
                await asyncio.wait([running])
            except asyncio.CancelledError:
                cancelled = True
    running.result()
    if cancelled:
        raise asyncio.CancelledError
