"""Very many at once: the cost of one does not grow with their number."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest

from hunyuan_async.client import Client
from hunyuan_async.settings import Limits
from hunyuan_async.testing import ScriptedTransport

Connect = Callable[..., Client]


async def most_in_flight(client: Client, making: asyncio.Future[Any]) -> int:
    """Look into a client every virtual second until *making* is done."""
    most = 0
    while not making.done():
        await asyncio.sleep(1)
        most = max(most, client.statistics().in_flight)
    return most


async def test_two_thousand_callers_share_eight_slots(connect: Connect) -> None:
    """All are served in order, the slots are never exceeded, and who waits has no asyncio task of the client's."""
    transport = ScriptedTransport(seconds=1)
    client = connect(transport, limits=Limits(rate=10_000, in_flight=8))
    made = asyncio.gather(*(client.generate(str(number)) for number in range(2000)))
    await asyncio.sleep(60)
    assert len(asyncio.all_tasks()) < 2000 + 50

    assert await most_in_flight(client, made) == 8
    assert [request.prompt for request in transport.submits] == [str(number) for number in range(2000)]


@pytest.mark.parametrize("count", [10_000, pytest.param(100_000, marks=pytest.mark.long)])
async def test_all_of_very_many_are_in_flight_at_once(connect: Connect, count: int) -> None:
    """Submitted, watched and collected end to end; this ends in time only if no wake-up looks through them all."""
    client = connect(limits=Limits(rate=100_000, in_flight=count))

    async def read() -> None:
        async with client.stream(itertools.repeat("a fox", count), window=count) as outcomes:
            async for outcome in outcomes:
                assert outcome.ok

    assert await most_in_flight(client, asyncio.create_task(read())) == count
    statistics = client.statistics()
    assert (statistics.succeeded, statistics.submits, statistics.credits_spent) == (count, count, 25 * count)
