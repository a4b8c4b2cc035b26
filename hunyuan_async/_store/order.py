"""An order: one request of one tenant, and how far it has come."""

from __future__ import annotations

import enum
from datetime import datetime

import attrs

from hunyuan_async.errors import HunyuanError, InvalidRequest, JournalError, Kind
from hunyuan_async.models import ImageRequest, SavedImage


class OrderState(enum.StrEnum):
    """How far an order has come.

    An order is unknown if nobody can tell, now, whether its image will come: no answer told what became of it, or its
    task takes longer than we wait. It may have been paid.
    """

    WAITING = "waiting"
    SENDING = "sending"
    RUNNING = "running"
    SAVING = "saving"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    WITHDRAWN = "withdrawn"


ACTIVE = (OrderState.WAITING, OrderState.SENDING, OrderState.RUNNING, OrderState.SAVING)

# An error's own message may name tasks, addresses and our account: it is for the operator.
_WORDS: dict[Kind, str] = {
    "invalid": "The request cannot be right.",
    "refused": "The content policy forbids this prompt or image.",
    "rejected": "The service refused this request.",
    "task_failed": "The image could not be made.",
    "timed_out": "The image takes longer than expected; it may still come.",
    "lost": "The service has lost this image.",
    "expired": "The image was made, and could not be fetched in time.",
    "download": "The image was made, and could not be fetched yet.",
    "unknown": "Nobody can tell yet whether this image was made.",
}
_OURS = "Images cannot be made just now. Try again later."
_OUR_TROUBLES: tuple[Kind, ...] = ("auth", "credits", "not_sent")


@attrs.frozen
class Order:
    """An order as it stood when it was read.

    Attributes:
        number: Its place in the order of placing.
        handle: Its name for the tenant: random, 128 bits.
        tenant: Whose it is.
        request: What was asked for, as it is sent, seed included; its `id` is the handle.
        interactive: Whether a person waits for it.
        state: How far it has come.
        change: The number of its last change, counted over all orders of the store.
        placed_at: When it was placed.
        changed_at: When it last changed.
        credits: What it may cost, or has cost.
        withdrawing: Whether it is not wanted any more.
        error: Why it failed, or is unknown; its message is for the operator, not for the tenant.
        files: The images on disk.
    """

    number: int
    handle: str
    tenant: str
    request: ImageRequest
    interactive: bool
    state: OrderState
    change: int
    placed_at: datetime
    changed_at: datetime
    credits: int
    withdrawing: bool = False
    error: HunyuanError | None = None
    files: tuple[SavedImage, ...] = attrs.field(default=(), repr=False)

    @property
    def active(self) -> bool:
        """Whether it is being made, or waits for it."""
        return self.state in ACTIVE

    @property
    def may_be_repeated(self) -> bool:
        """Whether it cost nothing, and failed by no fault of the request: then its id may be used again."""
        if self.state is not OrderState.FAILED or self.credits or self.error is None:
            return False
        return self.error.kind not in ("invalid", "refused", "rejected")

    def public(self) -> dict[str, object]:
        """Return what the tenant may see, as JSON allows: no task id, no address, no path."""
        return {
            "handle": self.handle,
            "state": self.state.value,
            "change": self.change,
            "prompt": self.request.prompt,
            "type": self.request.type,
            "size": self.request.size,
            "seed": self.request.seed,
            "placed_at": self.placed_at.isoformat(),
            "changed_at": self.changed_at.isoformat(),
            "credits": self.credits,
            "error": public_error(self.error) if self.error else None,
            "images": [
                {"number": number, "width": file.width, "height": file.height, "bytes": file.bytes}
                for number, file in enumerate(self.files)
            ],
        }


def public_error(error: HunyuanError) -> dict[str, str]:
    """Return what a tenant may read about *error*: `kind` and `message`, as JSON allows.

    What is the matter with our account, key or disk is no business of a tenant's: it is of the kind `service`.
    """
    ours_to_tell = isinstance(error, InvalidRequest) and error.status is None
    if ours_to_tell or error.kind in ("conflict", "not_found", "quota"):
        return {"kind": error.kind, "message": error.message}
    if error.kind in _OUR_TROUBLES or isinstance(error, JournalError):
        return {"kind": "service", "message": _OURS}
    return {"kind": error.kind, "message": _WORDS.get(error.kind, _OURS)}
