"""The journal's file: what is stored, what is refused, and what can be asked."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import attrs
import pytest

from hunyuan_async._core.lifecycle import TRANSITIONS, Item, State, Step, advance
from hunyuan_async._journal.disk import is_on_network, make_durable
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import JournalReader, RunRecord
from hunyuan_async.errors import (
    AuthError,
    DownloadFailed,
    HunyuanError,
    JournalError,
    RateLimited,
    Refused,
    SubmitUnknown,
    TaskFailed,
    TaskLost,
)
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus

RUN = "spring"
WHEN = datetime(2026, 11, 22, 12, 30, 15, 250_000, tzinfo=UTC)
STEPS = [(state, step) for state in State for step in Step]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal will stand."""
    return tmp_path / "out" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[JournalFile]:
    """A new journal."""
    with JournalFile.open(path) as file:
        yield file


def koi(number: int = 1, **changes: object) -> Item:
    """One of many items."""
    prompt = str(changes.pop("prompt", f"koi {number}"))
    fields: dict[str, object] = {"run": RUN, "given": prompt, **changes}
    return Item(f"koi-{number}", ImageRequest(prompt, seed=number), 25, **fields)  # type: ignore[arg-type]


def plan(file: JournalFile, *items: Item) -> None:
    """Have *items* planned."""
    for item in items:
        with file.planning(item.run) as planning:
            planning.add(item)
            planning.keep = True


def way_to(goal: State) -> list[Step]:
    """The steps from planned to *goal*."""
    ways: dict[State, list[Step]] = {State.PLANNED: []}
    while goal not in ways:
        for state, way in [*ways.items()]:
            for step, after in TRANSITIONS.get(state, {}).items():
                ways.setdefault(after, [*way, step])
    return ways[goal]


def bring(file: JournalFile, item: Item, goal: State) -> Item:
    """Take *item* to a state."""
    for step in way_to(goal):
        if step is Step.ACCEPT:
            item.task_id = f"t-{item.id}-{item.attempt}"
        file.record(item, step)
        item.state = advance(item.state, step)
    return item


def facts(item: Item) -> dict[str, object]:
    """All that is stored of an item, fit to be compared."""
    fields = {**attrs.asdict(item, recurse=False), "number": 0}
    if item.error:
        names = ("kind", "message", "charged", "retry", "status", "code", "task_id", "request_ids")
        fields["error"] = [type(item.error), *(getattr(item.error, name) for name in names)]
    return fields


def ids(items: Iterator[Item] | list[Item]) -> list[tuple[str, int]]:
    """Which attempts of which items."""
    return [(item.id, item.attempt) for item in items]


def test_files_are_for_their_owner_alone(path: Path) -> None:
    """Whatever the umask, others see neither the new directory nor any file in it."""
    before = os.umask(0)
    try:
        with JournalFile.open(path) as file:
            file.record(koi(), Step.SEND)
            modes = {name.name: stat.S_IMODE(name.stat().st_mode) for name in [path.parent, *path.parent.iterdir()]}
    finally:
        os.umask(before)

    suffixes = ("", "-wal", "-shm", ".lock", ".ballast")
    assert modes == {"out": 0o700, **{path.name + suffix: 0o600 for suffix in suffixes}}


@pytest.mark.parametrize(("wal", "mode", "level"), [(True, "wal", 2), (None, "wal", 2), (False, "truncate", 3)])
def test_commits_wait_for_the_disk(path: Path, wal: bool | None, mode: str, level: int) -> None:
    """The log is synchronised with every commit, and without a log its replacement is; both are read back."""
    with JournalFile.open(path, wal=wal) as file:
        file.record(koi(), Step.SEND)
        pragmas = [file._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
        with JournalFile.read_only(path) as reader:
            assert reader.totals(RUN) == {State.SENDING: 1}

    assert pragmas == [mode, level]


class Careless(sqlite3.Connection):
    """A connection that does not take it seriously when it is told to wait for the disk."""

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run a statement, or another one."""
        return super().execute("PRAGMA synchronous = 1" if sql.startswith("PRAGMA synchronous =") else sql)


@pytest.mark.parametrize(("place", "kind"), [(":memory:", sqlite3.Connection), ("journal.sqlite", Careless)])
def test_a_place_where_nothing_is_safe_is_refused(
    tmp_path: Path, path: Path, place: str, kind: type[sqlite3.Connection]
) -> None:
    """If neither way of writing can be had, the message names the option that helps."""
    connection = sqlite3.connect(place if place == ":memory:" else tmp_path / place, factory=kind)

    with pytest.raises(JournalError, match="--journal PATH"):
        make_durable(connection, path, wal=True)
    connection.close()


@pytest.mark.parametrize(("kind", "network"), [("nfs4", True), ("cifs", True), ("ext4", False), ("fuse.sshfs", True)])
def test_network_file_systems_are_known(tmp_path: Path, kind: str, network: bool) -> None:
    """The mount of the file's device tells; without the system's table, nothing is assumed."""
    device = tmp_path.stat().st_dev
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "20 1 0:999 / /else rw - nfs server:/ rw\n"
        f"36 35 {os.major(device)}:{os.minor(device)} / {tmp_path} rw,noatime shared:1 - {kind} /dev/x rw\n"
    )

    assert is_on_network(tmp_path, mounts) is network
    assert not is_on_network(tmp_path, tmp_path / "missing")


@pytest.mark.parametrize(("state", "step"), STEPS, ids=lambda value: value.value)
def test_the_table_decides_about_every_step(journal: JournalFile, state: State, step: Step) -> None:
    """A step that the table has is stored; any other is refused, whatever the caller believes, and changes nothing."""
    plan(journal, koi())
    item = bring(journal, koi(), state)
    item.state = State.PLANNED
    after = TRANSITIONS.get(state, {}).get(step)

    if after:
        journal.record(item, step)
    else:
        with pytest.raises(JournalError, match=f"that is {state.value} cannot {step.value}"):
            journal.record(item, step)

    assert journal.totals(RUN) == {after or state: 1}


def test_a_refused_step_does_not_harm_its_company(journal: JournalFile) -> None:
    """The journal goes on, also for items that are not sent yet."""
    bring(journal, koi(1), State.DOWNLOADED)

    with pytest.raises(JournalError, match="koi-1"):
        journal.record(koi(1), Step.SEND)
    journal.record(koi(2), Step.SEND)

    assert journal.totals(RUN) == {State.DOWNLOADED: 1, State.SENDING: 1}


ERRORS = [
    Refused("no", status=400, code="bad"),
    AuthError("no", status=401),
    RateLimited("later", status=429),
    SubmitUnknown("nobody knows"),
    TaskFailed("broken", task_id="t1", code="7"),
    TaskLost("gone", task_id="t1"),
    DownloadFailed("too late", task_id="t1", kind="expired"),
    DownloadFailed("cut off", task_id="t1", retry="same"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.kind)
def test_an_error_comes_back_as_it_was(journal: JournalFile, error: HunyuanError) -> None:
    """Kind, message, codes, charge, advice and the headers for the vendor."""
    item = koi(error=error, task_id=error.task_id)
    error.request_ids = {"x-request-id": "abc"}

    journal.record(item, Step.SEND)

    [held] = journal.items(RUN, [State.SENDING])
    assert facts(held) == {**facts(item), "state": State.SENDING}


def test_an_item_comes_back_as_it_was(journal: JournalFile) -> None:
    """Planned, sent and collected: nothing is lost, and bytes stay bytes."""
    request = ImageRequest(
        "Ein Teich \u9bc9",
        "edit",
        "1024*768",
        ("https://a.example/1.png",),
        7,
        "m",
        MappingProxyType({"x": [1, {}]}),
        "k",
    )
    item = koi(
        detail=MappingProxyType({"line": 7, "input": {"sku": 4, "note": None}}),
        tenant="anna",
        sending_at=WHEN,
        submitted_at=WHEN,
    )
    item.request, item.finished_at, item.task_id = request, WHEN, "t1"
    item.files = (SavedImage(Path("images/0000/a.png"), "https://b.example/1", "ab" * 32, 17, 64, None),)
    item.completion = TaskStatus("t1", TaskState.COMPLETED, ("https://b.example/1",), raw=b"\xff\x00{}")

    plan(journal, item)

    [held] = journal.items(RUN, [State.PLANNED])
    assert facts(held) == facts(item)


def test_a_task_of_which_the_id_alone_is_known_is_stored(journal: JournalFile) -> None:
    """Attached tasks were never sent from here; their first step may be their last."""
    item = Item("t9", None, 25, State.SUBMITTED, "t9", run=RUN)

    journal.record(item, Step.FAIL)

    assert facts(journal.find("t9") or item) == {**facts(item), "state": State.FAILED}


@pytest.mark.parametrize(
    ("state", "credits"),
    [
        (State.PLANNED, (0, 0)),
        (State.SENDING, (0, 25)),
        (State.UNKNOWN, (0, 25)),
        (State.ABANDONED, (0, 25)),
        (State.SUBMITTED, (25, 0)),
        (State.COMPLETED, (25, 0)),
        (State.DOWNLOADED, (25, 0)),
        (State.FAILED, (25, 0)),
        (State.EXPIRED, (25, 0)),
        (State.LOST, (25, 0)),
        (State.REJECTED, (0, 0)),
        (State.SKIPPED, (0, 0)),
    ],
)
def test_every_credit_is_spent_at_risk_or_free(journal: JournalFile, state: State, credits: tuple[int, int]) -> None:
    """What was accepted is spent, what may have been is at risk; another run's money is its own."""
    plan(journal, koi())
    bring(journal, koi(), state)
    plan(journal, koi(2), koi(3, run="autumn"))

    assert journal.credits(RUN) == credits
    assert journal.credits("autumn") == (0, 0)


def test_a_restart_makes_unknown_what_was_being_sent(path: Path) -> None:
    """Only that, only in the run asked for, and the item says why it is never sent again by itself."""
    with JournalFile.open(path) as file:
        for number, state in enumerate((State.SENDING, State.PLANNED, State.SUBMITTED)):
            plan(file, koi(number))
            bring(file, koi(number), state)
        bring(file, koi(9, run="autumn"), State.SENDING)

    with JournalFile.open(path) as file:
        assert (file.lose_answers(RUN), file.lose_answers(RUN)) == (1, 0)
        assert file.totals(RUN) == {State.UNKNOWN: 1, State.PLANNED: 1, State.SUBMITTED: 1}
        assert file.totals("autumn") == {State.SENDING: 1}
        [unknown] = file.items(RUN, [State.UNKNOWN])

    assert isinstance(unknown.error, SubmitUnknown)
    assert (unknown.error.charged, unknown.error.retry) == ("unknown", "no")


def test_pages_follow_the_order_of_planning(journal: JournalFile) -> None:
    """Whatever states are asked for, each page goes on after the last number of the one before."""
    plan(journal, *map(koi, range(10)))
    for number in (2, 5, 6):
        bring(journal, koi(number), State.SUBMITTED)
    bring(journal, koi(8), State.REJECTED)
    states = {State.PLANNED, State.SUBMITTED}
    pages, after = list[list[int]](), 0

    while page := journal.items(RUN, states, after, limit=4):
        pages.append([int(item.id[4:]) for item in page])
        after = page[-1].number

    assert pages == [[0, 1, 2, 3], [4, 5, 6, 7], [9]]


def test_a_task_is_found_by_its_id(journal: JournalFile) -> None:
    """In whatever run it was made; an id that nobody has is none."""
    bring(journal, koi(5, run="autumn"), State.LOST)

    found = journal.find("t-koi-5-1")

    assert found
    assert (found.run, found.id, found.state) == ("autumn", "koi-5", State.LOST)
    assert journal.find("t-koi-6-1") is None


def test_no_question_makes_sqlite_sort_or_read_everything(journal: JournalFile) -> None:
    """An index answers each, so that a page of a million items costs what a page costs."""
    plan(journal, koi())
    asked: list[str] = []
    journal._connection.set_trace_callback(asked.append)
    journal.items(RUN, [State.PLANNED, State.SUBMITTED])
    list(journal.latest(RUN))
    journal.totals(RUN)
    journal.credits(RUN)
    journal.waiting(RUN)
    journal.item(RUN, "koi-1")
    journal.find("t1")
    journal._connection.set_trace_callback(None)

    plans = [row["detail"] for sql in asked for row in journal._connection.execute(f"EXPLAIN QUERY PLAN {sql}")]
    assert len(asked) == 8
    assert [line for line in plans if "TEMP B-TREE" in line or line.startswith("SCAN")] == []


def test_a_run_is_remembered_and_may_change_its_key(journal: JournalFile) -> None:
    """What it is pinned to comes back; writing it again replaces it."""
    record = RunRecord(RUN, "https://api.example/v1", "f00", b"\x00salt", 7, WHEN, {"size": "16:9"})
    journal.write_run(attrs.evolve(record, key_fingerprint="old"))
    journal.write_run(record)

    assert journal.run(RUN) == record
    assert journal.run("autumn") is None


def test_a_step_may_change_what_an_item_costs(journal: JournalFile) -> None:
    """A task that fails may be cheaper than an image."""
    item = bring(journal, koi(), State.SUBMITTED)
    item.credits = 5

    journal.record(item, Step.FAIL)

    assert journal.credits(RUN) == (5, 0)


def test_a_journal_of_one_directory_has_one_run(path: Path) -> None:
    """The first call makes it, with a name and a seed of its own and pinned to nothing; later ones find it."""
    with JournalFile.open(path) as file:
        assert file.only_run() is None
        record = file.begin_run()
    with JournalFile.open(path) as file:
        assert file.begin_run() == file.only_run() == file.run(record.run) == record
    with JournalFile.open(path.with_name("other.sqlite")) as file:
        other = file.begin_run()

    assert (record.base_url, record.key_fingerprint, record.settings) == ("", "", {})
    assert 0 <= record.seed < 2**63
    assert not {record.run, record.salt, record.seed} & {other.run, other.salt, other.seed}


def test_who_looks_is_never_refused(journal: JournalFile, path: Path) -> None:
    """A reader sees what is stored, even in the middle of a long transaction, and cannot write."""
    bring(journal, koi(1), State.SUBMITTED)

    with journal.planning(RUN) as planning:
        planning.add(koi(2))
        with JournalFile.read_only(path) as reader:
            assert reader.totals(RUN) == {State.SUBMITTED: 1}
        planning.add(koi(3))
        planning.keep = True

    with JournalFile.read_only(path) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._connection.execute("DELETE FROM items")
    assert journal.totals(RUN) == {State.SUBMITTED: 1, State.PLANNED: 2}


def test_who_looks_changes_nothing(journal: JournalFile, path: Path, tmp_path: Path) -> None:
    """A reader leaves file and log as they are, also those of a process that was killed."""
    bring(journal, koi(1), State.SUBMITTED)
    copy = tmp_path / "killed"
    copy.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        (copy / name).write_bytes((path.parent / name).read_bytes())

    for folder in (path.parent, copy):
        files = [folder / path.name, folder / f"{path.name}-wal"]
        before = [file.read_bytes() for file in files]
        with JournalFile.read_only(folder / path.name) as reader:
            assert reader.totals(RUN) == {State.SUBMITTED: 1}
        assert [file.read_bytes() for file in files] == before


@pytest.mark.parametrize("open_it", [JournalFile.open, JournalFile.read_only])
@pytest.mark.parametrize(
    ("content", "words"),
    [("CREATE TABLE cats (name)", "is a database, but no journal"), (None, "not a journal, or it is damaged")],
    ids=["foreign", "text"],
)
def test_other_peoples_files_are_left_alone(
    path: Path, open_it: Callable[[Path], JournalReader], content: str | None, words: str
) -> None:
    """What is no journal is refused, byte for byte as it was."""
    path.parent.mkdir()
    if content:
        connection = sqlite3.connect(path)
        connection.execute(content)
        connection.close()
    else:
        path.write_text("dear diary\n" * 100)
    before = path.read_bytes()

    with pytest.raises(JournalError, match=words) as caught:
        open_it(path)

    assert (path.read_bytes(), caught.value.__context__) == (before, None)


def test_who_looks_for_a_journal_makes_none(path: Path) -> None:
    """Reading what does not exist is an error, and leaves nothing behind."""
    with pytest.raises(JournalError, match="No such file"):
        JournalFile.read_only(path)
    assert not path.parent.exists()


def test_another_programs_lock_is_told(journal: JournalFile, path: Path) -> None:
    """Whoever holds the file open for writing is to be closed; nothing is sent until a new run."""
    journal._connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(JournalError, match="another program holds it locked"):
        journal.record(koi(), Step.SEND)
    other.close()
    with pytest.raises(JournalError, match="another program holds it locked"):
        journal.record(koi(), Step.SEND)


def test_a_closed_journal_is_free_for_others(path: Path) -> None:
    """The next one goes on with what was stored."""
    with JournalFile.open(path) as file:
        bring(file, koi(), State.COMPLETED)
    with JournalFile.open(path) as file:
        assert file.totals(RUN) == {State.COMPLETED: 1}


def test_a_journal_is_used_by_the_thread_that_opened_it(journal: JournalFile) -> None:
    """Another thread is told, before it can mix transactions up."""
    errors: list[Exception] = []

    def use() -> None:
        try:
            journal.totals(RUN)
        except JournalError as error:
            errors.append(error)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()

    assert [type(error) for error in errors] == [JournalError]


def test_what_stays_in_memory_can_be_limited(tmp_path: Path) -> None:
    """A server that runs for months must not grow by it."""
    with JournalFile.open(tmp_path / "j.sqlite") as file:
        file.limit_cache(4096)

        assert file._connection.execute("PRAGMA cache_size").fetchone()[0] == -4096
