"""Between an item and its row in the journal: text, numbers and JSON alone, never a pickle."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

import attrs

from hunyuan_async import errors
from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.text import printable
from hunyuan_async.errors import HunyuanError, SubmitUnknown
from hunyuan_async.models import ImageRequest, SavedImage, TaskState, TaskStatus

# A million lines are planned at once, and none goes in circles.
_json = json.JSONEncoder(check_circular=False).encode
Fields = TypeVar("Fields", sqlite3.Row, dict[str, Any])
Cells = tuple[str | int | bytes | None, ...]

# The state, then the cells of `key_of`, `origin_of` and `progress_of`.
INSERT = """INSERT INTO items (
        state, run, id, attempt, tenant, given, request, detail,
        credits, task_id, sending_at, submitted_at, finished_at, error, files, urls, raw
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""

_REQUEST_FIELDS = tuple(field.name for field in attrs.fields(ImageRequest))
_ERROR_FIELDS = ("message", "kind", "charged", "retry", "status", "code")

# SQLite and JSON hold any type in any place, and a journal may be the work of somebody else.
Types = Mapping[str, type | UnionType]
_ROW: Types = {
    **dict.fromkeys(("number", "attempt", "credits"), int),
    **dict.fromkeys(("run", "id", "tenant", "given", "state", "detail"), str),
    **dict.fromkeys(("request", "task_id", "sending_at", "submitted_at", "finished_at"), str | None),
    **dict.fromkeys(("error", "files", "urls"), str | None),
    "raw": bytes | None,
}
_IN_A_RUN: Types = {**_ROW, "request": str}
_REQUEST: Types = {
    **dict.fromkeys(("prompt", "type", "size"), str),
    **dict.fromkeys(("model", "id"), str | None),
    "seed": int | None,
    "images": list,
    "extra": dict,
}
_DETAIL: Types = {"index": int, "line": int | None, "variation": int, "input": dict, "given": dict}
_ERROR: Types = {
    **dict.fromkeys(("type", "message", "kind", "charged", "retry"), str),
    "code": str | None,
    "status": int | None,
    "request_ids": dict,
}
_FILE: Types = {
    **dict.fromkeys(("path", "url", "sha256"), str),
    "bytes": int,
    **dict.fromkeys(("width", "height"), int | None),
}


def key_of(item: Item) -> tuple[str, str, int]:
    """The cells run, id and attempt, which tell an item from all others."""
    return item.run, item.id, item.attempt


def origin_of(item: Item) -> Cells:
    """The cells that stay as they were planned: tenant, given, request, detail."""
    return item.tenant, item.given, request_text(item.request) if item.request else None, _json(dict(item.detail))


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
        files_text(item.files, root) if item.files else None,
        _json(completion.urls) if completion else None,
        completion.raw if completion else None,
    )


# What the functions below raise for a row that this library did not write.
ODD = (ArithmeticError, LookupError, RecursionError, TypeError, ValueError)


def item_of(row: sqlite3.Row, root: Path | None = None) -> Item:
    """Read a row; files are below *root*."""
    checked(row, _IN_A_RUN if root else _ROW)
    request, urls, files, error, task_id = row["request"], row["urls"], row["files"], row["error"], row["task_id"]
    sending_at = when(row["sending_at"])
    return Item(
        row["id"],
        request_of(request) if request else None,
        row["credits"],
        State(row["state"]),
        task_id,
        submitted_at=when(row["submitted_at"]),
        completion=TaskStatus(task_id, TaskState.COMPLETED, _texts(json.loads(urls)), raw=row["raw"]) if urls else None,
        finished_at=when(row["finished_at"]),
        files=images_of(files, root) if files else (),
        error=error_of(error, task_id, sending_at) if error else None,
        sending_at=sending_at,
        run=row["run"],
        tenant=row["tenant"],
        attempt=row["attempt"],
        given=row["given"],
        detail=checked(json.loads(row["detail"]), _DETAIL if root else {}),
        number=row["number"],
    )


def files_of(text: str) -> list[dict[str, Any]]:
    """Read what a row says of its files."""
    return [checked(fields, _FILE) for fields in json.loads(text)]


def checked(fields: Fields, types: Types) -> Fields:
    """Return *fields* if they are of their *types*."""
    if not isinstance(fields, dict | sqlite3.Row):
        raise TypeError(fields)
    for name, kind in types.items():
        value = fields[name]
        if not isinstance(value, kind) or isinstance(value, bool):
            raise TypeError(name)
    return fields


def _texts(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise TypeError(values)
    return tuple(values)


def request_text(request: ImageRequest) -> str:
    """Write a request as JSON."""
    fields = {name: getattr(request, name) for name in _REQUEST_FIELDS}
    return _json({**fields, "extra": dict(request.extra)})


def request_of(text: str) -> ImageRequest:
    """Read a request."""
    fields = checked(json.loads(text), _REQUEST)
    return ImageRequest(**{**fields, "images": _texts(fields["images"])})


def error_text(error: HunyuanError) -> str:
    """Write an error as JSON."""
    fields = {name: getattr(error, name) for name in _ERROR_FIELDS}
    return _json({"type": type(error).__name__, **fields, "request_ids": error.request_ids})


def error_of(text: str, task_id: str | None = None, sent_at: datetime | None = None) -> HunyuanError:
    """Read an error."""
    fields = checked(json.loads(text), _ERROR)
    error_class = getattr(errors, fields.pop("type"), None)
    if not isinstance(error_class, type) or not issubclass(error_class, HunyuanError):
        raise TypeError(error_class)
    request_ids = fields.pop("request_ids")
    error = error_class(**{**fields, "message": printable(fields["message"], 2000)}, task_id=task_id)
    if isinstance(error, SubmitUnknown):
        error.sent_at = sent_at
    error.request_ids = dict(zip(_texts([*request_ids]), _texts([*request_ids.values()]), strict=True))
    return error


def files_text(files: Iterable[SavedImage], root: Path | None = None) -> str:
    """Write the files of an item as JSON, named as seen from *root*."""
    return _json([_file_fields(file, root) for file in files])


def images_of(text: str, root: Path | None = None) -> tuple[SavedImage, ...]:
    """Read the files of an item, which are below *root*."""
    return tuple(_file(fields, root) for fields in files_of(text))


def _file_fields(file: SavedImage, root: Path | None) -> dict[str, object]:
    path = file.path.relative_to(root) if root else file.path
    return {**attrs.asdict(file, recurse=False), "path": str(path)}


def _file(fields: dict[str, Any], root: Path | None) -> SavedImage:
    return SavedImage(**{**fields, "path": (root or Path()) / fields["path"]})


def _time(when: datetime | None) -> str | None:
    return when.astimezone(UTC).isoformat() if when else None


def when(text: str | None) -> datetime | None:
    """Read a time."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
