"""Faults within the body: an answer that arrives whole and says what it should not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

import attrs

from hunyuan_async.emulator._faults.answers import JSON_TYPE
from hunyuan_async.emulator._faults.hostile import IDS, UNSENDABLE_URLS, URLS
from hunyuan_async.emulator._faults.kinds import API, REQUESTS, Place, Reply, RequestKind, replying
from hunyuan_async.emulator._shapes import Json

Fields: TypeAlias = dict[str, Json]

DEEP = 100_000  # brackets
LONG_BODY = 10 * 2**20  # bytes
DIGITS = 5_000  # more than Python turns into an int by default
WRONG: Mapping[str, Json] = {"null": None, "true": True, "number": 7, "text": "x", "list": [], "object": {}}
RIGHT = {("data", "object"), ("task_id", "text"), ("outputs", "list"), ("status", "text")}
"""What is of the right type, and has a kind of its own if it is wrong all the same."""


def _raw(word: str, means: str, change: Callable[[bytes], bytes], at: tuple[Place, ...] = API) -> RequestKind:
    return replying(word, means, at, "done", lambda scene: attrs.evolve(scene.honest, body=change(scene.honest.body)))


def _json(word: str, means: str, change: Callable[[Fields], Json], at: tuple[Place, ...] = API) -> RequestKind:
    return _raw(word, means, lambda body: json.dumps(change(json.loads(body))).encode(), at)


def _added(member: bytes) -> Callable[[bytes], bytes]:
    """Put one more member at the end of the outer object."""
    return lambda body: body.rstrip()[:-1] + b", " + member + b"}"


def _inner(whole: Fields) -> Fields:
    """Where the task's fields stand."""
    data = whole.get("data")
    return cast("Fields", data) if isinstance(data, dict) else whole


def _key(fields: Fields, name: str) -> str:
    """The key of a field: the id has two names."""
    return "id" if name == "task_id" and "id" in fields else name


def _setting(name: str, value: Json) -> Callable[[Fields], Json]:
    """Give a field another value; "body" is the whole."""

    def change(whole: Fields) -> Json:
        holder = whole if name in ("data", "code") else _inner(whole)
        holder[_key(holder, name)] = value
        return value if name == "body" else whole

    return change


def _missing(name: str) -> Callable[[Fields], Json]:
    def change(whole: Fields) -> Json:
        holder = whole if name == "data" else _inner(whole)
        holder.pop(_key(holder, name), None)
        return whole

    return change


def _finished(status: str = "completed", **fields: Json) -> Callable[[Fields], Json]:
    """The task as finished, whatever it is."""

    def change(whole: Fields) -> Json:
        inner = _inner(whole)
        task: Fields = {"task_id": inner.get(_key(inner, "task_id")), "status": status, **fields}
        return {"code": 200, "message": "success", "data": task}

    return change


def _spaced(whole: Fields) -> Json:
    inner = _inner(whole)
    inner["status"] = f" {inner['status']} ".upper()
    return whole


def _doubled(whole: Fields) -> Json:
    """Every address in `outputs`, twice; a running task has none."""
    inner = _inner(whole)
    inner["outputs"] = [*cast("list[Json]", inner.get("outputs", []))] * 2
    return whole


def _in_ok(word: str, code: int | str) -> RequestKind:
    error: Fields = {"code": code, "message": "An injected fault", "type": "fault"}
    reply = Reply(200, json.dumps({"error": error}).encode(), JSON_TYPE)
    return replying(word, f"200 with the error envelope, code {code!r}", API, "refused", lambda scene: reply)


BODIES = (
    _raw("half-answer", "half of the body, at full length", lambda body: body[: len(body) // 2], REQUESTS),
    _raw("bad-utf8", "bytes that are no UTF-8", _added(b'"x": "\xff\xfe"')),
    _raw("bom", "a byte order mark before the JSON", lambda body: b"\xef\xbb\xbf" + body),
    _raw("utf-16", "JSON in UTF-16", lambda body: body.decode().encode("utf-16")),
    _raw("nan", "a NaN in the JSON", _added(b'"x": NaN')),
    _raw("long-number", "a number of 5,000 digits", _added(b'"x": ' + b"9" * DIGITS)),
    _raw("deep-nesting", "100,000 lists in each other", _added(b'"x": ' + b"[" * DEEP + b"]" * DEEP)),
    _raw("long-body", "10 MB of JSON", _added(b'"x": "' + b"x" * LONG_BODY + b'"')),
    _raw(
        "two-ids", "`data` twice, with another id", _added(b'"data": {"task_id": "n0_other", "status": "IN_PROGRESS"}')
    ),
    _raw("no-json", "words instead of JSON", lambda body: b"task accepted"),
    _raw("no-image", "words instead of an image, said to be PNG", lambda body: b"no image", ("fetch",)),
    _raw(
        "svg-image",
        "SVG with a script, said to be PNG",
        lambda body: b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        ("fetch",),
    ),
    *(
        _json(f"{name}-{kind}", f"`{name}` is {json.dumps(value)}", _setting(name, value))
        for name in ("body", "data", "task_id", "status")
        for kind, value in WRONG.items()
        if (name, kind) not in RIGHT
    ),
    *(_json(f"{name}-missing", f"no `{name}`", _missing(name)) for name in ("data", "task_id", "status")),
    _json("code-text", '`code` is "200"', _setting("code", "200")),
    _json("code-500", "`code` is 500, beside the task", _setting("code", 500)),
    *(_in_ok(f"ok-{code}", code) for code in (400, 401, 402, 403, 404, 429, 500, 503)),
    _in_ok("ok-400-text", "400"),
    *(_json(f"id-{name}", f"a hostile id: {name}", _setting("task_id", value)) for name, value in IDS.items()),
    *(
        _json(f"outputs-{kind}", f"finished, `outputs` is {json.dumps(value)}", _finished(outputs=value), ("poll",))
        for kind, value in WRONG.items()
        if ("outputs", kind) not in RIGHT
    ),
    _json("without-url", "finished, without an address", _finished(outputs=[]), ("poll",)),
    _json("stuck", "still running, whatever it is", _finished("IN_PROGRESS"), ("poll",)),
    _json("failed", "failed, whatever it is", _finished("failed", error="An injected fault"), ("poll",)),
    _json("new-word", "a status that nobody knows", _finished("rendering"), ("poll",)),
    _json("progress-300", "still running, at 300 %", _finished("IN_PROGRESS", progress=300), ("poll",)),
    _json("status-spaced", 'a status in spaces and capitals: " COMPLETED "', _spaced, ("poll",)),
    _raw(
        "expired-url",
        "an address that has expired",
        lambda body: body.replace(b"?expires=", b"?expires=0&was="),
        ("poll",),
    ),
    _json("same-url-twice", "the address twice", _doubled, ("poll",)),
    *(
        _json(f"url-{name}", f"finished, with a hostile address: {name}", _finished(outputs=[url]), ("poll",))
        for name, url in {**URLS, **UNSENDABLE_URLS}.items()
    ),
)
