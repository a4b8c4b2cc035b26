"""What durability costs: steps a second, CPU an item, planning a million lines and resuming a large run."""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import print_table
from hunyuan_async._core.lifecycle import Item, State, Step, advance
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.recorder import Journal
from hunyuan_async._journal.resuming import check_files
from hunyuan_async._journal.steps import Entry
from hunyuan_async.cli.inputs import read_rows
from hunyuan_async.cli.items import RowOptions
from hunyuan_async.cli.plan import make_plan
from hunyuan_async.cli.planning import plan_input
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus
from hunyuan_async.settings import API_IN_ONE

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
        detail = {"line": number + 2, "variation": 1, "input": {"sku": f"sku-{number}"}, "given": {}}
        yield Item(item_id, request, 25, run=RUN, given=item_id * 2, detail=detail)


def _plan(file: JournalFile, count: int) -> None:
    with file.planning(RUN) as planning:
        planning.keep = True
        for item in _items(count):
            planning.add(item)


def _write_input(path: Path) -> None:
    with path.open("w") as file:
        for number in range(HUGE):
            row = {"prompt": f"a koi pond, watercolor, seen from above, number {number}", "sku": f"sku-{number}"}
            file.write(json.dumps(row) + "\n")


def _plan_input(file: JournalFile, path: Path) -> None:
    record = file.begin_run()
    with path.open("rb") as source, file.planning(record.run) as planning:
        plan_input(planning, read_rows(source, "jsonl"), RowOptions(), record)
        make_plan(file, record.run, API_IN_ONE)
        planning.keep = True


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
            item.files = (SavedImage(Path(f"images/0000/{item.id}.png"), URL, "0" * 64, 0, 1024, 1024),)


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
    await journal.call(lambda file: _plan(file, BUSY))
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


def _resume(folder: Path) -> None:
    """Do all that a run does before it sends or looks at anything."""
    with JournalFile.open(folder / "large.sqlite", folder) as file:
        file.lose_answers(RUN)
        assert check_files(file, RUN, verify=False) == 0
        file.totals(RUN)
        file.credits(RUN)
        assert file.items(RUN, [State.PLANNED])


def _plan_and_resume(folder: Path) -> None:
    """Plan a million lines, then resume a run with half of its images made and the rest to go."""
    source = folder / "input.jsonl"
    _write_input(source)
    with JournalFile.open(folder / "huge.sqlite") as file:
        rows = [_timed(f"plan an input of {HUGE:,} lines", lambda: _plan_input(file, source))]
        rows.append(_timed("plan the same again", lambda: _plan_input(file, source)))
        rows.append(_timed("count them by state", lambda: file.totals(file.begin_run().run)))
    with JournalFile.open(folder / "large.sqlite") as file:
        _plan(file, LARGE)
        made = list(_items(LARGE // 2))
        for step in LIFE:
            for item in made:
                _bring(item, step)
            for start in range(0, len(made), GROUP):
                file.store([Entry.of(item, step) for item in made[start : start + GROUP]])
    (folder / "images" / "0000").mkdir(parents=True)
    for item in made:
        (folder / "images" / "0000" / f"{item.id}.png").touch()
    del made
    rows.append(_timed(f"resume a run of {LARGE:,}, half of it made", lambda: _resume(folder)))
    with JournalFile.open(folder / "large.sqlite") as file:
        rows.append(_timed(f"plan all {LARGE:,} again", lambda: _plan(file, LARGE)))
        rows.append(_timed(f"read all {LARGE:,} for the results", lambda: [None for _ in file.latest(RUN)]))
    print_table("Large runs", ("", "seconds", "more memory at the peak, MiB"), rows)


def main() -> None:
    """Print the tables; the journals are made in the folder given, or in the system's for temporary files."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if sys.argv[1:] else None) as folder:
        _plan_and_resume(Path(folder))
        _steps(Path(folder))


if __name__ == "__main__":
    main()
