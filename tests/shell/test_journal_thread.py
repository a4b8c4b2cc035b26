"""The journal as a recorder: steps gather into commits, and cancellation neither loses nor reorders one."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest

from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.recorder import PATIENCE, Journal
from hunyuan_async._recorder import Recorder
from hunyuan_async.errors import JournalError
from hunyuan_async.models import ImageRequest, TaskState, TaskStatus

PATIENT = [Step.COMPLETE, Step.FAIL, Step.SAVE, Step.EXPIRE]
WAYS = {
    Step.SEND: [],
    Step.TAKE_BACK: [Step.SEND],
    Step.ACCEPT: [Step.SEND],
    Step.REJECT: [Step.SEND],
    Step.LOSE_ANSWER: [Step.SEND],
    Step.COMPLETE: [Step.SEND, Step.ACCEPT],
    Step.FAIL: [Step.SEND, Step.ACCEPT],
    Step.LOSE_TASK: [Step.SEND, Step.ACCEPT],
    Step.SAVE: [Step.SEND, Step.ACCEPT, Step.COMPLETE],
    Step.EXPIRE: [Step.SEND, Step.ACCEPT, Step.COMPLETE],
    Step.LOSE_FILE: [Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.SAVE],
    Step.CLEAR: [Step.SEND, Step.LOSE_ANSWER],
    Step.ABANDON: [Step.SEND, Step.LOSE_ANSWER],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal stands."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
async def journal(path: Path) -> AsyncIterator[Journal]:
    """A new journal, open."""
    journal = Journal(path)
    await journal.call(lambda file: None)
    yield journal
    await journal.aclose()


def koi(number: int = 1) -> Item:
    """One of many items."""
    return Item(f"koi-{number}", ImageRequest(f"koi {number}", seed=number), 25)


async def take(journal: Recorder, item: Item, *steps: Step) -> Item:
    """Take steps as the engine does."""
    for step in steps:
        after = advance(item.state, step)
        await journal.record(item, step)
        item.state = after
    return item


async def state_of(journal: Journal, number: int = 1) -> State | None:
    """Where an item stands on disk."""
    item = await journal.call(lambda file: file.item("", f"koi-{number}"))
    return item.state if item else None


def commits(path: Path) -> int:
    """Count the commits in the log: a frame that ends one says how large the file is then."""
    log = path.with_name(f"{path.name}-wal").read_bytes()
    [page] = struct.unpack(">I", log[8:12])
    return sum(log[start + 4 : start + 8] != bytes(4) for start in range(32, len(log), 24 + page))


class Held:
    """Keeps the journal's thread busy for as long as a test likes."""

    def __init__(self, journal: Journal) -> None:
        self._go_on = threading.Event()
        self._call = asyncio.ensure_future(journal.call(lambda file: self._go_on.wait()))

    async def __aenter__(self) -> None:
        await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        self._go_on.set()
        await self._call


async def test_steps_that_come_together_share_a_commit(journal: Journal, path: Path) -> None:
    """A hundred at once are one commit; what comes while one is under way, however scattered, is the next."""
    before = commits(path)
    await asyncio.gather(*(take(journal, koi(number), Step.SEND) for number in range(100)))
    together = commits(path) - before

    async with Held(journal):
        scattered = []
        for number in range(100, 110):
            scattered.append(asyncio.create_task(take(journal, koi(number), Step.SEND)))
            for _ in range(3):
                await asyncio.sleep(0)
    await asyncio.gather(*scattered)

    assert (together, commits(path) - before) == (1, 3)
    assert await journal.call(lambda file: file.totals("")) == {State.SENDING: 110}


@pytest.mark.parametrize("step", WAYS, ids=lambda step: step.value)
async def test_only_what_nobody_pays_for_waits_for_company(journal: Journal, step: Step) -> None:
    """What money hangs on is committed at once; what could be asked again may wait, but not for long."""
    item = await take(journal, koi(), *WAYS[step])
    loop = asyncio.get_running_loop()
    began = loop.time()

    await take(journal, item, step)

    assert loop.time() - began == pytest.approx(PATIENCE if step in PATIENT else 0, abs=1e-6)
    assert await state_of(journal) is item.state


async def test_who_waits_goes_along_with_who_is_in_a_hurry(journal: Journal, path: Path) -> None:
    """The first urgent step ends the patience of the others."""
    finished = [await take(journal, koi(number), Step.SEND, Step.ACCEPT) for number in range(5)]
    loop, before = asyncio.get_running_loop(), commits(path)
    began = loop.time()

    patient = asyncio.gather(*(take(journal, item, Step.COMPLETE) for item in finished))
    await asyncio.sleep(PATIENCE / 2)
    await take(journal, koi(9), Step.SEND)
    await patient

    assert commits(path) - before == 1
    assert loop.time() - began == pytest.approx(PATIENCE / 2)


async def test_what_is_stored_is_what_the_item_was(journal: Journal) -> None:
    """A step is copied when it is taken; what happens to the item meanwhile belongs to later steps."""
    item = await take(journal, koi(), Step.SEND)
    item.task_id = "t1"

    async with Held(journal):
        recording = asyncio.create_task(journal.record(item, Step.ACCEPT))
        await asyncio.sleep(0)
        item.task_id, item.finished_at = "t2", datetime.now(UTC)
    await recording

    held = await journal.call(lambda file: file.item("", "koi-1"))
    assert held
    assert (held.task_id, held.finished_at) == ("t1", None)


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_a_submit_whose_caller_goes_away_is_taken_back(journal: Journal, turns: int) -> None:
    """Nothing was sent, so the cancellation goes on only when that is on disk; later the item may be sent again."""
    item = koi()
    async with Held(journal):
        recording = asyncio.create_task(journal.record(item, Step.SEND))
        for _ in range(turns):
            await asyncio.sleep(0)
        for _ in range(3):
            recording.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        assert not recording.done()
    with pytest.raises(asyncio.CancelledError):
        await recording

    assert await state_of(journal) is State.PLANNED
    await take(journal, item, Step.SEND)


async def test_a_cancelled_scope_takes_a_submit_back_too(journal: Journal) -> None:
    """A scope of anyio's cancels again at every await, and the step is taken back all the same."""
    with anyio.CancelScope() as scope:
        asyncio.get_running_loop().call_soon(scope.cancel)
        await journal.record(koi(), Step.SEND)

    assert scope.cancelled_caught
    assert await state_of(journal) is State.PLANNED


async def test_a_refused_submit_whose_caller_goes_away_is_not_taken_back(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    """There is nothing to take back and nothing to tell: the caller hears of its cancellation alone."""
    await take(journal, koi(), Step.SEND, Step.ACCEPT)
    recording = asyncio.create_task(journal.record(koi(), Step.SEND))
    await asyncio.sleep(0)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording

    assert await state_of(journal) is State.SUBMITTED
    assert caplog.text == ""


async def test_a_submit_cancelled_before_it_was_handed_over_was_never_sent(journal: Journal) -> None:
    """An asyncio task that never began leaves no trace."""
    recording = asyncio.create_task(journal.record(koi(), Step.SEND))
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording

    assert await state_of(journal) is None


@pytest.mark.parametrize("step", [step for step in WAYS if step is not Step.SEND], ids=lambda step: step.value)
async def test_any_other_step_lands_though_its_caller_goes_away(journal: Journal, step: Step) -> None:
    """It happened, so it is stored, before whatever is recorded next."""
    item = await take(journal, koi(), *WAYS[step])
    recording = asyncio.create_task(journal.record(item, step))
    await asyncio.sleep(0)
    recording.cancel()
    with pytest.raises(asyncio.CancelledError):
        await recording

    assert await state_of(journal) is advance(item.state, step)


@pytest.mark.parametrize("late", [False, True], ids=["before-it-is-told", "before-it-hears"])
async def test_a_step_that_is_lost_behind_its_callers_back_is_logged(
    journal: Journal, caplog: pytest.LogCaptureFixture, late: bool
) -> None:
    """Nobody is left to be told, and it may be the id of a paid task."""

    async def first() -> None:
        with pytest.raises(JournalError):
            await journal.record(koi(1), Step.ACCEPT)
        second.cancel()  # they were told in one turn of the loop, and it is the first one's

    others = asyncio.create_task(first())
    second = asyncio.create_task(journal.record(koi(2), Step.ACCEPT))
    await asyncio.sleep(0)
    if not late:
        second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await others

    await journal.call(lambda file: None)
    assert "accept of item koi-2, task None, could not be stored" in caplog.text


async def test_a_refused_step_harms_its_caller_alone(journal: Journal) -> None:
    """Those who came with it are stored, and each refused one has an error of its own."""
    await take(journal, koi(1), Step.SEND, Step.ACCEPT)
    outcomes = await asyncio.gather(
        *(take(journal, koi(number), Step.SEND) for number in (1, 1, 2)), return_exceptions=True
    )

    assert [type(outcome) for outcome in outcomes] == [JournalError, JournalError, Item]
    assert outcomes[0] is not outcomes[1]
    assert [await state_of(journal, number) for number in (1, 2)] == [State.SUBMITTED, State.SENDING]


async def test_what_cannot_be_written_down_is_told_before_it_is_handed_over(journal: Journal) -> None:
    """A detail that is no JSON is its planner's mistake, and nobody else's."""
    item = koi()
    item.detail = {"when": datetime.now(UTC)}
    others = asyncio.gather(*(take(journal, koi(number), Step.SEND) for number in (2, 3)))

    with pytest.raises(TypeError):
        await journal.record(item, Step.SEND)
    await others


async def test_calls_see_what_was_recorded_before(journal: Journal) -> None:
    """Even of those who wait for company; and what a call raises goes to its caller."""
    item = await take(journal, koi(), Step.SEND, Step.ACCEPT)
    item.completion = TaskStatus("t1", TaskState.COMPLETED, ("https://a.example/1.png",))
    recording = asyncio.create_task(take(journal, item, Step.COMPLETE))
    await asyncio.sleep(0)

    assert await journal.call(lambda file: file.totals("")) == {State.COMPLETED: 1}
    with pytest.raises(ZeroDivisionError):
        await journal.call(lambda file: 1 // 0)
    await recording


async def test_closing_stores_what_waits(path: Path) -> None:
    """Nobody's step is dropped, further ones are refused, and the journal is free for others."""
    journal = Journal(path)
    items = [await take(journal, koi(number), Step.SEND, Step.ACCEPT) for number in range(3)]
    patient = asyncio.gather(*(take(journal, item, Step.FAIL) for item in items))
    await asyncio.sleep(0)

    closing = asyncio.create_task(journal.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await patient
    await journal.aclose()

    for use in (journal.record(koi(9), Step.SEND), journal.call(lambda file: None)):
        with pytest.raises(JournalError, match="closed"):
            await use
    with JournalFile.open(path) as file:
        assert file.totals("") == {State.FAILED: 3}


async def test_a_journal_that_cannot_be_opened_says_why_to_everybody(journal: Journal, path: Path) -> None:
    """Each step and each call gets the reason, so that nothing is sent; closing works."""
    second = Journal(path)

    outcomes = await asyncio.gather(*(take(second, koi(n), Step.SEND) for n in (1, 2)), return_exceptions=True)
    with pytest.raises(JournalError, match="in use by process"):
        await second.call(lambda file: file.totals(""))
    await second.aclose()

    assert [isinstance(outcome, JournalError) and "in use by process" in outcome.message for outcome in outcomes] == [
        True
    ] * 2
    assert outcomes[0] is not outcomes[1]


FORGETFUL = """
import asyncio, sys
from pathlib import Path
from hunyuan_async._core.lifecycle import Item, Step
from hunyuan_async._journal.recorder import Journal
from hunyuan_async.models import ImageRequest

async def main():
    await Journal(Path(sys.argv[1])).record(Item("koi-1", ImageRequest("koi"), 25), Step.SEND)

asyncio.run(main())
"""


def test_a_forgotten_journal_does_not_keep_the_program_alive(path: Path) -> None:
    """It ends as if the journal had been closed, with every step on disk."""
    subprocess.run([sys.executable, "-c", FORGETFUL, str(path)], check=True, timeout=60)

    with JournalFile.open(path) as file:
        assert file.totals("") == {State.SENDING: 1}
