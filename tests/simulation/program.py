"""What one process of a scenario does with the library: a run in a directory, and single calls beside it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

import attrs

from hunyuan_async._journal.planning import Changed
from hunyuan_async._journal.resuming import Resolution
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, TaskTimedOut
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.run import Run
from hunyuan_async.tasks import GenerationTask
from tests.simulation.line import Line
from tests.simulation.oracle import CALLS, OUT, Oracle
from tests.simulation.scenario import Call, Interruption, Life, Scenario

EDITED = 0.1  # of the items, when somebody has changed the input
RESOLUTIONS: Sequence[Resolution] = ("not_charged", "not_charged", "resubmit", "abandon")
REST = 60.0  # seconds before a run that an error ended is gone on with


@attrs.define
class Program:
    """A process that makes the scenario's images.

    Attributes:
        scenario: What was decided beforehand.
        life: The same for this process.
        number: Which of the processes it is.
        place: Its disk.
        oracle: Told of every outcome.
        draw: What is drawn on the way.
        note: Takes what is worth a line of the trace.
    """

    scenario: Scenario
    life: Life
    number: int
    place: Path
    oracle: Oracle
    draw: Random
    note: Callable[[str], None]
    _main: asyncio.Task[None] | None = None
    _run: Run | None = None
    _calls: list[asyncio.Task[None]] = attrs.field(factory=list)

    async def work(self, line: Line, longest: float) -> None:
        """Do everything within so many seconds, and leave nothing behind."""
        self._main = asyncio.current_task()
        client = Client(
            transport=line,
            limits=self.scenario.limits,
            timeouts=self.scenario.timeouts,
            max_credits=self.scenario.life_credits,
            journal=self.place / CALLS,
        )
        with suppress(asyncio.CancelledError):
            async with asyncio.timeout(longest), client, asyncio.TaskGroup() as group:
                recovered = await client.recover()
                self._calls += [group.create_task(_finish(task)) for task in recovered]
                for number, call in enumerate(self.life.calls):
                    self._calls.append(group.create_task(self._call(client, call, number)))
                await self._make_all(client)
        idle = client.statistics()
        held = idle.waiting, idle.in_flight, idle.saving, idle.credits_reserved
        assert (line.closed, held) == (True, (0, 0, 0, 0)), f"still held when all is over: {held}"
        assert asyncio.all_tasks() == {asyncio.current_task()}, f"outlives its client: {asyncio.all_tasks()}"

    def interrupt(self, how: Interruption) -> None:
        """Be interrupted, other than by death, as soon as the loop gets to it."""
        assert self._main
        loop = self._main.get_loop()
        match how:
            case "cancel":
                loop.call_soon(self._main.cancel)
            case "cancel calls":
                for call in self._calls:
                    loop.call_soon(call.cancel)
            case "stop" if self._run:
                loop.call_soon(self._run.stop)

    async def _make_all(self, client: Client) -> None:
        run = Run(
            self.place / OUT,
            client=client,
            on_unknown=self.scenario.on_unknown,
            max_credits=self.scenario.run_credits,
        )
        try:
            async with run:
                self._run = run
                requests, changed = self._input()
                await run.add(requests, changed=changed)
                self.oracle.planned = [request.id or "" for request in requests]
                self.oracle.removed.clear()  # whatever was missing is known to be, by now
                if self.scenario.person:
                    await self._find_out(run)
                await self._iterate(run)
        except HunyuanError as error:
            self.note(f"the run ends: {error!r:.60}")

    async def _iterate(self, run: Run) -> None:
        for tries_left in reversed(range(self.life.tries)):
            self.oracle.begin_pass()
            try:
                async for outcome in run:
                    self._hear(outcome)
                return
            except HunyuanError:
                if not tries_left:
                    raise
                await asyncio.sleep(REST)

    def _hear(self, outcome: Outcome) -> None:
        self.note(f"{outcome.request and outcome.request.id} ends: {outcome.error!r:.60}")
        self.oracle.handed_over(outcome)

    def _input(self) -> tuple[Sequence[ImageRequest], Changed]:
        """The requests, some of them perhaps changed since the last time."""
        changed = self.life.changed
        edited = {number for number in range(self.scenario.items) if changed and self.draw.random() < EDITED}
        requests = [
            ImageRequest(f"a koi named {number}" + f" {self.number}" * (number in edited), id=f"x{number}")
            for number in range(self.scenario.items)
        ]
        if changed == "redo":
            self.oracle.repeated |= {request.id or "" for request in requests}  # also what changes back
        return requests, changed or "keep"

    async def _find_out(self, run: Run) -> None:
        """Ask the vendor what became of unknown items, and say so; or lose patience."""
        unknown = Counter(outcome.request.id for outcome in await run.unknown() if outcome.request)
        for key, count in unknown.items():
            assert key
            made = self.oracle.unaccounted(key, self.oracle.run_items())[:count]
            for task in made:
                await run.resolve([key], "accepted", task_id=task.id)
            if len(made) == count:
                continue
            resolution = self.draw.choice(RESOLUTIONS)
            if resolution == "not_charged":
                self.oracle.cleared[key] += count - len(made)
            self.oracle.repeated.add(key)
            await run.resolve([key], resolution)

    async def _call(self, client: Client, call: Call, number: int) -> None:
        key = f"c{self.number}.{number}"
        await asyncio.sleep(number * self.scenario.latency / 2)
        request = ImageRequest(f"a koi named {key}", id=key)
        try:
            match call:
                case "generate":
                    await client.generate(request)
                case "late":
                    await client.generate(request, timeout=self.scenario.latency)
                case "submit":
                    task = await client.submit(request)
                    if task.id:
                        assert client.attach(task.id) == task
                    await task
                case "stream":
                    await self._stream(client, request)
                    return
        except TaskTimedOut as error:
            self.oracle.told(key, error)
            if error.task:
                with suppress(HunyuanError):
                    await error.task
        except HunyuanError as error:
            if call != "stream":
                self.oracle.told(key, error)
        else:
            self.oracle.told(key, None)

    async def _stream(self, client: Client, request: ImageRequest) -> None:
        requests = [attrs.evolve(request, id=f"{request.id}.{number}") for number in range(3)]
        async with client.stream(requests, save_to=self.place / "calls") as outcomes:
            async for outcome in outcomes:
                self._hear(outcome)


async def _finish(task: GenerationTask) -> None:
    with suppress(HunyuanError):
        await task
