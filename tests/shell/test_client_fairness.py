"""Who goes first when many wait, and what a client tells of its work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from hunyuan_async import Client, ImageRequest, Limits, Run
from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async.testing import ScriptedTransport, finished, refused, running
from hunyuan_async.transport import BeforeSend

Connect = Callable[..., Client]
ONE_AFTER_THE_OTHER = Limits(rate=1000, in_flight=1)


def prompts(transport: ScriptedTransport) -> list[str]:
    """What was asked for, in order."""
    return [request.prompt for request in transport.submits]


async def test_tenants_take_turns(connect: Connect) -> None:
    """Who asks for little does not wait for who asks for much."""
    transport = ScriptedTransport(seconds=1.0)
    client = connect(transport, limits=ONE_AFTER_THE_OTHER)
    bulk = [client.generate(f"a{number}", tenant="a") for number in range(4)]

    await asyncio.gather(*bulk, client.edit("b0", "https://images.example/1.png", tenant="b"))

    assert prompts(transport) == ["a0", "b0", "a1", "a2", "a3"]


async def test_a_click_goes_before_a_bulk_job(connect: Connect) -> None:
    """Through generate, edit and submit alike, whoever's it is."""
    transport = ScriptedTransport(seconds=1.0)
    client = connect(transport, limits=ONE_AFTER_THE_OTHER)
    bulk = asyncio.gather(*(client.generate(f"a{number}") for number in range(3)))
    await asyncio.sleep(0.1)

    task = await client.submit("click", interactive=True)

    assert prompts(transport) == ["a0", "click"]
    await asyncio.gather(task, bulk)


async def test_a_stream_does_not_wait_for_another_tenants_gather(connect: Connect) -> None:
    """Although it asks for one image at a time."""
    transport = ScriptedTransport(seconds=1.0)
    client = connect(transport, limits=ONE_AFTER_THE_OTHER)
    bulk = asyncio.gather(*(client.generate(f"a{number}") for number in range(4)))

    async with client.stream(["b0", "b1"], tenant="b", window=9) as outcomes:
        assert all([outcome.ok async for outcome in outcomes])

    await bulk
    assert prompts(transport) == ["a0", "b0", "a1", "b1", "a2", "a3"]


async def test_a_run_does_not_wait_for_a_gather(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Every run of a client is a tenant of its own."""
    transport = ScriptedTransport(seconds=1.0, image=png)
    client = connect(transport, limits=ONE_AFTER_THE_OTHER)
    bulk = asyncio.gather(*(client.generate(f"a{number}") for number in range(40)))

    async with Run(tmp_path, client=client) as run:
        await run.add(["b0", "b1"])
        assert all([outcome.ok async for outcome in run])

    assert len(transport.submits) < 40
    await bulk


def generated(count: int) -> Iterator[str]:
    """Prompts of which nobody knows how many will come."""
    yield from map(str, range(count))


async def later(count: int) -> AsyncIterator[str]:
    """The same, as they come."""
    for prompt in generated(count):
        yield prompt


@pytest.mark.parametrize(
    "entries", [[*generated(600)], generated(600), later(600)], ids=["list", "iterator", "async iterator"]
)
async def test_a_stream_counts_those_that_will_come(
    connect: Connect, entries: list[str] | Iterator[str] | AsyncIterator[str]
) -> None:
    """Or its submits would go before every look, until all slots are in use."""
    client = connect(ScriptedTransport(seconds=10.0), limits=Limits(rate=10, in_flight=300))

    async with client.stream(entries) as outcomes:
        assert all([outcome.ok async for outcome in outcomes])

    seen = client.statistics()
    assert seen.notice_delay is not None
    assert seen.notice_delay < 8
    assert asyncio.get_running_loop().time() < 1.1 * (2 * 600 / 10 + 10)


async def test_a_click_is_sent_at_once_and_looked_at_sooner(connect: Connect) -> None:
    """While requests are scarce, others give way to looks, and are looked at when that will find them finished."""
    transport = ScriptedTransport(seconds=10.0)
    client = connect(transport, limits=Limits(rate=5, in_flight=200))
    bulk = asyncio.gather(*(client.generate(str(number)) for number in range(600)))
    await asyncio.sleep(60)

    looks = {True: 0, False: 0}
    for interactive in (True, False) * 5:
        began = asyncio.get_running_loop().time()
        task = await client.submit("click", tenant="b", interactive=interactive)
        assert asyncio.get_running_loop().time() - began < 0.5 or not interactive
        await task
        looks[interactive] += transport.looks.count(task.id)

    assert looks[True] > 2 * looks[False]
    await bulk


async def test_time_on_the_way_is_no_time_at_work(connect: Connect) -> None:
    """A task's age counts from the sending of its submit to the sending of a look, which is answered 3 s later here."""
    client = connect(ScriptedTransport(seconds=10.0, round_trip=3.0), limits=Limits(rate=10, in_flight=20))

    await asyncio.gather(*(client.generate(str(number)) for number in range(100)))

    assert client.statistics().latency_p50 == pytest.approx(7, abs=1)


async def test_the_service_may_ask_not_to_be_asked(connect: Connect) -> None:
    """A Retry-After on a task that is running delays the next look at it, and nothing else."""
    loop = asyncio.get_running_loop()
    looked_at: list[float] = []

    def poll(task_id: str) -> Reply:
        looked_at.append(loop.time())
        still = attrs.evolve(running(task_id), headers={"retry-after": "7"})
        return finished(task_id) if len(looked_at) == 4 else still

    client = connect(ScriptedTransport(poll=poll))

    await client.generate("a fox")

    assert [after - before >= 7 for before, after in pairwise(looked_at)] == [True] * 3


async def test_a_client_tells_what_it_learned(connect: Connect) -> None:
    """How long images take, what noticing them costs, and what requests were held back by."""
    client = connect(ScriptedTransport(seconds=10.0), limits=Limits(rate=10, in_flight=20))
    assert client.statistics().latency_p50 is None

    await asyncio.gather(*(client.generate(str(number)) for number in range(200)))

    seen = client.statistics()
    assert seen.latency_p50 == pytest.approx(10, abs=1)
    assert seen.latency_p95 == pytest.approx(11, abs=1)
    assert seen.polls_per_task == pytest.approx(seen.polls / 200)
    assert seen.notice_delay is not None
    assert 0 < seen.notice_delay < 2
    assert seen.rate_found is None
    assert seen.waited["slots"] > 50


class TenASecond(ScriptedTransport):
    """A service that takes ten requests a second."""

    tokens, at = 5.0, 0.0

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Take it, or say that it was too many."""
        if self.passes():
            return await super().submit(request, before_send)
        await before_send()
        return refused(429)

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Show it, or say that it was too many."""
        return await super().poll(task_id) if self.passes() else refused(429)

    def passes(self) -> bool:
        """Take a token, if there is one."""
        now = asyncio.get_running_loop().time()
        self.tokens, self.at = min(5.0, self.tokens + (now - self.at) * 10), now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


async def test_a_client_tells_the_limit_that_it_found(connect: Connect) -> None:
    """And has room in flight for what that limit allows."""
    client = connect(TenASecond(seconds=15.0), limits=Limits())

    async with client.stream(map(str, range(1000))) as outcomes:
        assert all([outcome.ok async for outcome in outcomes])

    seen = client.statistics()
    assert seen.rate_found == pytest.approx(10, rel=0.1)
    assert seen.slots > 100
