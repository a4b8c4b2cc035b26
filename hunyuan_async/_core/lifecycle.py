"""The life of one item, as a table.

Rule of this file: a state changes by a step found in `TRANSITIONS`, or not at all. The engine takes steps live and a
journal replays them; both go through `advance`, so neither can invent a path that loses or repeats a payment.

::

    planned --send--> sending --accept--> submitted --complete--> completed --save--> downloaded
     |   ^               |                  |                      |   ^                  |
     |   +---take_back---+--reject-->       +--fail--> failed      |   +----lose_file-----+
     |                   |  rejected        |                      |
     +--skip--> skipped  +--lose_answer-->  +--lose_task--> lost   +--expire--> expired
                            unknown

    expired --save--> downloaded
    unknown --accept--> submitted
            --clear--> rejected
            --abandon--> abandoned
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime

import attrs

from hunyuan_async.errors import HunyuanError
from hunyuan_async.models import ImageRequest, SavedImage, TaskStatus


class State(enum.Enum):
    """Where an item stands."""

    PLANNED = "planned"
    SENDING = "sending"
    SUBMITTED = "submitted"
    COMPLETED = "completed"
    DOWNLOADED = "downloaded"
    REJECTED = "rejected"
    FAILED = "failed"
    UNKNOWN = "unknown"
    ABANDONED = "abandoned"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    LOST = "lost"


class Step(enum.Enum):
    """What can happen to an item."""

    SKIP = "skip"
    SEND = "send"
    TAKE_BACK = "take_back"
    ACCEPT = "accept"
    REJECT = "reject"
    LOSE_ANSWER = "lose_answer"
    COMPLETE = "complete"
    FAIL = "fail"
    LOSE_TASK = "lose_task"
    SAVE = "save"
    LOSE_FILE = "lose_file"
    CLEAR = "clear"
    ABANDON = "abandon"
    EXPIRE = "expire"


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.PLANNED: {
        Step.SEND: State.SENDING,
        Step.SKIP: State.SKIPPED,  # nobody asks for it any more
    },
    State.SENDING: {
        Step.TAKE_BACK: State.PLANNED,  # provably never sent, or refused for now
        Step.ACCEPT: State.SUBMITTED,
        Step.REJECT: State.REJECTED,
        Step.LOSE_ANSWER: State.UNKNOWN,
    },
    State.SUBMITTED: {
        Step.COMPLETE: State.COMPLETED,
        Step.FAIL: State.FAILED,
        Step.LOSE_TASK: State.LOST,
    },
    State.COMPLETED: {Step.SAVE: State.DOWNLOADED, Step.EXPIRE: State.EXPIRED},
    State.DOWNLOADED: {Step.LOSE_FILE: State.COMPLETED},  # the image is gone from the disk
    State.EXPIRED: {Step.SAVE: State.DOWNLOADED},  # the image is back on the disk
    State.UNKNOWN: {  # a person has found out, or has given up finding out
        Step.ACCEPT: State.SUBMITTED,
        Step.CLEAR: State.REJECTED,
        Step.ABANDON: State.ABANDONED,
    },
}


PAID = frozenset({State.SUBMITTED, State.COMPLETED})  # and not on disk yet
FAILED = frozenset({State.REJECTED, State.FAILED, State.EXPIRED, State.LOST, State.ABANDONED})
SPENT = PAID | {State.DOWNLOADED, State.FAILED, State.EXPIRED, State.LOST}
AT_RISK = frozenset({State.SENDING, State.UNKNOWN, State.ABANDONED})


def advance(state: State, step: Step) -> State:
    """Return the state that *step* leads to.

    Raises:
        ValueError: The table has no such step; a bug in the caller.
    """
    try:
        return TRANSITIONS[state][step]
    except KeyError:
        raise ValueError(f"an item that is {state.value} cannot {step.value}") from None


@attrs.define(eq=False)
class Item:
    """One image asked for, and all that is known of it.

    Attributes:
        id: The item's own name; never sent.
        request: As it is sent, seed included; None for a task attached by its id alone.
        credits: What the image costs.
        state: Where it stands.
        task_id: The service's id, once accepted.
        submitted_at: When the service accepted it, by the wall clock.
        completion: The answer that showed it finished, raw body included.
        finished_at: When we noticed that it was finished, by the wall clock.
        files: The images on disk.
        withdrawn: Whether its caller went away: then it is not sent, unless it already was.
        error: Why it ended, or was put off.
        sending_at: When it was last let go to the service, by the wall clock.
        run: The run it belongs to.
        tenant: On whose behalf it is made.
        interactive: Whether a person waits for it now.
        attempt: Counted from 1: a person may have an item made again.
        given: Digest of the request as the user gave it, before defaults and seeds were filled in.
        detail: What the one who planned it wants back with it, as JSON allows.
        number: Its place in the order of planning, once read from a journal.
    """

    id: str
    request: ImageRequest | None
    credits: int
    state: State = State.PLANNED
    task_id: str | None = None
    submitted_at: datetime | None = None
    completion: TaskStatus | None = None
    finished_at: datetime | None = None
    files: tuple[SavedImage, ...] = ()
    withdrawn: bool = False
    error: HunyuanError | None = None
    sending_at: datetime | None = None
    run: str = ""
    tenant: str = ""
    interactive: bool = False
    attempt: int = 1
    given: str = ""
    detail: Mapping[str, object] = attrs.field(factory=dict)
    number: int = 0

    def next_attempt(self, request: ImageRequest | None = None) -> Item:
        """Return the item that makes this one again, or another *request* in its place."""
        return Item(
            self.id,
            request or self.request,
            self.credits,
            run=self.run,
            tenant=self.tenant,
            attempt=self.attempt + 1,
            given=self.given,
            detail=self.detail,
        )

    def become(self, other: Item) -> None:
        """Take over everything from *other*, which is the same item read from a journal."""
        for field in attrs.fields(Item):
            setattr(self, field.name, getattr(other, field.name))
