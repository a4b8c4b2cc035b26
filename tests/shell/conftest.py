"""How the shells are tested: on a virtual clock, over a scripted transport, and with nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
from collections.abc import AsyncIterator, Callable, Mapping

import attrs
import pytest
from PIL import Image

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Dispatch
from hunyuan_async._core.lifecycle import Item, Step
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.slots import Slots
from hunyuan_async._engine import Engine
from hunyuan_async._tally import Tally
from hunyuan_async._targets import Target
from hunyuan_async.client import Client
from hunyuan_async.events import Event, Statistics
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.settings import API_IN_ONE, Limits, Polling, Timeouts
from hunyuan_async.testing import ScriptedTransport, VirtualTimeLoop

PRICE = API_IN_ONE.credits_per_image


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of this folder on a clock that jumps."""
    return {"virtual": VirtualTimeLoop}


@pytest.fixture(autouse=True)
async def nothing_is_left(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Fail if an asyncio task outlives its test, or if an error got lost in the loop."""
    lost: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(str(context)))
    before = asyncio.all_tasks()
    yield
    if inspect.iscoroutinefunction(request.function):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        gc.collect()
        assert (left, lost) == (set(), [])


@pytest.fixture(scope="session")
def png() -> bytes:
    """A small image file."""
    file = io.BytesIO()
    Image.new("RGB", (8, 4)).save(file, "PNG")
    return file.getvalue()


@attrs.define
class Diary:
    """A recorder that takes its time, like a disk, and stores what it has begun to store.

    Attributes:
        steps: What was stored.
        broken: Raised instead of storing a step.
        view: Called whenever something was stored.
        views: What it returned.
        seconds: How long storing takes.
        stuck: Raised at closing.
        closed: Whether the engine closed it.
    """

    steps: list[str] = attrs.field(factory=list)
    broken: dict[Step, Exception] = attrs.field(factory=dict)
    view: Callable[[], object] = attrs.field(default=lambda: None)
    views: list[object] = attrs.field(factory=list)
    seconds: float = 0.005
    stuck: Exception | None = None
    closed: bool = False

    async def record(self, item: Item, step: Step) -> None:
        """Store a step, even if the waiter goes away."""
        await asyncio.shield(asyncio.get_running_loop().create_task(self._store(step)))

    async def aclose(self) -> None:
        """Note that the engine is done."""
        self.closed = True
        if self.stuck:
            raise self.stuck

    async def _store(self, step: Step) -> None:
        await asyncio.sleep(self.seconds)
        if step in self.broken:
            raise self.broken[step]
        self.steps.append(step.value)
        self.views.append(self.view())


@attrs.define
class Bench:
    """An engine with everything around it that a test wants to look at."""

    engine: Engine
    transport: ScriptedTransport
    diary: Diary
    events: list[Event]

    async def make(self, prompt: str = "a fox", target: Target | None = None) -> Outcome:
        """Take one image from the queue to its end."""
        item = Item(prompt, ImageRequest(prompt), PRICE)
        ticket = await self.engine.sender.admit(item)
        return await self.engine.start(item, ticket, target)

    @property
    def statistics(self) -> Statistics:
        """A snapshot."""
        return self.engine.statistics()


@pytest.fixture
async def bench() -> AsyncIterator[Callable[..., Bench]]:
    """Build engines over scripted transports; in the end they close, and no slot and no credit may be missing."""
    built: list[Bench] = []

    def build(transport: ScriptedTransport | None = None, *, timeouts: Timeouts | None = None, slots: int = 8) -> Bench:
        transport, diary, events = transport or ScriptedTransport(), Diary(), list[Event]()
        engine = Engine(
            transport,
            diary,
            Dispatch(Pacer(100, 100), PollSchedule(Polling()), Slots(slots, slots), Budget(), 200),
            service=API_IN_ONE,
            timeouts=timeouts or Timeouts(),
            downloads=8,
            tally=Tally(events.append),
        )
        built.append(Bench(engine, transport, diary, events))
        return built[-1]

    yield build
    for one in built:
        await one.engine.aclose()
        assert (one.transport.closed, one.diary.closed) == (True, True)
        assert held(one.statistics) == (0, 0, 0, 0)


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Client]]:
    """Build clients over scripted transports; in the end they close, and no slot and no credit may be missing."""
    clients: list[Client] = []

    def build(transport: ScriptedTransport | None = None, **options: object) -> Client:
        quick: dict[str, object] = {"limits": Limits(rate=1000, in_flight=100)}
        client = Client(transport=transport or ScriptedTransport(), **quick | options)  # type: ignore[arg-type]
        clients.append(client)
        return client

    yield build
    for client in clients:
        await client.aclose()
        assert held(client.statistics()) == (0, 0, 0, 0)


def held(statistics: Statistics) -> tuple[int, int, int, int]:
    """Return what an idle engine must have none of."""
    return statistics.waiting, statistics.in_flight, statistics.saving, statistics.credits_reserved
