"""What is planned once more: what failed, and what an emulator took along when it ended."""

from __future__ import annotations

from collections.abc import Callable

from hunyuan_async._core.lifecycle import FAILED, Item, State, Step
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Planning
from hunyuan_async.errors import DownloadFailed, TaskLost


def retry(file: JournalFile, planning: Planning, wanted: Callable[[Item], bool]) -> None:
    """Plan another attempt of the items whose latest one failed, as far as they are *wanted*."""
    for item in file.latest(planning.run):
        if item.state in FAILED and wanted(item):
            planning.add(item.next_attempt())


def replace_emulated(file: JournalFile, planning: Planning) -> None:
    """Plan another attempt of the items whose tasks were at an emulator that has ended: it takes them along."""
    for item in file.each(planning.run, State.SUBMITTED):
        item.error = TaskLost("The emulator that worked on it has ended.", task_id=item.task_id)
        planning.take(item, Step.LOSE_TASK)
        planning.add(item.next_attempt())
    for item in file.each(planning.run, State.COMPLETED):
        item.error = DownloadFailed("The emulator that made it has ended.", kind="expired", task_id=item.task_id)
        planning.take(item, Step.EXPIRE)
        planning.add(item.next_attempt())
