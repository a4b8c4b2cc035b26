"""The queue of submits in its shell: order, cancellation, and bugs that reach everyone."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable

import pytest

from hunyuan_async._core.budget import Budget
from hunyuan_async._core.dispatch import Decision, Dispatch, Ticket
from hunyuan_async._core.latency import LatencyModel
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.slots import Slots
from hunyuan_async._dispatcher import Dispatcher
from hunyuan_async.errors import BudgetExceeded, NotSent
from hunyuan_async.settings import Polling

Build = Callable[..., Dispatcher]


def unlimited(*, rate: float = math.inf, slots: int = 10**6) -> Dispatch:
    """A dispatch that holds back by what is given alone."""
    return Dispatch(Pacer(rate, rate), PollSchedule(Polling(), LatencyModel()), Slots(slots, slots), 200)


@pytest.fixture
async def build() -> AsyncIterator[Build]:
    """Build dispatchers, and close them in the end."""
    built: list[Dispatcher] = []

    async def idle(key: int) -> None:
        """See nothing."""

    def make(
        dispatch: Dispatch,
        look: Callable[[int], object] = idle,
        broken: Callable[[BaseException], None] = lambda error: None,
    ) -> Dispatcher:
        built.append(Dispatcher(dispatch, look, broken))  # type: ignore[arg-type]
        return built[-1]

    yield make
    for one in built:
        await one.aclose()


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def ask(dispatcher: Dispatcher, budget: Budget | None = None, **options: bool) -> asyncio.Task[None]:
    """Wait for a permit in an asyncio task of its own."""
    return asyncio.create_task(dispatcher.permit(Ticket(25, budget or Budget()), **options))


async def test_ten_thousand_submits_go_in_order_at_the_rate(build: Build) -> None:
    """Every one gets its permit after those that asked before it, and none early or late."""
    dispatcher = build(unlimited(rate=100))
    granted: list[tuple[int, float]] = []

    async def submit(number: int) -> None:
        await dispatcher.permit(Ticket(25, Budget()))
        granted.append((number, now()))

    await asyncio.gather(*map(submit, range(10_000)))

    assert [number for number, _ in granted] == [*range(10_000)]
    assert [at for _, at in granted] == pytest.approx([number / 100 for number in range(10_000)])


async def test_cancelled_waiters_cost_no_time_no_slot_and_no_credit(build: Build) -> None:
    """After nine of ten went away, the rest is served as if they had never asked."""
    budget = Budget(25 * 100)
    dispatcher = build(unlimited(rate=10))
    waiters = [ask(dispatcher, budget) for _ in range(1000)]
    await asyncio.sleep(0)
    for number, waiter in enumerate(waiters):
        if number % 10:
            waiter.cancel()

    await asyncio.gather(*waiters, return_exceptions=True)

    assert now() == pytest.approx(9.9)
    assert (dispatcher.dispatch.waiting, dispatcher.dispatch.slots.in_use) == (0, 100)
    assert budget.reserved == 25 * 100


async def test_a_permit_granted_to_someone_who_leaves_is_given_back(build: Build) -> None:
    """Grant and cancellation in the same turn of the loop: slot and credits go to the next."""
    budget = Budget(25)
    dispatcher = build(unlimited(slots=1))
    first, second = ask(dispatcher, budget), ask(dispatcher, budget)
    while not dispatcher.dispatch.slots.in_use:  # noqa: ASYNC110 - the turn of the loop matters
        await asyncio.sleep(0)

    first.cancel()

    await asyncio.wait([first, second])
    assert (first.cancelled(), second.exception()) == (True, None)
    assert (dispatcher.dispatch.slots.in_use, budget.reserved) == (1, 25)


async def test_who_asks_again_goes_first(build: Build) -> None:
    """A submit that was put off does not queue up anew."""
    dispatcher = build(unlimited(slots=0))
    late, again = ask(dispatcher), ask(dispatcher, again=True)
    await asyncio.sleep(1)

    dispatcher.dispatch.slots.bound = 1
    dispatcher.wake()
    await again

    assert not late.done()
    late.cancel()


async def test_what_can_never_be_paid_is_refused_at_once(build: Build) -> None:
    """A ticket beyond the limit gets an error that shows the sum; the rest of the queue moves on."""
    dispatcher = build(unlimited())
    larger = Budget(60, spent=40)

    for budget in (larger, Budget(None, within=larger)):
        with pytest.raises(BudgetExceeded, match="60 credits leaves no room for 25 more: 40 spent"):
            await dispatcher.permit(Ticket(25, budget))
    await dispatcher.permit(Ticket(20, larger))


async def test_everybody_is_turned_away_with_an_error_of_their_own(build: Build) -> None:
    """Whoever waits gets a copy: a traceback shared between callers would grow for ever."""
    dispatcher = build(unlimited(slots=0))
    waiters = [ask(dispatcher) for _ in range(3)]
    await asyncio.sleep(1)

    dispatcher.turn_away(NotSent("closed", status=503))

    errors = await asyncio.gather(*waiters, return_exceptions=True)
    assert [(type(error), str(error), vars(error)["status"]) for error in errors] == [(NotSent, "closed", 503)] * 3
    assert len({id(error) for error in errors}) == 3


async def test_a_flood_of_permits_leaves_the_loop_to_others(build: Build) -> None:
    """Between handfuls of permits, other asyncio tasks get their turn."""
    dispatcher = build(unlimited())
    waiters = [ask(dispatcher) for _ in range(1000)]

    turns = 0
    while not waiters[-1].done():
        await asyncio.sleep(0)
        turns += 1

    assert turns >= 1000 // 32


class _Broken(Dispatch):
    """Breaks once a slot is taken."""

    def next(self, now: float) -> Decision:
        """Decide, or break."""
        if self.slots.in_use:
            raise ZeroDivisionError
        return super().next(now)


@pytest.mark.parametrize("place", ["dispatch", "look"])
async def test_a_bug_reaches_everyone_who_waits_or_comes_later(build: Build, place: str) -> None:
    """If deciding or looking breaks, nobody hangs: not the queue, not those who watch, not the next caller."""

    async def look(key: int) -> None:
        raise ZeroDivisionError

    told: list[BaseException] = []
    dispatch = unlimited(slots=1)
    if place == "dispatch":
        dispatch = _Broken(dispatch.pacer, dispatch.schedule, dispatch.slots, 200)
    dispatcher = build(dispatch, look, told.append)
    dispatcher.dispatch.schedule.add_known(1, 5.0)
    waiters = [ask(dispatcher) for _ in range(5)]

    first, *others = await asyncio.gather(*waiters, return_exceptions=True)

    assert first is None
    assert [type(error) for error in others] == [ZeroDivisionError] * 4
    assert [type(error) for error in told] == [ZeroDivisionError]
    with pytest.raises(ZeroDivisionError):
        await dispatcher.permit(Ticket(25, Budget()))
