"""What becomes of a request that meets a fault: the table that the fault matrix tests, and that the docs show.

A row that does not say what happens if the fault lasts ends the same way, however often it is met.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal, TypeAlias

import attrs

from hunyuan_async.errors import (
    AuthError,
    Charged,
    DownloadFailed,
    HunyuanError,
    Kind,
    NotSent,
    OutOfCredits,
    RateLimited,
    Refused,
    Retry,
    ServiceUnavailable,
    SubmitUnknown,
    TaskFailed,
    TaskTimedOut,
)

Place: TypeAlias = Literal["submit", "poll", "fetch"]


@attrs.frozen
class End:
    """How a request ends.

    Attributes:
        result: "made", "again" (made by another request of the kind that met the fault), or the name of an error.
        charged: Whether the image is paid.
        kind: Of the error.
        retry: Of the error.
        words: What you get.
        to_do: What is left for you.
    """

    result: str
    charged: Charged
    kind: Kind | None = None
    retry: Retry | None = None
    words: str = attrs.field(default="", kw_only=True, eq=False)
    to_do: str = attrs.field(default="nothing", kw_only=True, eq=False)


def _error(
    error: type[HunyuanError],
    to_do: str,
    *,
    words: str = "",
    charged: Charged | None = None,
    kind: Kind | None = None,
    retry: Retry | None = None,
) -> End:
    """An error, with what its class says unless told otherwise."""
    return End(
        error.__name__,
        charged or error.default_charged,
        kind or error.default_kind,
        retry or error.default_retry,
        words=words or f"`{error.__name__}`",
        to_do=to_do,
    )


_DECIDE = "[decide](../how-to/resolve-unknown-outcomes.md) whether to send it again"
_ATTACH = "attach to the task by its id, later"
_FETCH = "attach to the task by its id, and fetch the image again"
_VENDOR = "ask the service: the image cannot be fetched from there"
_WAIT = "waits as long as it is told to, 5 minutes at most; with a `timeout` before that, `{}`"

MADE = End("made", "yes", words="made")
AGAIN = End("again", "yes", words="sent again, then made")
LOOKED_AGAIN = End("again", "yes", words="looked again, then made")
FETCHED_AGAIN = End("again", "yes", words="fetched again, then saved")
FOLLOWED = End("again", "yes", words="followed, then saved")
UNKNOWN = _error(SubmitUnknown, _DECIDE)
REFUSED = _error(Refused, "correct what the message names")
NO_KEY = _error(AuthError, "correct the key")
NO_CREDITS = _error(OutOfCredits, "top the account up")
LIMITED = _error(RateLimited, "try later")
UNAVAILABLE = _error(ServiceUnavailable, "try later")
NOT_SENT = _error(NotSent, "try later")
NO_TLS = _error(NotSent, "correct `base_url` or the server", retry="after_change")
WAITS = _error(NotSent, "give it longer", words=_WAIT.format("NotSent"))
TIMED_OUT = _error(TaskTimedOut, _ATTACH)
NOT_FOUND = _error(TaskTimedOut, "ask the service about the task", words="`TaskTimedOut`; `TaskLost` after 5 minutes")
LINKLESS = _error(TaskTimedOut, _ATTACH, words="`TaskTimedOut`; `TaskFailed` after 2 minutes")
WAITS_TO_LOOK = _error(TaskTimedOut, "give it longer", words=_WAIT.format("TaskTimedOut"))
KEY_LOST = _error(AuthError, "attach to the task with the key that made it", charged="yes")
FAILED = _error(TaskFailed, "make it again")
NOT_FETCHED = _error(DownloadFailed, _FETCH, retry="same")
NEVER_FETCHED = _error(DownloadFailed, _VENDOR)
EXPIRED = _error(DownloadFailed, _VENDOR, words="`DownloadFailed`, `expired`", kind="expired")


@attrs.frozen
class Row:
    """Faults at one place that end alike.

    Attributes:
        seen: What they have in common.
        kinds: Their names, or patterns of them.
        once: What becomes of a single one.
        lasting: What becomes of it if every such request meets the fault; None if that changes nothing.
        https: Whether it is so under TLS alone, or without it alone; None for both.
    """

    seen: str
    kinds: Sequence[str]
    once: End
    lasting: End | None = None
    https: bool | None = None

    def holds(self, kind: str, *, https: bool) -> bool:
        """Whether a kind of fault is one of these."""
        return self.https in (None, https) and any(fnmatchcase(kind, pattern) for pattern in self.kinds)


_HARMED = ("accept-reset", "accept-close", "accept-silence")
_LOST = ("reset-*-body", "close-*-body", "half-head", "half-body", "half-body-reset", "half-chunk")
_STALLED = ("silence", "trickle", "trickle-body")
_NO_HTTP = ("length-too-short", "two-lengths", "garbage-head", "long-header")
_ENDLESS = ("endless-body", "huge-length")
_ODD_CODINGS = ("false-*", "half-gzip")
_HTML = ("html-200", "html-500", "html-502", "html-503", "html-504", "empty-200", "http-204")
_FINE = ("idle-close", "keep-alive-race", "late", "wrong-content-type", "unknown-encoding", "gzip")
_OK = ("http-201", "http-202", "http-206", "http-226")
_UNCLEAR = ("http-408", "http-409", "http-425", "http-500", "http-50[124]", "http-520", "http-524", "http-599")
_NOT_AS_ASKED = ("http-400", "http-405", "http-413", "http-415", "http-422", "http-451", "http-400-bare")
_FOR_NOW = ("http-421", "http-503", "http-503-retry")
_LIMITS = (
    *("limit-seconds", "limit-date", "limit-past-date", "limit-zero", "limit-negative", "limit-fraction"),
    *("limit-digits", "limit-garbage", "limit-none", "http-429-bare"),
)
FAR_LIMITS = ("limit-far-date", "limit-huge")
_NO_OBJECT = ("body-*", "data-null", "data-true", "data-number", "data-text", "data-list", "data-missing")
_UNREADABLE = ("bad-utf8", "long-number", "deep-nesting", "long-body")
_NO_IMAGE = ("html-200", "empty-200", "half-answer", "no-image", "svg-image")
_NO_IDS = tuple(f"task_id-{kind}" for kind in ("null", "true", "list", "object", "missing"))
_REDIRECTS = tuple(f"redirect-30[12378]{where}" for where in ("", "-elsewhere"))

SUBMIT = (
    Row("nobody listens", ("refused",), AGAIN, NOT_SENT),
    Row("reset, closed or silent before TLS is agreed", _HARMED, AGAIN, NOT_SENT, https=True),
    Row("no TLS where there should be", ("accept-plain",), NO_TLS, https=True),
    Row("reset, closed or silent as soon as it is connected", _HARMED, UNKNOWN, https=False),
    Row("a 400 before anything is asked", ("accept-plain",), REFUSED, https=False),
    Row("the connection ends before the answer does", _LOST, UNKNOWN),
    Row("no answer in `Timeouts.submit`, or no whole one", _STALLED, UNKNOWN),
    Row("the answer is there, and its announced end is not", ("length-too-long",), MADE),
    Row("the answer breaks HTTP, or has no end", (*_NO_HTTP, *_ENDLESS), UNKNOWN),
    Row("the answer is late, oddly labelled or coded, or its connection ends after it", (*_FINE, *_OK), MADE),
    Row("400, 404, 405, 413, 415, 422, 451", (*_NOT_AS_ASKED, "http-404*", "ok-400*", "ok-404"), REFUSED),
    Row("403 that does not come from the API", ("http-403-bare", "html-403"), REFUSED),
    Row("401, or 403 from the API", ("http-401", "http-403", "ok-401", "ok-403"), AGAIN, NO_KEY),
    Row("402", ("http-402", "ok-402"), NO_CREDITS),
    Row("429, and a time that is near or not to be read", (*_LIMITS, "ok-429"), AGAIN, LIMITED),
    Row("429, and a time that is far off", FAR_LIMITS, WAITS),
    Row("421, or 503 from the API", (*_FOR_NOW, "ok-503"), AGAIN, UNAVAILABLE),
    Row("503 that does not come from the API", ("http-503-bare*",), UNKNOWN),
    Row("408, 409, 425, any other 5xx, a status that nobody knows", (*_UNCLEAR, "http-999", "ok-500"), UNKNOWN),
    Row("301, 307, 308", ("redirect-30[178]*",), REFUSED),
    Row("302, 303", ("redirect-30[23]*", "redirect-nowhere"), UNKNOWN),
    Row("a page for people, or nothing, for an answer", _HTML, UNKNOWN),
    Row("a content coding that does not fit, or a bomb", (*_ODD_CODINGS, "gzip-bomb"), UNKNOWN),
    Row("no JSON object, or no task in it", (*_NO_OBJECT, "half-answer", "utf-16", "no-json"), UNKNOWN),
    Row("a task id that is none, or none at all", ("id-*", *_NO_IDS), UNKNOWN),
    Row("a task id in an answer that cannot be read, once a look confirms it", _UNREADABLE, MADE),
    Row("a task id beside odd things", ("bom", "nan", "status-*", "code-*"), MADE),
    Row("another task's id", ("two-ids", "task_id-number"), NOT_FOUND),
)

POLL = (
    Row("no connection", ("refused", "accept-*"), LOOKED_AGAIN, TIMED_OUT),
    Row("the connection ends before the answer does", _LOST, LOOKED_AGAIN, TIMED_OUT),
    Row("no whole answer in `Timeouts.poll`", (*_STALLED, "length-too-long"), LOOKED_AGAIN, TIMED_OUT),
    Row("the answer breaks HTTP, or has no end", (*_NO_HTTP, *_ENDLESS), LOOKED_AGAIN, TIMED_OUT),
    Row("the answer is late, oddly labelled or coded", (*_FINE[2:], *_OK), MADE),
    Row("the connection ends after the answer", _FINE[:2], LOOKED_AGAIN),
    Row("404", ("http-404*", "ok-404"), LOOKED_AGAIN, NOT_FOUND),
    Row("401, 403", ("http-401", "http-403*", "html-403", "ok-401", "ok-403"), LOOKED_AGAIN, KEY_LOST),
    Row("429, and a time that is near or not to be read", (*_LIMITS, "ok-429"), LOOKED_AGAIN, TIMED_OUT),
    Row("429, and a time that is far off", FAR_LIMITS, WAITS_TO_LOOK),
    Row(
        "any other 4xx or 5xx, a redirect, a status that nobody knows",
        (
            *(*_NOT_AS_ASKED, "http-402", *_UNCLEAR, *_FOR_NOW, "http-503-bare*", "http-999", "redirect-*"),
            *("ok-400", "ok-400-text", "ok-402", "ok-500", "ok-503", "code-500"),
        ),
        LOOKED_AGAIN,
        TIMED_OUT,
    ),
    Row(
        "no answer of the API, or none that can be read",
        (*_HTML, *_ODD_CODINGS, "gzip-bomb", *_NO_OBJECT, "half-answer", "utf-16", "no-json", *_UNREADABLE),
        LOOKED_AGAIN,
        TIMED_OUT,
    ),
    Row("odd things beside the image's address", ("bom", "nan", "status-*", "code-text", "same-url-twice"), MADE),
    Row("another id than was asked for", ("id-*", "task_id-*"), MADE),
    Row(
        "still running, or a word that nobody knows",
        ("stuck", "progress-300", "new-word", "two-ids"),
        LOOKED_AGAIN,
        TIMED_OUT,
    ),
    Row(
        "finished, without an address or with one that no image has",
        (
            *("without-url", "outputs-*"),
            *("url-javascript", "url-data", "url-file", "url-ftp", "url-no-host", "url-no-scheme", "url-relative"),
            *("url-empty", "url-long", "url-line-break", "url-escape"),
        ),
        LOOKED_AGAIN,
        LINKLESS,
    ),
    Row(
        "finished, with an address that nothing is fetched from",
        (
            *("url-plain-http", "url-private*", "url-metadata", "url-zero", "url-decimal", "url-mapped", "url-nat64"),
            *("url-site-local", "url-credentials", "url-bad-port", "url-full-width"),
        ),
        NEVER_FETCHED,
    ),
    Row("finished, with a host that is not reached", ("url-other-*", "url-bidi"), NOT_FETCHED),
    Row("finished, with an address that has expired", ("expired-url",), LOOKED_AGAIN, EXPIRED),
    Row("failed", ("failed",), FAILED),
)

FETCH = (
    Row("no connection", ("refused", *_HARMED), FETCHED_AGAIN, NOT_FETCHED),
    Row("no TLS where there should be", ("accept-plain",), NEVER_FETCHED, https=True),
    Row("a 400 before anything is asked", ("accept-plain",), FETCHED_AGAIN, NOT_FETCHED, https=False),
    Row("the connection ends before the image does", _LOST, FETCHED_AGAIN, NOT_FETCHED),
    Row("no whole image in `Timeouts.download`", (*_STALLED, "length-too-long"), FETCHED_AGAIN, NOT_FETCHED),
    Row("the answer breaks HTTP", _NO_HTTP, FETCHED_AGAIN, NOT_FETCHED),
    Row("more than 64 MiB", (*_ENDLESS, "gzip-bomb"), NEVER_FETCHED),
    Row("the image is late, oddly labelled or coded, or its connection ends after it", _FINE, MADE),
    Row("403, 404", ("http-403*", "http-404*", "html-403"), FETCHED_AGAIN, EXPIRED),
    Row(
        "any other status",
        (
            *(*_OK, "http-204", *_NOT_AS_ASKED, "http-401", "http-402", "http-421", "limit-*", "http-429-bare"),
            *(*_UNCLEAR, "http-503*", "html-50*", "http-999", "redirect-nowhere"),
        ),
        FETCHED_AGAIN,
        NOT_FETCHED,
    ),
    Row("a redirect", (*_REDIRECTS, "redirect-to-empty"), FOLLOWED, NOT_FETCHED),
    Row(
        "redirects in a circle, or to a host that is not reached",
        ("redirect-*-loop", "redirect-to-other-*", "redirect-to-long"),
        FETCHED_AGAIN,
        NOT_FETCHED,
    ),
    Row("a redirect to where no image is", ("redirect-to-relative",), FETCHED_AGAIN, EXPIRED),
    Row("a redirect to http without a host", ("redirect-to-no-host",), FETCHED_AGAIN, EXPIRED, https=False),
    Row("a redirect to http without a host", ("redirect-to-no-host",), NEVER_FETCHED, https=True),
    Row("a redirect to another host, by the same scheme", ("redirect-to-no-scheme",), NEVER_FETCHED, https=False),
    Row(
        "a redirect to another host, by the same scheme",
        ("redirect-to-no-scheme",),
        FETCHED_AGAIN,
        NOT_FETCHED,
        https=True,
    ),
    Row(
        "a redirect to an address that nothing is fetched from",
        (
            *("redirect-to-plain-http", "redirect-to-javascript", "redirect-to-data", "redirect-to-f[it]*"),
            *("redirect-to-private*", "redirect-to-metadata", "redirect-to-zero", "redirect-to-decimal"),
            *("redirect-to-mapped", "redirect-to-nat64", "redirect-to-site-local", "redirect-to-credentials"),
            "redirect-to-bad-port",
        ),
        NEVER_FETCHED,
    ),
    Row("no image, or a part of one", _NO_IMAGE, FETCHED_AGAIN, NOT_FETCHED),
    Row("a content coding that does not fit", _ODD_CODINGS, FETCHED_AGAIN, NOT_FETCHED),
)

TABLES: Mapping[Place, Sequence[Row]] = {"submit": SUBMIT, "poll": POLL, "fetch": FETCH}
