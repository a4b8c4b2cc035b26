"""Taking a run up again: images that are gone, and submits whose outcome nobody knows."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal

import attrs

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._core.names import leads_out
from hunyuan_async._core.text import shown
from hunyuan_async._core.wire import as_task_id
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Planning
from hunyuan_async._journal.reader import PAGE, RunRecord
from hunyuan_async.errors import InvalidRequest, Refused

Resolution = Literal["accepted", "not_charged", "resubmit", "abandon"]
SavedFile = dict[str, object]  # as the journal holds it
OnUnknown = Literal["hold", "resubmit", "fail"]


def pin(
    record: RunRecord, directory: Path, base_url: str, key: str, base_url_changed: bool, key_changed: bool
) -> RunRecord:
    """Return the *record* of the run in *directory* as one of a service and a key.

    Raises:
        InvalidRequest: It was begun with others, and they are not said to have changed.
    """
    fingerprint = fingerprint_of(record, key)
    if record.base_url not in ("", base_url) and not base_url_changed:
        raise InvalidRequest(
            f"{directory} was begun at {record.base_url}, and this client talks to {base_url}: what is paid there "
            "cannot be fetched here. Use that address or another directory; if the same service has moved, pass "
            "base_url_changed=True."
        )
    if record.key_fingerprint not in ("", fingerprint) and not key_changed:
        raise InvalidRequest(
            f"{directory} was begun with another API key. If it was replaced by this one for the same account, say so "
            "with key_changed=True (--key-changed); else use that key, or another directory."
        )
    return attrs.evolve(record, base_url=base_url, key_fingerprint=fingerprint)


def fingerprint_of(record: RunRecord, key: str) -> str:
    """Return what tells a key of this run from others without giving it away."""
    return hmac.new(record.salt, key.encode(), hashlib.sha256).hexdigest()


def check_files(file: JournalFile, run: str, *, verify: bool) -> int:
    """Have images fetched again that are not on disk as they were saved; return of how many items.

    A file that is there and is another one may be somebody's work: it is set aside, not replaced. Images that had
    been gone, and could not be fetched, count again once they are back.

    Args:
        file: The run's journal.
        run: Its name.
        verify: Whether to compare their SHA-256, too, not only their length.
    """
    gone = _each_page(file, run, State.DOWNLOADED, Step.LOSE_FILE, lambda files: not _are_there(file, files, verify))
    _each_page(file, run, State.EXPIRED, Step.SAVE, lambda files: all(_is_same(file, one, verify) for one in files))
    return gone


def _each_page(file: JournalFile, run: str, state: State, step: Step, takes: Callable[[list[SavedFile]], bool]) -> int:
    """Have the saved items of a state take a step if their files are so; return how many do."""
    moved = after = 0
    while page := file.saved(run, state, after, PAGE):
        after = page[-1][0]
        numbers = [number for number, files in page if takes(files)]
        if numbers:
            file.move(numbers, state, step)
        moved += len(numbers)
    return moved


def _are_there(journal: JournalFile, files: list[SavedFile], verify: bool) -> bool:
    same = [_is_same(journal, one, verify) for one in files]
    for one, is_same in zip(files, same, strict=True):
        if is_same is False:
            _set_aside(_path(journal, one))
    return all(same)


def _path(journal: JournalFile, file: SavedFile) -> Path:
    return (journal.root or Path()) / str(file["path"])


def _is_same(journal: JournalFile, file: SavedFile, verify: bool) -> bool | None:
    """Whether a file is the image as it was saved; None if nothing is there."""
    path = _path(journal, file)
    if leads_out(str(file["path"])):
        return None
    try:
        if path.stat().st_size != file["bytes"]:
            return False
        if not verify:
            return True
        with path.open("rb") as image:
            return hashlib.file_digest(image, "sha256").hexdigest() == file["sha256"]
    except OSError:
        return None


def _set_aside(path: Path) -> None:
    for number in itertools.count(1):
        other = path.with_name(f"{path.stem}.changed-{number}{path.suffix}")
        if not other.exists():
            path.rename(other)
            return


def resolve(
    file: JournalFile, planning: Planning, ids: Collection[str], resolution: Resolution, task_id: str | None = None
) -> list[Item]:
    """Write down what became of submits whose outcome was unknown; return their items, as they were.

    What is to be made again gets another attempt, unless it has a later one already.

    Raises:
        InvalidRequest: There is no unknown outcome of one of the *ids*, or the task's id is missing, or is none, or
            belongs to another item, or to no single one.
    """
    wanted = {*ids}
    _check_task(file, task_id, resolution, wanted)
    items = [item for item in file.each(planning.run, State.UNKNOWN) if item.id in wanted]
    if missing := wanted - {item.id for item in items}:
        raise InvalidRequest(f"The outcome of {shown(min(missing))} is not unknown; nothing was resolved.")
    if task_id:
        items = items[:1]
    for item in items:
        match resolution:
            case "accepted":
                item.task_id, item.submitted_at, item.error = task_id, item.sending_at, None
                planning.take(item, Step.ACCEPT)
            case "not_charged":
                item.error = Refused("The vendor did not charge it, as a person found out.", retry="same")
                planning.take(item, Step.CLEAR)
            case "resubmit" | "abandon":
                planning.take(item, Step.ABANDON)
        latest = file.item(planning.run, item.id)
        if resolution in ("not_charged", "resubmit") and latest and latest.attempt == item.attempt:
            planning.add(item.next_attempt())
    return items


def settle(file: JournalFile, planning: Planning, on_unknown: OnUnknown) -> int:
    """Do as *on_unknown* says about all items whose outcome is unknown; return how many they were."""
    if on_unknown == "hold":
        return 0
    ids = {item.id for item in file.each(planning.run, State.UNKNOWN)}
    resolve(file, planning, ids, "resubmit" if on_unknown == "resubmit" else "abandon")
    return len(ids)


def _check_task(file: JournalFile, task_id: str | None, resolution: Resolution, ids: Collection[str]) -> None:
    if (resolution == "accepted") != (task_id is not None):
        raise InvalidRequest('give task_id, the id that the vendor names, with "accepted" and with nothing else')
    if task_id is None:
        return
    if as_task_id(task_id) is None:
        raise InvalidRequest(f"{shown(task_id)} is no task id; one looks like n68xxxx_hunyuan3")
    if len(ids) != 1:
        raise InvalidRequest("A task's id belongs to one item: resolve them one by one.")
    owner = file.find(task_id)
    if owner and (owner.id not in ids or owner.state is not State.UNKNOWN):
        raise InvalidRequest(f"Task {task_id} is that of item {shown(owner.id)} already.")
