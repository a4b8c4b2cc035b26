"""What a good engineer writes without a library: slots, a look every two seconds, patience when limited."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aiohttp import ClientSession

IN_FLIGHT = 100
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 30.0  # seconds


class HandWritten:
    """Submits, looks every *gap* seconds, and repeats what was refused with 429, later and later."""

    def __init__(self, session: ClientSession, base_url: str, gap: float) -> None:
        self._session = session
        self._base_url = base_url
        self._gap = gap
        self._slots = asyncio.Semaphore(IN_FLIGHT)

    async def generate(self, prompt: str) -> str:
        """Make an image and return its address."""
        async with self._slots:
            body = {"model": "hunyuan-image-3", "prompt": prompt, "type": "text-to-image", "size": "1024*1024"}
            submitted = await self._request("POST", "images/generations", body)
            while True:
                await asyncio.sleep(self._gap)
                task = await self._request("GET", f"tasks/{submitted['task_id']}")
                if task["status"] == "completed":
                    return str(task["outputs"][0])

    async def _request(self, method: str, path: str, body: Mapping[str, str] | None = None) -> dict[str, Any]:
        backoff = FIRST_BACKOFF
        while True:
            async with self._session.request(method, f"{self._base_url}/{path}", json=body) as response:
                if response.status != 429:
                    response.raise_for_status()
                    data: dict[str, Any] = (await response.json())["data"]
                    return data
                asked = float(response.headers.get("Retry-After", 0))
            jitter = random.uniform(1, 1.5)  # noqa: S311 - spreads load, hides nothing
            await asyncio.sleep(max(asked, backoff) * jitter)
            backoff = min(2 * backoff, LONGEST_BACKOFF)
