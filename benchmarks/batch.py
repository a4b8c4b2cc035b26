"""One batch of tasks against a made-up service, in virtual time: the decisions are the client's own, the loop is not.

Nothing here waits: a heap of answers to come and the instant until which `Dispatch` wants to wait move the clock.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import statistics
from collections.abc import Callable, Sequence

import attrs

from benchmarks.limits import Limit
from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Dispatch, Look, Send, Ticket, Wait
from hunyuan_async._core.latency import LatencyModel
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.retry import TryAgain
from hunyuan_async._core.slots import Slots
from hunyuan_async.errors import RateLimited
from hunyuan_async.settings import Polling

Draw = Callable[[random.Random], float]

START_RATE, MAX_RATE = 2.0, 100.0  # requests a second; where an unknown limit is probed from, and as far as
POLL_429_DELAY = 0.5  # seconds; what a refused look waits in the client
NO_ANSWER_AT = 3600.0  # virtual seconds without progress: the client hangs


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
        """Return the seconds that no client can beat.

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
        delay: Seconds from a task's end until the client knew, on average.
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


def new_dispatch(scenario: Scenario) -> Dispatch:
    """Return the client's pure part as it is set for *scenario*: it knows the rate, or nothing."""
    rate, ceiling = (START_RATE, MAX_RATE) if scenario.submits else (scenario.rate, scenario.rate)
    return Dispatch(
        Pacer(rate, ceiling),
        PollSchedule(Polling(), LatencyModel()),
        Slots(scenario.in_flight, scenario.in_flight),
        max_saving=scenario.tasks,
    )


class Batch:
    """Plays the service, the network and the clock."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.dispatch = new_dispatch(scenario)
        self.durations = scenario.durations(seed)
        self.requests = self.looks = self.limited = 0
        self.done_at: dict[int, float] = {}
        self.noticed_at: dict[int, float] = {}
        self._chance = random.Random(seed + 10_007)  # noqa: S311 - the same in each run
        self._submit_limit = scenario.submits() if scenario.submits else None
        self._poll_limit = scenario.polls() if scenario.polls else self._submit_limit
        self._workers = [0.0] * (scenario.workers or 0)
        self._running: list[float] = []
        self._answers: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()
        self._numbers: dict[Ticket, int] = {}

    def run(self) -> Figures:
        """Play until every task is noticed."""
        for number in range(self.scenario.tasks):
            self._ask(number)
        now = 0.0
        while len(self.noticed_at) < self.scenario.tasks:
            match self.dispatch.next(now):
                case Send(ticket):
                    self._submit(now, ticket)
                case Look(key):
                    self._look(now, key)
                case Wait(until):
                    until = min(until, self._answers[0][0] if self._answers else math.inf)
                    assert now < until < now + NO_ANSWER_AT, "the client waits for nothing"
                    now = until
                    while self._answers and self._answers[0][0] <= now:
                        heapq.heappop(self._answers)[2](now)
        return self._figures()

    def _figures(self) -> Figures:
        delays = [self.noticed_at[number] - self.done_at[number] for number in self.noticed_at]
        return Figures(
            max(self.noticed_at.values()) / self.scenario.bound(self.durations),
            self.looks / self.scenario.tasks,
            statistics.fmean(delays),
            statistics.quantiles(delays, n=20)[-1],
            self.limited / self.requests,
        )

    def _ask(self, number: int, *, again: bool = False) -> None:
        ticket = Ticket(25, Budget())
        self._numbers[ticket] = number
        self.dispatch.ask(ticket, again=again)

    def _submit(self, now: float, ticket: Ticket) -> None:
        number = self._numbers.pop(ticket)
        at = now + self.scenario.round_trip / 2
        after = self._refusal(self._submit_limit, at)
        while self._running and self._running[0] <= at:
            heapq.heappop(self._running)
        if after is None and self.scenario.slots and len(self._running) >= self.scenario.slots:
            after = 0.0
        if after is None:
            self._start(number, at)
            self._answer(now, lambda now: self._accepted(now, ticket, number))
        else:
            self.limited += 1
            self._answer(now, lambda now: self._put_off(now, ticket, number, after))

    def _start(self, number: int, at: float) -> None:
        starts_at = max(at, heapq.heappop(self._workers)) if self._workers else at
        self.done_at[number] = starts_at + self.durations[number]
        if self._workers:
            heapq.heappush(self._workers, self.done_at[number])
        heapq.heappush(self._running, self.done_at[number])

    def _accepted(self, now: float, ticket: Ticket, number: int) -> None:
        self.dispatch.accepted(ticket, now)
        self.dispatch.schedule.add(number, ticket.sent_at)

    def _put_off(self, now: float, ticket: Ticket, number: int, after: float | None) -> None:
        verdict = TryAgain(RateLimited("slow down"), limited=True, after=after or None)
        self.dispatch.put_off(ticket, verdict, now=now, jitter=self._chance.random())
        self._ask(number, again=True)

    def _look(self, now: float, number: int) -> None:
        self.looks += 1
        at = now + self.scenario.round_trip / 2
        after = self._refusal(self._poll_limit, at)
        self.limited += after is not None
        done = self.done_at[number] <= at
        self._answer(now, lambda later: self._looked(later, now, number, after, done=done))

    def _looked(self, now: float, sent_at: float, number: int, after: float | None, *, done: bool) -> None:
        status = 200 if after is None else 429
        self.dispatch.looked(status, after or None, now=now, sent_at=sent_at, jitter=self._chance.random())
        schedule = self.dispatch.schedule
        if after is not None:
            schedule.failed(number, now, POLL_429_DELAY)
        elif done:
            schedule.finished(number, now)
            self.dispatch.slots.finished()
            self.noticed_at[number] = now
        else:
            schedule.running(number, now)

    def _refusal(self, limit: Limit | None, at: float) -> float | None:
        """The seconds to wait if the request is refused, 0 if nobody says; None if it passes."""
        self.requests += 1
        if limit is None or limit.admits(at):
            return None
        return limit.retry_after(at) if self.scenario.tells else 0.0

    def _answer(self, sent_at: float, deliver: Callable[[float], None]) -> None:
        heapq.heappush(self._answers, (sent_at + self.scenario.round_trip, next(self._order), deliver))
