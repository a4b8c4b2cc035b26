"""Journals of every version so far can be opened, and come to look like today's."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, Step, advance
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import JournalReader, RunRecord
from hunyuan_async._journal.schema import MIGRATIONS, bring_up_to_date
from hunyuan_async._tally import Tally
from hunyuan_async.errors import JournalError, Refused, SubmitUnknown
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus

SAMPLES = Path(__file__).parents[1] / "samples" / "journals"
WHEN = datetime(2026, 11, 22, 12, 30, 15, 250_000, tzinfo=UTC)
RECORD = RunRecord("spring", "https://api.example/v1", "f00", b"\x00salt", 7, WHEN, {"size": "16:9"})
TABLES = "SELECT type, name, sql FROM sqlite_master ORDER BY type, name"
NEXT = (*MIGRATIONS, ("ALTER TABLE items ADD COLUMN mood TEXT", "UPDATE items SET mood = 'calm'"))

LIVES = {
    "planned": [],
    "skipped": [Step.SKIP],
    "sending": [Step.SEND],
    "rejected": [Step.SEND, Step.REJECT],
    "unknown": [Step.SEND, Step.LOSE_ANSWER],
    "abandoned": [Step.SEND, Step.LOSE_ANSWER, Step.ABANDON],
    "submitted": [Step.SEND, Step.ACCEPT],
    "failed": [Step.SEND, Step.ACCEPT, Step.FAIL],
    "lost": [Step.SEND, Step.ACCEPT, Step.LOSE_TASK],
    "completed": [Step.SEND, Step.ACCEPT, Step.COMPLETE],
    "expired": [Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.EXPIRE],
    "downloaded": [Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.SAVE],
}


def write_sample(path: Path) -> list[Item]:
    """Make the journal that the sample of each version was: an item in every state, and a second attempt."""
    items = []
    tally = Tally()
    with JournalFile.open(path) as file:
        file.write_run(RECORD)
        file.count_traffic("spring", tally.traffic)
        tally.submits, tally.polls, tally.limited = 11, 7, 2
        for name, life in LIVES.items():
            request = ImageRequest(f"Ein Teich, {name}", "edit", "1024*768", ("https://a.example/1.png",), 7, id=name)
            item = Item(name, request, 25, run="spring", given=f"given-{name}", detail={"line": 7, "input": {"sku": 4}})
            plan(file, item)
            for step in life:
                bring(item, step)
                file.record(item, step)
                item.state = advance(item.state, step)
            items.append(item)
        again = Item("failed", ImageRequest("Ein Bach", seed=8), 25, run="spring", tenant="anna", attempt=2)
        plan(file, again)
    return [again if item.id == "failed" else item for item in items]


def plan(file: JournalFile, item: Item) -> None:
    """Have one item planned."""
    with file.planning(item.run) as planning:
        planning.add(item)
        planning.keep = True


def bring(item: Item, step: Step) -> None:
    """Give an item what a step brings."""
    match step:
        case Step.SEND:
            item.sending_at = WHEN
        case Step.ACCEPT:
            item.task_id, item.submitted_at = f"t-{item.id}", WHEN
        case Step.REJECT:
            item.error = Refused("no", status=400, code="bad")
        case Step.LOSE_ANSWER:
            item.error = SubmitUnknown("nobody knows")
            item.error.request_ids, item.error.sent_at = {"x-request-id": "abc"}, WHEN
        case Step.COMPLETE:
            urls = ("https://b.example/1",)
            item.completion, item.finished_at = (
                TaskStatus(f"t-{item.id}", TaskState.COMPLETED, urls, raw=b"\xff{}"),
                WHEN,
            )
        case Step.SAVE:
            item.files = (SavedImage(Path("images/0000/a.png"), "https://b.example/1", "ab" * 32, 17, 64, None),)


def facts(item: Item) -> dict[str, object]:
    """All that is stored of an item, fit to be compared."""
    error = item.error and {**vars(item.error), "type": type(item.error)}
    return {**attrs.asdict(item, recurse=False), "number": 0, "error": error}


def tables(path: Path) -> list[tuple[str, ...]]:
    """What a journal looks like."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(TABLES).fetchall()


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """A journal of today's version with one item, of which the file itself knows nothing yet."""
    connection = sqlite3.connect(tmp_path / "journal.sqlite", isolation_level=None)
    connection.execute("PRAGMA journal_mode = wal")
    bring_up_to_date(connection, tmp_path / "journal.sqlite")
    connection.execute(
        "INSERT INTO items (run, id, attempt, state, tenant, credits, given, detail) "
        "VALUES ('', 'a', 1, 'planned', '', 25, '', '{}')"
    )
    yield connection
    connection.close()


def test_every_version_has_its_sample() -> None:
    """A format that was published once stays readable, and a sample proves it."""
    assert {path.stem for path in SAMPLES.iterdir()} == {f"v{version}" for version in range(1, len(MIGRATIONS) + 1)}


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_journal_of_any_version_can_be_gone_on_with(tmp_path: Path, version: int) -> None:
    """It holds what it held, looks as a new one does, and a copy of an older one stays."""
    path = tmp_path / "journal.sqlite"
    shutil.copy(SAMPLES / f"v{version}.sqlite", path)
    expected = write_sample(tmp_path / "new.sqlite")

    with JournalFile.open(path) as file:
        assert [facts(item) for item in file.latest("spring")] == [facts(item) for item in expected]
        assert file.run("spring") == RECORD
        assert file.credits("spring") == (150, 75)
        assert [row[1:] for row in file.course("spring").traffic(10)] == ([(11, 7, 2)] if version > 1 else [])

    assert tables(path) == tables(tmp_path / "new.sqlite")
    assert (tmp_path / f"journal.sqlite.v{version}").exists() == (version < len(MIGRATIONS))


@pytest.mark.parametrize("version", range(1, len(MIGRATIONS) + 1))
def test_a_journal_of_any_version_can_be_looked_at(tmp_path: Path, version: int) -> None:
    """All of it, and it stays as it is."""
    path = tmp_path / "journal.sqlite"
    shutil.copy(SAMPLES / f"v{version}.sqlite", path)
    before = path.read_bytes()

    with JournalFile.read_only(path) as reader:
        assert len([*reader.latest("spring")]) == len(LIVES)
        course = reader.course("spring")
        assert course.latencies([]) == [(0, 3)]
        assert len(course.traffic(10)) == version - 1
    assert path.read_bytes() == before


def test_an_older_journal_is_copied_and_then_changed(connection: sqlite3.Connection, tmp_path: Path) -> None:
    """The copy has the last commits too, and is as private as the journal; doing it twice changes nothing."""
    for _ in range(2):
        bring_up_to_date(connection, tmp_path / "journal.sqlite", NEXT)

    assert connection.execute("SELECT id, mood FROM items").fetchall() == [("a", "calm")]
    copy = tmp_path / f"journal.sqlite.v{len(MIGRATIONS)}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as old:
        assert old.execute("SELECT id FROM items").fetchall() == [("a",)]
        assert old.execute("PRAGMA user_version").fetchall() == [(len(MIGRATIONS),)]


def test_a_change_that_fails_half_way_leaves_the_journal_as_it_was(
    connection: sqlite3.Connection, tmp_path: Path
) -> None:
    """Neither its tables nor its version have changed, and the next try succeeds."""
    before = connection.execute(TABLES).fetchall()
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        bring_up_to_date(connection, tmp_path / "journal.sqlite", (*NEXT[:-1], (*NEXT[-1], "nonsense")))

    assert connection.execute(TABLES).fetchall() == before
    bring_up_to_date(connection, tmp_path / "journal.sqlite", NEXT)
    assert connection.execute("SELECT mood FROM items").fetchall() == [("calm",)]


@pytest.mark.parametrize("open_it", [JournalFile.open, JournalFile.read_only])
def test_a_newer_journal_is_left_alone(
    connection: sqlite3.Connection, tmp_path: Path, open_it: Callable[[Path], JournalReader]
) -> None:
    """It may hold what we would break or misread; the message says what to install."""
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    path = tmp_path / "journal.sqlite"
    before = path.read_bytes()

    with pytest.raises(JournalError, match=r"newer version .* pip install -U hunyuan-async"):
        open_it(path)
    assert path.read_bytes() == before
