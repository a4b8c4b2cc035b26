"""A run that dies before or after any commit, rename or POST goes on without paying twice or losing what is paid."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import attrs

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.client import Client
from hunyuan_async.errors import JournalError
from hunyuan_async.models import ImageRequest
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished, refused
from hunyuan_async.transport import BeforeSend
from tests.simulation.disk import Disk, LockstepLoop, copy_file, visible

OnUnknown = Literal["hold", "resubmit"]

PRICE = 25
IDS = [f"x{number}" for number in range(20)]
LIMITED, REFUSED, UNCLEAR, FAILING = "x3", "x5", "x9", "x12"
ENDS = {REFUSED: State.REJECTED, UNCLEAR: State.UNKNOWN, FAILING: State.FAILED}
FAILED = json.dumps({"code": 200, "data": {"status": "failed", "error": {"message": "no luck"}}}).encode()


@attrs.define
class Service:
    """What the service knows, whatever dies on our side.

    Attributes:
        posts: The items that were asked for, as often as they were.
        issued: The items that were accepted, by the ids given out.
    """

    posts: list[str] = attrs.field(factory=list)
    issued: dict[str, str] = attrs.field(factory=dict)

    def answer(self, item_id: str) -> Reply:
        """Take a POST."""
        self.posts.append(item_id)
        if item_id == REFUSED:
            return refused(400, "the prompt is no good")
        if item_id == LIMITED and self.posts.count(item_id) == 1:
            return refused(429, retry_after="1")
        task_id = f"t{len(self.issued)}"
        self.issued[task_id] = item_id
        return accepted(task_id) if item_id != UNCLEAR else Reply(500, b"")

    def show(self, task_id: str) -> Reply:
        """Answer a look."""
        return Reply(200, FAILED) if self.issued[task_id] == FAILING else finished(task_id)

    def copy(self) -> Service:
        """What it knows by now."""
        return Service([*self.posts], {**self.issued})


class Line(ScriptedTransport):
    """The way to a service that outlives it."""

    def __init__(self, service: Service, image: bytes, moment: Callable[[str], None] = lambda _: None) -> None:
        super().__init__(poll=service.show, image=image)
        self._service = service
        self._moment = moment

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Connect, ask whether to send, send."""
        await asyncio.sleep(0.01)
        await before_send()
        assert request.id
        self._moment(f"before the POST of {request.id}")
        answer = self._service.answer(request.id)
        self._moment(f"after the POST of {request.id}")
        await asyncio.sleep(0.1)
        return answer


@attrs.frozen
class Instant:
    """What a process that died then left behind.

    Attributes:
        name: When it was.
        directory: A copy of its directory.
        service: A copy of what the service knew.
        durable: Names of images that would be there, and whole, even if the power had failed.
    """

    name: str
    directory: Path
    service: Service
    durable: frozenset[str]


@attrs.define
class Witness:
    """Stands by while a process works, and keeps what every instant would leave behind.

    Attributes:
        directory: Where the process works.
        service: Whom it pays.
        place: Where copies go.
        disk: What it watches.
        instants: What was kept.
    """

    directory: Path
    service: Service
    place: Path
    disk: Disk = attrs.field(init=False)
    instants: list[Instant] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.disk = Disk(self.moment)

    def moment(self, name: str) -> None:
        """Keep what there is."""
        copy = self.place / f"{len(self.instants)}"
        shutil.copytree(self.directory, copy, copy_function=copy_file)
        self.instants.append(Instant(name, copy, self.service.copy(), frozenset(self.disk.durable)))

    def watch(self, image: bytes) -> None:
        """Have a process take the run to its end."""
        with self.disk.watched():
            lives(self.directory, Line(self.service, image, self.moment))


async def live(directory: Path, line: Line, on_unknown: OnUnknown) -> None:
    """Take a run to its end, as a process that was started or started again."""
    async with (
        Client(transport=line, limits=Limits(rate=1000, in_flight=6)) as client,
        Run(directory, client=client, on_unknown=on_unknown) as run,
    ):
        await run.add(ImageRequest(f"a koi named {item_id}", id=item_id) for item_id in IDS)
        async for _ in run:
            pass


def lives(directory: Path, line: Line, on_unknown: OnUnknown = "hold") -> None:
    """Take a run to its end in a loop of its own."""
    with asyncio.Runner(loop_factory=LockstepLoop) as runner:
        runner.run(live(directory, line, on_unknown))


def latest(directory: Path) -> dict[str, Item]:
    """What stands in a directory's journal, by ids."""
    if not (directory / JOURNAL).exists():
        return {}
    with JournalReader.read_only(directory / JOURNAL, directory) as reader:
        record = reader.only_run()
        items = [*reader.latest(record.run)] if record else []
    assert len({item.id for item in items}) == len(items)
    return {item.id: item for item in items}


def check_what_is_left(instant: Instant, image: bytes) -> set[str]:
    """Check a directory as the process left it; return the items whose answers it was waiting for."""
    try:
        items = latest(instant.directory)
    except JournalError:  # it was not even a journal yet
        items = {}
    for task_id, item_id in instant.service.issued.items():
        item = items[item_id]
        assert item.task_id == task_id or item.state in {State.SENDING, State.UNKNOWN}, item_id
    for item in items.values():
        if item.state is State.DOWNLOADED:
            assert item.files[0].path.name in instant.durable, item.id
    assert all(path.read_bytes() == image for path in visible(instant.directory))
    return {item.id for item in items.values() if item.state in {State.SENDING, State.UNKNOWN}}


def check_the_end(directory: Path, service: Service, image: bytes, in_doubt: set[str]) -> int:
    """Check that all was made, paid once an attempt and written down; return how many attempts there were."""
    items = latest(directory)
    assert [*items] == IDS
    with JournalReader.read_only(directory / JOURNAL) as reader:
        record = reader.only_run()
        assert record
        attempts = {item_id: reader.attempts(record.run, item_id) for item_id in IDS}
        costs = sum(reader.credits(record.run))
    for item_id, count in Counter(service.posts).items():
        assert count <= len(attempts[item_id]) + (item_id == LIMITED), item_id
    for task_id, item_id in service.issued.items():
        held = {attempt.state for attempt in attempts[item_id]} & {State.UNKNOWN, State.ABANDONED}
        assert held or task_id in {attempt.task_id for attempt in attempts[item_id]}
    for item in items.values():
        unknown = item.id == UNCLEAR or item.id in in_doubt
        assert item.state is ENDS.get(item.id, State.DOWNLOADED) or (unknown and item.state is State.UNKNOWN), item
    assert costs >= PRICE * len(service.issued)
    assert costs <= PRICE * sum(len(attempts[item_id]) for item_id in {*service.issued.values()} | in_doubt)
    saved = {file.path: file for item in items.values() for file in item.files}
    assert {*saved} == {*visible(directory)}
    for path, file in saved.items():
        data = path.read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest(), data) == (file.bytes, file.sha256, image)
    return sum(map(len, attempts.values()))


def check_all(instants: list[Instant], image: bytes, on_unknown: OnUnknown = "hold") -> int:
    """Go on from every instant to the end; return how many items were made once more."""
    again = 0
    for instant in instants:
        try:
            in_doubt = check_what_is_left(instant, image)
            lives(instant.directory, Line(instant.service, image), on_unknown)
            again += check_the_end(instant.directory, instant.service, image, in_doubt) - len(IDS)
        except Exception as error:
            error.add_note(f"It had died {instant.name} ({instant.directory}).")
            raise
        shutil.rmtree(instant.directory)
    return again


def test_a_run_may_die_at_any_instant(tmp_path: Path, png: bytes) -> None:
    """Whatever it was about to do or had just done: the next process pays for nothing twice and loses nothing paid."""
    witness = begin(tmp_path, png)

    assert len(witness.instants) > 160
    assert check_all(witness.instants, png) == 0


def test_a_run_that_goes_on_may_die_as_well(tmp_path: Path, png: bytes) -> None:
    """The same, when it takes up what an earlier death left and an image that is gone."""
    first = begin(tmp_path, png)
    middle = first.instants[len(first.instants) // 2]
    visible(middle.directory)[0].unlink()
    witness = Witness(middle.directory, middle.service, tmp_path / "second")
    witness.disk.durable |= middle.durable
    witness.watch(png)

    assert len(witness.instants) > 60
    assert check_all(witness.instants, png) == 0


def test_what_is_sent_again_on_request_is_sent_once_more_a_pass(tmp_path: Path, png: bytes) -> None:
    """If a person wants unknown items sent again, each of them has an attempt of its own for each POST."""
    witness = begin(tmp_path, png)

    assert check_all(witness.instants[::8], png, "resubmit") > 10


def begin(place: Path, image: bytes) -> Witness:
    """Take a run from nothing to its end, and keep every instant of it."""
    witness = Witness(place / "out", Service(), place / "first")
    witness.directory.mkdir()
    witness.watch(image)
    return witness
