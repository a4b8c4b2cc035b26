"""What durability costs: steps a second, CPU an item, planning a million lines and resuming a large run."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import print_table
from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.file import Entry, JournalFile
from hunyuan_async._journal.recorder import Journal
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus

LIFE = (Step.SEND, Step.ACCEPT, Step.COMPLETE, Step.SAVE)
RATE = 20  # items a second of a gentle run
GENTLE, BUSY, LARGE, HUGE = 100, 5_000, 100_000, 1_000_000  # items
GROUP = 1_000  # items that end together while a large run is made up
RUN = "benchmark"
RAW = b'{"code": 200, "message": "success", "data": {"status": "completed", "outputs": ["https://..."]}}' * 5
URL = "https://images.example/2026/11/22/0123456789abcdef.png?signature=0123456789abcdef0123456789abcdef"


def _items(count: int) -> Iterator[Item]:
    for number in range(count):
        item_id = hashlib.sha256(b"%d" % number).hexdigest()[:16]
        request = ImageRequest(f"a koi pond, watercolor, seen from above, number {number}", seed=number, id=item_id)
        detail = {"line": number + 2, "index": number, "variation": 1, "input": {"sku": f"sku-{number}"}}
        yield Item(item_id, request, 25, run=RUN, given=item_id * 2, detail=detail)


def _bring(item: Item, step: Step) -> None:
    now = datetime.now(UTC)
    match step:
        case Step.SEND:
            item.sending_at = now
        case Step.ACCEPT:
            item.task_id, item.submitted_at = f"n68{item.id}_hunyuan3", now
        case Step.COMPLETE:
            item.completion = TaskStatus(item.task_id or "", TaskState.COMPLETED, (URL,), raw=RAW)
            item.finished_at = now
        case Step.SAVE:
            item.files = (SavedImage(Path(f"images/0000/{item.id}.png"), URL, "0" * 64, 1_500_000, 1024, 1024),)


async def _live(journal: Journal, item: Item) -> None:
    for step in LIFE:
        _bring(item, step)
        await journal.record(item, step)
        item.state = advance(item.state, step)


async def _at_once(journal: Journal, items: list[Item], width: int) -> int:
    waiting = iter(items)

    async def work() -> None:
        for item in waiting:
            await _live(journal, item)

    await asyncio.gather(*(work() for _ in range(width)))
    return len(items) * len(LIFE)


async def _alone(journal: Journal, items: list[Item]) -> int:
    for item in items[: BUSY // 10]:
        await journal.record(item, Step.SEND)
    return BUSY // 10


async def _gently(journal: Journal, items: list[Item]) -> int:
    async with asyncio.TaskGroup() as group:
        for item in items[:GENTLE]:
            group.create_task(_live(journal, item))
            await asyncio.sleep(1 / RATE)
    return GENTLE * len(LIFE)


Work = Callable[[Journal, list[Item]], Awaitable[int]]


async def _measure(path: Path, work: Work) -> tuple[str, ...]:
    journal = Journal(path)
    await journal.call(lambda file: file.plan(_items(BUSY)))
    items = await journal.call(lambda file: file.items(RUN, {State.PLANNED}, limit=BUSY))
    began, cpu = time.perf_counter(), time.process_time()
    steps = await work(journal, items)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    await journal.aclose()
    return f"{steps / seconds:,.0f}", f"{cpu / steps * 1e6:,.0f}", f"{cpu / steps * len(LIFE) * 1e6:,.0f}"


def _steps(folder: Path) -> None:
    works: dict[str, Work] = {
        "one waits for the other": _alone,
        f"{RATE} items a second": _gently,
        "64 items at once": lambda journal, items: _at_once(journal, items, 64),
        "1,000 items at once": lambda journal, items: _at_once(journal, items, 1000),
    }
    rows = [(name, *asyncio.run(_measure(folder / f"{name}.sqlite", work))) for name, work in works.items()]
    print_table("Durable steps", ("", "steps a second", "CPU a step, us", "CPU an item, us"), rows)


def _timed(name: str, work: Callable[[], object]) -> tuple[str, float, int]:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    work()
    seconds = time.perf_counter() - began
    return name, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024


def _read(file: JournalFile, *states: State) -> None:
    after = 0
    while page := file.items(RUN, states, after):
        after = page[-1].number


def _plan_and_resume(folder: Path) -> None:
    """Plan a million lines, then resume a run with half of its images made and the rest to go."""
    with JournalFile.open(folder / "huge.sqlite") as file:
        rows = [_timed(f"plan {HUGE:,} lines", lambda: file.plan(_items(HUGE)))]
        rows.append(_timed("count them by state", lambda: file.totals(RUN)))
    with JournalFile.open(folder / "large.sqlite") as file:
        file.plan(_items(LARGE))
        made = list(_items(LARGE // 2))
        for step in LIFE:
            for item in made:
                _bring(item, step)
            for start in range(0, len(made), GROUP):
                file.store([Entry.of(item, step) for item in made[start : start + GROUP]])
    del made
    rows.append(_timed(f"open a run of {LARGE:,}", lambda: JournalFile.open(folder / "large.sqlite").close()))
    with JournalFile.open(folder / "large.sqlite") as file:
        rows.append(_timed("the sending become unknown", lambda: file.recover(RUN)))
        rows.append(_timed("sum up states and credits", lambda: (file.totals(RUN), file.credits(RUN))))
        unfinished = (State.PLANNED, State.SUBMITTED, State.COMPLETED)
        rows.append(_timed(f"read the {LARGE // 2:,} unfinished", lambda: _read(file, *unfinished)))
        rows.append(_timed(f"plan all {LARGE:,} again", lambda: file.plan(_items(LARGE))))
        rows.append(_timed(f"read all {LARGE:,} for the results", lambda: [None for _ in file.latest(RUN)]))
    print_table("Large runs", ("", "seconds", "more memory at the peak, MiB"), rows)


def main() -> None:
    """Print the tables; the journals are made in the folder given, or in the system's for temporary files."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as folder:
        _plan_and_resume(Path(folder))
        _steps(Path(folder))


if __name__ == "__main__":
    main()
