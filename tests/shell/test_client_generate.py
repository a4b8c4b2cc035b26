"""What users hold: one image at a time, in their hands, in time or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, InvalidRequest, NotSent, SubmitUnknown, TaskLost, TaskTimedOut
from hunyuan_async.events import Completed, Downloaded, Event, Polled, PutOff, Sending, Statistics, Submitted, Withdrawn
from hunyuan_async.models import ImageRequest, TaskState
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, VirtualTimeLoop, accepted, finished, refused

Connect = Callable[..., Client]

ONE_BY_ONE = Limits(rate=1000, in_flight=1)


async def test_an_image_is_made(connect: Connect) -> None:
    """The result carries what was sent, where the image is, what it cost, and the untouched answer."""
    client = connect()

    result = await client.generate(" a koi pond ", size="16:9", seed=7)

    assert result.request is not None
    assert (result.request.prompt, result.request.size, result.seed) == ("a koi pond", "1280*720", 7)
    assert (result.task_id, result.url) == ("t1", "https://images.example/t1.png")
    assert (result.credits, result.raw) == (25, finished("t1").body)
    assert result.submitted_at is not None
    assert result.submitted_at <= result.finished_at


async def test_an_edit_sends_its_images(connect: Connect) -> None:
    """One address or several."""
    transport = ScriptedTransport()
    await connect(transport).edit("make it night", "https://a.example/1.png")

    [request] = transport.submits
    assert (request.type, request.images) == ("edit", ("https://a.example/1.png",))


async def test_seeds_are_drawn_recorded_and_sent(connect: Connect) -> None:
    """A seed is drawn unless one is given; -1 is left to the service, and then no seed is known."""
    transport = ScriptedTransport()
    client = connect(transport)

    results = [await client.generate("a fox", seed=seed) for seed in (None, None, 3, -1)]

    sent = [request.seed for request in transport.submits]
    assert all(isinstance(seed, int) and 0 <= seed < 2**31 for seed in sent[:2])
    assert sent[0] != sent[1]
    assert sent[2:] == [3, -1]
    assert [result.seed for result in results] == [*sent[:3], None]


async def test_what_cannot_be_right_is_refused_before_anything_happens() -> None:
    """Not even a key is needed to learn that a prompt is empty."""
    with pytest.raises(InvalidRequest):
        await Client().generate(" ")


async def test_events_come_in_order_and_add_up_to_the_statistics(connect: Connect) -> None:
    """Each image is told as sending, submitted, looked at, completed; the counts agree with what left."""
    events: list[Event] = []
    transport = ScriptedTransport()
    client = connect(transport, on_event=events.append)

    await asyncio.gather(*(client.generate(ImageRequest(name, id=name)) for name in "abc"))

    for name in "abc":
        told = [event for event in events if event.id == name and not isinstance(event, Polled)]
        assert [type(event) for event in told] == [Sending, Submitted, Completed]
    assert [event.when for event in events] == sorted(event.when for event in events)
    looks = [event for event in events if isinstance(event, Polled)]
    assert {event.state for event in looks} == {TaskState.RUNNING, TaskState.COMPLETED}
    statistics = client.statistics()
    assert (statistics.submits, statistics.succeeded, statistics.failed) == (3, 3, 0)
    assert statistics.polls == len(looks) == len(transport.looks)
    assert statistics.credits_spent == 75


async def test_events_tell_whose_they_are_and_how_long_it_took(connect: Connect, png: bytes, tmp_path: Path) -> None:
    """Each names the item and its tenant; exchange, look and saving have a duration."""
    events: list[Event] = []
    client = connect(ScriptedTransport(image=png, round_trip=0.5), on_event=events.append)

    async with client.stream([ImageRequest("a fox", id="a")], tenant="alice", save_to=tmp_path) as outcomes:
        assert [outcome.error async for outcome in outcomes] == [None]

    assert {(event.id, event.tenant) for event in events if event.id} == {("a", "alice")}
    timed = [event.seconds for event in events if isinstance(event, Submitted | Polled | Downloaded)]
    assert timed == pytest.approx([0.5] * len(timed))
    assert [event.saving for event in events if isinstance(event, Completed)] == [True]


async def test_a_look_at_a_bare_task_has_no_item(connect: Connect) -> None:
    """Whoever asks for a status gets an event that names the task alone."""
    events: list[Event] = []

    await connect(ScriptedTransport(poll=finished), on_event=events.append).status("n1")

    (look,) = events
    assert isinstance(look, Polled)
    assert (look.id, look.tenant, look.task_id) == (None, "", "n1")


async def test_a_submit_that_is_put_off_says_so(connect: Connect) -> None:
    """Between two sendings stands why the first one was for nothing."""
    events: list[Event] = []
    answers = [refused(429), accepted("t1")]
    transport = ScriptedTransport(submit=lambda _: answers.pop(0), poll=finished)

    await connect(transport, on_event=events.append).generate(ImageRequest("a fox", id="a"))

    told = [type(event) for event in events if event.id and not isinstance(event, Polled)]
    assert told == [Sending, PutOff, Sending, Submitted, Completed]


async def test_who_goes_away_while_a_submit_is_put_off_ends_it(connect: Connect) -> None:
    """That is told, and costs nothing."""
    events: list[Event] = []
    limited = ScriptedTransport(submit=lambda _: refused(429, retry_after="60"))
    asking = asyncio.create_task(connect(limited, on_event=events.append).generate(ImageRequest("a fox", id="a")))
    await asyncio.sleep(5)

    asking.cancel()
    await asyncio.wait([asking])
    await asyncio.sleep(1)

    assert [type(event) for event in events if event.id] == [Sending, PutOff, Withdrawn]


async def test_any_number_of_listeners_hear_what_comes_after_they_came(connect: Connect) -> None:
    """Before the first image or between two, each apart from the others, until it has heard enough."""
    client = connect(on_event=(first := list[Event]()).append)
    early, late = list[Event](), list[Event]()
    end_early, end_again = client.subscribe(early.append), client.subscribe(early.append)
    end_again()

    await client.generate("a fox")
    client.subscribe(late.append)
    assert early == first
    assert not late
    end_early()
    end_early()
    await client.generate("a hare")

    assert late
    assert first == early + late


async def test_a_listener_that_raises_costs_nothing(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    """Its bug is logged, and the image arrives."""

    def listen(event: Event) -> None:
        raise ZeroDivisionError

    await connect(on_event=listen).generate("a fox")

    assert {record.exc_info[0] for record in caplog.records if record.exc_info} == {ZeroDivisionError}


async def test_a_wait_bounded_by_the_caller_may_end_in_the_queue(connect: Connect) -> None:
    """Then nothing was sent, and nothing will be."""
    transport = ScriptedTransport(seconds=60)
    client = connect(transport, limits=ONE_BY_ONE)
    first = asyncio.create_task(client.generate("first"))
    await asyncio.sleep(1)

    with pytest.raises(NotSent) as caught:
        await client.generate("second", timeout=5)

    assert (caught.value.charged, caught.value.retry, caught.value.task) == ("no", "same", None)
    await first
    await asyncio.sleep(60)
    assert [request.prompt for request in transport.submits] == ["first"]


async def test_a_wait_bounded_by_the_caller_may_end_when_it_is_paid(connect: Connect) -> None:
    """Then the error carries the task, which goes on and can be awaited again and again."""
    client = connect(ScriptedTransport(seconds=60))

    with pytest.raises(TaskTimedOut, match="t1") as caught:
        await client.generate("a fox", timeout=5)

    error = caught.value
    assert (error.charged, error.task_id, client.unclaimed) == ("yes", "t1", [error.task])
    assert error.task is not None
    assert (await error.task) is (await error.task)


async def test_a_wait_bounded_by_the_caller_may_end_before_the_answer(connect: Connect) -> None:
    """Then nobody knows yet; the handle brings whatever the answer says."""
    client = connect(ScriptedTransport(round_trip=30))

    with pytest.raises(TaskTimedOut) as caught:
        await client.generate("a fox", timeout=5)

    assert (caught.value.charged, caught.value.task_id) == ("unknown", None)
    assert caught.value.task is not None
    assert (await caught.value.task).task_id == "t1"


async def test_a_task_is_awaitable_by_many_and_none_harms_the_others(connect: Connect) -> None:
    """Cancelling one waiter stops neither the task nor the other waiters."""
    client = connect()
    task = await client.submit("a fox")
    assert (task.id, task.done, client.statistics().credits_spent) == ("t1", False, 25)
    impatient, patient = asyncio.create_task(task.result()), asyncio.create_task(task.result())
    await asyncio.sleep(1)

    impatient.cancel()

    assert (await patient) is (await task)
    assert task.done
    assert impatient.cancelled()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refused(400), HunyuanError),
        (refused(401), HunyuanError),
        (NoReply("reset", sent=True), SubmitUnknown),
        (Reply(200, b'{"data": {"task_id": "t1", "st', complete=False), SubmitUnknown),
    ],
    ids=["refused", "key", "no-answer", "unconfirmed-id"],
)
async def test_submit_raises_what_was_not_accepted(
    connect: Connect, answer: Reply | NoReply, error: type[HunyuanError]
) -> None:
    """A handle is only given for what is paid."""
    client = connect(ScriptedTransport(submit=lambda _: answer))

    with pytest.raises(error):
        await client.submit("a fox")
    assert client.unclaimed == []


async def test_submit_returns_a_task_that_failed_later(connect: Connect) -> None:
    """Accepted, then failed: the handle raises it, to everyone."""
    failed = refused(404)
    client = connect(ScriptedTransport(submit=lambda _: accepted("t1"), poll=lambda _: failed))

    task = await client.submit("a fox")

    for _ in range(2):
        with pytest.raises(TaskLost) as caught:
            await task
    assert caught.value.task_id == "t1"


async def test_slots_grow_by_success_alone(connect: Connect) -> None:
    """Tasks that fail are no sign that the service bears more of them."""
    failing = Reply(200, b'{"data": {"task_id": "t1", "status": "failed"}}')
    slots = []
    for transport in (ScriptedTransport(), ScriptedTransport(poll=lambda _: failing)):
        client = connect(transport, limits=Limits())
        await asyncio.gather(*(client.generate("a fox") for _ in range(3)), return_exceptions=True)
        slots.append(client.statistics().slots)

    assert slots[0] > slots[1] == client.service.start_in_flight


async def test_a_task_can_be_taken_up_by_its_id(connect: Connect) -> None:
    """In the same client it is the same task; in another one it is looked at, at once and for free."""
    transport = ScriptedTransport()
    client = connect(transport)
    task = await client.submit("a fox")
    again, elsewhere = client.attach(task.id), connect(transport).attach(task.id)

    assert again == task
    assert (await again) is (await task)
    assert (await elsewhere).url == (await task).url
    assert len(transport.submits) == 1
    with pytest.raises(InvalidRequest):
        client.attach("../../etc")


async def test_a_single_look_shows_the_status(connect: Connect) -> None:
    """Running, finished or unknown."""
    client = connect()
    task = await client.submit("a fox")
    assert (await client.status(task.id)).state is TaskState.RUNNING
    await task
    assert (await client.status(task.id)).urls == ("https://images.example/t1.png",)
    with pytest.raises(TaskLost):
        await client.status("t2")


async def test_a_cancelled_callers_paid_task_is_kept_and_logged(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it was accepted before or after its caller went away."""
    caplog.set_level(logging.INFO)
    client = connect(ScriptedTransport(round_trip=3))
    callers = [asyncio.create_task(client.generate("a"))]
    await asyncio.sleep(2)
    callers.append(asyncio.create_task(client.generate("b")))
    await asyncio.sleep(2)

    for caller in callers:
        caller.cancel()

    await asyncio.gather(*callers, return_exceptions=True)
    await asyncio.sleep(3)
    assert [task.id for task in client.unclaimed] == ["t1", "t2"]
    assert [(await task).task_id for task in client.unclaimed] == ["t1", "t2"]
    assert {task_id for task_id in ("t1", "t2") if task_id in caplog.text} == {"t1", "t2"}


def test_a_client_needs_no_loop_and_no_key_until_it_is_used() -> None:
    """It can be made at import time, looked at and thrown away."""
    client = Client("aio_0123456789abcdef")

    assert (client.statistics(), client.unclaimed) == (Statistics(), [])
    assert "0123456789" not in repr(client)


def test_one_client_serves_one_loop() -> None:
    """In a second `asyncio.run` the old one says so instead of hanging, and a new one works."""
    old = Client(transport=ScriptedTransport())

    async def use(client: Client) -> str:
        async with client:
            return (await client.generate("a fox")).task_id

    async def misuse() -> None:
        with pytest.raises(InvalidRequest, match="another event loop"):
            await old.generate("a fox")
        with pytest.raises(InvalidRequest, match="another event loop"):
            await old.aclose()

    for work in (use(old), misuse(), use(Client(transport=ScriptedTransport()))):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            runner.run(work)


@pytest.fixture
async def entered() -> AsyncIterator[Client]:
    """A client whose setup and teardown run in other asyncio tasks than its use."""
    async with Client(transport=ScriptedTransport()) as client:
        await client.submit("a fox")
        yield client


async def test_a_client_may_live_in_a_fixture(entered: Client) -> None:
    """Nothing in it is bound to the asyncio task that made it."""
    assert (await entered.generate("a koi")).task_id == "t2"


@pytest.mark.parametrize("used", [False, True])
async def test_a_closed_client_says_so(connect: Connect, used: bool) -> None:
    """Whatever is asked of it, it raises at once; closing it again is fine."""
    client = connect()
    result = await client.generate("a fox") if used else None
    await client.aclose()
    await client.aclose()

    for call in (client.generate("a"), client.submit("a"), client.status("t1")):
        with pytest.raises(NotSent, match="closed"):
            await call
    with pytest.raises(NotSent, match="closed"):
        client.attach("t1")
    with pytest.raises(NotSent, match="closed"):
        client.stream("a")
    if result:
        with pytest.raises(NotSent, match="closed"):
            await client.download(result, "koi.png")
        assert client.statistics().succeeded == 1


async def test_errors_keep_nothing_alive(connect: Connect) -> None:
    """A thousand failed items leave no frames behind: their errors have no traceback once they are outcomes."""
    client = connect(ScriptedTransport(submit=lambda _: refused(400)))
    async with client.stream(["a"]) as outcomes:
        [outcome] = [outcome async for outcome in outcomes]

    assert outcome.error is not None
    assert outcome.error.__traceback__ is None
    assert outcome.error.__context__ is None
