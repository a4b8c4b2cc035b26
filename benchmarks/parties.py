"""Who makes a batch in virtual time: our client, and the loops that people write instead."""

from __future__ import annotations

import asyncio
import json
import math
import random
from collections.abc import Awaitable, Callable

import attrs

from benchmarks.batch import Service
from hunyuan_async import Client, ImageRequest, Limits
from hunyuan_async.testing import NoReply, Reply

LONGEST_GAP = 10.0  # seconds
FIRST_BACKOFF, LONGEST_BACKOFF = 0.5, 20.0  # seconds


async def ours(service: Service) -> None:
    """The client, told the request rate if the scenario says so."""
    scenario = service.scenario
    await _gather(service, Limits(rate=None if scenario.submits else scenario.rate, in_flight=scenario.in_flight))


async def ours_told_nothing(service: Service) -> None:
    """The client as it comes."""
    await _gather(service, Limits())


async def ours_told_all(service: Service) -> None:
    """The client, told every limit."""
    scenario = service.scenario
    await _gather(service, Limits(rate=scenario.rate, in_flight=scenario.slots or scenario.in_flight))


async def _gather(service: Service, limits: Limits) -> None:
    async with Client(transport=service, limits=limits) as client:

        async def make(number: int) -> None:
            await client.generate(str(number))
            service.noticed(number)

        await asyncio.gather(*map(make, range(service.scenario.tasks)))


@attrs.frozen
class Loop:
    """A loop for each task, behind one semaphore.

    Attributes:
        gap: Seconds before each look at a task.
        growth: By what it is multiplied from look to look, up to ten seconds.
        paced: Whether all share a limiter that knows the exact request rate; else each waits alone after a 429.
        workers: Tasks in flight at most; as many as our client has by default.
    """

    gap: float
    growth: float = 1.0
    paced: bool = True
    workers: int | None = None

    async def __call__(self, service: Service) -> None:
        """Make the whole batch."""
        scenario = service.scenario
        places = asyncio.Semaphore(self.workers or scenario.in_flight)
        patience = _Patience(scenario.rate if self.paced else math.inf)

        async def make(number: int) -> None:
            async with places:
                await patience.send(lambda: service.submit(ImageRequest(str(number)), _nothing))
                gap, status = self.gap, ""
                while status != "completed":
                    await asyncio.sleep(gap)
                    gap = min(LONGEST_GAP, gap * self.growth)
                    seen = await patience.send(lambda: service.poll(str(number)))
                    status = json.loads(seen.body)["data"]["status"]
            service.noticed(number)

        await asyncio.gather(*map(make, range(scenario.tasks)))


class _Patience:
    """Sends requests evenly, first come, first served, and repeats what is refused."""

    def __init__(self, rate: float) -> None:
        self._gap = 1 / rate
        self._next_at = 0.0

    async def send(self, request: Callable[[], Awaitable[Reply | NoReply]]) -> Reply:
        backoff = FIRST_BACKOFF
        while True:
            now = asyncio.get_running_loop().time()
            leaves_at = max(now, self._next_at)
            self._next_at = leaves_at + self._gap
            await asyncio.sleep(leaves_at - now)
            reply = await request()
            assert isinstance(reply, Reply)
            if reply.status != 429:
                return reply
            told = reply.headers.get("retry-after")
            await asyncio.sleep(float(told) if told else random.uniform(0.5, 1) * backoff)  # noqa: S311 - seeded
            backoff = min(LONGEST_BACKOFF, 2 * backoff)


async def _nothing() -> None:
    """Record no submit before it leaves."""
