"""A client with a journal: what one process paid for, the next one knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hunyuan_async._core.lifecycle import State
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.client import Client
from hunyuan_async.errors import BudgetExceeded, InvalidRequest, JournalError
from hunyuan_async.models import ImageRequest
from hunyuan_async.testing import Reply, ScriptedTransport, accepted, finished, running

Connect = Callable[..., Client]
FOX = ImageRequest("a fox", seed=7, id="fox")


def service(look: Callable[[str], Reply] = finished) -> ScriptedTransport:
    """A service that shows every task like this."""
    return ScriptedTransport(poll=look)


async def left(connect: Connect, journal: Path, request: ImageRequest = FOX) -> str:
    """Have an earlier process pay for a task and end before it is finished; return the task's id."""
    client = connect(service(running), journal=journal)
    task = await client.submit(request)
    await client.aclose()
    return task.id


async def test_a_new_process_takes_up_what_was_paid(connect: Connect, tmp_path: Path) -> None:
    """Once, and it costs nothing; what is finished is not taken up again."""
    journal = tmp_path / "koi.sqlite"
    task_id = await left(connect, journal)
    transport = service()
    client = connect(transport, journal=journal)

    [task] = await client.recover()
    assert (task.id, task.request, await client.recover()) == (task_id, FOX, [])
    result = await task
    assert (result.request, result.submitted_at is not None, transport.submits) == (FOX, True, [])
    await client.aclose()

    later = connect(service(), journal=journal)
    assert await later.recover() == []


async def test_a_limit_counts_what_earlier_processes_spent(connect: Connect, tmp_path: Path) -> None:
    """Of 50 credits a second process has 25 left."""
    journal = tmp_path / "koi.sqlite"
    await left(connect, journal)
    transport = ScriptedTransport(submit=lambda _: accepted("t2"), poll=finished)
    client = connect(transport, journal=journal, max_credits=50)

    await client.generate("a koi")
    with pytest.raises(BudgetExceeded):
        await client.generate("a koi")

    assert (len(transport.submits), client.statistics().credits_spent) == (1, 50)


async def test_an_id_in_the_journal_brings_its_request_along(connect: Connect, tmp_path: Path) -> None:
    """A later process needs the id alone, and what it saw is known to the one after it without a look."""
    journal = tmp_path / "koi.sqlite"
    task_id = await left(connect, journal)

    async def attached() -> tuple[ImageRequest | None, int]:
        transport = service()
        async with connect(transport, journal=journal) as client:
            result = await client.attach(task_id)
        return result.request, len(transport.looks)

    assert [await attached(), await attached()] == [(FOX, 1), (FOX, 0)]


async def test_a_folder_gives_every_client_a_file_of_its_own(connect: Connect, tmp_path: Path) -> None:
    """Those that are at work at the same time do not meet; one that comes later takes up the first."""
    clients = [connect(service(), journal=tmp_path) for _ in range(3)]
    await asyncio.gather(*(client.generate(FOX) for client in clients))
    for client in clients:
        await client.aclose()
    await left(connect, tmp_path, ImageRequest("a koi", id="koi"))

    counts = []
    for number in (1, 2, 3):
        with JournalReader.read_only(tmp_path / f"{number}.sqlite") as reader:
            counts.append(sum(reader.totals("").values()))
    assert counts == [2, 1, 1]


async def test_a_journal_in_use_is_told_before_anything_is_sent(connect: Connect, tmp_path: Path) -> None:
    """The second client pays for nothing; once the first has gone, it goes on."""
    journal = tmp_path / "koi.sqlite"
    first = connect(service(running), journal=journal)
    await first.submit(FOX)
    transport = service()
    second = connect(transport, journal=journal)

    with pytest.raises(JournalError, match="is in use by process"):
        await second.generate("a koi")
    with pytest.raises(JournalError, match="is in use by process"):
        await second.recover()
    assert (transport.submits, transport.looks) == ([], [])
    await second.aclose()


async def test_an_id_is_paid_once(connect: Connect, tmp_path: Path) -> None:
    """What an earlier process asked for under it stands; another request needs an id of its own."""
    journal = tmp_path / "koi.sqlite"
    await left(connect, journal)
    transport = service()
    client = connect(transport, journal=journal)

    with pytest.raises((JournalError, InvalidRequest), match="an id of its own") as refused:
        await client.generate(ImageRequest("a koi", id="fox"))
    assert (refused.value.charged, transport.submits) == ("no", [])
    assert (await client.generate(ImageRequest("a koi", id="koi"))).request
    await client.aclose()
    with JournalReader.read_only(journal) as reader:
        assert reader.totals("") == {State.SUBMITTED: 1, State.COMPLETED: 1}
