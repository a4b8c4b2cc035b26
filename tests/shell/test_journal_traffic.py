"""Requests in the journal: every one is counted once, and none stands in the way of a step."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.recorder import Journal
from hunyuan_async._tally import Tally
from hunyuan_async.client import Client
from hunyuan_async.models import ImageRequest
from hunyuan_async.run import Run
from hunyuan_async.testing import Reply, ScriptedTransport, accepted, finished, refused

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
WAYS = {
    State.SUBMITTED: (Step.SEND, Step.ACCEPT),
    State.FAILED: (Step.SEND, Step.ACCEPT, Step.FAIL),
    State.DOWNLOADED: (Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.SAVE),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal stands."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def file(path: Path) -> Iterator[JournalFile]:
    """A new journal."""
    with JournalFile.open(path) as file:
        yield file


def koi(number: int) -> Item:
    """One of many items."""
    return Item(f"koi-{number}", ImageRequest(f"koi {number}", seed=number), 25)


def count(tally: Tally, submits: int, polls: int, limited: int) -> None:
    """Have some requests more."""
    tally.submits += submits
    tally.polls += polls
    tally.limited += limited


def rows(path: Path) -> list[tuple[str, str, int, int, int]]:
    """The table."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT * FROM traffic").fetchall()


def sums(path: Path) -> tuple[int, ...]:
    """What was counted, over all intervals."""
    return tuple(map(sum, zip(*(row[2:] for row in rows(path)), strict=True)))


def test_each_group_of_steps_brings_what_came_since_the_last_one(path: Path) -> None:
    """What was sent before belongs to others; what comes after the last group is stored when the file is closed."""
    tally, seen = Tally(submits=5, polls=5, limited=5), []
    with JournalFile.open(path) as file:
        file.count_traffic("spring", tally.traffic)
        for number in range(3):
            count(tally, 2, 3, number)
            file.record(koi(number), Step.SEND)
            seen.append(sums(path))
        count(tally, 0, 4, 1)

    assert seen == [(2, 3, 0), (4, 6, 1), (6, 9, 3)]
    assert sums(path) == (6, 13, 4)
    assert {row[0] for row in rows(path)} == {"spring"}
    assert len(rows(path)) <= 2
    assert all(re.fullmatch(r"[0-9-]{10}T[0-9:]{7}0\+00:00", row[1]) for row in rows(path))


def test_without_requests_nothing_is_stored(path: Path) -> None:
    """Nor without anybody who counts them."""
    tally = Tally(submits=5)
    with JournalFile.open(path) as file:
        file.record(koi(0), Step.SEND)
        file.count_traffic("spring", tally.traffic)
        file.record(koi(1), Step.SEND)
    assert rows(path) == []


def test_steps_are_stored_where_counts_cannot_be(file: JournalFile) -> None:
    """As when the disk is full: nothing more is let go, and the id of what is out finds room."""
    tally, item = Tally(), koi(1)
    file.count_traffic("spring", tally.traffic)
    file.record(item, Step.SEND)
    file._connection.execute("CREATE TRIGGER full BEFORE INSERT ON traffic BEGIN SELECT RAISE(FAIL, 'full'); END")
    item.task_id = "t-1"
    count(tally, 1, 0, 0)

    file.record(item, Step.ACCEPT)

    found = file.find("t-1")
    assert found
    assert found.state is State.SUBMITTED


async def test_a_journal_counts_up_to_its_end(path: Path) -> None:
    """Also over its thread, whoever counts."""
    tally = Tally()
    journal = Journal(path)
    await journal.call(lambda file: file.count_traffic("spring", tally.traffic))
    count(tally, 1, 2, 0)
    await journal.record(koi(1), Step.SEND)
    count(tally, 0, 1, 1)
    await journal.aclose()
    assert sums(path) == (1, 3, 1)


async def test_every_request_of_a_run_is_in_its_journal(
    connect: Callable[..., Client], tmp_path: Path, png: bytes
) -> None:
    """Those of the next process as well; and of both, which were answered with "too many requests"."""
    total = [0, 0, 0]
    for first in (0, 10):
        answers = iter([refused(429), *(accepted(f"t-{first + number}") for number in range(10))])
        transport = ScriptedTransport(submit=partial(_next, answers), poll=finished, image=png)
        client = connect(transport)
        async with Run(tmp_path, client=client) as run:
            await run.add([ImageRequest("a koi", id=f"x{first + number}") for number in range(10)])
            assert [outcome.error async for outcome in run] == [None] * 10
        seen = client.statistics()
        sent = seen.submits, seen.polls, seen.limited
        assert sent == (11, len(transport.looks), 1)
        total = [before + more for before, more in zip(total, sent, strict=True)]
    assert sums(tmp_path / "journal.sqlite") == tuple(total)


def _next(answers: Iterator[Reply], _: ImageRequest) -> Reply:
    return next(answers)


def write_tasks(file: JournalFile, state: State, *times: tuple[float, float | None]) -> None:
    """Write tasks in a state by the seconds after noon at which they were accepted and seen finished."""
    for number, (since, until) in enumerate(times):
        item = Item(f"{state.value}-{number}", ImageRequest("a koi"), 25, submitted_at=NOON + timedelta(seconds=since))
        item.finished_at = None if until is None else NOON + timedelta(seconds=until)
        for step in WAYS[state]:
            file.record(item, step)


def test_the_course_is_added_up_by_columns(file: JournalFile) -> None:
    """Tasks in flight are among it, failed ones are not; a task that a break came in between has no latency."""
    write_tasks(file, State.DOWNLOADED, (1, 9.5), (2.25, 12), (500, 700))
    write_tasks(file, State.SUBMITTED, (400.5, None))
    write_tasks(file, State.FAILED, (401, None))
    noon = int(NOON.timestamp())
    course = file.course("")

    columns = [(number - noon // 100, accepted, finished) for number, accepted, finished in course.changes(100)]
    assert columns == [(0, 2, 2), (4, 1, 0), (5, 1, 0), (7, 0, 1)]
    run, quiet = course.span(90, 2)
    assert run == (noon + 1, noon + 700)
    assert quiet == [(noon + 12, noon + 400.5), (noon + 500, noon + 700)]
    assert course.latencies([]) == [(85, 1), (98, 1), (2000, 1)]
    assert course.latencies([noon + 600]) == [(85, 1), (98, 1)]


def test_requests_alone_are_a_course(path: Path, file: JournalFile) -> None:
    """A run that got nothing but "too many requests" was busy, too."""
    values = [("", (NOON + timedelta(seconds=second)).isoformat(), 2, 0, 2) for second in (0, 10, 300)]
    file._connection.executemany("INSERT INTO traffic VALUES (?, ?, ?, ?, ?)", values)
    noon = NOON.timestamp()
    assert file.course("").span(60, 2) == ((noon + 5, noon + 305), [(noon + 15, noon + 305)])
    with JournalFile.read_only(path) as reader:
        assert reader.course("").traffic(20) == [(noon, 4, 0, 4), (noon + 300, 2, 0, 2)]
