"""A caller cancelled at every single step of the event loop, in every way there is: no id, slot or credit is lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from hunyuan_async.client import Client
from hunyuan_async.models import ImageRequest
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, VirtualTimeLoop, accepted, finished, refused
from hunyuan_async.transport import BeforeSend

if TYPE_CHECKING:
    from tests.shell.conftest import Bench

Work = Coroutine[None, None, None]
Scenario = Callable[[Client, list[str], Path], Work]
Cancel = Callable[["SteppingLoop", Work], Coroutine[None, None, bool]]

IDLE = {"waiting": 0, "in_flight": 0, "saving": 0, "credits_reserved": 0, "credits_at_risk": 0}


class SteppingLoop(VirtualTimeLoop):
    """A loop that does `act` before its *countdown*-th step from when `act` was set."""

    def __init__(self, countdown: int) -> None:
        super().__init__()
        self.countdown = countdown
        self.act: Callable[[], object] | None = None

    def _run_once(self) -> None:  # every step of asyncio's loops goes through here; no public way counts them
        if self.act:
            self.countdown -= 1
            if self.countdown == 0:
                self.act()
        super()._run_once()  # type: ignore[misc]


class Issuing(ScriptedTransport):
    """Connects, asks whether to send, refuses the first submit for now, and notes the id of every later one."""

    def __init__(self, image: bytes) -> None:
        super().__init__(poll=finished, image=image)
        self.issued: list[str] = []

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Accept a request; from `before_send` on, its id is issued whatever the client does."""
        await asyncio.sleep(0.01)
        await before_send()
        self.submits.append(request)
        task_id = f"t{len(self.submits)}"
        if len(self.submits) == 1:
            return refused(429, retry_after="1")
        self.issued.append(task_id)
        await asyncio.sleep(0.01)
        return accepted(task_id)


async def natively(loop: SteppingLoop, work: Work) -> bool:
    """Run *work* until `Task.cancel` strikes; whether it came to its end."""
    caller = asyncio.current_task()
    assert caller is not None
    loop.act = caller.cancel
    try:
        await work
    except asyncio.CancelledError:
        return caller.uncancel() > 0
    finally:
        loop.act = None
    return loop.countdown > 0


async def by_timeout(loop: SteppingLoop, work: Work) -> bool:
    """Run *work* until `asyncio.timeout` strikes."""
    try:
        async with asyncio.timeout(None) as bound:
            loop.act = lambda: bound.reschedule(loop.time())
            await work
            loop.act = None
    except TimeoutError:
        return False
    return True


async def by_scope(loop: SteppingLoop, work: Work) -> bool:
    """Run *work* until anyio cancels it."""
    with anyio.CancelScope() as scope:
        loop.act = scope.cancel
        await work
        loop.act = None
    return not scope.cancelled_caught


async def generate(client: Client, got: list[str], folder: Path) -> None:
    """Two callers of `generate`, one with a bound of its own."""

    async def one(timeout: float | None) -> None:
        got.append((await client.generate("a", timeout=timeout)).task_id)

    await asyncio.gather(one(600), one(None))


async def submit(client: Client, got: list[str], folder: Path) -> None:
    """`submit`, then the handle."""
    task = await client.submit("a")
    got.append(task.id)
    await task


async def stream(client: Client, got: list[str], folder: Path) -> None:
    """A stream that is read more slowly than it is made."""
    async with client.stream("abc", window=2) as outcomes:
        async for outcome in outcomes:
            got.append(outcome.result.task_id if outcome.result else "")
            await asyncio.sleep(0.3)


async def download(client: Client, got: list[str], folder: Path) -> None:
    """An image, then its file."""
    result = await client.generate("a")
    got.append(result.task_id)
    await client.download(result, folder / "koi.png")


async def everything(client: Client, got: list[str], folder: Path) -> None:
    """The client's whole life, closing included."""
    async with client, client.stream("abc", save_to=folder) as outcomes:
        async for _ in outcomes:
            pass


@pytest.mark.parametrize("cancel", [natively, by_timeout, by_scope])
@pytest.mark.parametrize("scenario", [generate, submit, stream, download])
def test_a_caller_cancelled_at_any_step_loses_nothing(
    scenario: Scenario, cancel: Cancel, tmp_path: Path, png: bytes
) -> None:
    """Each id that was issued is in the caller's hands or in `unclaimed`, where it can be awaited; nothing is held."""

    async def life(loop: SteppingLoop, folder: Path) -> bool:
        transport, got = Issuing(png), list[str]()
        client = Client(transport=transport, limits=Limits(rate=1000, in_flight=2))
        ended = await cancel(loop, scenario(client, got, folder))
        await asyncio.sleep(60)
        got += [(await task).task_id for task in client.unclaimed]
        statistics = client.statistics()
        assert {name: getattr(statistics, name) for name in IDLE} == IDLE
        assert sorted({*got}) == transport.issued
        assert statistics.credits_spent == 25 * len(transport.issued)
        assert statistics.submits == len(transport.submits)
        await client.aclose()
        assert transport.closed or not transport.submits
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return ended

    assert_at_every_step(life, tmp_path)


@pytest.mark.parametrize("cancel", [natively, by_timeout, by_scope])
def test_a_client_closes_whole_whenever_it_is_cancelled(cancel: Cancel, tmp_path: Path, png: bytes) -> None:
    """Whichever step is hit, closing included: `async with` leaves no asyncio task, and the transport closed."""

    async def life(loop: SteppingLoop, folder: Path) -> bool:
        transport = Issuing(png)
        client = Client(transport=transport, limits=Limits(rate=1000, in_flight=2))
        ended = await cancel(loop, everything(client, [], folder))
        assert transport.closed or not transport.submits
        assert asyncio.all_tasks() == {asyncio.current_task()}
        statistics = client.statistics()
        assert {name: getattr(statistics, name) for name in IDLE} == IDLE
        return ended

    assert_at_every_step(life, tmp_path)


def assert_at_every_step(
    life: Callable[[SteppingLoop, Path], Coroutine[None, None, bool]], place: Path, stride: int = 1
) -> None:
    """Live *life* again and again, cancelled *stride* later each time, until it comes to its end; check its files."""
    for step in itertools.count(1, stride):
        folder = place / str(step)
        folder.mkdir()
        loop = SteppingLoop(step)
        with asyncio.Runner(loop_factory=lambda: loop) as runner:  # noqa: B023 - used before the next turn
            ended = runner.run(life(loop, folder))
        assert all(len(file.read_bytes()) and file.suffix == ".png" for file in folder.iterdir())
        if ended:
            break
    assert step > 10, "the scenario must have been cancelled somewhere"


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.long), 5], ids=["every-step", "every-fifth-step"])
@pytest.mark.parametrize(("cancel", "wanted"), [(natively, 3), (by_scope, 1)], ids=["to-the-end", "left-early"])
def test_a_durable_run_cancelled_at_any_step_leaves_a_true_journal(
    cancel: Cancel, wanted: int, stride: int, tmp_path: Path, png: bytes
) -> None:
    """Opening, planning, reading, leaving: what was sent is written down, and another process sends just the rest."""

    async def make(client: Client, directory: Path) -> None:
        async with Run(directory, client=client) as run:
            await run.add("abc")
            async for _ in run:
                if (await run.counts()).get("downloaded", 0) >= wanted:
                    break

    async def life(loop: SteppingLoop, folder: Path) -> bool:
        directory, transport = folder.with_name(f"{folder.name}-run"), Issuing(png)
        async with Client(transport=transport, limits=Limits(rate=1000, in_flight=2)) as client:
            ended = await cancel(loop, make(client, directory))
            statistics = client.statistics()
            assert (statistics.credits_reserved, statistics.credits_at_risk, client.unclaimed) == (0, 0, [])
        assert asyncio.all_tasks() == {asyncio.current_task()}

        rest = ScriptedTransport(poll=finished, submit=lambda request: accepted(f"later-{request.prompt}"), image=png)
        async with Client(transport=rest) as client, Run(directory, client=client) as run:
            counts = await run.counts()
            assert not counts.keys() & {"sending", "unknown"}
            assert sum(counts.values()) - counts.get("planned", 0) == len(transport.issued)
            await run.add("abc")
            async for outcome in run:
                assert outcome.ok
            assert await run.counts() == {"downloaded": 3}
        assert len(transport.issued) + len(rest.submits) == 3
        return ended

    assert_at_every_step(life, tmp_path, stride)


async def test_a_run_let_go_at_any_instant_leaves_a_true_record(bench: Callable[..., Bench], png: bytes) -> None:
    """However slow the disk: what left ends as accepted, and what did not is not recorded as sent."""
    for milliseconds in range(60):
        one: Bench = bench(Issuing(png))
        making = asyncio.create_task(one.make())
        await asyncio.sleep(milliseconds / 1000)
        for running, item in [*one.engine.running.items()]:
            one.engine.disown(item, running)
        await asyncio.wait([making])
        await asyncio.sleep(60)

        left = len(one.transport.submits)
        sends = one.diary.steps.count("send")
        backs = one.diary.steps.count("take_back")
        assert sends - backs == 0 or one.diary.steps[-1] == "complete", (milliseconds, one.diary.steps)
        assert left <= sends
