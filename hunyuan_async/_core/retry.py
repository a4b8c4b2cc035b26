"""What does an answer to a submit mean, and may the submit be sent again?

A submit is sent again only if the earlier one was provably never sent, or was refused for now. The proof of "never
sent" is the transport's; a status is a refusal only by the rules below. Everything else is `SubmitUnknown`: it may
have been charged, so nobody guesses.

=====================================================  ================================================================
seen                                                   meaning
=====================================================  ================================================================
a task id, whatever the status; an image in a 2xx      accepted
a task id in an unreadable body or an odd place        accepted, if a look confirms it
nothing sent                                           try again later, or `NotSent` if trying cannot help
words of the content policy in any refusal but 401,    `ContentRefused`
421, 429
402; words of an empty account in any refusal          `OutOfCredits`
401; 403 in the API's own envelope                     `AuthError`
429; 421; 503 in the service's own error envelope      refused for now: try again later
301, 307, 308; any other 4xx but 408, 409, 425         `Refused`
any other 3xx or 5xx, 408, 409, 425, no answer,        `SubmitUnknown`
an unreadable or empty 2xx
=====================================================  ================================================================

A 2xx whose envelope carries an error code means what that code means as a status. A 503 without the envelope and its
code proves nothing: meshes and CDNs send it after the request reached the service, in JSON too. 421 may be repeated by
RFC 9110, section 15.5.20; 302 and 303 may mean "done, look there" (section 15.4.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit, urlunsplit

import attrs

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.text import printable
from hunyuan_async._core.wire import Answer, mentions, read_answer, salvage_task_id
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    HunyuanError,
    NotSent,
    OutOfCredits,
    RateLimited,
    Refused,
    ServiceUnavailable,
    SubmitUnknown,
)
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Service

NO_REFUSAL = frozenset({300, 302, 303, 304, 305, 306, 408, 409, 425})
NOT_ABOUT_CONTENT = frozenset({401, 421, 429})  # "violates the rate limit" is no content policy
REQUEST_ID_HEADERS = ("x-request-id", "request-id", "cf-ray")


@attrs.frozen
class Accepted:
    """The service took the task.

    Attributes:
        task_id: Its id; empty if the service answered with the finished images alone.
        answer: What the body says; it may show the task finished at once.
        certain: False if the id was salvaged from an answer that could not be read, and a look must confirm it.
    """

    task_id: str
    answer: Answer | None = None
    certain: bool = True


@attrs.frozen
class TryAgain:
    """Nothing was accepted, and the same request may be sent later.

    Attributes:
        error: What to raise if the trouble lasts for longer than we may wait.
        limited: Whether the service said "too many requests".
        after: Seconds that the service asked us to wait, if it did.
    """

    error: HunyuanError
    limited: bool = False
    after: float | None = None


def judge_submit(seen: Reply | NoReply, request: ImageRequest, service: Service) -> Accepted | TryAgain | HunyuanError:
    """Decide what became of a submit."""
    if isinstance(seen, NoReply):
        return _judge_silence(seen)
    answer = read_answer(seen.body, ignore_urls=request.images)
    if answer and (answer.task_id or (answer.urls and 200 <= seen.status < 300)):
        return Accepted(answer.task_id or "", answer)
    unclear = answer is None or status_of(seen, answer) < 300
    if unclear and (task_id := salvage_task_id(seen.body)):
        return Accepted(task_id, certain=False)
    error_class = _error_class(seen, answer, service)
    code = answer.error.code if answer and answer.error else None
    error = error_class(_sentence(error_class, seen, answer), status=seen.status, code=code)
    error.request_ids = {name: printable(seen.headers[name]) for name in REQUEST_ID_HEADERS if name in seen.headers}
    if isinstance(error, RateLimited | ServiceUnavailable):
        return TryAgain(error, isinstance(error, RateLimited), retry_after(seen.headers))
    return error


def _judge_silence(seen: NoReply) -> TryAgain | HunyuanError:
    if seen.sent:
        return SubmitUnknown(
            f"The request was sent and no answer tells what became of it: {seen.reason}. "
            "It may have been charged, so it is not sent again by itself."
        )
    if seen.permanent:
        return NotSent(f"Nothing was sent: {seen.reason}.", retry="after_change")
    return TryAgain(NotSent(f"Nothing was sent: {seen.reason}. Try again later."))


def _error_class(seen: Reply, answer: Answer | None, service: Service) -> type[HunyuanError]:
    status = status_of(seen, answer)
    said = answer.error if answer else None
    refused = 300 <= status < 500 and status not in NO_REFUSAL
    tells_why = refused or status < 300
    if tells_why and status not in NOT_ABOUT_CONTENT and mentions(said, service.refusal_words):
        return ContentRefused
    if status == 402 or (tells_why and mentions(said, service.credit_words)):
        return OutOfCredits
    match status:
        case 401:
            return AuthError
        case 403 if answer and answer.code == 403:  # else it may be a firewall's page about this one prompt
            return AuthError
        case 429:
            return RateLimited
        case 421:
            return ServiceUnavailable
        case 503 if answer and answer.code == 503:
            return ServiceUnavailable
    return Refused if refused else SubmitUnknown


def _sentence(error_class: type[HunyuanError], seen: Reply, answer: Answer | None) -> str:
    status = status_of(seen, answer)
    said = answer.error.message if answer and answer.error else None
    words = f"HTTP {status}: {said}" if said else f"HTTP {status}"
    if error_class is SubmitUnknown:
        if not seen.complete:
            words += ", cut off"
        return (
            f"The answer does not tell what became of the request ({words}). "
            "It may have been charged, so it is not sent again by itself."
        )
    if error_class is Refused and status < 400:
        place = _origin(seen.headers.get("location", "")) or "another address"
        return f"The base URL redirects to {place}; set base_url to where the API is (nothing was sent on)."
    return {
        AuthError: f"The service does not accept the key ({words}). Check it and its rights.",
        OutOfCredits: f"The account has no credits left ({words}). Top it up and go on.",
        ContentRefused: f"The content policy refused the request ({words}). Change the prompt or the image.",
        RateLimited: f"The service limits requests ({words}).",
        ServiceUnavailable: f"The service takes no requests for now ({words}).",
    }.get(error_class, f"The service refused the request ({words}).")


def _origin(location: str) -> str:
    try:
        place = urlsplit(location)
    except ValueError:
        return ""
    host = place.netloc.rpartition("@")[2]  # before it stands a password
    return printable(urlunsplit((place.scheme, host, "", "", ""))) if host else ""


def status_of(seen: Reply, answer: Answer | None) -> int:
    """Return the HTTP status, or the error code in the envelope of a 2xx."""
    if 200 <= seen.status < 300 and answer and answer.code is not None and 300 <= answer.code < 600:
        return answer.code
    return seen.status


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3), if it can be read.

    A date is counted from the answer's own `Date`, so that a wrong clock here does not matter.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        wait = parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError, TypeError):  # no date, one beyond all calendars, or just one with a zone
        return None
    return max(0.0, wait.total_seconds())
