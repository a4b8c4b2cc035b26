"""A run on a disk that fills up or goes away: nothing is sent that cannot be written down, and what was sent is."""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.replies import Fetched
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, JournalError
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished
from hunyuan_async.transport import BeforeSend

Connect = Callable[..., Client]

DISK = 4 * 2**20  # bytes
WIDTH = 10  # items at the service at once
ITEMS = 60


class Line(ScriptedTransport):
    """The way to a service that notes each id it gives out; a test says what happens at which fetch."""

    def __init__(self, image: bytes, at_fetch: int = 0, act: Callable[[], object] = lambda: None) -> None:
        super().__init__(poll=finished, image=image)
        self.issued: dict[str, str] = {}
        self._at_fetch = at_fetch
        self._act = act

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Accept every request."""
        await before_send()
        assert request.id
        self.submits.append(request)
        task_id = f"t-{request.id}"
        self.issued[task_id] = request.id
        await asyncio.sleep(0.1)
        return accepted(task_id)

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Hand the image over."""
        if len(self.fetches) + 1 == self._at_fetch:
            self._act()
        return await super().fetch(url, write)


@attrs.frozen
class SmallDisk:
    """A file system of its own.

    Attributes:
        folder: Where it is mounted.
    """

    folder: Path

    def fill(self, room: int = 0) -> None:
        """Leave so many bytes free."""
        self._filler.write_bytes(bytes(room))
        with suppress(OSError), (self.folder / "more").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        self._filler.unlink()

    def clear(self) -> None:
        """Make room again."""
        (self.folder / "more").unlink()

    @property
    def _filler(self) -> Path:
        return self.folder / "filler"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk that is soon full."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = [str(mount), "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    if not (mount and umount) or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield SmallDisk(folder)
    subprocess.run([umount, str(folder)], check=True)


def koi() -> Iterator[ImageRequest]:
    """The run's requests."""
    return (ImageRequest(f"koi {number}", id=f"x{number}") for number in range(ITEMS))


def items(directory: Path) -> dict[str, Item]:
    """What the journal holds."""
    with JournalReader.read_only(directory / JOURNAL, directory) as reader:
        record = reader.only_run()
        return {item.id: item for item in reader.latest(record.run)} if record else {}


def largest(directory: Path) -> int:
    """How long the longest of the journal's files is that grow."""
    return max(path.stat().st_size for path in directory.glob(f"{JOURNAL}*") if path.suffix != ".ballast")


async def outcomes(run: Run) -> tuple[list[Outcome], HunyuanError | None]:
    """Take a run as far as it goes."""
    made: list[Outcome] = []
    try:
        async for outcome in run:
            made.append(outcome)  # noqa: PERF401 - an error must not take them along
    except HunyuanError as error:
        return made, error
    return made, None


async def finish(run: Run, *lines: Line) -> None:
    """Check that a run, on a disk with room again, makes everything that was not sent yet, and nothing else."""
    made, error = await outcomes(run)
    assert (error, [outcome.error for outcome in made if outcome.error]) == (None, [])
    posts = Counter(request.id for line in lines for request in line.submits)
    assert max(posts.values()) == 1


@pytest.mark.parametrize("room", [0, *range(16, 400, 48)], ids=lambda room: f"{room}KiB")
async def test_ids_still_land_on_a_full_disk(connect: Connect, small_disk: SmallDisk, png: bytes, room: int) -> None:
    """Wherever it fills up: sending ends, every id that was given out is in the journal, and it goes on with room."""
    directory, line = small_disk.folder / "out", Line(png)
    limits = Limits(rate=200, in_flight=WIDTH)
    async with Run(directory, client=connect(line, limits=limits)) as run:
        await run.add(koi())
        small_disk.fill(room * 1024)
        made, error = await outcomes(run)

    left = items(directory)
    for task_id, item_id in line.issued.items():
        assert left[item_id].task_id == task_id
    assert {item.id for item in left.values() if item.state is not State.PLANNED} == {*line.issued.values()}
    if len(line.submits) < ITEMS:
        assert isinstance(error, JournalError)
        assert "Free some space" in error.message
    else:
        assert any(outcome.error for outcome in made) or not error
    small_disk.clear()
    again = Line(png)
    async with Run(directory, client=connect(again, limits=limits)) as run:
        await finish(run, line, again)
    assert Counter(item.state for item in items(directory).values()) == {State.DOWNLOADED: ITEMS}


@pytest.mark.parametrize("nth", [1, 2, 7, 30, 50])
async def test_images_that_find_no_room_are_fetched_once_there_is_some(
    connect: Connect, small_disk: SmallDisk, png: bytes, nth: int
) -> None:
    """If the disk fills up at the n-th image: it is not on disk, and not taken to be; nothing is paid again."""
    directory = small_disk.folder / "out"
    line = Line(png, nth, small_disk.fill)
    async with Run(directory, client=connect(line, limits=Limits(rate=200, in_flight=WIDTH))) as run:
        await run.add(koi())
        await outcomes(run)

    left = items(directory)
    assert {item.id for item in left.values() if item.state is not State.PLANNED} == {*line.issued.values()}
    downloaded = [item for item in left.values() if item.state is State.DOWNLOADED]
    assert all(item.files[0].path.read_bytes() == png for item in downloaded)
    small_disk.clear()
    again = Line(png)
    async with Run(directory, client=connect(again)) as run:
        await finish(run, line, again)
    assert Counter(item.state for item in items(directory).values()) == {State.DOWNLOADED: ITEMS}


@pytest.mark.parametrize("more", [0, *range(5, 200, 24)], ids=lambda more: f"{more}KiB")
async def test_a_journal_that_may_not_grow_sends_nothing_more(
    connect: Connect, tmp_path: Path, png: bytes, more: int
) -> None:
    """Wherever the limit strikes: what left is written down as sent, and each id is written down or told."""
    line = Line(png)
    async with Run(tmp_path, client=connect(line, limits=Limits(rate=200, in_flight=WIDTH))) as run:
        await run.add(koi())
        size = largest(tmp_path)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + more * 1024, hard))
        try:
            made, error = await outcomes(run)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert isinstance(error, JournalError)
    left = items(tmp_path)
    told = {outcome.error.task_id for outcome in made if outcome.error}
    for task_id, item_id in line.issued.items():
        assert left[item_id].task_id == task_id or (left[item_id].state is State.SENDING and task_id in told)
    assert {item.id for item in left.values() if item.state is not State.PLANNED} == {*line.issued.values()}
    in_doubt = [item.id for item in left.values() if item.state is State.SENDING]
    assert len(in_doubt) <= WIDTH
    again = Line(png)
    async with Run(tmp_path, client=connect(again)) as run:
        await finish(run, line, again)
        for item_id in in_doubt:
            await run.resolve([item_id], "accepted", task_id=f"t-{item_id}")
        await finish(run, line, again)
    assert Counter(item.state for item in items(tmp_path).values()) == {State.DOWNLOADED: ITEMS}


@pytest.mark.parametrize("moved", [False, True], ids=["removed", "moved"])
async def test_a_folder_that_is_taken_away_stops_the_sending(
    connect: Connect, tmp_path: Path, png: bytes, moved: bool
) -> None:
    """A file without its name takes whatever is written to it: the ids are told, too, and nothing more is sent."""
    out, away = tmp_path / "out", tmp_path / "away"
    line = Line(png, 2, lambda: out.rename(away))
    async with Run(out, client=connect(line, limits=Limits(rate=20, in_flight=5))) as run:
        await run.add(koi())
        made, error = await outcomes(run)

    assert isinstance(error, JournalError)
    assert "moved or removed" in error.message
    assert len(line.submits) < 10
    results = {outcome.result.task_id for outcome in made if outcome.result}
    assert results | {outcome.error.task_id for outcome in made if outcome.error} >= {*line.issued}
    shutil.rmtree(out if moved else away, ignore_errors=True)  # images may have been saved there meanwhile
    if moved:
        shutil.move(away, out)
        again = Line(png)
        async with Run(out, client=connect(again)) as run:
            await finish(run, line, again)
        assert Counter(item.state for item in items(out).values()) == {State.DOWNLOADED: ITEMS}
