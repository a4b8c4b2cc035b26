"""What becomes of everything under way when an engine closes or breaks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async._core.replies import Fetched
from hunyuan_async._targets import Target
from hunyuan_async.errors import HunyuanError, NotSent
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused
from hunyuan_async.transport import BeforeSend

if TYPE_CHECKING:
    from tests.shell.conftest import Bench

    Build = Callable[..., Bench]


LIMITED = refused(429, retry_after="60")


def now() -> float:
    """The virtual time."""
    return asyncio.get_running_loop().time()


class Slow(ScriptedTransport):
    """Takes its time to connect, to answer and to hand an image over."""

    def __init__(self, *, connect: float = 0.1, answer: float = 0.1, fetch: float = 0.1, image: bytes = b"") -> None:
        super().__init__(round_trip=answer, poll=finished, submit=lambda _: accepted("t1"), image=image)
        self._connect, self._transfer = connect, fetch

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Connect, then send and wait for the answer."""
        await asyncio.sleep(self._connect)
        return await super().submit(request, before_send)

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Answer at once."""
        return finished(task_id)

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Hand an image over."""
        await asyncio.sleep(self._transfer)
        return await super().fetch(url, write)


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(file.name for file in folder.iterdir())


async def end_of(making: asyncio.Task[Outcome]) -> HunyuanError | None:
    """How an item ended, raised or not."""
    try:
        return (await making).error
    except HunyuanError as error:
        return error


@pytest.mark.parametrize(
    ("transport", "kind", "charged", "steps", "seconds"),
    [
        (Slow(connect=20), "not_sent", "no", [], 0),
        (Slow(answer=20), "timed_out", "yes", ["send", "accept"], 10.1),
        (Slow(answer=200), "unknown", "unknown", ["send", "lose_answer"], 30),
        (Slow(fetch=20), "download", "yes", ["send", "accept", "complete"], 0),
        (ScriptedTransport(seconds=20), "timed_out", "yes", ["send", "accept"], 0),
        (
            ScriptedTransport(submit=lambda _: refused(429, retry_after="60")),
            "not_sent",
            "no",
            ["send", "take_back"],
            0,
        ),
    ],
    ids=["connecting", "awaiting-the-answer", "no-answer", "downloading", "waiting-for-the-image", "put-off"],
)
async def test_closing_waits_for_answers_to_what_was_sent_and_for_nothing_else(
    bench: Build,
    tmp_path: Path,
    transport: ScriptedTransport,
    kind: str,
    charged: str,
    steps: list[str],
    seconds: float,
) -> None:
    """Each item ends with an error that says what it cost, and the record is true."""
    one = bench(transport)
    making = asyncio.create_task(one.make(target=Target(tmp_path / "fox")))
    await asyncio.sleep(10)

    await one.engine.aclose()

    error = await end_of(making)
    assert error is not None
    assert (error.kind, error.charged) == (kind, charged)
    assert one.diary.steps == steps
    assert now() - 10 == pytest.approx(seconds, abs=0.5)
    assert names(tmp_path) == []


async def test_closing_twice_waits_for_the_first_time(bench: Build) -> None:
    """Whoever closes, it is closed when they go on."""
    one = bench(Slow(answer=20))
    making = asyncio.create_task(one.make())
    await asyncio.sleep(10)
    first = asyncio.create_task(one.engine.aclose())
    await asyncio.sleep(1)
    assert not one.transport.closed

    await one.engine.aclose()

    assert one.transport.closed
    await asyncio.wait([making, first])


@pytest.mark.parametrize("turns", range(8))
async def test_closing_at_the_moment_of_the_start_loses_nobody(bench: Build, turns: int) -> None:
    """A permit granted or a run made in the very turn of the loop in which the engine closes is not left behind."""
    one = bench()
    making = asyncio.create_task(one.make())
    for _ in range(turns):
        await asyncio.sleep(0)

    await one.engine.aclose()

    assert isinstance(await end_of(making), NotSent)
    assert one.transport.submits == []


async def test_who_waits_when_the_engine_closes_is_told(bench: Build) -> None:
    """The queue and single looks end with an error; later calls raise at once."""
    one = bench(ScriptedTransport(seconds=60), slots=1)
    makings = [asyncio.create_task(one.make(name)) for name in "abc"]
    await asyncio.sleep(1)
    look = asyncio.create_task(one.engine.status("t1"))
    await asyncio.sleep(0)

    await one.engine.aclose()

    assert [error and error.kind for error in [await end_of(one) for one in makings]] == [
        "timed_out",
        "not_sent",
        "not_sent",
    ]
    assert "closed" in str(await look)
    with pytest.raises(NotSent, match="closed"):
        await one.make()
    assert "closed" in str(await one.engine.status("t1"))


async def test_the_ids_of_tasks_under_way_are_logged_at_closing(bench: Build, caplog: pytest.LogCaptureFixture) -> None:
    """Paid and not finished: without their ids they would be lost."""
    caplog.set_level(logging.INFO)
    one = bench(ScriptedTransport(seconds=60))
    makings = [asyncio.create_task(one.make(name)) for name in "ab"]
    await asyncio.sleep(5)

    await one.engine.aclose()

    await asyncio.wait(makings)
    assert [name for name in ("t1", "t2") if name in caplog.text] == ["t1", "t2"]


async def test_a_recorder_that_cannot_close_leaves_no_connection_open(bench: Build) -> None:
    """Its error comes out after the transport is closed."""
    one = bench()
    one.diary.stuck = OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        await one.engine.aclose()
    assert one.transport.closed


async def test_a_caller_who_leaves_while_it_connects_makes_room_at_once(bench: Build) -> None:
    """The slot goes to the next in the queue without waiting for anything."""
    one = bench(Slow(connect=20), slots=1)
    makings = [asyncio.create_task(one.make(name)) for name in "ab"]
    await asyncio.sleep(5)
    [(running, item)] = one.engine.running.items()
    one.engine.disown(item, running)

    outcome = await makings[1]

    assert (outcome.ok, makings[0].cancelled()) == (True, True)
    assert now() == pytest.approx(5 + 20, abs=2)


async def test_nothing_is_remembered_of_callers_whose_request_came_to_nothing(bench: Build) -> None:
    """What is neither paid nor under way leaves no trace, whenever its caller goes away."""
    one = bench(ScriptedTransport(submit=lambda _: refused(400)))
    for milliseconds in (0, 1, 50, 120, 300):
        making = asyncio.create_task(one.make())
        await asyncio.sleep(milliseconds / 1000)
        for running, item in [*one.engine.running.items()]:
            one.engine.disown(item, running)
        making.cancel()
        await asyncio.wait([making])
    await asyncio.sleep(60)

    assert (one.engine.running, one.engine.unclaimed) == ({}, {})


async def test_a_bug_in_a_look_reaches_those_who_are_watched_and_those_who_wait(bench: Build) -> None:
    """The paid id is recorded, nobody hangs, and the engine can still be closed."""

    def poll(task_id: str) -> Reply:
        raise ZeroDivisionError

    one = bench(ScriptedTransport(poll=poll), slots=2)

    ends = await asyncio.gather(*map(one.make, "abcd"), return_exceptions=True)

    assert [type(end) for end in ends] == [Outcome] * 2 + [ZeroDivisionError] * 2
    paid = [end.error for end in ends if isinstance(end, Outcome) and end.error]
    assert [(error.task_id, error.charged) for error in paid] == [("t1", "yes"), ("t2", "yes")]
    assert one.diary.steps == ["send", "send", "accept", "accept"]
    with pytest.raises(ZeroDivisionError):
        await one.make()
