"""Event streams: what a browser reads, when it hears that nothing is new, and what if it does not read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import pytest

from hunyuan_async._store.orders import PAGE
from hunyuan_async.client import Client
from hunyuan_async.integrations.web import EventStream, end_streams
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Limits
from hunyuan_async.store import Quotas, Store
from hunyuan_async.testing import ScriptedTransport

Connect = Callable[..., Client]
LONG = "x" * 1900


@pytest.fixture
async def store(tmp_path: Path, connect: Connect, png: bytes) -> AsyncIterator[Store]:
    """A store whose images take ten seconds."""
    client = connect(ScriptedTransport(seconds=10.0, image=png), limits=Limits(rate=1000, in_flight=100))
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(
            Store(tmp_path / "orders", client=client, quotas=Quotas(None, None, None))
        )


def fields(part: bytes) -> dict[str, str]:
    """The fields of an event."""
    assert part.endswith(b"\n\n")
    return dict(line.split(": ", 1) for line in part.decode().strip().splitlines())


async def test_a_stream_tells_from_where_it_resumes_and_what_changes(store: Store) -> None:
    """A number comes first, so that a browser that saw nothing yet misses nothing either; then each change."""
    before = await store.submit("before", tenant="ann")
    stream = EventStream(store.follow(tenant="ann"))

    first = fields(await anext(stream))
    placed = await store.submit(ImageRequest("a\nfox", seed=7), tenant="ann")
    await store.submit("not for her", tenant="bob")
    states = []
    while "done" not in states:
        event = fields(await anext(stream))
        order = json.loads(event["data"])
        assert (event["event"], int(event["id"])) == ("order", order["change"])
        if order["handle"] == placed.handle:
            states.append(order["state"])
        else:
            assert order["handle"] == before.handle
    await stream.aclose()

    assert (first["retry"], int(first["id"]) < placed.change) == ("3000", True)
    assert states[0] == "waiting"
    assert "running" in states
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_quiet_stream_says_that_it_is_there(store: Store) -> None:
    """Every so many seconds, as a comment, which no browser shows; a change in between still comes."""
    loop = asyncio.get_running_loop()
    stream = EventStream(store.follow(tenant="ann"), heartbeat=15.0)
    await anext(stream)

    since = loop.time()
    quiet = [await anext(stream) for _ in range(3)]

    assert quiet == [b": nothing new\n\n"] * 3
    assert loop.time() - since == pytest.approx(45.0, abs=0.1)
    await store.submit("a fox", tenant="ann")
    assert b"event: order" in await anext(stream)
    await stream.aclose()


@pytest.mark.parametrize("after", [10**17, 0])
async def test_a_number_of_another_store_does_no_harm(store: Store, after: int) -> None:
    """A store that was begun anew counts from 1; who resumes from beyond hears what changes from now on."""
    stream = EventStream(store.follow(tenant="ann", after=after))

    await anext(stream)
    placed = await store.submit("a fox", tenant="ann")

    assert json.loads(fields(await anext(stream))["data"])["handle"] == placed.handle
    await stream.aclose()


@attrs.define
class Reader:
    """A browser's end of an ASGI connection.

    Attributes:
        takes: Set while it takes what is sent.
        left: Set when it leaves.
        got: What it has got.
    """

    takes: asyncio.Event = attrs.field(factory=asyncio.Event)
    left: asyncio.Event = attrs.field(factory=asyncio.Event)
    got: list[dict[str, object]] = attrs.field(factory=list)

    async def receive(self) -> dict[str, object]:
        """Say that it has left, when it has."""
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: object) -> None:
        """Take a message."""
        await self.takes.wait()
        assert isinstance(message, dict)
        self.got.append(message)


async def test_a_reader_that_takes_nothing_is_dropped(store: Store) -> None:
    """After its time; nothing is kept for it, and it gets no proper end, so that a browser connects again."""
    reader, loop = Reader(), asyncio.get_running_loop()
    reader.takes.set()
    answering = asyncio.create_task(
        EventStream(store.follow(tenant="ann"), patience=30.0)({}, reader.receive, reader.send)
    )
    await asyncio.sleep(1)
    reader.takes.clear()
    placed = await store.submit(LONG, tenant="ann")
    since = loop.time()

    await answering

    assert loop.time() - since == pytest.approx(30.0, abs=0.5)
    assert reader.got[-1]["more_body"] is True
    assert placed.handle not in str(reader.got)


async def test_a_slow_reader_gets_the_latest_states_alone(store: Store) -> None:
    """Who was busy while an order came to its end reads of its end, not of its way."""
    stream = EventStream(store.follow(tenant="ann"))
    await anext(stream)
    orders = [await store.submit(f"fox {number}", tenant="ann") for number in range(5)]
    await asyncio.sleep(60)

    states = [json.loads(fields(await anext(stream))["data"])["state"] for _ in orders]

    assert states == ["done"] * 5
    assert await anext(stream) == b": nothing new\n\n"
    await stream.aclose()


async def test_a_browser_that_leaves_ends_its_stream(store: Store) -> None:
    """At once, though nothing is sent to it."""
    reader = Reader()
    reader.takes.set()
    answering = asyncio.create_task(EventStream(store.follow(tenant="ann"))({}, reader.receive, reader.send))
    await asyncio.sleep(1)

    reader.left.set()
    await answering

    assert [message["type"] for message in reader.got] == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("stuck", [False, True])
async def test_streams_end_when_the_server_stops(store: Store, stuck: bool) -> None:
    """At once, whether they wait for a change or for a reader; who reads gets a proper end."""
    reader, loop = Reader(), asyncio.get_running_loop()
    reader.takes.set()
    answering = asyncio.create_task(EventStream(store.follow(tenant="ann"))({}, reader.receive, reader.send))
    await asyncio.sleep(1)
    if stuck:
        reader.takes.clear()
        await store.submit("a fox", tenant="ann")
        await asyncio.sleep(1)
    since = loop.time()

    end_streams()
    await answering

    assert loop.time() - since < 1.0
    assert reader.got[-1].get("more_body") is stuck


async def test_a_stream_ends_with_its_store(store: Store) -> None:
    """There is nothing to follow any more; that is no error."""
    stream = EventStream(store.follow(tenant="ann"))
    await anext(stream)
    reading = asyncio.create_task(stream.send_to(lambda _: asyncio.sleep(0)))
    await asyncio.sleep(1)

    await store.aclose()

    assert await reading is True


async def test_who_was_away_for_long_gets_every_page(tmp_path: Path, connect: Connect) -> None:
    """More has changed than is read at once; all of it comes, in the order of changing, without another change."""
    client = connect(ScriptedTransport(), limits=Limits(rate=1e-6))  # nothing more changes
    async with Store(tmp_path / "orders", client=client, quotas=Quotas(None, None, None)) as store:
        await store.submit("the only one that is sent", tenant="bob")
        placed = [(await store.submit(f"fox {number}", tenant="ann")).handle for number in range(PAGE + 10)]
        await asyncio.sleep(1)

        async with asyncio.timeout(10), store.follow(tenant="ann", after=0) as changes:
            seen = [await anext(changes) for _ in placed]

    assert [order.handle for order in seen] == placed


@pytest.mark.parametrize("turns", range(6))
async def test_reading_that_is_cut_short_loses_nothing(store: Store, turns: int) -> None:
    """At whatever moment a wait is cancelled, the next one hands over what the first one would have."""
    placed = await store.submit("a fox", tenant="ann")
    await asyncio.sleep(60)

    async with asyncio.timeout(10), store.follow(tenant="ann", after=0) as changes:
        reading = asyncio.ensure_future(anext(changes))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.wait([reading])
        seen = await anext(changes) if reading.cancelled() else reading.result()

    assert (seen.handle, seen.state) == (placed.handle, "done")
