"""The bodies of the emulated service's answers, as templates.

What a finished task looks like is not documented, so every shape that was seen at this gateway, its provider
and its siblings stands here by name, once inside the `data` envelope and once (`top-...`) without it. The
tests pin each to a recorded sample; nothing here is shared with the client's readers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | float | None"
Body: TypeAlias = Mapping[str, Json]

ID, STATUS, MESSAGE = "$task_id", "$status", "$message"
URL, TASK_URL, CANCEL_URL, REQUEST_IMAGES = "$url", "$task_url", "$cancel_url", "$request_images"


def _enveloped(fields: Body) -> Body:
    return {"code": 200, "message": "success", "data": {"task_id": ID, "status": STATUS, **fields}}


def _bare(fields: Body) -> Body:
    return {"id": ID, "status": STATUS, **fields}


_IMAGE_FIELDS: Mapping[str, Body] = {
    "outputs": {"outputs": [URL]},
    "output-string": {"output": URL},
    "output-list": {"output": [URL]},
    "output-image-url": {"output": {"image_url": URL}},
    "output-image-urls": {"output": {"image_urls": [URL]}},
    "output-images": {"output": {"images": [URL]}},
    "output-images-objects": {"output": {"images": [{"url": URL}]}},
    "output-url": {"output": {"url": URL}},
    "output-urls": {"output": {"urls": [URL]}},
    "images": {"images": [URL]},
    "images-objects": {"images": [{"url": URL}]},
    "image-url": {"image_url": URL},
    "image-urls": {"image_urls": [URL]},
    "url": {"url": URL},
    "urls": {"urls": [URL]},
    **{f"{key}-list": {key: [URL]} for key in ("result", "response", "data")},
    **{f"{key}-objects": {key: [{"url": URL}]} for key in ("result", "response", "data")},
    **{f"{key}-object": {key: {"images": [{"url": URL}]}} for key in ("result", "response", "data")},
    "empty-fields-first": {"outputs": [], "output": None, "images": [], "image_url": "", "url": URL},
    "same-image-in-several-fields": {"outputs": [URL], "images": [{"url": URL}], "image_url": URL},
    "links-under-urls": {"urls": {"get": TASK_URL, "cancel": CANCEL_URL}, "result": {"url": URL}},
    "request-images-echoed": {"images": REQUEST_IMAGES, "result": {"url": URL}},
}

SHAPES: Mapping[str, Body] = {
    **{name: _enveloped(fields) for name, fields in _IMAGE_FIELDS.items()},
    **{f"top-{name}": _bare(fields) for name, fields in _IMAGE_FIELDS.items()},
    "beside-data": {**_enveloped({}), "outputs": [URL]},
}
"""What a finished task may look like, by name."""

_ERROR_KEYS = ("error", "error_message", "message", "fail_reason")
FAILURES: Mapping[str, Body] = {
    **{key: {key: MESSAGE} for key in _ERROR_KEYS},
    **{f"{key}-object": {key: {"code": "generation_failed", "message": MESSAGE}} for key in _ERROR_KEYS},
}
"""Where a failed task may say why, by name."""

ACCEPTED: Mapping[str, Body] = {
    "data.task_id": _enveloped({}),
    "data.id": {"code": 200, "message": "success", "data": {"id": ID, "status": STATUS}},
    "task_id": {"task_id": ID, "status": STATUS},
    "id": _bare({}),
}
"""Where the answer to a submit may have the task's id, by name."""


def running(shape: str) -> Body:
    """The template of an unfinished task, enveloped as *shape* is."""
    return _bare({}) if shape.startswith("top-") else _enveloped({})


def failed(shape: str, failure: str) -> Body:
    """The template of a failed task, enveloped as *shape* is."""
    return _bare(FAILURES[failure]) if shape.startswith("top-") else _enveloped(FAILURES[failure])


def render(template: Body, values: Body) -> dict[str, Json]:
    """Put *values*, by placeholder such as `ID`, into a template."""
    return {key: _fill(part, values) for key, part in template.items()}


def _fill(part: Json, values: Body) -> Json:
    match part:
        case str():
            return values.get(part, part)
        case Mapping():
            return render(part, values)
        case Sequence():
            return [_fill(item, values) for item in part]
        case _:
            return part
