"""The same work on bare aiohttp, as one would write it by hand: no limits, no retries, no checks."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import ClientSession, TCPConnector

POLL_GAP = 0.05  # seconds


class BareClient:
    """Sends and reads what the library does, and connects as it does: anew for each POST, kept for GETs.

    Attributes:
        requests: How many it sent.
    """

    def __init__(self, base_url: str, in_flight: int) -> None:
        headers = {"Authorization": "Bearer benchmark-key"}
        self._base_url = base_url
        self._slots = asyncio.Semaphore(in_flight)
        self._posts = ClientSession(connector=TCPConnector(force_close=True, limit=0), headers=headers)
        self._gets = ClientSession(connector=TCPConnector(limit=64), headers=headers)
        self.requests = 0

    async def generate(self, prompt: str) -> str:
        """POST, then GET until done; return the image's address."""
        async with self._slots:
            body = {
                "model": "hunyuan-image-3",
                "prompt": prompt,
                "type": "text-to-image",
                "size": "1024*1024",
                "seed": 7,
            }
            self.requests += 1
            async with self._posts.post(f"{self._base_url}/images/generations", json=body) as response:
                answer = await response.json()
            task_id: str = answer["data"]["task_id"]
            while True:
                await asyncio.sleep(POLL_GAP)
                self.requests += 1
                async with self._gets.get(f"{self._base_url}/tasks/{task_id}") as response:
                    answer = await response.json()
                if answer["data"]["status"] == "completed":
                    url: str = answer["data"]["outputs"][0]
                    return url

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._posts.close()
        await self._gets.close()
