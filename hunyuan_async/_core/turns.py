"""Whose submit goes next?

Every submit costs the same, so fair is simply: the tenants take turns (round robin, Nagle 1987, RFC 970), each first
come, first served. What a person waits for has a lane of its own that goes first, but not for ever: after some of those
in a row, one of the others goes. So everyone's wait is bounded by who stands before them, never by who comes later.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import attrs

IN_A_ROW = 4  # interactive submits that may go while another waits


class Waiting(Protocol):
    """A place in the queue.

    Attributes:
        tenant: Whom it belongs to.
        interactive: Whether a person waits for it.
        withdrawn: Whether nobody waits for it any more.
    """

    tenant: str
    interactive: bool
    withdrawn: bool


W = TypeVar("W", bound=Waiting)


@attrs.define(eq=False)
class _Lane(Generic[W]):
    """Tenants that take turns; a tenant without waiting submits is forgotten."""

    queues: OrderedDict[str, deque[W]] = attrs.field(factory=OrderedDict)
    depth: int = 0

    def add(self, waiting: W, *, again: bool) -> None:
        self.depth += 1
        queue = self.queues.setdefault(waiting.tenant, deque())
        if again:
            queue.appendleft(waiting)
            self.queues.move_to_end(waiting.tenant, last=False)
        else:
            queue.append(waiting)

    def head(self, may_go: Callable[[W], bool]) -> W | None:
        idle, head = [], None
        for tenant, queue in self.queues.items():
            while queue and queue[0].withdrawn:
                self._popleft(queue)
            if not queue:
                idle.append(tenant)
            elif may_go(queue[0]):
                head = queue[0]
                break
        for tenant in idle:
            del self.queues[tenant]
        return head

    def take(self, head: W) -> None:
        self.queues.move_to_end(head.tenant)
        self._popleft(self.queues[head.tenant])

    def _popleft(self, queue: deque[W]) -> None:
        self.depth -= 1
        queue.popleft()


@attrs.define(eq=False)
class Turns(Generic[W]):
    """Holds the submits that wait for their turn.

    Attributes:
        in_a_row: Interactive ones that went since another did.
    """

    in_a_row: int = 0
    _interactive: _Lane[W] = attrs.field(factory=_Lane)
    _others: _Lane[W] = attrs.field(factory=_Lane)

    def add(self, waiting: W, *, again: bool = False) -> None:
        """Queue a submit behind its tenant's others; one that was refused for now goes first *again*."""
        lane = self._interactive if waiting.interactive else self._others
        lane.add(waiting, again=again)

    @property
    def depth(self) -> int:
        """How many wait, at no cost; a withdrawn one counts until it comes first."""
        return self._interactive.depth + self._others.depth

    def head(self, may_go: Callable[[W], bool] = lambda _: True) -> W | None:
        """Return the submit whose turn it is, among the first of each tenant that *may_go*."""
        interactive, other = self._interactive.head(may_go), self._others.head(may_go)
        if interactive and not (other and self.in_a_row >= IN_A_ROW):
            return interactive
        return other

    def take(self, head: W) -> None:
        """Take out the submit whose turn it is."""
        self.in_a_row = self.in_a_row + 1 if head.interactive else 0
        (self._interactive if head.interactive else self._others).take(head)

    def __len__(self) -> int:
        lanes = (self._interactive, self._others)
        return sum(not one.withdrawn for lane in lanes for queue in lane.queues.values() for one in queue)
