"""What the engine knows from an earlier process: its items and its credits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async.errors import BudgetExceeded, JournalError, NotSent, SubmitUnknown, TaskFailed, TaskLost
from hunyuan_async.models import ImageRequest, Outcome, TaskState, TaskStatus
from hunyuan_async.settings import API_IN_ONE
from hunyuan_async.streams import Entry, OutcomeStream
from hunyuan_async.testing import Reply, ScriptedTransport, accepted, finished, refused

if TYPE_CHECKING:
    from tests.shell.conftest import Bench

    Build = Callable[..., Bench]

EARLIER = datetime(2026, 11, 22, tzinfo=UTC)
FOX = ImageRequest("a fox", seed=1, id="fox")
FAILED = Reply(200, b'{"data": {"task_id": "n7", "status": "failed", "error": "no"}}')
DONE = TaskStatus("n7", TaskState.COMPLETED, ("https://images.example/n7.png",))
UNKNOWN = Item("fox", FOX, 25, State.UNKNOWN, "n7", sending_at=EARLIER, error=SubmitUnknown("cut off"))
SUBMITTED = attrs.evolve(UNKNOWN, state=State.SUBMITTED, submitted_at=EARLIER, error=None)
COMPLETED = attrs.evolve(SUBMITTED, state=State.COMPLETED, completion=DONE, finished_at=EARLIER)


def looking(look: Callable[[str], Reply] = finished) -> ScriptedTransport:
    """A service where every look gives this."""
    return ScriptedTransport(submit=lambda _: accepted("n7"), poll=look)


def as_planned(entry: Entry) -> Item:
    """Plan nothing anew."""
    assert isinstance(entry, Item)
    return entry


async def attached(one: Bench) -> Outcome:
    """Attach to the task and wait for its end."""
    _, running = one.engine.attach("n7")
    return await running


@pytest.mark.parametrize(
    ("known", "steps", "looks"),
    [
        (None, ["complete"], ["n7"]),
        (UNKNOWN, ["accept", "complete"], ["n7"]),
        (SUBMITTED, ["complete"], ["n7"]),
        (COMPLETED, [], []),
    ],
    ids=["nothing", "unknown", "submitted", "completed"],
)
async def test_an_attached_task_goes_on_from_where_it_stood(
    bench: Build, known: Item | None, steps: list[str], looks: list[str]
) -> None:
    """What is known is not asked again, and an id out of a cut-off answer settles what was unknown."""
    one = bench(looking())
    if known:
        one.diary.known = {"n7": attrs.evolve(known)}

    outcome = await attached(one)

    assert outcome.result is not None
    assert outcome.result.urls == DONE.urls
    assert (outcome.request, outcome.result.submitted_at) == ((FOX, EARLIER) if known else (None, None))
    assert (one.diary.steps, one.transport.looks) == (steps, looks)


async def test_an_unknown_item_that_is_attached_to_is_paid_and_no_longer_at_risk(bench: Build) -> None:
    """Its credits move, and it no longer carries the error that it was put away with."""
    one = bench(looking())
    one.diary.known, one.diary.at_risk = {"n7": attrs.evolve(UNKNOWN)}, 50

    item, running = one.engine.attach("n7")
    await running

    assert (one.statistics.credits_spent, one.statistics.credits_at_risk) == (25, 25)
    assert (item.state, item.error) == (State.COMPLETED, None)


async def test_a_task_that_failed_before_is_looked_at_again(bench: Build) -> None:
    """A look costs nothing, and the service may know better by now."""
    one = bench(looking())
    error = TaskLost("unknown to the service", task_id="n7")
    one.diary.known = {"n7": attrs.evolve(SUBMITTED, state=State.LOST, error=error)}

    assert (await attached(one)).ok
    assert one.transport.looks == ["n7"]


async def test_what_was_left_unfinished_is_taken_up_once(bench: Build) -> None:
    """All that is paid, but for what is under way already; what nobody knows waits for a person."""
    one = bench(looking())
    others = attrs.evolve(SUBMITTED, task_id="n8"), attrs.evolve(UNKNOWN, task_id="n9")
    one.diary.known = {item.task_id or "": item for item in (attrs.evolve(SUBMITTED), *others)}
    _, first = one.engine.attach("n7")

    [(item, second)] = await one.engine.recover()

    assert item.task_id == "n8"
    assert ((await first).ok, (await second).ok, sorted(one.transport.looks)) == (True, True, ["n7", "n8"])


async def test_an_attached_task_holds_a_slot_until_it_ends(bench: Build) -> None:
    """It counts at the service like any other."""
    one = bench(ScriptedTransport(poll=lambda _: refused(503)))

    one.engine.attach("n7")
    await asyncio.sleep(1)

    assert one.statistics.in_flight == 1


@pytest.mark.parametrize("cost", [0, 25, 40])
async def test_a_failed_task_costs_what_the_service_is_taken_to_charge(bench: Build, cost: int) -> None:
    """Whether it was made here or taken up from an earlier process; one that was never counted here stays so."""
    service = attrs.evolve(API_IN_ONE, credits_per_failure=cost)
    made, taken_up, foreign = (bench(looking(lambda _: FAILED), service=service) for _ in range(3))
    taken_up.diary.known, taken_up.diary.spent = {"n7": attrs.evolve(SUBMITTED)}, 25
    item = Item("fox", FOX, 25)

    await made.make(item)
    await attached(taken_up)
    await attached(foreign)

    assert (item.state, item.credits) == (State.FAILED, cost)
    assert [one.statistics.credits_spent for one in (made, taken_up, foreign)] == [cost, cost, 0]


async def test_a_failed_task_frees_what_it_did_not_cost(bench: Build) -> None:
    """Another image may be bought for it."""
    one = bench(looking(lambda _: FAILED), service=attrs.evolve(API_IN_ONE, credits_per_failure=0), credits=25)

    for _ in range(3):
        assert isinstance((await one.make()).error, TaskFailed)


async def test_the_recorder_opens_once_and_before_anything_is_sent(bench: Build) -> None:
    """However many come first; slowly, and nobody is sent early."""
    one = bench(slots=20)
    one.diary.seconds = 60.0
    makings = [asyncio.create_task(one.make()) for _ in range(20)]
    await asyncio.sleep(59)
    assert (one.statistics.waiting, one.statistics.in_flight) == (0, 0)

    await asyncio.gather(*makings)

    assert one.diary.opened == 1


async def test_a_recorder_that_did_not_open_is_tried_again(bench: Build) -> None:
    """Who asked meanwhile is told why, and nothing is sent for them."""
    one = bench()
    one.diary.shut = [JournalError("disk full"), JournalError("still full")]

    for reason in ("disk full", "still full"):
        with pytest.raises(JournalError, match=reason):
            await one.make()
    assert (one.transport.submits, one.statistics.failed) == ([], 2)

    assert (await one.make()).ok
    assert one.diary.opened == 3


async def test_who_waits_for_the_recorder_when_the_engine_closes_is_told(bench: Build) -> None:
    """The queue is not entered any more."""
    one = bench()
    one.diary.seconds = 60.0
    making = asyncio.create_task(one.make())
    await asyncio.sleep(1)

    await one.engine.aclose()

    with pytest.raises(NotSent, match="closed"):
        await making
    assert one.transport.submits == []


async def test_a_closed_engine_opens_no_recorder(bench: Build) -> None:
    """A file that nobody would close again."""
    one = bench()
    await one.engine.aclose()

    with pytest.raises(NotSent, match="closed"):
        await one.make()
    assert one.diary.opened == 0


async def test_what_earlier_processes_spent_counts(bench: Build) -> None:
    """A limit is for ever, not for a process."""
    one = bench(credits=100)
    one.diary.spent, one.diary.at_risk = 25, 50

    assert (await one.make()).ok

    with pytest.raises(BudgetExceeded, match=r"limit of 100 .* 50 spent, 0 reserved, 50 at risk"):
        await one.make()


async def test_a_runs_credits_count_in_both_budgets(bench: Build) -> None:
    """Its own limit includes what earlier processes spent on it; the client's bounds all runs together."""
    one = bench(credits=75)
    recorder = one.diary
    one.engine.open_book("large", recorder, None, spent=1000, at_risk=0)
    one.engine.open_book("small", recorder, 50, spent=0, at_risk=25)

    async def make(run: str) -> Outcome:
        return await one.make(Item("fox", FOX, 25, run=run))

    assert (await make("small")).ok
    with pytest.raises(BudgetExceeded, match="limit of 50"):
        await make("small")
    assert (await make("large")).ok
    assert (await one.make()).ok
    with pytest.raises(BudgetExceeded, match="limit of 75"):
        await make("large")
    assert one.statistics.credits_spent == 75


async def test_a_stream_takes_items_as_they_stand(bench: Build) -> None:
    """Only what is planned is sent, only what is under way is looked at, and what has ended needs neither."""
    one = bench(looking())
    items = [Item("new", FOX, 25), attrs.evolve(SUBMITTED, task_id="n8"), attrs.evolve(COMPLETED)]

    async with OutcomeStream(one.engine, items, as_planned, window=1, ordered=True, target=None) as outcomes:
        ended = [outcome.result and outcome.result.task_id async for outcome in outcomes]

    assert ended == ["n7", "n8", "n7"]
    assert (len(one.transport.submits), one.transport.looks) == (1, ["n7", "n8"])


async def test_what_is_let_go_while_it_is_recorded_has_no_outcome(bench: Build) -> None:
    """A stream that stops never sends it, and its reader, who did not go away, hears nothing of it."""
    one = bench()
    one.diary.seconds = 1
    items = [Item("fox", FOX, 25)]

    async with OutcomeStream(one.engine, items, as_planned, window=1, ordered=False, target=None) as outcomes:
        await asyncio.sleep(1.5)
        assert one.engine.sender.leaving == {*items}
        outcomes.stop()
        ended = [outcome async for outcome in outcomes]

    assert (ended, one.transport.submits, one.diary.steps) == ([], [], ["send", "take_back"])
