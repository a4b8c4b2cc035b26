"""How the shells are tested: on a virtual clock, over a scripted transport, and with nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import io
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import attrs
import pytest
from PIL import Image

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Dispatch
from hunyuan_async._core.latency import LatencyModel
from hunyuan_async._core.lifecycle import TRANSITIONS, Item, State, Step
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.slots import Slots
from hunyuan_async._engine import Engine
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._recorder import Book, Books
from hunyuan_async._tally import Tally
from hunyuan_async._targets import Target
from hunyuan_async.client import Client
from hunyuan_async.errors import JournalError
from hunyuan_async.events import Event, Statistics
from hunyuan_async.models import ImageRequest, Outcome, TaskState, TaskStatus
from hunyuan_async.settings import API_IN_ONE, Limits, Polling, Service, Timeouts
from hunyuan_async.testing import ScriptedTransport, VirtualTimeLoop

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
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
        items: The items as they were then.
        known: What an earlier process left, by the ids of the tasks.
        spent: Credits that it spent.
        at_risk: Credits that it left at risk.
        shut: Raised at opening, in turn.
        opened: How often the engine asked for that.
        broken: Raised instead of storing a step.
        view: Called whenever something was stored.
        views: What it returned.
        seconds: How long storing takes.
        stuck: Raised at closing.
        closed: Whether the engine closed it.
    """

    steps: list[str] = attrs.field(factory=list)
    items: list[Item] = attrs.field(factory=list)
    known: dict[str, Item] = attrs.field(factory=dict)
    spent: int = 0
    at_risk: int = 0
    shut: list[JournalError] = attrs.field(factory=list)
    opened: int = 0
    broken: dict[Step, Exception] = attrs.field(factory=dict)
    view: Callable[[], object] = attrs.field(default=lambda: None)
    views: list[object] = attrs.field(factory=list)
    seconds: float = 0.005
    stuck: Exception | None = None
    closed: bool = False

    async def open(self, budget: Budget) -> None:
        """Count what was spent before."""
        self.opened += 1
        await asyncio.sleep(self.seconds)
        if self.shut:
            raise self.shut.pop(0)
        budget.book(spent=self.spent, at_risk=self.at_risk)

    async def find(self, task_id: str) -> Item | None:
        """Look up what is known."""
        await asyncio.sleep(self.seconds)
        return self.known.get(task_id)

    async def unfinished(self) -> list[Item]:
        """Read what is known, paid and not finished."""
        await asyncio.sleep(self.seconds)
        return [item for item in self.known.values() if item.state in (State.SUBMITTED, State.COMPLETED)]

    async def record(self, item: Item, step: Step) -> None:
        """Store a step, even if the waiter goes away."""
        await asyncio.shield(asyncio.get_running_loop().create_task(self._store(attrs.evolve(item), step)))

    async def aclose(self) -> None:
        """Note that the engine is done."""
        self.closed = True
        if self.stuck:
            raise self.stuck

    async def _store(self, item: Item, step: Step) -> None:
        await asyncio.sleep(self.seconds)
        if step in self.broken:
            raise self.broken[step]
        self.steps.append(step.value)
        self.items.append(item)
        self.views.append(self.view())


@attrs.define
class Bench:
    """An engine with everything around it that a test wants to look at."""

    engine: Engine
    transport: ScriptedTransport
    diary: Diary
    events: list[Event]

    async def make(self, what: str | Item = "a fox", target: Target | None = None) -> Outcome:
        """Take one image from the queue to its end."""
        item = what if isinstance(what, Item) else Item(what, ImageRequest(what), PRICE)
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

    def build(
        transport: ScriptedTransport | None = None,
        *,
        timeouts: Timeouts | None = None,
        slots: int = 8,
        service: Service = API_IN_ONE,
        credits: int | None = None,
    ) -> Bench:
        transport, diary, events = transport or ScriptedTransport(), Diary(), list[Event]()
        engine = Engine(
            transport,
            Books(Book(diary, Budget(credits))),
            Dispatch(Pacer(100, 100), PollSchedule(Polling(), LatencyModel()), Slots(slots, slots), 200),
            service=service,
            timeouts=timeouts or Timeouts(),
            downloads=8,
            tally=Tally([events.append]),
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


class WriteRun(Protocol):
    """Writes the journal of a run."""

    def __call__(self, *items: Item, out: Path | None = None) -> Path:
        """Write one whose items are in the states that they say, and return its directory."""


@pytest.fixture
def write_run(tmp_path: Path) -> WriteRun:
    """Return what writes runs, each into the test's own directory unless another one is given."""

    def write(*items: Item, out: Path | None = None) -> Path:
        directory = out or tmp_path
        with JournalFile.open(directory / "journal.sqlite", directory) as file:
            run = file.begin_run().run
            owned = [attrs.evolve(item, run=run) for item in items]
            with file.planning(run) as planning:
                for item in owned:
                    is_repeat = "duplicate_of" in item.detail
                    planning.add(attrs.evolve(item, state=State.SKIPPED if is_repeat else State.PLANNED))
                planning.keep = True
            for item in owned:
                for step in () if "duplicate_of" in item.detail else _way_to(item.state):
                    file.record(item, step)
        return directory

    return write


def _way_to(goal: State) -> list[Step]:
    ways: dict[State, list[Step]] = {State.PLANNED: []}
    while goal not in ways:
        for state, way in [*ways.items()]:
            for step, after in TRANSITIONS.get(state, {}).items():
                ways.setdefault(after, [*way, step])
    return ways[goal]


@pytest.fixture(scope="session")
def batch_item() -> Callable[..., Item]:
    """Return what makes items of a batch with the ids x0, x1, ..., which have what an item in their state has."""
    return _batch_item


def _batch_item(index: int, state: State = State.PLANNED, *, prompt: str = "a koi", **changes: object) -> Item:
    task_id = f"n{index}" if Step.ACCEPT in _way_to(state) else None
    done = TaskStatus(task_id, TaskState.COMPLETED, ("https://cdn.example/a",)) if task_id else None
    fields: dict[str, object] = {
        "request": ImageRequest(prompt, seed=index, id=f"x{index}"),
        "credits": PRICE,
        "state": state,
        "task_id": task_id,
        "sending_at": None if state in {State.PLANNED, State.SKIPPED} else NOON,
        "submitted_at": NOON if task_id else None,
        "completion": done if Step.COMPLETE in _way_to(state) else None,
        "finished_at": NOON + timedelta(seconds=9.5) if state is State.DOWNLOADED else None,
        "given": ascii(prompt),
        "detail": {"index": index, "line": index + 2, "variation": 1, "input": {"sku": 7}, "given": {"prompt": prompt}},
        **changes,
    }
    return Item(f"x{index}", **fields)  # type: ignore[arg-type]
