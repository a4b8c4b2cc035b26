"""The values that callers pass in and get back: frozen, comparable, without behaviour of their own."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from hunyuan_async.errors import HunyuanError

RequestType = Literal["text-to-image", "edit"]


def _as_tuple(images: str | Iterable[str] | None) -> tuple[str, ...]:
    # What is no list is kept for the check before sending, which says what to do.
    if images is None:
        return ()
    return tuple(images) if isinstance(images, Iterable) and not isinstance(images, str) else (images,)


@attrs.frozen
class ImageRequest:
    """One image asked for, as the caller states it.

    Attributes:
        prompt: What to draw, or how to change the images; 1 to 2000 characters.
        type: "text-to-image", or "edit" to start from `images`.
        size: "1024*1024", "1024x1024" or a ratio such as "16:9"; the wire always gets "W*H".
        images: One or two http(s) addresses of images, for "edit" only.
        seed: 0 to 2**31 - 1; None draws one and records it; -1 leaves it to the service, unrecorded.
        model: Overrides the service's model name.
        extra: Further body fields, passed on as they are.
        id: The caller's own name for the item. It is never sent.
    """

    prompt: str
    type: RequestType = "text-to-image"
    size: str = "1024*1024"
    images: tuple[str, ...] = attrs.field(default=(), converter=_as_tuple)
    seed: int | None = None
    model: str | None = None
    extra: Mapping[str, object] = attrs.field(factory=dict)
    id: str | None = None


class TaskState(enum.Enum):
    """How far a task has come at the service."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@attrs.frozen
class TaskStatus:
    """What one look at a task showed.

    Attributes:
        task_id: The service's id of the task.
        state: How far it has come. A status word we do not know counts as running.
        urls: Addresses of the finished images.
        message: The service's words about a failure, sanitised.
        code: The service's own error code of a failure, as text.
        raw: The service's untouched answer.
    """

    task_id: str
    state: TaskState
    urls: tuple[str, ...] = attrs.field(default=(), repr=False)
    message: str | None = None
    code: str | None = None
    raw: bytes = attrs.field(default=b"", repr=False)


@attrs.frozen
class SavedImage:
    """An image on disk, checked against what the server announced.

    Attributes:
        path: Where it stands.
        url: Where it came from. Signed addresses are secrets: do not log them.
        sha256: Of the file's bytes, as 64 hex digits.
        bytes: Its length.
        width: In pixels, as read from its header; None for a format that we cannot measure.
        height: In pixels, likewise.
    """

    path: Path
    url: str = attrs.field(repr=False)
    sha256: str
    bytes: int
    width: int | None
    height: int | None


@attrs.frozen
class ImageResult:
    """A finished task's images.

    Attributes:
        task_id: The service's id of the task.
        request: What was asked for, with the seed that was sent; None for a task attached by its id alone.
        urls: Addresses of the images, as the service gave them; they expire.
        credits: What the image is taken to have cost.
        submitted_at: When the service accepted it; None for an attached task.
        finished_at: When we noticed that it was finished.
        raw: The service's untouched answer, so that nothing in it is lost.
    """

    task_id: str
    request: ImageRequest | None
    urls: tuple[str, ...] = attrs.field(repr=False)
    credits: int
    submitted_at: datetime | None
    finished_at: datetime
    raw: bytes = attrs.field(default=b"", repr=False)

    @property
    def url(self) -> str:
        """The address of the first image."""
        return self.urls[0]

    @property
    def seed(self) -> int | None:
        """The seed that was sent; None if the service drew one itself or the task was attached by id."""
        if self.request is None or self.request.seed == -1:
            return None
        return self.request.seed


@attrs.frozen
class Outcome:
    """How one item ended: with a result, or with an error that says whether it was charged.

    Attributes:
        request: What was asked for, with the seed that was sent; None for an attached task.
        result: The finished images; also set if only saving them failed.
        error: Why the item did not succeed.
        files: The images on disk, where saving was asked for.
    """

    request: ImageRequest | None
    result: ImageResult | None = None
    error: HunyuanError | None = None
    files: tuple[SavedImage, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything that was asked for was done."""
        return self.error is None


@attrs.frozen
class Statistics:
    """A snapshot of a client at work.

    Attributes:
        waiting: Requests that wait for their turn to be sent.
        in_flight: Tasks accepted and not finished, and submits under way.
        slots: How many may be in flight at once now.
        saving: Finished, and not yet on disk.
        succeeded: Finished at the service.
        failed: Items that ended without an image: not sent, refused, failed or no longer waited for.
        unknown: Sent, and no answer tells what became of them.
        credits_spent: For accepted tasks.
        credits_reserved: For submits whose answer is awaited.
        credits_at_risk: For unknown ones.
        submits: POSTs that left this machine.
        polls: Status checks that left this machine.
        limited: Answers that said "too many requests".
        unclear: Polls that taught nothing, or showed a status word that we do not know.
        rate: Requests a second that may leave now; infinite if nothing limits them.
        waiting_for: Why no request leaves now, in words; None if nothing holds them back.
    """

    waiting: int = 0
    in_flight: int = 0
    slots: int = 0
    saving: int = 0
    succeeded: int = 0
    failed: int = 0
    unknown: int = 0
    credits_spent: int = 0
    credits_reserved: int = 0
    credits_at_risk: int = 0
    submits: int = 0
    polls: int = 0
    limited: int = 0
    unclear: int = 0
    rate: float = 0.0
    waiting_for: str | None = None
