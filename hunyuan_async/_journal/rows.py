"""Between an item and its row in the journal: text, numbers and JSON alone, never a pickle."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from hunyuan_async import errors
from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async.errors import HunyuanError, SubmitUnknown
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus

# A million lines are planned at once, and none goes in circles.
_json = json.JSONEncoder(check_circular=False).encode
Cells = tuple[str | int | bytes | None, ...]

# The state, then the cells of `key_of`, `origin_of` and `progress_of`.
INSERT = """INSERT INTO items (
        state, run, id, attempt, tenant, given, request, detail,
        credits, task_id, sending_at, submitted_at, finished_at, error, files, urls, raw
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_REQUEST_FIELDS = tuple(field.name for field in attrs.fields(ImageRequest))
_ERROR_FIELDS = ("message", "kind", "charged", "retry", "status", "code")


def key_of(item: Item) -> tuple[str, str, int]:
    """The cells run, id and attempt, which tell an item from all others."""
    return item.run, item.id, item.attempt


def origin_of(item: Item) -> Cells:
    """The cells that stay as they were planned: tenant, given, request, detail."""
    request = item.request
    text = None
    if request:
        fields = {name: getattr(request, name) for name in _REQUEST_FIELDS}
        text = _json({**fields, "extra": dict(request.extra)})
    return item.tenant, item.given, text, _json(dict(item.detail))


def progress_of(item: Item, root: Path | None = None) -> Cells:
    """The cells that change as an item goes on: credits, task_id, the three times, error, files, urls, raw.

    Files are named as seen from *root*.
    """
    completion = item.completion
    return (
        item.credits,
        item.task_id,
        _time(item.sending_at),
        _time(item.submitted_at),
        _time(item.finished_at),
        error_text(item.error) if item.error else None,
        _json([_file_fields(file, root) for file in item.files]) if item.files else None,
        _json(completion.urls) if completion else None,
        completion.raw if completion else None,
    )


def item_of(row: sqlite3.Row, root: Path | None = None) -> Item:
    """Read a row; files are below *root*."""
    request, urls, files, error, task_id = row["request"], row["urls"], row["files"], row["error"], row["task_id"]
    return Item(
        row["id"],
        ImageRequest(**json.loads(request)) if request else None,
        row["credits"],
        State(row["state"]),
        task_id,
        submitted_at=_when(row["submitted_at"]),
        completion=TaskStatus(task_id, TaskState.COMPLETED, tuple(json.loads(urls)), raw=row["raw"]) if urls else None,
        finished_at=_when(row["finished_at"]),
        files=tuple(_file(fields, root) for fields in json.loads(files)) if files else (),
        error=_error(json.loads(error), row) if error else None,
        sending_at=_when(row["sending_at"]),
        run=row["run"],
        tenant=row["tenant"],
        attempt=row["attempt"],
        given=row["given"],
        detail=json.loads(row["detail"]),
        number=row["number"],
    )


def error_text(error: HunyuanError) -> str:
    """Write an error as JSON."""
    fields = {name: getattr(error, name) for name in _ERROR_FIELDS}
    return _json({"type": type(error).__name__, **fields, "request_ids": error.request_ids})


def _error(fields: dict[str, Any], row: sqlite3.Row) -> HunyuanError:
    error_class: type[HunyuanError] = getattr(errors, fields.pop("type"))
    request_ids = fields.pop("request_ids")
    error = error_class(**fields, task_id=row["task_id"])
    if isinstance(error, SubmitUnknown):
        error.sent_at = _when(row["sending_at"])
    error.request_ids = request_ids
    return error


def _file_fields(file: SavedImage, root: Path | None) -> dict[str, object]:
    path = file.path.relative_to(root) if root else file.path
    return {**attrs.asdict(file, recurse=False), "path": str(path)}


def _file(fields: dict[str, Any], root: Path | None) -> SavedImage:
    return SavedImage(**{**fields, "path": (root or Path()) / fields["path"]})


def _time(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat() if when else None


def _when(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
