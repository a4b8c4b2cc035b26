"""What to do next: let this submit go, look at that task, or wait.

Every permit comes from here, so that polls and submits share one rate, one pause and one bound, and so that each
request that may leave goes to what is worth most: a look that will most likely find its task finished, else a submit,
else a look that is worth its price. Only the submit whose turn it is is looked at: a changed rate, a pause or a
cancelled waiter costs nothing.
"""

from __future__ import annotations

import math

import attrs

from hunyuan_async._core.breaker import Breaker
from hunyuan_async._core.budget import Budget
from hunyuan_async._core.latency import EAGER
from hunyuan_async._core.pacing import Pacer
from hunyuan_async._core.polling import PollSchedule
from hunyuan_async._core.retry import TryAgain
from hunyuan_async._core.slots import Slots
from hunyuan_async._core.turns import Turns
from hunyuan_async.errors import NotSent
from hunyuan_async.events import Cause

MAX_POLLS_OUT = 256  # requests; more would only wait in the connection pool
LOOKS_IN_A_ROW = 8  # that may go before a waiting submit, whatever they are worth


@attrs.define(eq=False)
class Ticket:
    """A place in the queue of submits.

    Attributes:
        credits: To reserve before it may go.
        budget: Where to reserve them.
        tenant: Who takes turns with others.
        interactive: Whether a person waits for it.
        behind: How many more will come after it one by one, as far as its sender knows.
        withdrawn: Whether nobody waits for it any more.
        sent_at: When it was let go.
    """

    credits: int
    budget: Budget
    tenant: str = ""
    interactive: bool = False
    behind: float = 0.0
    withdrawn: bool = False
    sent_at: float = -math.inf


@attrs.frozen
class Send:
    """Let this submit go; its slot and its credits are taken."""

    ticket: Ticket


@attrs.frozen
class Look:
    """Look at the task of this number now."""

    key: int


@attrs.frozen
class OverBudget:
    """This submit can never go: a budget is spent."""

    ticket: Ticket
    budget: Budget


@attrs.frozen
class Obstacle:
    """What holds the next request back: a word to count by, and the whole truth."""

    cause: Cause
    reason: str


@attrs.frozen
class Wait:
    """Nothing may leave before `until`, unless something changes."""

    until: float
    obstacle: Obstacle | None = None


Decision = Send | Look | OverBudget | Wait


@attrs.define(eq=False)
class Dispatch:
    """Weighs due polls against waiting submits under the pacer, the slots and the budgets.

    Attributes:
        pacer: When a request may leave.
        schedule: When a look is worth it.
        slots: How many tasks may be in flight.
        max_saving: No submit goes while more finished images than this wait to be saved.
        breaker: When submits rest although a request may leave.
        saving: How many do.
        polls_out: Looks whose answer is awaited.
        waited: Seconds for which the next request was held back, by what did it.
    """

    pacer: Pacer
    schedule: PollSchedule
    slots: Slots
    max_saving: int
    breaker: Breaker = attrs.field(factory=Breaker)
    saving: int = 0
    polls_out: int = 0
    waited: dict[Cause, float] = attrs.field(factory=dict)
    _held_since: float = 0.0
    _held_by: Cause | None = None
    # Whether a submit was refused and no look since tells if that was the request rate or the number of tasks.
    _in_doubt: bool = False
    _clicked: bool = False  # whether a person's submit went before looks just now: two of those would starve them
    _passed_over: int = 0  # looks that went before a submit that might have gone, since one did
    _queue: Turns[Ticket] = attrs.field(factory=Turns)

    def ask(self, ticket: Ticket, *, again: bool = False) -> None:
        """Put a submit into the queue; one that was refused for now goes first *again*."""
        self._queue.add(ticket, again=again)

    @property
    def waiting(self) -> int:
        """How many submits wait for their turn."""
        return len(self._queue)

    def next(self, now: float) -> Decision:
        """Decide, and take what the decision needs."""
        decision = self._next(now)
        if self._held_by:
            self.waited[self._held_by] = self.waited.get(self._held_by, 0.0) + now - self._held_since
        self._held_since = now
        self._held_by = decision.obstacle.cause if isinstance(decision, Wait) and decision.obstacle else None
        return decision

    def _next(self, now: float) -> Decision:
        ticket = self._queue.head(_is_decided) or self._queue.head()
        if ticket and (exceeded := ticket.budget.exceeded_by(ticket.credits)):
            self._queue.take(ticket)
            return OverBudget(ticket, exceeded)
        backlog = self._queue.depth + ticket.behind if ticket else 0
        self.schedule.weigh(backlog, self.pacer.rate, sure=self.pacer.limit.sure(now))
        due_at = self.schedule.next_due_at() if self.polls_out < MAX_POLLS_OUT else math.inf
        obstacle = self._obstacle(ticket, now) if ticket else None
        may_submit = ticket is not None and not obstacle
        ready_at = self.pacer.ready_at(now)
        if due_at > now and not may_submit:
            rests_until = self.breaker.ready_at()
            wake_at = min(due_at, rests_until) if ticket and rests_until > now else due_at
            return Wait(max(wake_at, ready_at), obstacle)
        if ready_at > now:
            return Wait(ready_at, obstacle or self._pacing(now))
        self.pacer.take(now)
        if due_at <= now and (not may_submit or self._in_doubt or self._look_is_better(ticket, now)):
            self.polls_out += 1
            self._clicked = False
            self._passed_over += may_submit
            return Look(self.schedule.take(now))
        assert ticket
        return self._send(ticket, now)

    def _look_is_better(self, ticket: Ticket | None, now: float) -> bool:
        clicked = ticket is not None and ticket.interactive and not self._clicked
        starved = self._passed_over >= LOOKS_IN_A_ROW
        return not clicked and not starved and self.schedule.beats_submit(now)

    def _send(self, ticket: Ticket, now: float) -> Send:
        self._queue.take(ticket)
        self.slots.take()
        self.breaker.sent()
        ticket.budget.reserve(ticket.credits)
        ticket.sent_at = now
        self._clicked, self._passed_over = ticket.interactive, 0
        return Send(ticket)

    def give_back(self, ticket: Ticket) -> None:
        """Undo a `Send` that never left."""
        self.slots.give_back()
        self.breaker.returned(ticket.sent_at)
        ticket.budget.release(ticket.credits)

    def refused(self, ticket: Ticket) -> None:
        """Undo a `Send` that the service refused."""
        self.give_back(ticket)
        self.breaker.answered()

    def accepted(self, ticket: Ticket, now: float) -> None:
        """Note that the service took the task: its slot stays taken, its credits are spent."""
        ticket.budget.spend(ticket.credits)
        self.slots.accepted()
        self.breaker.answered()
        self.pacer.answered(now, ticket.sent_at)

    def unanswered(self, ticket: Ticket, now: float) -> float | None:
        """Note that nobody knows whether the service took the task; return the seconds that submits rest, if any."""
        self.slots.give_back()
        ticket.budget.risk(ticket.credits)
        return self.breaker.unanswered(now, ticket.sent_at)

    def put_off(self, ticket: Ticket, verdict: TryAgain, *, now: float, jitter: float) -> float | None:
        """Undo a `Send` that was refused for now, and return the pause in seconds that it leads to, if any."""
        blame_slots = verdict.limited and self.slots.refused()
        if isinstance(verdict.error, NotSent):
            self.give_back(ticket)
        else:
            self.refused(ticket)
        if blame_slots:
            self.pacer.forgive(now)
            return None
        if verdict.limited:
            self._in_doubt = True
            return self.pacer.limited(now, ticket.sent_at, verdict.after, jitter)
        return self.pacer.pause(now, ticket.sent_at, verdict.error.message, verdict.after, jitter)

    def looked(
        self, status: int | None, after: float | None, *, now: float, sent_at: float, jitter: float
    ) -> float | None:
        """Learn from the answer to a `Look`, and return the pause in seconds that it leads to, if any.

        *status* is None if there was no answer; *after* is how many seconds it asked us to wait.
        """
        self.polls_out -= 1
        self._in_doubt = False
        if status == 429:
            self.slots.poll_limited()
            return self.pacer.limited(now, sent_at, after, jitter)
        if status is not None and status < 500:
            self.pacer.answered(now, sent_at)
            self.slots.poll_answered()
            if (model := self.schedule.model).finished >= EAGER:
                self.slots.learn(model.usual, self.pacer.limit.known)
        return None

    def _obstacle(self, ticket: Ticket, now: float) -> Obstacle | None:
        if self.breaker.ready_at() > now:
            unclear = f"{self.breaker.unclear} submits in a row got no clear answer; each may have been charged"
            return Obstacle("unclear", unclear)
        if self.saving > self.max_saving:
            return Obstacle("saving", f"{self.saving} finished images wait to be saved")
        if not self.slots.free:
            return Obstacle("slots", f"all {self.slots.bound} slots are in use")
        if not ticket.budget.fits(ticket.credits):
            return Obstacle("budget", "the rest of the budget is reserved for submits under way")
        return None

    def _pacing(self, now: float) -> Obstacle:
        if self.pacer.paused_until > now:
            return Obstacle("pause", self.pacer.reason)
        return Obstacle("rate", "the request rate")


def _is_decided(ticket: Ticket) -> bool:
    """Whether its budget says yes or no; one that must wait for others' answers does not hold other tenants up."""
    return ticket.budget.fits(ticket.credits) or ticket.budget.exceeded_by(ticket.credits) is not None
