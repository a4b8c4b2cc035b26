"""What a line of results.jsonl says."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypedDict

import attrs

from hunyuan_async._core.text import printable
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import ImageRequest, Outcome, SavedImage
from hunyuan_async.settings import Service

Status = Literal["succeeded", "failed", "unknown", "submitted", "skipped", "pending"]

_ADDRESS = re.compile(r"[a-z]+://\S+", re.IGNORECASE)
_ERROR_FIELDS = ("kind", "message", "code", "charged", "retry")


class ResultLine(TypedDict):
    """One image asked for: what, what came of it, and what it cost.

    Paths are relative to the output directory; times are ISO 8601 in UTC. A `submitted` item is paid and not yet
    collected, a `skipped` one repeats an equal one. `credits` were charged or are at risk.
    """

    id: str
    index: int
    line: int
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


def result_line(
    item: BatchItem,
    outcome: Outcome | None,
    out_dir: Path,
    service: Service,
    *,
    submitted_at: datetime | None = None,
    ended_at: datetime | None = None,
) -> ResultLine:
    """The line of an item.

    Args:
        item: What was asked for.
        outcome: How it ended; None if it has not.
        out_dir: What paths are relative to.
        service: Knows the price and the model.
        submitted_at: When the service accepted it, if the outcome does not tell.
        ended_at: When it ended, if the outcome does not tell.
    """
    outcome = outcome or Outcome(item.request)
    result, error = outcome.result, outcome.error
    at_risk = service.credits_per_image if error and error.charged != "no" else 0
    return {
        "id": item.id,
        "index": item.index,
        "line": item.line,
        "variation": item.variation,
        "attempt": 1,
        "status": _status(item, outcome),
        "request": _request(outcome.request or item.request, service),
        "input": item.input,
        "images": [_image(file, out_dir) for file in outcome.files],
        "task_id": result.task_id if result else error.task_id if error else None,
        "credits": result.credits if result else at_risk,
        "error": _error(item, error),
        "submitted_at": _time(result.submitted_at if result else submitted_at),
        "finished_at": _time(result.finished_at if result else ended_at),
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


def failure_reason(line: ResultLine) -> str | None:
    """Why an item did not succeed, in words that are the same for all that failed alike; None if it did."""
    if line["error"] is None:
        return None
    # Addresses may be signed, and differ like the tasks' ids where the failure is the same.
    message = _ADDRESS.sub("(address)", line["error"]["message"] or "")
    if line["task_id"]:
        message = re.sub(rf" {re.escape(line['task_id'])}\b", "", message)
    return f"{line['error']['kind']}: {message}"


def _status(item: BatchItem, outcome: Outcome) -> Status:
    if outcome.error:
        return end_status(outcome.error)
    if outcome.result:
        return "succeeded"
    return "skipped" if item.duplicate_of else "pending"


def _error(item: BatchItem, error: HunyuanError | None) -> dict[str, str | None] | None:
    if error:
        return {name: getattr(error, name) for name in _ERROR_FIELDS}
    if item.duplicate_of:
        message = f"the same as {printable(item.duplicate_of)}, which is made"
        return {"kind": "duplicate", "message": message, "code": None, "charged": "no", "retry": "no"}
    return None


def _request(request: ImageRequest, service: Service) -> dict[str, object]:
    fields = attrs.asdict(request, filter=attrs.filters.exclude("id", "extra"))
    return {**fields, "model": request.model or service.model}


def _image(file: SavedImage, out_dir: Path) -> dict[str, object]:
    return {**attrs.asdict(file), "path": Path(os.path.relpath(file.path, out_dir)).as_posix()}


def _time(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z") if when else None
