"""Streams of outcomes: their order, their window, and every way in which they end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from hunyuan_async.client import Client
from hunyuan_async.errors import AuthError, BudgetExceeded, InvalidRequest, NotSent, ServiceUnavailable
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.settings import Limits
from hunyuan_async.streams import OutcomeStream
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused, running

Connect = Callable[..., Client]

ONE_BY_ONE = Limits(rate=1000, in_flight=1)


def paced(*seconds: float) -> ScriptedTransport:
    """Finish the first task after the first number of seconds, and so on."""
    number = itertools.count(1)
    ready_at: dict[str, float] = {}

    def submit(request: ImageRequest) -> Reply:
        task_id = f"t{next(number)}"
        ready_at[task_id] = now() + seconds[len(ready_at)]
        return accepted(task_id)

    def poll(task_id: str) -> Reply:
        return finished(task_id) if now() >= ready_at[task_id] else running(task_id)

    return ScriptedTransport(submit=submit, poll=poll)


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


def prompt(outcome: Outcome) -> str:
    """What was asked for."""
    assert outcome.request is not None
    return outcome.request.prompt


async def read(stream: OutcomeStream) -> list[Outcome]:
    """Read a stream to its end."""
    async with stream as outcomes:
        return [outcome async for outcome in outcomes]


async def read_until(error: type[Exception], outcomes: OutcomeStream) -> list[Outcome]:
    """Read a stream until *error* comes out; return what came before."""
    seen: list[Outcome] = []

    async def read_on() -> None:
        while True:
            seen.append(await anext(outcomes))

    with pytest.raises(error):
        await read_on()
    return seen


async def slowly(*prompts: str) -> AsyncIterator[str]:
    """Prompts that come one a second."""
    for one in prompts:
        await asyncio.sleep(1)
        yield one


@pytest.mark.parametrize(("ordered", "expected"), [(False, "bca"), (True, "abc")])
async def test_outcomes_come_as_they_complete_or_in_order(connect: Connect, ordered: bool, expected: str) -> None:
    """A slow first image holds the others back only if the order of the requests was asked for."""
    outcomes = await read(connect(paced(60, 5, 20)).stream("abc", ordered=ordered))

    assert "".join(map(prompt, outcomes)) == expected
    assert all(outcome.ok for outcome in outcomes)


@pytest.mark.parametrize(
    "requests",
    [["a", "b"], iter("ab"), slowly("a", "b"), [ImageRequest("a"), "b"]],
    ids=["list", "iterator", "async generator", "mixed"],
)
async def test_any_iterable_of_prompts_and_requests_will_do(connect: Connect, requests: Iterator[str]) -> None:
    """Synchronous or not, whole or read as needed."""
    assert {prompt(outcome) for outcome in await read(connect().stream(requests))} == {"a", "b"}


@pytest.mark.parametrize("ordered", [False, True])
async def test_an_items_failure_is_an_outcome(connect: Connect, ordered: bool) -> None:
    """Refused, failed, unknown or invalid: the others go on, and each outcome names its request."""
    answers: dict[str, Reply | NoReply] = {
        "refused": refused(400),
        "lost": NoReply("reset", sent=True),
        "failing": Reply(200, b'{"data": {"task_id": "t9", "status": "failed"}}'),
    }
    transport = ScriptedTransport(submit=lambda it: answers.get(it.prompt, accepted("t1")), poll=finished)
    client = connect(transport)
    wanted: list[str | ImageRequest] = [
        "refused",
        "x" * 2001,
        "fine",
        "lost",
        "failing",
        ImageRequest("also invalid", size="1*1"),
    ]

    outcomes = await read(client.stream(wanted, ordered=ordered))

    kinds = {prompt(outcome)[:7]: outcome.error and outcome.error.kind for outcome in outcomes}
    assert kinds == {
        "refused": "rejected",
        "xxxxxxx": "invalid",
        "fine": None,
        "lost": "unknown",
        "failing": "task_failed",
        "also in": "invalid",
    }
    if ordered:
        assert [prompt(outcome) for outcome in outcomes] == [getattr(one, "prompt", one) for one in wanted]


async def test_a_slow_reader_stops_the_spending(connect: Connect) -> None:
    """No more than `window` images are accepted and not handed over, and no more requests are taken than needed."""
    taken = itertools.count()
    transport = ScriptedTransport()
    async with connect(transport).stream((f"{next(taken)}" for _ in range(100)), window=5) as outcomes:
        await asyncio.sleep(3600)
        assert len(transport.submits) == 5
        for handed_over in range(1, 20):
            await anext(outcomes)
            await asyncio.sleep(3600)
            assert len(transport.submits) == 5 + handed_over
    assert next(taken) == 5 + 19 + 1


async def test_leaving_early_sends_nothing_more_and_keeps_what_is_paid(connect: Connect) -> None:
    """Whether a paid task is under way or finished and not handed over: it can be awaited afterwards."""
    transport = paced(1, 2, 60, 60)
    client = connect(transport)
    async with client.stream("abcd", window=4) as outcomes:
        assert prompt(await anext(outcomes)) == "a"
        await asyncio.sleep(30)

    await asyncio.sleep(600)
    assert [request.prompt for request in transport.submits] == ["a", "b", "c", "d"]
    assert [task.id for task in outcomes.unfinished] == ["t2", "t3", "t4"]
    assert set(client.unclaimed) == set(outcomes.unfinished)
    assert [(await task).task_id for task in outcomes.unfinished] == ["t2", "t3", "t4"]


async def test_stop_yields_what_is_under_way_and_ends(connect: Connect) -> None:
    """Nothing more is sent, nothing paid is lost."""
    transport = ScriptedTransport()
    async with connect(transport, limits=ONE_BY_ONE).stream(map(str, range(100)), window=3) as outcomes:
        await anext(outcomes)
        outcomes.stop()
        rest = [outcome async for outcome in outcomes]

    assert 1 + len(rest) == len(transport.submits)
    assert all(outcome.ok for outcome in rest)


@pytest.mark.parametrize("endless", [False, True], ids=["requests-at-hand", "requests-that-keep-us-waiting"])
async def test_a_fatal_error_comes_after_what_is_paid(connect: Connect, endless: bool) -> None:
    """A refused key ends the stream at once, also if the next request never comes; what is paid comes first."""

    async def requests() -> AsyncIterator[str]:
        for one in "abcd" if endless else "abcdefgh":
            yield one
        if endless:
            await asyncio.Event().wait()

    answers = iter([accepted("t1"), accepted("t2"), refused(401)])
    transport = ScriptedTransport(submit=lambda _: next(answers, refused(401)), poll=finished)
    async with connect(transport, limits=Limits(rate=1000, in_flight=2)).stream(requests()) as outcomes:
        seen = await read_until(AuthError, outcomes)

    assert [prompt(outcome) for outcome in seen if outcome.ok] == ["a", "b"]
    assert {type(outcome.error) for outcome in seen if not outcome.ok} <= {AuthError}
    assert len(transport.submits) <= 5


async def test_a_spent_budget_ends_the_stream_with_the_images_it_paid_for(connect: Connect) -> None:
    """The limit is used to the last credit, then the stream says so."""
    async with connect(max_credits=80).stream(map(str, range(100))) as outcomes:
        seen = await read_until(BudgetExceeded, outcomes)

    assert [outcome.ok for outcome in seen] == [True, True, True]


async def test_a_service_that_is_given_up_ends_the_stream(connect: Connect) -> None:
    """The next item would be one more probe, and one more image that nobody knows whether it is paid."""
    transport = ScriptedTransport(submit=lambda _: Reply(500))
    async with connect(transport, limits=ONE_BY_ONE).stream(map(str, range(100))) as outcomes:
        seen = await read_until(ServiceUnavailable, outcomes)

    assert [outcome.error and outcome.error.kind for outcome in seen] == ["unknown"] * 8
    assert len(transport.submits) == 8


async def test_an_error_of_the_callers_iterator_comes_after_what_is_paid(connect: Connect) -> None:
    """It is the caller's own exception, unchanged."""

    def requests() -> Iterator[str]:
        yield from "ab"
        raise LookupError

    async with connect().stream(requests()) as outcomes:
        seen = await read_until(LookupError, outcomes)

    assert sorted(map(prompt, seen)) == ["a", "b"]


async def test_leaving_early_forgets_an_error_of_the_callers_iterator(connect: Connect) -> None:
    """Who left does not read it in the log as an exception that was never retrieved."""

    def requests() -> Iterator[str]:
        yield "a"
        raise LookupError

    async with connect().stream(requests()) as outcomes:
        await asyncio.sleep(1)
    del outcomes


@pytest.mark.parametrize("place", ["submit", "poll"])
async def test_a_bug_reaches_the_reader(connect: Connect, place: str) -> None:
    """If the engine breaks, the stream ends with the bug; it neither hangs nor ends as if all were well."""

    def broken(_: object) -> Reply:
        raise ZeroDivisionError

    client = connect(ScriptedTransport(submit=broken) if place == "submit" else ScriptedTransport(poll=broken))

    with pytest.raises(ZeroDivisionError):
        await read(client.stream("abc"))


async def test_a_stream_without_async_with_says_what_to_type(connect: Connect) -> None:
    """Iterating over it directly is the obvious mistake."""
    with pytest.raises(InvalidRequest, match="async with"):
        async for _ in connect().stream("ab"):
            pass


async def test_a_stream_ends_when_its_client_closes(connect: Connect) -> None:
    """Even with endless requests: what was under way is an outcome, then the stream says that the client is closed."""
    client = connect(limits=ONE_BY_ONE)
    async with client.stream(map(str, itertools.count()), window=3) as outcomes:
        await anext(outcomes)
        await asyncio.sleep(5)
        await client.aclose()
        seen = await read_until(NotSent, outcomes)

    assert [outcome.error and outcome.error.kind for outcome in seen] == ["timed_out"]


async def test_reading_on_after_leaving_ends(connect: Connect) -> None:
    """A task that was let go before it cost anything leaves no gap that an ordered reader waits for."""
    client = connect(limits=ONE_BY_ONE)
    async with client.stream("abc", ordered=True) as outcomes:
        pass

    assert [outcome async for outcome in outcomes] == []


async def test_stopping_ends_what_is_waiting_to_be_sent_again(connect: Connect) -> None:
    """It was never sent and never will be, so the reader does not wait for it."""
    client = connect(ScriptedTransport(submit=lambda _: NoReply("connection refused", sent=False)))
    async with client.stream("abc", ordered=True) as outcomes:
        await asyncio.sleep(20)
        outcomes.stop()
        assert [outcome async for outcome in outcomes] == []


@pytest.fixture
async def half_read(connect: Connect) -> AsyncIterator[OutcomeStream]:
    """A stream that is entered and left in other asyncio tasks than the one that reads it."""
    async with connect().stream("abc") as outcomes:
        await anext(outcomes)
        yield outcomes


async def test_a_stream_may_live_in_a_fixture(half_read: OutcomeStream) -> None:
    """Setup, test and teardown run in three asyncio tasks."""
    assert (await anext(half_read)).ok


async def test_two_readers_share_a_stream(connect: Connect) -> None:
    """Each outcome goes to one of them, and both see the end."""
    async with connect().stream("abcdef") as outcomes:

        async def reader() -> list[str]:
            return [prompt(outcome) async for outcome in outcomes]

        first, second = await asyncio.gather(reader(), reader())

    assert sorted(first + second) == [*"abcdef"]
