"""Planning: what is new, known, edited, changed, gone and back again, and stored only if that is wanted."""

from __future__ import annotations

import sqlite3
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.lock import RunLock
from hunyuan_async._journal.planning import Changed, Planning
from hunyuan_async.errors import JournalError
from hunyuan_async.models import ImageRequest

RUN = "spring"
DONE = (Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.SAVE)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[JournalFile]:
    """A new journal."""
    with JournalFile.open(tmp_path / "journal.sqlite") as file:
        yield file


def koi(number: int, prompt: str = "koi", state: State = State.PLANNED, attempt: int = 1, line: int = 7) -> Item:
    """One of many items."""
    request = ImageRequest(prompt, seed=number)
    detail = {"line": line}
    return Item(f"koi-{number}", request, 25, state, run=RUN, given=prompt, detail=detail, attempt=attempt)


def plan(file: JournalFile, items: Iterable[Item], changed: Changed = "stop") -> Planning:
    """Plan items in one pass."""
    with file.planning(RUN) as planning:
        planning.keep = True
        for item in items:
            planning.add(item, changed)
    return planning


def make(file: JournalFile, item: Item, *steps: Step) -> None:
    """Take an item through its life."""
    for step in steps:
        file.record(item, step)
        item.state = advance(item.state, step)


def counts(planning: Planning) -> tuple[int, int, int, int, int]:
    """What a pass came to."""
    return planning.new, planning.known, planning.edited, planning.changed, planning.repeats


def facts(file: JournalFile) -> list[tuple[object, ...]]:
    """The latest attempt of every item: its number, attempt, state, prompt and index."""
    return [
        (int(item.id[4:]), item.attempt, item.state.value, item.given, item.detail["index"])
        for item in file.latest(RUN)
    ]


def test_nothing_is_stored_unless_it_is_to_be_kept(journal: JournalFile) -> None:
    """A plan that is only looked at leaves the journal as it was, but shows what it would hold."""
    plan(journal, [koi(1)])
    before = facts(journal)

    with journal.planning(RUN) as planning:
        planning.add(koi(2))
        planning.add(koi(1, "carp"))
        planning.skip_rest()
        assert journal.waiting(RUN) == (2, 50)

    assert facts(journal) == before
    assert counts(plan(journal, [koi(2)])) == (1, 0, 0, 0, 0)


def test_an_error_undoes_the_whole_pass(journal: JournalFile) -> None:
    """Also if it was to be kept; the error is the caller's own, and the journal stays usable."""

    def items() -> Iterator[Item]:
        yield koi(1)
        raise EOFError

    with pytest.raises(EOFError):
        plan(journal, items())

    assert facts(journal) == []
    assert counts(plan(journal, [koi(1)])) == (1, 0, 0, 0, 0)


class FailingDisk(sqlite3.Connection):
    """A connection on whose disk nothing can be committed or inserted, as a test says."""

    failing: tuple[str, int] = "nothing", 0

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run a statement, or fail."""
        word, code = self.failing
        if sql.startswith(word):
            error = sqlite3.OperationalError("disk")
            error.sqlite_errorcode = code
            raise error
        return super().execute(sql, *values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "code", "told", "usable"),
    [
        ("INSERT INTO items", sqlite3.SQLITE_FULL, "the disk is full", True),
        ("COMMIT", sqlite3.SQLITE_FULL, "the disk is full", True),
        ("COMMIT", sqlite3.SQLITE_IOERR_FSYNC, "the disk fails", False),
    ],
)
def test_a_disk_that_fails_is_told_in_words(tmp_path: Path, word: str, code: int, told: str, usable: bool) -> None:
    """Nothing of the pass is stored, and after a failed fsync nothing is written at all."""
    path = tmp_path / "journal.sqlite"
    JournalFile.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None, factory=FailingDisk)
    with ExitStack() as held:
        held.callback(connection.close)
        lock = RunLock.take(path)
        held.callback(lock.release)
        file = JournalFile(path, connection, held.pop_all(), None, lock)
    with file:
        connection.failing = word, code
        with pytest.raises(JournalError, match=told):
            plan(file, [koi(1)])
        connection.failing = "nothing", 0
        assert facts(file) == []
        if usable:
            plan(file, [koi(1)])
        else:
            with pytest.raises(JournalError, match=told):
                plan(file, [koi(1)])
        assert len(facts(file)) == usable


def test_the_same_again_is_known(journal: JournalFile) -> None:
    """Whether it was made or not; new ones count on from the number of those before."""
    plan(journal, [koi(5), koi(3)])
    make(journal, koi(3), *DONE)

    again = plan(journal, [koi(1), koi(3), koi(5)])

    assert counts(again) == (1, 2, 0, 0, 0)
    assert facts(journal) == [(5, 1, "planned", "koi", 0), (3, 1, "downloaded", "koi", 1), (1, 1, "planned", "koi", 2)]


def test_what_was_not_sent_is_edited_where_it_stands(journal: JournalFile) -> None:
    """It keeps its place and takes over everything else."""
    plan(journal, [koi(1), koi(2)])

    again = plan(journal, [koi(2, "carp", line=9)])

    assert counts(again) == (0, 0, 1, 0, 0)
    assert facts(journal)[1] == (2, 1, "planned", "carp", 1)
    item = journal.item(RUN, "koi-2")
    assert item
    assert item.request
    assert (item.request.prompt, item.detail["line"]) == ("carp", 9)


@pytest.mark.parametrize(
    ("changed", "after"),
    [
        ("stop", (1, 1, "downloaded", "koi", 0)),
        ("keep", (1, 1, "downloaded", "koi", 0)),
        ("redo", (1, 2, "planned", "carp", 0)),
    ],
)
def test_what_was_made_is_made_again_only_if_that_is_said(
    journal: JournalFile, changed: Changed, after: tuple[object, ...]
) -> None:
    """It counts as changed in any case, with what it costs and which ones they are."""
    plan(journal, [koi(1), koi(2)])
    make(journal, koi(1), *DONE)

    again = plan(journal, [koi(1, "carp"), koi(2)], changed)

    assert counts(again) == (0, 1, 0, 1, 0)
    assert (again.changed_credits, again.changed_ids) == (25, ["koi-1"])
    assert facts(journal)[0] == after
    assert journal.credits(RUN) == (25, 0)


def test_only_the_first_changed_ids_are_kept(journal: JournalFile) -> None:
    """Enough to see what it is about."""
    for number in range(25):
        make(journal, koi(number), Step.SEND)

    again = plan(journal, (koi(number, "carp") for number in range(25)))

    assert (again.changed, again.changed_ids) == (25, [f"koi-{number}" for number in range(20)])


def test_a_higher_attempt_is_stored_as_it_is(journal: JournalFile) -> None:
    """It takes the place of the one before and its index; the same once more is known."""
    plan(journal, [koi(1), koi(2)])
    make(journal, koi(2), *DONE)

    again = plan(journal, [koi(2, attempt=2), koi(2, attempt=2), koi(1, "carp", attempt=2)])

    assert counts(again) == (2, 1, 0, 0, 0)
    assert facts(journal) == [(1, 2, "planned", "carp", 0), (2, 2, "planned", "koi", 1)]
    assert [item.attempt for item in journal.items(RUN, [State.DOWNLOADED])] == [1]
    assert journal.waiting(RUN) == (2, 50)
    plan(journal, [koi(3)])
    assert facts(journal)[2] == (3, 1, "planned", "koi", 2)


def test_what_is_gone_is_skipped_and_comes_back_as_a_new_attempt(journal: JournalFile) -> None:
    """Only what waits to be sent; what was asked for in this pass, in whatever way, stays."""
    plan(journal, map(koi, range(6)))
    make(journal, koi(0), *DONE)
    other = Item("koi-1", ImageRequest("koi"), 25, run="autumn", detail={})
    with journal.planning("autumn") as planning:
        planning.add(other)
        planning.keep = True

    with journal.planning(RUN) as planning:
        for item in (koi(1), koi(2, "carp"), koi(3, attempt=2), koi(7)):
            planning.add(item)
        assert planning.skip_rest() == 2
        planning.keep = True
    assert [fact[:3] for fact in facts(journal)] == [
        (0, 1, "downloaded"), (1, 1, "planned"), (2, 1, "planned"), (3, 2, "planned"), (4, 1, "skipped"),
        (5, 1, "skipped"), (7, 1, "planned"),
    ]  # fmt: skip
    assert journal.totals("autumn") == {State.PLANNED: 1}

    again = plan(journal, [koi(4), koi(5, "carp")])
    assert counts(again) == (2, 0, 0, 0, 0)
    assert facts(journal)[4:6] == [(4, 2, "planned", "koi", 4), (5, 2, "planned", "carp", 5)]


def test_repeats_are_stored_as_skipped(journal: JournalFile) -> None:
    """One that was to be made is not any more, one that was made stays, and one that is wanted after all is made."""
    plan(journal, [koi(1), koi(2)])
    make(journal, koi(2), *DONE)

    again = plan(journal, (koi(number, state=State.SKIPPED) for number in (1, 2, 3)))
    assert counts(again) == (0, 0, 0, 0, 3)
    assert [fact[:3] for fact in facts(journal)] == [(1, 1, "skipped"), (2, 1, "downloaded"), (3, 1, "skipped")]

    assert counts(plan(journal, [koi(1, state=State.SKIPPED), koi(3)])) == (1, 0, 0, 0, 1)
    assert [fact[:3] for fact in facts(journal)] == [(1, 1, "skipped"), (2, 1, "downloaded"), (3, 2, "planned")]


@pytest.mark.parametrize("leaves", [False, True], ids=["changes back", "leaves and comes back"])
def test_a_second_attempt_that_was_not_sent_is_withdrawn(journal: JournalFile, leaves: bool) -> None:
    """What was made counts as before: what is asked for is on disk, and nothing is sent."""
    plan(journal, [koi(1, "fox")])
    make(journal, koi(1, "fox"), *DONE)
    assert counts(plan(journal, [koi(1, "wolf")], "redo")) == (0, 0, 0, 1, 0)
    assert facts(journal) == [(1, 2, "planned", "wolf", 0)]

    if leaves:
        with journal.planning(RUN) as planning:
            assert planning.skip_rest() == 1
            planning.keep = True
        assert facts(journal) == [(1, 1, "downloaded", "fox", 0)]
    again = plan(journal, [koi(1, "fox")])

    assert counts(again) == (0, 1, 0, 0, 0)
    assert facts(journal) == [(1, 1, "downloaded", "fox", 0)]
    assert journal.waiting(RUN) == (0, 0)


def test_what_is_new_is_not_taken_for_what_was_withdrawn(journal: JournalFile) -> None:
    """A new item may get the number of an attempt that is gone, and is asked for all the same."""
    plan(journal, [koi(1, "fox")])
    make(journal, koi(1, "fox"), *DONE)
    plan(journal, [koi(1, "wolf")], "redo")

    with journal.planning(RUN) as planning:
        planning.add(koi(1, "fox"))
        planning.add(koi(2))
        assert planning.skip_rest() == 0
        planning.keep = True

    assert [fact[:3] for fact in facts(journal)] == [(1, 1, "downloaded"), (2, 1, "planned")]


@pytest.mark.parametrize("keep", [False, True])
def test_settings_are_stored_with_the_plan_or_not_at_all(journal: JournalFile, keep: bool) -> None:
    """Whoever dies in between leaves neither, or both."""
    record = journal.begin_run()
    with journal.planning(record.run) as planning:
        planning.add(attrs.evolve(koi(1), run=record.run))
        journal.write_run(attrs.evolve(record, settings={"name": "{slug}"}))
        planning.keep = keep

    with JournalFile.read_only(journal.path) as reader:
        after = reader.only_run()
        assert after
        assert (after.settings, reader.totals(record.run)) == (
            ({"name": "{slug}"}, {State.PLANNED: 1}) if keep else ({}, {})
        )


def test_planning_keeps_no_items_in_memory(journal: JournalFile) -> None:
    """However many there are, only their counts are held."""
    tracemalloc.start()
    planning = plan(journal, map(koi, range(10_000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert planning.new == 10_000
    assert peak < 300_000
