"""What the engine tells while it works: frozen values, in the order in which they happened.

Panel, logs, telemetry and web pages read these and `Client.statistics()`, nothing else. No event holds a
prompt, a key or an image's address.
"""

from __future__ import annotations

from datetime import datetime

import attrs

from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import SavedImage, TaskState


@attrs.frozen(kw_only=True)
class Event:
    """Something happened.

    Attributes:
        when: The wall-clock time, in UTC.
        id: The item's own id; None if it concerns the whole client, and for looks, which know the task's id alone.
    """

    when: datetime
    id: str | None = None


@attrs.frozen(kw_only=True)
class Sending(Event):
    """A submit is about to leave: from here on it may be charged."""


@attrs.frozen(kw_only=True)
class Submitted(Event):
    """The service accepted a task; it is paid."""

    task_id: str
    credits: int


@attrs.frozen(kw_only=True)
class Polled(Event):
    """A look at a task; `state` is None if the answer could not be understood."""

    task_id: str
    state: TaskState | None


@attrs.frozen(kw_only=True)
class Completed(Event):
    """A task finished; `seconds` from its acceptance until we noticed."""

    task_id: str
    seconds: float


@attrs.frozen(kw_only=True)
class Downloaded(Event):
    """An item's images are on disk; the addresses that they came from are left out."""

    task_id: str
    files: tuple[SavedImage, ...]


@attrs.frozen(kw_only=True)
class Failed(Event):
    """An item ended without success, or with an unknown outcome: see the error's `kind` and `charged`."""

    error: HunyuanError


@attrs.frozen(kw_only=True)
class Paused(Event):
    """No request leaves for `seconds`, because of `reason`."""

    reason: str
    seconds: float
