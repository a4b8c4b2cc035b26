"""What can go wrong, sorted by what the caller can do about it.

::

    HunyuanError
    ├── InvalidRequest (also a ValueError)  correct the arguments; nothing was sent
    ├── OrderConflict                       a tenant used the id before, for another request
    ├── NoSuchOrder                         a store has no such order of this tenant
    ├── QuotaReached                        a share of what a store may make is used up for now
    ├── NotSent                             nothing left this machine; try again later
    ├── Refused                             the service said no; nothing was charged
    │   ├── AuthError                       the key is wrong, revoked or not allowed this
    │   ├── OutOfCredits                    top the account up
    │   ├── ContentRefused                  the content policy forbids this prompt or image
    │   └── RateLimited                     the service kept limiting for longer than we may wait
    ├── SubmitUnknown                       sent, and no answer that tells what became of it
    ├── TaskFailed                          accepted, then failed at the service
    ├── TaskTimedOut                        we stopped waiting; the task may still finish
    ├── TaskLost                            the service no longer knows the task
    ├── DownloadFailed                      the image exists, but could not be fetched or saved
    ├── BudgetExceeded                      the caller's own limit on credits is spent
    ├── JournalError                        a transition could not be recorded, so nothing was sent
    └── ServiceUnavailable                  the service refuses everything for now
"""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import ClassVar, Literal

from hunyuan_async.models import ImageResult

Kind = Literal[
    "invalid",
    "refused",
    "rejected",
    "task_failed",
    "timed_out",
    "lost",
    "expired",
    "download",
    "unknown",
    "not_sent",
    "auth",
    "credits",
    "limited",
    "service",
    "conflict",
    "not_found",
    "quota",
]
Charged = Literal["yes", "no", "unknown"]
Retry = Literal["same", "after_change", "no"]


class HunyuanError(Exception):
    """Base of every error that this library raises.

    Attributes:
        kind: What happened, as one stable word for programs.
        message: The whole message, safe to print: text from outside is sanitised.
        charged: Whether the service charged for the item.
        retry: Whether doing the same again can help: as it is, after a change, or not at all. For a finished image
            that could not be saved it means fetching it again, never buying it again.
        task_id: The service's id of the task, if one was accepted.
        status: The HTTP status of the answer that led to the error.
        code: The service's own error code, as text.
        request_ids: Headers by which the vendor can find the request in its logs.
        task: A handle that can be awaited again for free, if the task may still finish.
    """

    default_kind: ClassVar[Kind] = "rejected"
    default_charged: ClassVar[Charged] = "no"
    default_retry: ClassVar[Retry] = "after_change"

    def __init__(
        self,
        message: str,
        *,
        kind: Kind | None = None,
        charged: Charged | None = None,
        retry: Retry | None = None,
        task_id: str | None = None,
        status: int | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind: Kind = kind or self.default_kind
        self.charged: Charged = charged or self.default_charged
        self.retry: Retry = retry or self.default_retry
        self.task_id = task_id
        self.status = status
        self.code = code
        self.request_ids: dict[str, str] = {}
        self.task: Awaitable[ImageResult] | None = None


class InvalidRequest(HunyuanError, ValueError):
    """Raised before anything is sent if an argument cannot be right."""

    default_kind = "invalid"


class OrderConflict(HunyuanError):
    """Raised if a tenant uses an id again for another request."""

    default_kind = "conflict"


class NoSuchOrder(HunyuanError):
    """Raised if a store has no order of that handle, or it belongs to another tenant."""

    default_kind = "not_found"
    default_retry = "no"


class QuotaReached(HunyuanError):
    """Raised if a tenant's or the app's share is used up for now; nothing was ordered.

    Attributes:
        retry_after: Seconds after which it is worth trying again.
    """

    default_kind = "quota"
    default_retry = "same"

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotSent(HunyuanError):
    """Raised if no byte of the request left this machine, for example without a connection."""

    default_kind = "not_sent"
    default_retry = "same"


class Refused(HunyuanError):
    """Raised if the service answered that it will not make the image."""


class AuthError(Refused):
    """Raised if the service does not accept the key."""

    default_kind = "auth"


class OutOfCredits(Refused):
    """Raised if the account behind the key has no credits left."""

    default_kind = "credits"


class ContentRefused(Refused):
    """Raised if the service's content policy forbids the prompt or an image."""

    default_kind = "refused"


class RateLimited(Refused):
    """Raised if the service answered nothing but "too many requests" for as long as we may wait."""

    default_kind = "limited"
    default_retry = "same"


class SubmitUnknown(HunyuanError):
    """Raised if a request left this machine and no answer tells whether it was accepted.

    It may have been charged, so it is never sent again without a person's word.

    Attributes:
        sent_at: When it was sent, by the wall clock.
    """

    sent_at: datetime | None = None

    default_kind = "unknown"
    default_charged = "unknown"
    default_retry = "no"


class TaskFailed(HunyuanError):
    """Raised if the service accepted the task and later reported that it failed."""

    default_kind = "task_failed"
    default_charged = "unknown"
    default_retry = "same"


class TaskTimedOut(HunyuanError):
    """Raised if we stopped waiting for a task that may still finish; its `task` can be awaited again."""

    default_kind = "timed_out"
    default_charged = "yes"
    default_retry = "no"


class TaskLost(HunyuanError):
    """Raised if the service answered, again and again, that it does not know the task."""

    default_kind = "lost"
    default_charged = "unknown"
    default_retry = "no"


class DownloadFailed(HunyuanError):
    """Raised if a finished image could not be fetched (`download`) or its address expired (`expired`)."""

    default_kind = "download"
    default_charged = "yes"
    default_retry = "no"


class BudgetExceeded(HunyuanError):
    """Raised before anything is sent if the image would cost more than `max_credits` leaves."""

    default_kind = "credits"


class JournalError(HunyuanError):
    """Raised if a transition could not be recorded; a submit that cannot be recorded is not sent."""

    default_kind = "not_sent"


class ServiceUnavailable(HunyuanError):
    """Raised if the service refused everything for as long as we may wait."""

    default_kind = "service"
    default_retry = "same"
