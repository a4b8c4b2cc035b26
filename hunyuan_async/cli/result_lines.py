"""What a line of results.jsonl says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict, cast

import attrs

from hunyuan_async._core.lifecycle import AT_RISK, SPENT, Item, State
from hunyuan_async._core.text import printable
from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import ImageRequest, SavedImage
from hunyuan_async.settings import Service

Status = Literal["succeeded", "failed", "unknown", "submitted", "skipped", "pending"]

STATUS: Mapping[State, Status] = {
    State.PLANNED: "pending",
    State.SENDING: "unknown",  # it was let go, and no answer is stored yet
    State.SUBMITTED: "submitted",
    State.COMPLETED: "submitted",
    State.DOWNLOADED: "succeeded",
    State.REJECTED: "failed",
    State.FAILED: "failed",
    State.EXPIRED: "failed",
    State.LOST: "failed",
    State.ABANDONED: "failed",
    State.UNKNOWN: "unknown",
    State.SKIPPED: "skipped",
}

_ADDRESS = re.compile(r"[a-z]+://\S+", re.IGNORECASE)
_REQUEST_FIELDS = ("prompt", "type", "size", "images", "seed")
_ERROR_FIELDS = ("kind", "message", "code", "charged", "retry")


class ResultLine(TypedDict):
    """One image asked for: what, what came of it, and what it cost.

    Paths are relative to the output directory; times are ISO 8601 in UTC. A `submitted` item is paid and not yet
    collected, a `skipped` one repeats an equal one or is no longer asked for. `credits` were charged or are at risk.
    """

    id: str
    index: int
    line: int | None
    variation: int
    attempt: int
    status: Status
    request: Mapping[str, object]
    input: Mapping[str, object]
    images: list[dict[str, object]]
    task_id: str | None
    credits: int
    error: Mapping[str, str | None] | None
    submitted_at: str | None
    finished_at: str | None


def result_line(item: Item, out_dir: Path, service: Service) -> ResultLine:
    """The line of an item of a run.

    Args:
        item: As the journal holds it.
        out_dir: What paths are relative to.
        service: Knows the model.
    """
    assert item.request is not None  # what a run makes, it asks for
    return {
        "id": item.id,
        "index": cast("int", item.detail["index"]),
        "line": cast("int | None", item.detail["line"]),
        "variation": cast("int", item.detail["variation"]),
        "attempt": item.attempt,
        "status": STATUS[item.state],
        "request": _request(item.request, service),
        "input": cast("Mapping[str, object]", item.detail["input"]),
        "images": [_image(file, out_dir) for file in item.files] if item.state is State.DOWNLOADED else [],
        "task_id": item.task_id,
        "credits": item.credits if item.state in SPENT | AT_RISK else 0,
        "error": _error(item),
        "submitted_at": time_text(item.submitted_at),
        "finished_at": time_text(item.finished_at),
    }


def end_status(error: HunyuanError) -> Status:
    """How an item stands that ended with *error*; `pending` if it met a trouble of the whole run and cost nothing."""
    match error.kind:
        case "unknown":
            return "unknown"
        case "auth" | "download" | "timed_out" if error.charged == "yes":
            return "submitted"
        case "auth" | "credits" | "limited" | "not_sent" | "service" if error.charged == "no":
            return "pending"
    return "failed"


def failure_reason(error: HunyuanError) -> str:
    """Why an item did not succeed, in words that are the same for all that failed alike."""
    # Addresses may be signed, and differ like the tasks' ids where the failure is the same.
    message = _ADDRESS.sub("(address)", error.message)
    if error.task_id:
        message = re.sub(rf" {re.escape(error.task_id)}\b", "", message)
    return f"{error.kind}: {message}"


def _error(item: Item) -> dict[str, str | None] | None:
    if item.state is State.SKIPPED:
        repeated = item.detail.get("duplicate_of")
        kind = "duplicate" if repeated else "gone"
        message = f"the same as {printable(str(repeated))}, which is made" if repeated else "no longer in the input"
        return {"kind": kind, "message": message, "code": None, "charged": "no", "retry": "no"}
    if item.error is None or item.state is State.DOWNLOADED:
        return None
    return {name: getattr(item.error, name) for name in _ERROR_FIELDS}


def _request(request: ImageRequest, service: Service) -> dict[str, object]:
    return {name: getattr(request, name) for name in _REQUEST_FIELDS} | {"model": request.model or service.model}


def _image(file: SavedImage, out_dir: Path) -> dict[str, object]:
    return {**attrs.asdict(file, recurse=False), "path": Path(os.path.relpath(file.path, out_dir)).as_posix()}


def time_text(when: datetime | None) -> str | None:
    """A time as lines have it: ISO 8601 in UTC."""
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else None
