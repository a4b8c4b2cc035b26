"""A program for the tests: writes a journal, eight items at once, until it is killed or the disk takes no more.

For each line "PATH LIMIT" on its input it forks a writer, which may make no file larger than LIMIT bytes, or as large
as it likes if that is 0. The writer says its process id, then each step as soon as it is stored or refused; when it is
dead, "dead" follows.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import sys
from pathlib import Path

from hunyuan_async._core.lifecycle import Item, Step, advance
from hunyuan_async._journal.recorder import Journal
from hunyuan_async.errors import JournalError
from hunyuan_async.models import ImageRequest, TaskState, TaskStatus

LIFE = (Step.SEND, Step.ACCEPT, Step.COMPLETE)
WIDTH = 8


def say(*words: object) -> None:
    """Tell the test at once, in one write."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


async def live(journal: Journal, item: Item) -> bool:
    """Take an item through its life; return whether its first step could be stored."""
    for step in LIFE:
        if step is Step.ACCEPT:
            item.task_id = f"t-{item.id}"
        elif step is Step.COMPLETE:
            item.completion = TaskStatus(
                f"t-{item.id}", TaskState.COMPLETED, ("https://a.example/1.png",), raw=b"{}" * 500
            )
        try:
            await journal.record(item, step)
        except JournalError:
            say(item.id, step.value, "refused")
            return step is not Step.SEND
        item.state = advance(item.state, step)
        say(item.id, step.value, "stored")
    return True


async def write(path: Path, limit: int) -> None:
    """Write until a first step is refused."""
    journal = Journal(path)
    await journal.call(lambda file: file.lose_answers(""))
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    async def work(name: str) -> None:
        for number in itertools.count():
            item_id = f"{os.getpid()}-{name}-{number}"
            if not await live(journal, Item(item_id, ImageRequest("a fox", seed=number), 25)):
                return

    await asyncio.gather(*(work(str(number)) for number in range(WIDTH)))
    await journal.aclose()


def main() -> None:
    """Fork writers as asked."""
    for line in sys.stdin:
        path, limit = line.split()
        writer = os.fork()
        if not writer:
            say(os.getpid())
            asyncio.run(write(Path(path), int(limit)))
            os._exit(0)
        os.waitpid(writer, 0)
        say("dead")


if __name__ == "__main__":
    main()
