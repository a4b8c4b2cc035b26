"""Between bytes and models: what is written is strict, what is read is tolerant.

The documented bodies are `{"code": 200, "message": "success", "data": {"task_id": ..., "status": ...}}` and
`{"error": {"code": 400, "message": ..., "type": ...}}`. Sibling services leave the envelope out, or put the
same words elsewhere; whatever cannot be read is absent, never an exception.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import NewType

import attrs
from cattrs import ClassValidationError, Converter
from cattrs.gen import make_dict_structure_fn, override

from hunyuan_async._core.image_urls import find_image_urls
from hunyuan_async._core.text import printable, shown
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest, TaskState
from hunyuan_async.settings import Service

_LARGEST_BODY = 2**20  # bytes
_DEEPEST_BODY = 64  # levels
# "." and ".." would climb the path of a status check.
_TASK_ID = re.compile(r"(?!\.\.?\Z)[A-Za-z0-9._:-]{1,128}")
_SALVAGEABLE_ID = re.compile(rb'"task_?[iI]d"\s*:\s*"([^"\\]{1,128})"')
# An address may hold commas, so a comma separates only before another address.
_BETWEEN_ADDRESSES = re.compile(r"[\s|]+|,(?=\s*https?://)")
_STATES = {
    word: state
    for state, words in {
        TaskState.RUNNING: "in_progress pending queued created processing running starting submitted",
        TaskState.COMPLETED: "completed complete succeeded success finished done",
        TaskState.FAILED: "failed failure error cancelled canceled timeout",
    }.items()
    for word in words.split()
}
_GOOD_NEWS = re.compile(r"success|ok|0|2[0-9][0-9]", re.IGNORECASE)  # as a code or a message
_NUMBER = re.compile("[0-9]{1,9}")

TaskId = NewType("TaskId", str)
_Word = NewType("_Word", str)


@attrs.frozen
class ServiceError:
    """The service's words about what went wrong, sanitised and cut.

    Attributes:
        message: For people.
        code: A number or a word, as text.
        type: The kind of error, such as "invalid_request".
    """

    message: str | None = None
    code: str | None = None
    type: str | None = None


@attrs.frozen
class Answer:
    """What a body says, whichever call it answers and whatever its HTTP status was.

    Attributes:
        task_id: The task's id, fit to be put into a path.
        state: How far the task has come; None if the body has no status word.
        unknown_word: A status word that we do not know, sanitised; the state is then RUNNING.
        urls: Addresses of images, whatever the state.
        code: How the call went by the envelope's or else the error's code, if that is a number. The code of a
            failed task is only in its error.
        error: What went wrong, as far as the body says. It alone does not prove that nothing was accepted.
    """

    task_id: TaskId | None = None
    state: TaskState | None = None
    unknown_word: str | None = None
    urls: tuple[str, ...] = ()
    code: int | None = None
    error: ServiceError | None = None


@attrs.frozen
class _Level:
    """The fields that a body may have at the top or under "data"."""

    task_id: TaskId | None = None
    id: TaskId | None = None
    status: _Word | None = None
    code: str | None = None
    error: ServiceError | None = None
    error_message: ServiceError | None = None
    message: ServiceError | None = None
    fail_reason: ServiceError | None = None

    @property
    def bad_code(self) -> str | None:
        """The code, if it is one that tells of an error."""
        return None if self.code is None or _GOOD_NEWS.fullmatch(self.code) else self.code


def submit_body(request: ImageRequest, service: Service) -> bytes:
    """Write the JSON body that asks for a prepared request's image; the request's `id` stays here."""
    values: dict[str, object] = {
        "model": request.model or service.model,
        "prompt": request.prompt,
        "type": request.type,
        "size": request.size,
        "seed": -1 if request.seed is None else request.seed,
    }
    if request.type == "edit":
        values["images"] = request.images
    named = {field: values[name] for name, field in service.fields.items() if name in values}
    return json.dumps({**request.extra, **named}, ensure_ascii=False, allow_nan=False).encode()


def read_answer(body: bytes, *, ignore_urls: Collection[str] = ()) -> Answer | None:
    """Read what *body* says; None if it is not a JSON object of sane size and depth.

    Args:
        body: The answer's decoded bytes.
        ignore_urls: The request's own images, which are never its result.
    """
    content = _json_object(body)
    if content is None:
        return None
    top = _answers.structure(content, _Level)
    data = content.get("data")
    inner = _answers.structure(data, _Level) if isinstance(data, dict) else _Level()

    word = inner.status or top.status
    known = _STATES.get(word.casefold()) if word else None
    state = (known or TaskState.RUNNING) if word else None
    task_id = inner.task_id or top.task_id
    # Most answers hold no address at all; in JSON its "://" is written so, with escaped slashes, or by number.
    has_address = b":/" in body or b":\\" in body or b"\\u" in body
    urls = find_image_urls(content, ignore_urls) if has_address else ()
    error = _error(top, inner, state, has_task=bool(task_id or state or urls))
    if error and not state:
        # Without a task, an address is a link to some help, and a bare "id" that of the HTTP request.
        urls = ()
    else:
        task_id = task_id or inner.id or top.id
    return Answer(
        task_id=task_id,
        state=state,
        unknown_word=None if known else word,
        urls=urls,
        code=_code_of_the_call(top),
        error=error,
    )


def salvage_task_id(body: bytes) -> TaskId | None:
    """Return the task id that stands whole in a body that could not be read, for example a truncated one."""
    match = _SALVAGEABLE_ID.search(body)
    return as_task_id(match[1].decode(errors="replace")) if match else None


def as_task_id(value: object) -> TaskId | None:
    """Return *value* as a task id that is fit to be put into a path, or None."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**63:
        value = str(value)
    return TaskId(value) if isinstance(value, str) and _TASK_ID.fullmatch(value) else None


def mentions(error: ServiceError | None, words: Iterable[str]) -> bool:
    """Tell whether an error's code, type or message contains one of *words*, in any case."""
    said = [] if error is None else [error.code, error.type, error.message]
    text = "\n".join(filter(None, said)).casefold()
    return any(word.casefold() in text for word in words)


def read_request(row: Mapping[str, object]) -> ImageRequest:
    """Make a request from a row of a batch file, whose cells may all be text.

    Empty cells count as not given. Types are checked here, all else by `prepare`.

    Args:
        row: Values of prompt, type, size, images, seed and id, by these names; others are ignored.

    Raises:
        InvalidRequest: Values of a wrong type; the message names every such field.
    """
    given = {name: value for name, value in row.items() if not _is_blank(value)}
    try:
        return _rows.structure(given, ImageRequest)
    except ClassValidationError as invalid:
        problems, _ = invalid.group_exceptions()
    raise InvalidRequest(
        "; ".join(
            f"{field.name}: {'is missing' if isinstance(problem, KeyError) else problem}" for problem, field in problems
        )
    )


def _json_object(body: bytes) -> dict[str, object] | None:
    if len(body) > _LARGEST_BODY:
        return None
    try:
        content = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    may_be_deep = body.count(b"{") + body.count(b"[") > _DEEPEST_BODY
    return None if may_be_deep and _too_deep(content) else content


def _too_deep(content: dict[str, object]) -> bool:
    holders: list[dict[str, object] | list[object]] = [content]
    depth = 0
    while holders and depth < _DEEPEST_BODY:
        inside = (item for held in holders for item in (held.values() if isinstance(held, dict) else held))
        holders = [item for item in inside if isinstance(item, dict | list)]
        depth += 1
    return bool(holders)


def _code_of_the_call(top: _Level) -> int | None:
    if top.status and (top.task_id or top.id):
        return None  # the top is the task itself, and so is its code
    for code in (top.code, top.error and top.error.code):
        if code and _NUMBER.fullmatch(code):
            return int(code)
    return None


def _error(top: _Level, inner: _Level, state: TaskState | None, *, has_task: bool) -> ServiceError | None:
    failed = state is TaskState.FAILED
    bad_code = (inner.bad_code if failed else None) or top.bad_code
    # A message comes with good news too; it is an error's if something failed, or if nothing else is said.
    blamed = failed or bad_code or not (has_task or top.code)
    said = (
        error
        for level in (inner, top)
        for error in (level.error, level.error_message, level.message if blamed else None, level.fail_reason)
        if error
    )
    error = next(said, None)
    if bad_code and not (error and error.code):
        return attrs.evolve(error or ServiceError(), code=bad_code)
    return error


def _read_text(value: object, _: object = None) -> str | None:
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return printable(str(value).strip()) or None


def _read_word(value: object, _: object) -> str | None:
    # A number is no status word, but perhaps the HTTP status.
    return _read_text(value) if isinstance(value, str) else None


def _read_error(value: object, _: object) -> ServiceError | None:
    if isinstance(value, str):
        value = {"message": value}
    error = _answers.structure(value, ServiceError) if isinstance(value, dict) else ServiceError()
    fine = error == ServiceError() or _GOOD_NEWS.fullmatch(error.message or "")
    return None if fine else error


# What has the wrong type is absent: an answer is never refused for it.
_answers = Converter()
_answers.register_structure_hook(str | None, _read_text)
_answers.register_structure_hook(TaskId | None, lambda value, _: as_task_id(value))
_answers.register_structure_hook(_Word | None, _read_word)
_answers.register_structure_hook(ServiceError | None, _read_error)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _cell_text(value: object, _: object) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"must be text, got {shown(value)}")
    return value


def _cell_id(value: object, _: object) -> str:
    # Article numbers are numbers in many a file.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _cell_text(value, _)


def _cell_type(value: object, _: object) -> str:
    return _cell_text(value, _).strip().lower()


def _cell_seed(value: object, _: object) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,10}", value.strip()):
        return int(value)
    raise InvalidRequest(f"must be a whole number, got {shown(value)}")


def _cell_images(value: object, _: object) -> tuple[str, ...]:
    if isinstance(value, str):
        addresses = (piece.strip(",") for piece in _BETWEEN_ADDRESSES.split(value))
        return tuple(address for address in addresses if address)
    if isinstance(value, list):
        return tuple(_cell_text(address, _) for address in value)
    raise InvalidRequest(f"must be a list of addresses, got {shown(value)}")


# A row comes from a person, who wants to know everything that is wrong with it.
_rows = Converter()
_rows.register_structure_hook(
    ImageRequest,
    make_dict_structure_fn(
        ImageRequest,
        _rows,
        prompt=override(struct_hook=_cell_text),
        type=override(struct_hook=_cell_type),
        size=override(struct_hook=_cell_text),
        images=override(struct_hook=_cell_images),
        seed=override(struct_hook=_cell_seed),
        id=override(struct_hook=_cell_id),
        model=override(omit=True),
        extra=override(omit=True),
    ),
)
