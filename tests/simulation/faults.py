"""What may go wrong at a service, as tables: the rows of the policy for submits, looks and downloads.

A row is enabled or not in a whole scenario; when it fires, one of its answers is drawn.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from random import Random

import attrs

from hunyuan_async.testing import NoReply, Reply, accepted, finished, refused

Answer = Callable[[str, Random], Reply | NoReply]  # by the task's id


class Reach(enum.Enum):
    """How far a submit comes, whatever its answer says."""

    UNSENT = "not sent"
    LOST = "lost on its way"
    REFUSED = "received and clearly refused"
    UNCLEAR = "received; the task is made or not"
    CUT = "received and the task made, and the answer cut off"
    MADE = "received and the task made"


@attrs.frozen
class SubmitFault:
    """A row of the table for submits.

    Attributes:
        reach: How far the submit comes.
        answers: What the client may see.
    """

    reach: Reach
    answers: Sequence[Answer]


def _always(answer: Reply | NoReply) -> Answer:
    return lambda *_: answer


def _statuses(*statuses: int, body: bytes = b"") -> list[Answer]:
    return [_always(Reply(status, body)) for status in statuses]


def _envelopes(*statuses: int) -> list[Answer]:
    return [_always(refused(status)) for status in statuses]


def _said(text: str, status: int = 200) -> Answer:
    """An answer in which @ stands for the task's id."""
    return lambda task_id, _: Reply(status, text.replace("@", task_id).encode())


def _cut_after(text: str) -> Answer:
    return _always(Reply(200, text.encode(), complete=False))


def _cut(whole: Callable[[str], Reply]) -> Answer:
    def cut(task_id: str, draw: Random) -> Reply:
        body = whole(task_id).body
        return Reply(200, body[: draw.randrange(len(body))], complete=False)

    return cut


PAGE = b"<!doctype html><title>Just a moment...</title><p>cloud says no"
BODIES = (
    b"",
    b"\xff\xfe{",
    b"null",
    b"[]",
    b"7",
    b'"task_id"',
    b'{"code": NaN}',
    b'{"code": 200, "message": "success"}',
    b'{"code": 200, "data": []}',
    b'{"code": 200, "data": {"task_id": null, "status": 7}}',
    b'{"data": {"task_id": {"id": 3}, "status": ["completed"]}}',
    b'{"data": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    b'{"data": "' + b"x" * 2**20 + b'"}',
    PAGE,
)
RETRY_AFTER = (
    "0",
    "2",
    "90",
    "-5",
    "1.5",
    "1000000000",
    "\u0663",
    "soon",
    "Wed, 21 Oct 2015 07:28:00 GMT",
    "Fri, 31 Dec 9999 23:59:59 GMT",
)
LIMITED: list[Answer] = [_always(refused(429)), *(_always(refused(429, retry_after=text)) for text in RETRY_AFTER)]
BROKEN = _statuses(500, 502, 503, 504, 520, 599)
NO_ANSWER = [_always(NoReply("the connection was reset", sent=True))]
DENIED = [*_envelopes(401, 403), _said('{"code": "401", "message": "no such key"}')]
HOSTILE = ("../../etc/passwd", "a\\r\\nHost: evil", "x" * 10_000, "..", "", "a b", "\u202e")

SUBMITS: Mapping[str, SubmitFault] = {
    "no connection": SubmitFault(Reach.UNSENT, [_always(NoReply("connection refused", sent=False))]),
    "no trust": SubmitFault(Reach.UNSENT, [_always(NoReply("the certificate is wrong", sent=False, permanent=True))]),
    "lost on its way": SubmitFault(Reach.LOST, NO_ANSWER),
    "answer lost": SubmitFault(Reach.UNCLEAR, NO_ANSWER),
    "half an answer": SubmitFault(
        Reach.CUT, [_cut(accepted), _cut(accepted), _cut_after('{"template": {"task_id": "draft-1"}, "data": {"task_i')]
    ),
    "unreadable": SubmitFault(Reach.UNCLEAR, [_always(Reply(200, body)) for body in BODIES]),
    "pages": SubmitFault(Reach.UNCLEAR, _statuses(200, 502, 503, 504, body=PAGE)),
    "unclear status": SubmitFault(
        Reach.UNCLEAR,
        [
            *_statuses(202, 204, 206, 300, 302, 303, 304, 408, 409, 425, 999),
            *BROKEN,
            *_envelopes(302, 408, 409, 425, 500, 502, 504),
            _said('{"code": 500, "message": "try again"}'),
        ],
    ),
    "made under an odd status": SubmitFault(
        Reach.MADE,
        [_said('{"code": 200, "data": {"task_id": "@"}}', status) for status in (202, 302, 400, 402, 429, 500, 503)],
    ),
    "odd shapes": SubmitFault(
        Reach.MADE,
        [
            _said('\ufeff{"data": {"task_id": "@", "status": "pending"}}'),
            _said('{"data": {"task_id": "@"}, "data": {"task_id": "@", "progress": 300}}'),
            _said('{"task_id": @, "status": "IN_PROGRESS"}'),
            _said('{"code": 200, "data": {"task_id": "@", "status": "painting"}}'),
        ],
    ),
    "hostile ids": SubmitFault(
        Reach.UNCLEAR, [_said('{"code": 200, "data": {"task_id": "' + name + '"}}') for name in HOSTILE]
    ),
    "refused": SubmitFault(
        Reach.REFUSED,
        [
            *_statuses(301, 307, 308, 403, 404, 405, 413, 415, 451),
            *_envelopes(400, 404, 413, 422),
            _always(refused(400, "violates our content policy")),
            _said('{"code": 400, "message": "the size is wrong"}'),
            _said('{"error": {"code": "422", "message": "no"}}'),
        ],
    ),
    "refused for now": SubmitFault(
        Reach.REFUSED, [*LIMITED, *_envelopes(421, 503), _said('{"code": 429, "message": "slow down"}')]
    ),
    "key refused": SubmitFault(Reach.REFUSED, DENIED),
    "no credits": SubmitFault(Reach.REFUSED, [*_envelopes(402), _said('{"code": 402, "message": "top up"}')]),
    "finished at once": SubmitFault(
        Reach.MADE,
        [
            lambda task_id, _: finished(task_id),
            _said('{"code": 200, "data": {"outputs": ["https://images.example/@.png"]}}'),
            _said('{"data": {"image_url": "https://images.example/@.png"}}'),
            _said('{"data": {"task_id": "@", "status": "failed", "error": {"message": "no luck"}}}'),
            _said('{"data": {"task_id": "@", "status": "completed", "outputs": []}}'),
        ],
    ),
}

ACCEPTED: Sequence[Answer] = (lambda task_id, _: accepted(task_id),)

POLLS: Mapping[str, Sequence[Answer]] = {
    "no answer": [*NO_ANSWER, _always(NoReply("connection refused", sent=False))],
    "half an answer": [_cut(accepted), _cut(finished)],
    "unreadable": [_always(Reply(200, body)) for body in BODIES],
    "unclear status": [*_statuses(202, 204, 206, 302, 307, 408, 409, 425, 451, 999), *BROKEN, *_envelopes(400, 503)],
    "pages": _statuses(200, 403, 502, 503, body=PAGE),
    "limited": LIMITED,
    "key refused": DENIED,
    "no such task": [*_envelopes(404), _said('{"code": 404, "message": "no such task"}')],
    "stale": ACCEPTED,
    "odd words": [
        _said('{"code": 200, "data": {"task_id": "@", "status": ' + word + ', "progress": 300}}')
        for word in ('"painting"', "null", "7", '" IN_PROGRESS "', '"running\\u202e"')
    ],
}

DONE: Sequence[Answer] = (
    lambda task_id, _: finished(task_id),
    _said('{"data": {"task_id": "@", "status": " Completed ", "url": "https://images.example/@.png"}}'),
    _said('{"status": "SUCCESS", "outputs": ["https://images.example/@.png", "https://images.example/@.png"]}'),
)
NO_IMAGE: Sequence[Answer] = (
    _said('{"code": 200, "data": {"task_id": "@", "status": "completed"}}'),
    _said('{"code": 200, "data": {"task_id": "@", "status": "completed", "outputs": []}}'),
)
FAILED: Sequence[Answer] = (
    _said('{"code": 200, "data": {"task_id": "@", "status": "failed", "error": {"message": "no luck"}}}'),
    _said('{"code": 200, "data": {"task_id": "@", "status": "failed", "error": "content policy"}}'),
)

FETCHES = ("no answer", "half an image", "cut short", "page", "empty", "status", "forbidden address", "gone for now")

FATES = ("failed", "stuck", "never", "no image yet", "no image", "forgotten", "not known yet", "takes it back", "gone")
"""What may become of a task instead of an image; "stuck" and "no image yet" end with the faults."""

STORMS: Mapping[str, tuple[str, str]] = {
    "429 storm": ("refused for now", "limited"),
    "500 storm": ("unclear status", "unclear status"),
    "no network": ("no connection", "no answer"),
    "key refused": ("key refused", "key refused"),
    "amnesia": ("pages", "no such task"),
}
"""What meets every request while it lasts: a row for submits and one for looks."""
