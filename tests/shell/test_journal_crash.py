"""What is stored stays stored, whatever dies: the process, or the disk's patience."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.lock import RunLock
from hunyuan_async._journal.steps import Entry
from hunyuan_async.errors import JournalError
from hunyuan_async.models import ImageRequest

CHILD = Path(__file__).with_name("journal_child.py")
KILLS = 36
WIDTH = 8  # items at once in a child
DISK = 3 * 2**20  # bytes
REACHED = {"send": State.SENDING, "accept": State.SUBMITTED, "complete": State.COMPLETED}
ORDER = [State.SENDING, State.SUBMITTED, State.COMPLETED]


@attrs.frozen
class Writers:
    """Processes that write journals."""

    server: subprocess.Popen[str]

    def start(self, path: Path, limit: int = 0) -> int:
        """Start one; return its process id."""
        assert self.server.stdin
        self.server.stdin.write(f"{path} {limit}\n")
        self.server.stdin.flush()
        return int(next(self.said()))

    def said(self) -> Iterator[str]:
        """What the writer says until it is dead."""
        assert self.server.stdout
        for line in self.server.stdout:
            if line == "dead\n":
                return
            yield line.strip()


@pytest.fixture
def writers() -> Iterator[Writers]:
    """A program that forks writers, so that each need not start anew."""
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        yield Writers(server)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    mount = shutil.which("mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if not mount or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run([shutil.which("umount") or "umount", str(folder)], check=True)


def fill(filler: Path) -> None:
    """Take the last byte of a disk."""
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def cause_of(error: JournalError) -> int | None:
    """The system's number of what went wrong, by which the command line tells a full disk."""
    return error.__cause__.errno if isinstance(error.__cause__, OSError) else None


def koi(number: int, **changes: object) -> Item:
    """One of many items."""
    return Item(f"koi-{number}", ImageRequest(f"koi {number}", seed=number), 25, **changes)  # type: ignore[arg-type]


def check(path: Path, stored: list[str]) -> dict[State, int]:
    """Fail if the file is damaged or lacks what a writer was told is stored; return how many items are where."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with JournalFile.open(path) as file:
        for line in stored:
            item_id, step, _ = line.split()
            item = file.item("", item_id)
            assert item
            assert ORDER.index(item.state) >= ORDER.index(REACHED[step])
            assert item.task_id == (f"t-{item.id}" if item.state is not State.SENDING else None)
        return file.totals("")


def test_no_stored_step_is_lost_to_a_kill(tmp_path: Path, writers: Writers) -> None:
    """However often writers die, the file is sound, and no more items are in doubt than were going out."""
    path = tmp_path / "journal.sqlite"
    draw = random.Random(20261122)

    for _ in range(KILLS):
        writer = writers.start(path)
        said, stored = writers.said(), list[str]()
        for _ in range(draw.randrange(1, 50)):
            stored.append(next(said))
        os.kill(writer, signal.SIGKILL)
        stored += said

        assert check(path, stored).get(State.SENDING, 0) <= WIDTH
        with JournalFile.open(path) as file:
            file.lose_answers("")


@pytest.mark.parametrize("limit", [36, 44, 60, 92, 128, 192, 256])
def test_a_file_that_cannot_grow_stops_all_sending(tmp_path: Path, writers: Writers, limit: int) -> None:
    """Wherever the limit (KiB) strikes: what was stored is there, and after the first refusal nothing was let go."""
    path = tmp_path / "journal.sqlite"
    writers.start(path, limit * 1024)
    said = list(writers.said())

    stored = [line for line in said if line.endswith("stored")]
    first_refusal = next(number for number, line in enumerate(said) if line.endswith("send refused"))
    assert not [line for line in said[first_refusal:] if line.endswith("send stored")]
    assert len([line for line in said if line.endswith("send refused")]) == WIDTH
    check(path, stored)


def test_a_full_disk_stops_sending_and_still_takes_the_ids_of_what_is_out(small_disk: Path) -> None:
    """The bytes that were put by hold the ids; with room again, the next run goes on where this one stopped."""
    path, filler = small_disk / "journal.sqlite", small_disk / "filler"
    out = [koi(number) for number in range(40)]
    with JournalFile.open(path) as file:
        with file.planning("") as planning:
            for number in range(100):
                planning.add(koi(number))
            planning.keep = True
        file.store([Entry.of(item, Step.SEND) for item in out])
        fill(filler)

        refusals = list[JournalError]()
        for number in range(50, 100):
            try:
                file.record(koi(number), Step.SEND)
            except JournalError as error:
                refusals.append(error)
        for item in out:
            item.state, item.task_id = advance(State.PLANNED, Step.SEND), f"t-{item.id}"
            file.record(item, Step.ACCEPT)
        filler.unlink()
        with pytest.raises(JournalError, match="Free some space"):
            file.record(koi(99), Step.SEND)

    assert {(cause_of(error), "the disk is full" in error.message) for error in refusals} == {(errno.ENOSPC, True)}
    assert len(set(map(id, refusals))) == len(refusals)
    with JournalFile.open(path) as file:
        sent = 50 - len(refusals)
        assert file.totals("") == {State.SUBMITTED: 40, State.PLANNED: 60 - sent} | (
            {State.SENDING: sent} if sent else {}
        )
        assert all(file.find(f"t-{item.id}") for item in out)
        file.record(koi(99), Step.SEND)
    assert path.with_name("journal.sqlite.ballast").stat().st_size == 2**20


def test_a_run_does_not_begin_on_a_full_disk(small_disk: Path) -> None:
    """If there is no room for the bytes to be put by, it says so, and what was made for it is let go."""
    filler = small_disk / "filler"
    filler.write_bytes(bytes(DISK - 2**20))

    with pytest.raises(JournalError, match="the disk is full") as caught:
        JournalFile.open(small_disk / "journal.sqlite")
    assert not (small_disk / "journal.sqlite.ballast").exists()
    filler.unlink()

    assert cause_of(caught.value) == errno.ENOSPC
    JournalFile.open(small_disk / "journal.sqlite").close()


class FailingDisk(sqlite3.Connection):
    """A connection whose commits fail as a test says."""

    failure: int | None = None

    def execute(self, sql: str, *values: object) -> sqlite3.Cursor:
        """Run a statement, or fail."""
        if sql == "COMMIT" and self.failure is not None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = self.failure
            raise error
        return super().execute(sql, *values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("failure", "lands"),
    [(sqlite3.SQLITE_IOERR_FSYNC, False), (sqlite3.SQLITE_IOERR_DIR_FSYNC, False), (sqlite3.SQLITE_IOERR_WRITE, True)],
    ids=["fsync", "fsync-of-directory", "write"],
)
def test_a_disk_that_could_not_say_what_is_safe_is_not_believed_again(
    tmp_path: Path, failure: int, lands: bool
) -> None:
    """After a failed fsync nothing more is written at all; after other failures, the steps of what is out are."""
    path = tmp_path / "journal.sqlite"
    JournalFile.open(path).close()
    connection = sqlite3.connect(path, isolation_level=None, factory=FailingDisk)
    with ExitStack() as held:
        held.callback(connection.close)
        lock = RunLock.take(path)
        held.callback(lock.release)
        file = JournalFile(path, connection, held.pop_all(), None, lock)
    with file:
        file.record(koi(1), Step.SEND)
        connection.failure = failure
        with pytest.raises(JournalError, match="the disk fails") as caught:
            file.record(koi(1, task_id="t1"), Step.ACCEPT)
        connection.failure = None
        [sent, accepted] = file.store([Entry.of(koi(2), Step.SEND), Entry.of(koi(1, task_id="t1"), Step.ACCEPT)])

        assert cause_of(caught.value) == errno.EIO
        assert (sent is None, accepted is None) == (False, lands)
        assert file.totals("") == {State.SUBMITTED if lands else State.SENDING: 1}
