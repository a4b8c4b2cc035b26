"""What the engine does about a key that is refused, an empty account, and a service that answers nothing clearly."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async.errors import AuthError, HunyuanError, OutOfCredits, ServiceUnavailable
from hunyuan_async.events import Failed, Paused
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.testing import Reply, ScriptedTransport, accepted, finished, refused, running
from hunyuan_async.transport import BeforeSend

if TYPE_CHECKING:
    from tests.shell.conftest import Bench

    Build = Callable[..., Bench]

UNCLEAR = Reply(500, b"<html>gateway</html>")


class Answering(ScriptedTransport):
    """Answers submits in turn, then accepts everything; notes when each left."""

    def __init__(self, answers: Iterable[Reply], poll: Callable[[str], Reply] = finished) -> None:
        self.answers = [*answers]
        self.left_at: list[float] = []
        super().__init__(submit=lambda _: self.answers.pop(0) if self.answers else accepted("t9"), poll=poll)

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply:
        """Answer a submit."""
        self.left_at.append(now())
        reply = await super().submit(request, before_send)
        assert isinstance(reply, Reply)
        return reply


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def named(names: Iterable[object]) -> list[Item]:
    """Items to be made."""
    return [Item(str(name), ImageRequest(str(name)), 25) for name in names]


async def ends_of(one: Bench, items: list[Item]) -> list[HunyuanError | None]:
    """Make all at once; return what they ended with, raised or not."""
    ends = await asyncio.gather(*map(one.make, items), return_exceptions=True)
    errors = [end.error if isinstance(end, Outcome) else end for end in ends]
    assert all(isinstance(error, HunyuanError | None) for error in errors)
    assert len({id(error) for error in errors if error}) == len([error for error in errors if error])
    return errors  # type: ignore[return-value]


def pauses(one: Bench) -> list[float]:
    """For how many seconds submits rested, each time."""
    return [event.seconds for event in one.events if isinstance(event, Paused)]


@pytest.mark.parametrize(
    "answers",
    [
        [accepted("t1"), refused(401)],
        [accepted("t1"), refused(403)],
        [refused(401), accepted("t1"), refused(401)],
    ],
    ids=["401", "403", "two apart"],
)
async def test_one_refusal_of_the_key_harms_nobody(bench: Build, answers: list[Reply]) -> None:
    """It may be a mishap: the item goes again, before those that wait, and nobody hears of it."""
    one = bench(Answering(answers), slots=1)

    assert await ends_of(one, named("abcd")) == [None] * 4

    refusals = sum(reply.status != 200 for reply in answers)
    assert (len(one.transport.submits), one.diary.steps.count("take_back")) == (4 + refusals, refusals)
    assert one.transport.submits[-1].prompt == "d"
    assert [event for event in one.events if isinstance(event, Failed)] == []


@pytest.mark.parametrize(
    ("status", "error", "slots", "posts"),
    [(401, AuthError, 1, 2), (403, AuthError, 1, 2), (401, AuthError, 2, 3), (402, OutOfCredits, 1, 1)],
)
async def test_a_key_that_cannot_pay_turns_everybody_away(
    bench: Build, status: int, error: type[HunyuanError], slots: int, posts: int
) -> None:
    """A second refusal of the key, of whichever item, or a first one for want of credits: nothing more is sent."""
    one = bench(Answering([accepted("t1"), *[refused(status)] * posts]), slots=slots)
    paid, *items = named("abcde")
    assert (await one.make(paid)).ok

    assert [type(end) for end in await ends_of(one, items)] == [error] * 4

    assert len(one.transport.submits) == 1 + posts
    assert [item.state for item in items] == [State.PLANNED] * 4
    assert isinstance(items[0].error, error)
    assert Counter(one.diary.steps) == {"send": 1 + posts, "accept": 1, "complete": 1, "take_back": posts}
    statistics = one.statistics
    assert (statistics.credits_spent, statistics.credits_reserved, statistics.credits_at_risk) == (25, 0, 0)
    assert await ends_of(one, items) == [None] * 4


async def test_a_row_of_unclear_answers_makes_submits_rest(bench: Build) -> None:
    """Then one leaves alone; once it is answered clearly, everybody goes as before."""
    one = bench(Answering([UNCLEAR] * 5), slots=1)
    making = asyncio.create_task(ends_of(one, named("abcdefgh")))
    await asyncio.sleep(20)
    assert one.statistics.waiting_for == "5 submits in a row got no clear answer; each may have been charged"

    ends = await making

    assert [end and end.kind for end in ends] == ["unknown"] * 5 + [None] * 3
    assert pauses(one) == [30.0]
    assert isinstance(one.transport, Answering)
    *_, last, probe, after, _ = one.transport.left_at
    assert 30 < probe - last < 30.2
    assert 0 < after - probe < 5


async def test_what_was_out_already_does_not_lengthen_the_rest(bench: Build) -> None:
    """As many unclear answers as were asked for before the fifth came are one row, and no probe is among them."""
    one = bench(Answering([UNCLEAR] * 12), slots=8)

    ends = await ends_of(one, named(range(16)))

    assert [end and end.kind for end in ends] == ["unknown"] * 12 + [None] * 4
    assert pauses(one) == [30.0]


async def test_probes_that_fail_turn_everybody_away(bench: Build) -> None:
    """Five in a row, three probes and what was out: no more is put at risk; the rest is unsent and may go later."""
    out = 7  # when the fifth answer came: eight slots, of which four were used twice by then
    one = bench(Answering([UNCLEAR] * (5 + out + 3)), slots=8)
    items = named(range(20))

    ends = await ends_of(one, items)

    assert [(end.kind, end.charged) for end in ends if end] == [("unknown", "unknown")] * 15 + [("service", "no")] * 5
    assert len(one.transport.submits) == 5 + out + 3
    assert [item.state for item in items] == [State.UNKNOWN] * 15 + [State.PLANNED] * 5
    assert one.statistics.credits_at_risk == 15 * 25
    assert pauses(one) == [30.0, 60.0, 120.0, 240.0]
    assert 210 < now() < 215
    assert isinstance(ends[-1], ServiceUnavailable)
    assert "8 submits in a row" in ends[-1].message


async def test_who_comes_after_it_was_given_up_is_turned_away_as_well(bench: Build) -> None:
    """Until the last rest is over: then one of those who come is a probe, and its answer lets the others go."""
    one = bench(Answering([UNCLEAR] * 8), slots=1)
    await ends_of(one, named(range(8)))

    early, late = named(range(2)), named(range(5))
    assert [end and end.kind for end in await ends_of(one, early)] == ["service"] * 2
    assert (len(one.transport.submits), [item.state for item in early]) == (8, [State.PLANNED] * 2)
    await asyncio.sleep(240)

    assert await ends_of(one, late) == [None] * 5


async def test_tasks_are_collected_while_submits_rest(bench: Build) -> None:
    """What is paid is not held back by the trouble with submits."""
    answers = [accepted("t1"), *[UNCLEAR] * 5]
    one = bench(Answering(answers, poll=lambda id: finished(id) if now() > 20 else running(id)), slots=2)
    paid, *others = [asyncio.create_task(one.make(item)) for item in named("abcdefg")]

    assert (await paid).ok

    assert 20 < now() < 30
    assert len(one.transport.submits) == 6
    assert (await asyncio.gather(*others))[-1].ok


async def test_who_leaves_during_a_rest_costs_nothing(bench: Build) -> None:
    """The next in the queue becomes the probe."""
    one = bench(Answering([UNCLEAR] * 5), slots=1)
    makings = [asyncio.create_task(one.make(item)) for item in named("abcdefg")]
    await asyncio.sleep(20)
    makings[5].cancel()

    assert (await makings[6]).ok

    assert len(one.transport.submits) == 6
    await asyncio.wait(makings)
