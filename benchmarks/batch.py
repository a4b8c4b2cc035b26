"""One batch of tasks at a made-up service, in virtual time; whoever makes the batch does it over `Service`."""

from __future__ import annotations

import asyncio
import heapq
import math
import random
import statistics
from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

import attrs

from benchmarks.limits import Limit
from hunyuan_async import ImageRequest
from hunyuan_async.testing import Fetched, NoReply, Reply, VirtualTimeLoop, accepted, finished, refused, running
from hunyuan_async.transport import BeforeSend

T = TypeVar("T")
Draw = Callable[[random.Random], float]


@attrs.frozen
class Scenario:
    """A service and a batch.

    Attributes:
        name: What it is called in the tables.
        draw: A task's duration in seconds.
        rate: Requests a second that the service takes.
        in_flight: Tasks at the service at once, at most, by the client's own bound.
        tasks: In the batch.
        later: The duration in the second half of the batch, if it changes.
        workers: How many tasks the service works at; the others queue. None for no queue.
        slots: More tasks than that are refused. None for no such limit.
        submits: The service's request limit; None if the client knows the rate.
        polls: The limit of the polls, if it is another one.
        tells: Whether a refusal says when to come back.
        round_trip: Seconds.
    """

    name: str
    draw: Draw
    rate: float
    in_flight: int
    tasks: int
    later: Draw | None = None
    workers: int | None = None
    slots: int | None = None
    submits: Callable[[], Limit] | None = None
    polls: Callable[[], Limit] | None = None
    tells: bool = True
    round_trip: float = 0.1

    def durations(self, seed: int) -> list[float]:
        """Draw them all."""
        chance = random.Random(seed)  # noqa: S311 - the same in each run
        half = self.tasks // 2
        draws = [self.later if self.later and n >= half else self.draw for n in range(self.tasks)]
        return [draw(chance) for draw in draws]

    def bound(self, durations: Sequence[float]) -> float:
        """Return the seconds that no client can beat, but for a burst that the service lets through at the start.

        Each task takes a submit and a look, and the submit of one needs the looks at those before it that its slot
        waits for; nor can more than so many tasks be worked at.
        """
        least = [max(durations)]
        least += [sum(durations) / most for most in (self.in_flight, self.workers, self.slots) if most]
        if math.isfinite(self.rate):
            least.append((2 * self.tasks - 1) / self.rate)
            least += [(n + max(0, n - self.in_flight)) / self.rate + one for n, one in enumerate(durations)]
        return max(least) + self.round_trip


@attrs.frozen
class Figures:
    """How a batch went.

    Attributes:
        ratio: Its time over the bound.
        polls: Looks a task.
        delay: Seconds from a task's end until its caller knew, on average.
        p95: The same for the slowest in twenty.
        limited: Share of requests that were refused with 429.
    """

    ratio: float
    polls: float
    delay: float
    p95: float
    limited: float

    @classmethod
    def mean(cls, several: Sequence[Figures]) -> Figures:
        """Return the average over seeds."""
        return cls(*map(statistics.fmean, zip(*map(attrs.astuple, several), strict=True)))


class Service:
    """A transport to the service of a scenario; a request's prompt is the number of its task.

    Attributes:
        scenario: What service it is.
        submits: Requests for an image that arrived.
        looks: Looks that arrived.
        limited: Requests that were refused with 429.
        started_at: When each task that was accepted began, or will.
        done_at: When it was finished, or will be.
        noticed_at: When its caller knew.
    """

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.submits = self.looks = self.limited = 0
        self.started_at: dict[int, float] = {}
        self.done_at: dict[int, float] = {}
        self.noticed_at: dict[int, float] = {}
        self._durations = scenario.durations(seed)
        self._submit_limit = scenario.submits() if scenario.submits else None
        self._poll_limit = scenario.polls() if scenario.polls else self._submit_limit
        self._workers = [0.0] * (scenario.workers or 0)
        self._running: list[float] = []

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Accept the task, unless there are too many."""
        await before_send()
        self.submits += 1
        at, number = self._arrival(), int(request.prompt)
        reply = self._refusal(self._submit_limit, at) or self._crowded(at) or self._start(number, at)
        await asyncio.sleep(self.scenario.round_trip)
        return reply

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Show the task."""
        self.looks += 1
        at = self._arrival()
        shown = finished(task_id) if self.done_at[int(task_id)] <= at else running(task_id)
        reply = self._refusal(self._poll_limit, at) or shown
        await asyncio.sleep(self.scenario.round_trip)
        return reply

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Nobody saves images here."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Do nothing."""

    def noticed(self, number: int) -> None:
        """Note that the caller knows that a task is finished."""
        self.noticed_at[number] = asyncio.get_running_loop().time()

    def figures(self) -> Figures:
        """Sum up, once everything is noticed."""
        delays = [self.noticed_at[number] - done_at for number, done_at in self.done_at.items()]
        return Figures(
            max(self.noticed_at.values()) / self.scenario.bound(self._durations),
            self.looks / self.scenario.tasks,
            statistics.fmean(delays),
            statistics.quantiles(delays, n=20)[-1],
            self.limited / (self.submits + self.looks),
        )

    def _arrival(self) -> float:
        return asyncio.get_running_loop().time() + self.scenario.round_trip / 2

    def _refusal(self, limit: Limit | None, at: float) -> Reply | None:
        if limit is None or limit.admits(at):
            return None
        self.limited += 1
        return refused(429, **({"retry_after": f"{limit.retry_after(at):.0f}"} if self.scenario.tells else {}))

    def _crowded(self, at: float) -> Reply | None:
        while self._running and self._running[0] <= at:
            heapq.heappop(self._running)
        if self.scenario.slots is None or len(self._running) < self.scenario.slots:
            return None
        self.limited += 1
        return refused(429)

    def _start(self, number: int, at: float) -> Reply:
        assert number not in self.done_at, "paid twice"
        self.started_at[number] = max(at, heapq.heappop(self._workers)) if self._workers else at
        self.done_at[number] = self.started_at[number] + self._durations[number]
        if self._workers:
            heapq.heappush(self._workers, self.done_at[number])
        heapq.heappush(self._running, self.done_at[number])
        return accepted(str(number))


Play = Callable[[Service], Coroutine[object, object, None]]


def play(scenario: Scenario, seed: int, make: Play) -> Figures:
    """Let *make* make the whole batch; the same seed gives the same figures on any machine."""
    service = Service(scenario, seed)
    run(make(service), seed)
    return service.figures()


def run(work: Coroutine[object, object, T], seed: int) -> T:
    """Do *work* in virtual time."""
    random.seed(seed)  # the client's own jitter
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(work)
