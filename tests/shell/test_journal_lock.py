"""One runner at a time, between real processes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.lock import RunLock, holder
from hunyuan_async.errors import JournalError
from hunyuan_async.models import ImageRequest

OPEN = """
import os, subprocess, sys
from pathlib import Path
from hunyuan_async._core.lifecycle import Item, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async.models import ImageRequest

journal = JournalFile.open(Path(sys.argv[1]))
"""
STAY = """
os.write(1, f"open {os.getpid()}\\n".encode())
sys.stdin.read()
"""
FORK_AND_CLOSE = """
child = os.fork()
if not child:
    journal.close()
    os.closerange(3, 100)
    os._exit(0)
os.waitpid(child, 0)
journal.record(Item("fox", ImageRequest("a fox"), 25), Step.SEND)
"""
FORK_AND_LEAVE = """
child = os.fork()
if child:
    journal.close()
"""
START_A_PROGRAM = """
child = subprocess.Popen(["sleep", "600"], close_fds=False).pid
print(child, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal stands."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def runner(path: Path, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """Another process that opens the journal and does what the test says."""
    script = OPEN + getattr(request, "param", "") + STAY
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def line(runner: subprocess.Popen[str]) -> str:
    """What it prints next."""
    assert runner.stdout
    return runner.stdout.readline().strip()


def test_a_second_runner_is_refused_and_told_whom_to_ask(path: Path, runner: subprocess.Popen[str]) -> None:
    """Process, host and time are named; who only looks is let in; and death, however sudden, frees the journal."""
    assert line(runner) == f"open {runner.pid}"

    with pytest.raises(JournalError, match=f"process {runner.pid} on {socket.gethostname()} since 20") as caught:
        JournalFile.open(path)
    with JournalFile.read_only(path) as reader:
        assert reader.totals("") == {}
    runner.kill()
    runner.wait()

    assert caught.value.__context__ is None
    JournalFile.open(path).close()


@pytest.mark.parametrize("runner", [FORK_AND_CLOSE], indirect=True)
def test_a_forked_child_cannot_give_the_journal_away(path: Path, runner: subprocess.Popen[str]) -> None:
    """It may close what it inherited: its parent goes on writing, alone."""
    assert line(runner).startswith("open")

    with pytest.raises(JournalError, match="in use"):
        JournalFile.open(path)
    with JournalFile.read_only(path) as reader:
        assert reader.totals("") == {State.SENDING: 1}


@pytest.mark.parametrize("runner", [FORK_AND_LEAVE], indirect=True)
def test_a_forked_child_does_not_keep_the_journal(path: Path, runner: subprocess.Popen[str]) -> None:
    """Once the parent has closed it, others may run it, though the child has it open still."""
    assert line(runner).startswith("open")
    assert line(runner).startswith("open")

    JournalFile.open(path).close()


@pytest.mark.parametrize("runner", [START_A_PROGRAM], indirect=True)
def test_a_program_started_meanwhile_does_not_keep_the_journal(path: Path, runner: subprocess.Popen[str]) -> None:
    """Nothing of the journal is passed on, so the death of the runner alone frees it."""
    sleeper = int(line(runner))
    try:
        runner.kill()
        runner.wait()
        JournalFile.open(path).close()
    finally:
        os.kill(sleeper, signal.SIGKILL)


def test_a_second_runner_in_the_same_process_is_refused_too(path: Path) -> None:
    """Two clients of one program are two runners; the refused one takes nothing with it."""
    with JournalFile.open(path) as first:
        for _ in range(2):
            with pytest.raises(JournalError, match=f"process {os.getpid()}"):
                JournalFile.open(path)
        first.record(Item("fox", ImageRequest("a fox"), 25), Step.SEND)
    JournalFile.open(path).close()


def test_the_holder_is_known_while_it_lives(path: Path, runner: subprocess.Popen[str]) -> None:
    """Not by what stands in a file: who died is no holder, whatever the number of its process is worth by now."""
    assert line(runner) == f"open {runner.pid}"
    assert str(holder(path)).startswith(f"process {runner.pid} on {socket.gethostname()} since 20")

    runner.kill()
    runner.wait()

    assert holder(path) is None


def test_nobody_holds_a_journal_that_was_closed_or_never_opened(path: Path) -> None:
    """Asking makes no file."""
    assert holder(path) is None
    assert not [*path.parent.iterdir()]
    JournalFile.open(path).close()
    assert holder(path) is None


def test_asking_for_the_holder_keeps_no_runner_away(path: Path) -> None:
    """A runner that starts while somebody asks again and again is let in."""
    RunLock.take(path).release()
    script = "import sys; from pathlib import Path; from hunyuan_async._journal.lock import RunLock, holder\n"
    script += "print(flush=True)\nwhile True: holder(Path(sys.argv[1]))"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asking:
        try:
            line(asking)
            for _ in range(500):
                RunLock.take(path).release()
        finally:
            asking.kill()


@pytest.mark.parametrize("replaced", [False, True])
def test_a_runner_whose_lock_is_taken_away_lets_nothing_go(path: Path, replaced: bool) -> None:
    """Others would no longer meet it: what is out is stored, and nothing more is sent."""
    fox, wolf = (Item(name, ImageRequest(name), 25) for name in ("fox", "wolf"))
    with JournalFile.open(path) as file:
        file.record(fox, Step.SEND)
        lock = path.with_name("journal.sqlite.lock")
        lock.unlink()
        if replaced:
            lock.touch()

        with pytest.raises(JournalError, match="moved or removed"):
            file.record(wolf, Step.SEND)


def test_two_paths_to_one_journal_share_one_lock(path: Path, tmp_path: Path) -> None:
    """Whoever comes by the link meets whoever came by the file."""
    link = tmp_path / "elsewhere" / "link.sqlite"
    link.parent.mkdir()
    link.symlink_to(path)
    for first, second in ((path, link), (link, path)):
        with JournalFile.open(first), pytest.raises(JournalError, match="in use"):
            JournalFile.open(second)
