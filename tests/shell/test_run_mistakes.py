"""What nobody does on purpose: a copied directory, a lost disk, a wrong key, a prompt changed and changed back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.inputs import Row
from hunyuan_async.cli.items import RowOptions, read_items
from hunyuan_async.cli.result_lines import result_line
from hunyuan_async.cli.seen import Seen
from hunyuan_async.client import Client
from hunyuan_async.errors import AuthError, InvalidRequest, SubmitUnknown
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.run import Run
from hunyuan_async.settings import API_IN_ONE, Limits
from hunyuan_async.testing import Fetched, Reply, ScriptedTransport, finished, refused

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

    MakeItem = Callable[..., Item]
    Connect = Callable[..., Client]

STRANGE = Reply(200, b'{"data": {"task_id": "t1", "status": "completed", "outputs": [{"blob": 7}]}}')


class Scripted(ScriptedTransport):
    """A service at which an item's task finishes at once, and whose store answers as a test says."""

    def __init__(self, image: bytes, *, fetched: int = 200, poll: Callable[[str], Reply] = finished) -> None:
        super().__init__(poll=poll, image=image)
        self._fetched = fetched

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched:
        """Hand the image over, or refuse to."""
        if self._fetched == 200:
            await super().fetch(url, write)
        return Fetched(self._fetched)


async def outcomes(run: Run) -> list[Outcome]:
    """Take a run to its end."""
    return [outcome async for outcome in run]


def items(directory: Path) -> dict[str, Item]:
    """What the journal holds."""
    with JournalReader.read_only(directory / JOURNAL, directory) as reader:
        record = reader.only_run()
        return {item.id: item for item in reader.latest(record.run)} if record else {}


async def made(connect: Connect, directory: Path, *requests: ImageRequest, image: bytes) -> None:
    """Have an earlier process make images."""
    async with Run(directory, client=connect(Scripted(image))) as run:
        await run.add(requests)
        await outcomes(run)


async def test_an_image_that_could_not_be_found_is_looked_for_by_the_next_process(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """The task was finished in a shape that we cannot read: it stays paid, and is fetched once its address is told."""
    service = attrs.evolve(API_IN_ONE, credits_per_failure=0)
    fox = ImageRequest("a fox", id="fox")
    async with Run(tmp_path, client=connect(Scripted(png, poll=lambda _: STRANGE), service=service)) as run:
        await run.add([fox])
        [outcome] = await outcomes(run)
        assert (outcome.error and outcome.error.kind, run.statistics().credits_spent) == ("task_failed", 25)
    left = items(tmp_path)["fox"]
    assert left.completion
    assert (left.state, left.completion.urls, left.completion.raw) == (State.COMPLETED, (), STRANGE.body)

    still = Scripted(png, poll=lambda _: STRANGE)
    async with Run(tmp_path, client=connect(still, service=service)) as run:
        [outcome] = await outcomes(run)
    assert outcome.error
    assert (outcome.error.charged, outcome.error.retry, still.submits) == ("yes", "same", [])

    now = Scripted(png)
    async with Run(tmp_path, client=connect(now, service=service)) as run:
        [outcome] = await outcomes(run)
    assert (outcome.ok, now.submits, items(tmp_path)["fox"].state) == (True, [], State.DOWNLOADED)


async def test_a_client_that_attaches_to_such_a_task_looks_again(connect: Connect, tmp_path: Path) -> None:
    """What its journal holds is no result."""
    journal = tmp_path / "koi.sqlite"
    first = connect(ScriptedTransport(poll=lambda _: STRANGE), journal=journal)
    task = await first.submit("a fox")
    [ended] = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(ended, Exception)
    await first.aclose()

    result = await connect(ScriptedTransport(poll=finished), journal=journal).attach(task.id)

    assert len(result.urls) == 1


@pytest.mark.parametrize("elsewhere", [None, "another.sqlite"])
async def test_a_journal_that_is_not_where_it_was_is_not_begun_anew(
    connect: Connect, tmp_path: Path, png: bytes, elsewhere: str | None
) -> None:
    """Without it nobody knows what is paid; once it is back, everything is."""
    out, kept = tmp_path / "out", tmp_path / "disk" / "koi.sqlite"
    async with Run(out, client=connect(Scripted(png)), journal=kept) as run:
        await run.add(["a fox"])
        await outcomes(run)
    kept.parent.rename(tmp_path / "unmounted")
    transport = Scripted(png)
    lost = Run(out, client=connect(transport), journal=tmp_path / elsewhere if elsewhere else None)

    with pytest.raises(InvalidRequest, match=r"is missing: it was kept at .*disk/koi\.sqlite. Bring it back"):
        async with lost:
            raise AssertionError("it was let in")

    assert (transport.submits, (out / JOURNAL).is_symlink()) == ([], True)
    (tmp_path / "unmounted").rename(kept.parent)
    async with Run(out, client=connect(transport)) as run:
        assert await run.counts() == {"downloaded": 1}


async def test_a_journal_belongs_to_one_directory(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Another directory may not take it over, and gets no link to it."""
    kept = tmp_path / "koi.sqlite"
    async with Run(tmp_path / "out", client=connect(Scripted(png)), journal=kept) as run:
        await run.add(["a fox"])

    with pytest.raises(InvalidRequest, match="another run's journal"):
        async with Run(tmp_path / "other", client=connect(Scripted(png)), journal=kept):
            raise AssertionError("it was let in")
    assert [*(tmp_path / "other").iterdir()] == []


async def test_a_copied_run_is_not_worked_on_beside_the_first(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """One client would pay twice for what both are to make; the first goes on."""
    client = connect(Scripted(png))
    async with Run(tmp_path / "one", client=client) as run:
        await run.add(["a fox"])
    shutil.copytree(tmp_path / "one", tmp_path / "copy")

    async with Run(tmp_path / "one", client=client) as run:
        with pytest.raises(InvalidRequest, match="works on this run already"):
            async with Run(tmp_path / "copy", client=client):
                raise AssertionError("it was let in")
        assert len(await outcomes(run)) == 1
    async with Run(tmp_path / "copy", client=client) as run:
        assert await run.counts() == {"planned": 1}


async def test_an_image_that_was_altered_is_set_aside(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """It may be somebody's work: the original is fetched beside it, however often."""
    await made(connect, tmp_path, ImageRequest("a fox", id="fox"), image=png)
    [file] = items(tmp_path)["fox"].files
    for number in (1, 2):
        file.path.write_bytes(b"cropped %d" % number)

        await made(connect, tmp_path, image=png)

        aside = file.path.with_name(f"fox.changed-{number}.png")
        assert (file.path.read_bytes(), aside.read_bytes()) == (png, b"cropped %d" % number)
    assert len([*file.path.parent.iterdir()]) == 3


async def test_an_expired_image_that_is_back_counts_again(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """It was gone from the disk and from the service; then somebody found it."""
    await made(connect, tmp_path, ImageRequest("a fox", id="fox"), image=png)
    [file] = items(tmp_path)["fox"].files
    file.path.rename(tmp_path / "attic.png")
    gone = Scripted(png, fetched=404)
    for _ in range(2):
        async with Run(tmp_path, client=connect(gone)) as run:
            await outcomes(run)
            assert await run.counts() == {"expired": 1}
    (tmp_path / "attic.png").rename(file.path)

    async with Run(tmp_path, client=connect(gone)) as run:
        assert (await outcomes(run), await run.counts()) == ([], {"downloaded": 1})


async def test_an_image_that_is_gone_is_not_handed_over(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Neither its outcome nor its line tells of a file that was there once."""
    await made(connect, tmp_path, ImageRequest("a fox", id="fox"), image=png)
    [file] = items(tmp_path)["fox"].files
    file.path.unlink()

    async with Run(tmp_path, client=connect(Scripted(png, fetched=404))) as run:
        [outcome] = await outcomes(run)

    assert (outcome.ok, outcome.files) == (False, ())
    assert result_line(items(tmp_path)["fox"], tmp_path, API_IN_ONE)["images"] == []


async def test_a_run_that_is_closed_under_its_reader_says_so(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """A loop that just ended would look as if all were made."""
    async with Run(tmp_path, client=connect(ScriptedTransport(image=png, seconds=600))) as run:
        await run.add(["a fox"])
        waiting = asyncio.ensure_future(outcomes(run))
        await asyncio.sleep(60)
    with pytest.raises(InvalidRequest, match="not open"):
        await waiting

    async with Run(tmp_path, client=connect(Scripted(png))) as run:
        await run.add(["a wolf"])
        await anext(run)
    with pytest.raises(InvalidRequest, match="not open"):
        await anext(run)


WRONG, RIGHT, OTHER = "aio_wrong_1234", "aio_right_5678", "aio_other_9012"


@pytest.mark.parametrize("key_changed", [False, True])
async def test_a_key_that_was_refused_does_not_stay(
    connect: Connect, tmp_path: Path, png: bytes, key_changed: bool
) -> None:
    """It paid for nothing: the right one, whether it comes next or came before, needs no word."""

    async def process(key: str, *, refuse: bool = False, key_changed: bool = False) -> None:
        submit = (lambda _: refused(401)) if refuse else None
        transport = ScriptedTransport(submit=submit, image=png)
        async with Run(tmp_path, client=connect(transport, api_key=key), key_changed=key_changed) as run:
            await run.add([key])
            if refuse:
                with pytest.raises(AuthError):
                    await outcomes(run)
            else:
                await outcomes(run)

    await process(WRONG, refuse=True)
    await process(RIGHT, key_changed=key_changed)
    await process(OTHER, refuse=True, key_changed=True)
    await process(RIGHT, key_changed=key_changed)
    with pytest.raises(InvalidRequest, match="another API key"):
        await process(WRONG)
    assert {item.state for item in items(tmp_path).values()} == {State.DOWNLOADED}


async def test_one_id_is_one_request(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """In one call it cannot mean two; nothing of the call is planned."""
    async with Run(tmp_path, client=connect(Scripted(png))) as run:
        with pytest.raises(InvalidRequest, match="'fox' came with two different requests"):
            await run.add([ImageRequest("a fox", id="fox"), ImageRequest("a wolf", id="fox")])
        assert await run.counts() == {}
        await run.add([ImageRequest("a fox", id="fox"), ImageRequest("a fox", id="fox")])
        assert await run.counts() == {"planned": 1}


async def test_a_prompt_is_the_same_item_however_it_is_planned(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """The command line and Python go on with each other's work."""
    async with Run(tmp_path, client=connect(Scripted(png))) as run:
        await run.add(["a fox"])
    with JournalFile.open(tmp_path / JOURNAL, tmp_path) as file, Seen() as seen:
        record = file.begin_run()
        [row] = read_items([Row(1, {"prompt": "a fox"})], RowOptions(), record, seen)
        assert isinstance(row, Item)
        with file.planning(record.run) as planning:
            planning.add(row)
            assert (planning.known, planning.new) == (1, 0)
        [item] = file.latest(record.run)
    assert (item.id, item.given, item.request) == (row.id, row.given, row.request)
    assert item.detail["given"] == row.detail["given"] == {"prompt": "a fox"}


async def test_what_only_the_service_knows_is_no_column(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Fields of the body that we do not know tell requests apart, and are kept with the request alone."""
    extra = MappingProxyType({"steps": 9})
    async with Run(tmp_path, client=connect(Scripted(png))) as run:
        assert await run.add([ImageRequest("a fox", extra=extra), ImageRequest("a fox")]) == 2

    [first, second] = items(tmp_path).values()
    assert [first.detail["given"], second.detail["given"]] == [{"prompt": "a fox"}] * 2
    assert first.request
    assert first.request.extra == {"steps": 9}


async def test_what_may_be_on_its_way_is_not_withdrawn(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """A second attempt that the run may be sending just now cannot be taken back by a change of mind."""
    fox, wolf = (ImageRequest(prompt, id="x") for prompt in ("a fox", "a wolf"))
    await made(connect, tmp_path, fox, image=png)
    transport = ScriptedTransport(image=png, seconds=600)
    async with Run(tmp_path, client=connect(transport, limits=Limits(rate=1000, in_flight=1))) as run:
        await run.add(["a heron"])
        await run.add([wolf], changed="redo")
        reading = asyncio.ensure_future(outcomes(run))
        await asyncio.sleep(60)
        with pytest.raises(InvalidRequest, match="on its way"):
            await run.add([fox])
        assert [outcome.ok for outcome in await reading] == [True, True]


def unknown(item: Callable[..., Item], attempt: int = 1, prompt: str = "a fox") -> Item:
    """An attempt that was sent, and nobody knows more."""
    return item(0, State.UNKNOWN, prompt=prompt, attempt=attempt, error=SubmitUnknown("no answer"))


@pytest.mark.parametrize("resolution", ["not_charged", "resubmit"])
async def test_an_item_that_has_a_later_attempt_gets_no_further_one(
    connect: Connect,
    write_run: WriteRun,
    batch_item: MakeItem,
    png: bytes,
    resolution: Literal["not_charged", "resubmit"],
) -> None:
    """Its row was edited since: what is made is what the row says now, once."""
    wolf = batch_item(0, prompt="a wolf", attempt=2)
    directory = write_run(unknown(batch_item), wolf)
    transport = Scripted(png)
    async with Run(directory, client=connect(transport)) as run:
        await run.resolve(["x0"], resolution)
        await outcomes(run)

    assert [request.prompt for request in transport.submits] == ["a wolf"]
    assert items(directory)["x0"].attempt == 2


async def test_on_unknown_resubmits_no_attempt_that_has_a_later_one(
    connect: Connect, write_run: WriteRun, batch_item: MakeItem, png: bytes
) -> None:
    """The same without a person."""
    directory = write_run(unknown(batch_item), batch_item(0, prompt="a wolf", attempt=2))
    transport = Scripted(png)
    async with Run(directory, client=connect(transport), on_unknown="resubmit") as run:
        await outcomes(run)
        assert (run.statistics().credits_spent, run.statistics().credits_at_risk) == (25, 25)

    assert [request.prompt for request in transport.submits] == ["a wolf"]


async def test_a_task_settles_one_item(connect: Connect, write_run: WriteRun, batch_item: MakeItem, png: bytes) -> None:
    """One that is another item's already is refused; of two attempts that are unknown, the first one gets it."""
    second = attrs.evolve(unknown(batch_item, attempt=2), credits=40)
    directory = write_run(unknown(batch_item), second, batch_item(1, State.SUBMITTED))
    async with Run(directory, client=connect(Scripted(png))) as run:
        with pytest.raises(InvalidRequest, match="Task n1 is that of item 'x1' already"):
            await run.resolve(["x0"], "accepted", task_id="n1")
        before = run.statistics()
        assert (before.credits_spent, before.credits_at_risk) == (25, 65)

        await run.resolve(["x0"], "accepted", task_id="n7")

        after = run.statistics()
        assert (after.credits_spent, after.credits_at_risk) == (50, 40)
        await outcomes(run)
    with JournalReader.read_only(directory / JOURNAL) as reader:
        record = reader.only_run()
        assert record
        attempts = reader.attempts(record.run, "x0")
        assert reader.credits(record.run) == (50, 40)
    assert [(item.state, item.task_id) for item in attempts] == [(State.DOWNLOADED, "n7"), (State.UNKNOWN, None)]

    async with Run(directory, client=connect(Scripted(png))) as run:
        with pytest.raises(InvalidRequest, match="Task n7 is that of item 'x0' already"):
            await run.resolve(["x0"], "accepted", task_id="n7")
