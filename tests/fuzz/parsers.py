"""What reads bytes or text from outside, each with what must hold whatever it is given.

Run by hypothesis in `tests/core/test_fuzz_parsers.py`, and for as long as one likes by `python -m tests.fuzz NAME`.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from hunyuan_async._core.image_bytes import EXTENSIONS, read_image
from hunyuan_async._core.image_urls import is_web_address
from hunyuan_async._core.names import LONGEST, safe_name
from hunyuan_async._core.replies import Reply
from hunyuan_async._core.requests import prepare
from hunyuan_async._core.retry import Accepted, TryAgain, judge_submit, retry_after
from hunyuan_async._core.text import printable
from hunyuan_async._core.watch import one_look
from hunyuan_async._core.wire import as_task_id, read_answer, read_request, salvage_task_id
from hunyuan_async._http.api import check_base_url, check_key
from hunyuan_async.cli.amounts import parse_cost, parse_duration, parse_failures, parse_kinds, parse_rate
from hunyuan_async.cli.inputs import FORMATS, BadLine, Format, Row, read_rows
from hunyuan_async.cli.names import parse_name
from hunyuan_async.cli.probe import redacted_url, shape_of
from hunyuan_async.cli.templates import parse_template
from hunyuan_async.emulator import read_faults
from hunyuan_async.errors import DownloadFailed, HunyuanError, InvalidRequest
from hunyuan_async.models import ImageRequest, TaskStatus
from hunyuan_async.settings import API_IN_ONE

CAT = ImageRequest("make it night", "edit", images=("https://images.example/cat.png",))
STATUSES = (200, 302, 400, 429, 500, 503)
LONGEST_TEXT = 8190  # bytes; of a header, which is more than a person types
LONGEST_MESSAGE = 1000  # characters, whatever was sent


def _answer(data: bytes) -> None:
    answer = read_answer(data, ignore_urls=CAT.images)
    assert answer is None or all(is_web_address(url) and url not in CAT.images for url in answer.urls)
    for status in STATUSES:
        verdict = judge_submit(Reply(status, data), CAT, API_IN_ONE)
        if isinstance(verdict, Accepted):
            assert not verdict.task_id or as_task_id(verdict.task_id) == verdict.task_id
        else:
            _check_message(verdict.error if isinstance(verdict, TryAgain) else verdict)
        status_seen = one_look("n1", Reply(status, data), 0.0)
        if not isinstance(status_seen, TaskStatus):
            _check_message(status_seen)


def _check_message(error: HunyuanError) -> None:
    assert len(error.message) <= LONGEST_MESSAGE
    assert error.message == printable(error.message, LONGEST_MESSAGE)


def _salvage(data: bytes) -> None:
    task_id = salvage_task_id(data)
    assert task_id is None or as_task_id(task_id) == task_id


def _image(data: bytes) -> None:
    with suppress(DownloadFailed):
        facts = read_image(data)
        assert facts.extension in EXTENSIONS
        assert all(side is None or 0 <= side < 2**32 for side in (facts.width, facts.height))


def _rows(data: bytes, form: Format) -> None:
    with suppress(InvalidRequest):
        for row in itertools.islice(read_rows(io.BytesIO(data), form), 1000):
            match row:
                case BadLine():
                    assert row.problem == printable(row.problem)
                case Row():
                    with suppress(InvalidRequest):
                        prepare(read_request(row.columns), API_IN_ONE)


def _retry_after(text: str) -> None:
    wait = retry_after({"retry-after": text, "date": "Sun, 22 Nov 2026 12:00:00 GMT"})
    assert wait is None or wait >= 0
    retry_after({"retry-after": "Sun, 22 Nov 2026 12:00:00 GMT", "date": text})


def _refused_or_not(parse: Callable[[str], object], text: str) -> None:
    with suppress(InvalidRequest):
        parse(text)


def _faults(text: str) -> None:
    with suppress(ValueError):
        read_faults(text)


def _name(text: str) -> None:
    name = safe_name(text or "x", text)
    assert name.isascii()
    assert 0 < len(name) <= LONGEST
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789-_")


def _of_text(parse: Callable[[str], object]) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        parse(data[:LONGEST_TEXT].decode(errors="replace"))

    return read


TYPED: Mapping[str, Callable[[str], object]] = {
    "template": parse_template,
    "name-template": parse_name,
    "base-url": check_base_url,
    "key": check_key,
    "rate": parse_rate,
    "duration": parse_duration,
    "cost": partial(parse_cost, service=API_IN_ONE),
    "failures": parse_failures,
    "kinds": parse_kinds,
}
PARSERS: Mapping[str, Callable[[bytes], object]] = {
    "answer": _answer,
    "salvage": _salvage,
    "image": _image,
    **{form: partial(_rows, form=form) for form in FORMATS},
    "shape": shape_of,
    "address": _of_text(is_web_address),
    "redacted": _of_text(redacted_url),
    "retry-after": _of_text(_retry_after),
    "name": _of_text(_name),
    "faults": _of_text(_faults),
    **{word: _of_text(partial(_refused_or_not, parse)) for word, parse in TYPED.items()},
}
