"""What the engine tells while it works: events, in the order in which they happened, and a snapshot of its counts.

Panel, logs, telemetry and web pages read these and `Client.statistics()`, nothing else. No event holds a
prompt, a key or an image's address.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

import attrs

from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import SavedImage, TaskState

Cause = Literal["rate", "pause", "slots", "saving", "budget", "unclear"]


@attrs.frozen(kw_only=True)
class Event:
    """Something happened.

    Attributes:
        when: The wall-clock time, in UTC.
        id: The item's own id; None if it concerns the whole client, and for a look at a task that is not waited for.
        tenant: On whose behalf the item is made; "" if nobody said.
    """

    when: datetime
    id: str | None = None
    tenant: str = ""


Listener = Callable[[Event], None]


@attrs.frozen(kw_only=True)
class StreamOpened(Event):
    """A stream, by its number, begins to take requests; a `Run` streams, too.

    It is told in the asyncio task that all images of the stream are started from, and inherit their context from.
    """

    stream: int


@attrs.frozen(kw_only=True)
class StreamClosed(Event):
    """A stream has handed over its last outcome, or was left; what is paid may go on."""

    stream: int


@attrs.frozen(kw_only=True)
class Sending(Event):
    """A submit is about to leave: from here on it may be charged."""


@attrs.frozen(kw_only=True)
class Submitted(Event):
    """The service accepted a task; it is paid. The exchange took `seconds`, from the permit to leave to the answer."""

    task_id: str
    credits: int
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class PutOff(Event):
    """A submit never left, or was refused for now: it cost nothing, and waits for its turn again or fails next."""

    error: HunyuanError


@attrs.frozen(kw_only=True)
class Withdrawn(Event):
    """An item that had been let go to be sent is not sent any more: its caller went away. It cost nothing."""


@attrs.frozen(kw_only=True)
class Resumed(Event):
    """A task that was paid earlier, here or in another process, is watched again."""

    task_id: str


@attrs.frozen(kw_only=True)
class Polled(Event):
    """A look at a task, which took `seconds`; `state` is None if the answer could not be understood."""

    task_id: str
    state: TaskState | None
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Completed(Event):
    """A task finished; `seconds` from its acceptance until we noticed.

    If it is the client that saves its images, `saving` is true, and `Downloaded` or `Failed` follows.
    """

    task_id: str
    seconds: float
    saving: bool = False


@attrs.frozen(kw_only=True)
class Downloaded(Event):
    """An item's images are on disk, which took `seconds`; the addresses that they came from are left out."""

    task_id: str
    files: tuple[SavedImage, ...]
    seconds: float = 0.0


@attrs.frozen(kw_only=True)
class Failed(Event):
    """An item ended without success, or with an unknown outcome: see the error's `kind` and `charged`.

    `task_id` is its task, if it was accepted.
    """

    error: HunyuanError
    task_id: str | None = None


@attrs.frozen(kw_only=True)
class Paused(Event):
    """No request leaves for `seconds`, because of `reason`."""

    reason: str
    seconds: float


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
        rate_found: Requests a second that the service takes, as measured; None until it has limited us.
        waiting_for: Why no request leaves now, in words; None if nothing holds them back.
        waited: Seconds for which the next request was held back so far, by what did it: "rate", "pause" (the service
            limits, or is in trouble), "slots", "saving", "budget" or "unclear" (submits without a clear answer).
        latency_p50: Seconds from a submit within which half of the tasks finish, as learned; None until one has.
        latency_p95: The same for 95 in 100.
        polls_per_task: Status checks that a finished task took, on average.
        notice_delay: Seconds from a task's finish until it was noticed, on average, as expected from what is learned.
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
    rate_found: float | None = None
    waiting_for: str | None = None
    waited: Mapping[Cause, float] = attrs.field(factory=dict)
    latency_p50: float | None = None
    latency_p95: float | None = None
    polls_per_task: float | None = None
    notice_delay: float | None = None
