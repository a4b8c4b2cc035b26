"""The values that callers pass in and get back: frozen, comparable, without behaviour of their own."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import attrs

if TYPE_CHECKING:
    from pathlib import Path

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
