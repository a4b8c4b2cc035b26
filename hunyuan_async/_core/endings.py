"""What is left of an item at its end, or when the client closes before it."""

from __future__ import annotations

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async.errors import DownloadFailed, HunyuanError, NotSent, SubmitUnknown, TaskTimedOut
from hunyuan_async.models import ImageResult

CLOSED = "The client was closed"


def result_of(item: Item) -> ImageResult | None:
    """Return the finished images of *item*; None if its task has not finished well."""
    if item.completion is None or item.finished_at is None or not item.completion.urls:
        return None
    return ImageResult(
        task_id=item.completion.task_id,
        request=item.request,
        urls=item.completion.urls,
        credits=item.credits,
        submitted_at=item.submitted_at,
        finished_at=item.finished_at,
        raw=item.completion.raw,
    )


def closed(task_id: str, why: str = CLOSED) -> HunyuanError:
    """Return the error for a task that was in flight when the client stopped, and *why* it did."""
    return TaskTimedOut(
        f"{why} while task {task_id} was under way; it is paid. Attach to it by its id.", task_id=task_id
    )


def cut_short(item: Item, why: str = CLOSED) -> HunyuanError:
    """Return the error for an item that had not ended when the client stopped; it says whether the item is paid."""
    match item.state:
        case State.PLANNED:
            return NotSent(f"{why} before this was sent.")
        case State.UNKNOWN | State.SENDING:
            found = f" Its answer held the task id {item.task_id}." if item.task_id else ""
            return SubmitUnknown(
                f"{why} before the service's answer was clear; the request may have been charged.{found}",
                task_id=item.task_id,
            )
    assert item.task_id is not None
    if item.state is State.COMPLETED:
        return DownloadFailed(
            f"{why} before the image of task {item.task_id} was saved.", task_id=item.task_id, retry="same"
        )
    return closed(item.task_id, why)
