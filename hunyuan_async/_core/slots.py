"""How many tasks may be in flight?"""

from __future__ import annotations

import math

import attrs

GROWTH = 2  # slots more for each task that finished well, as long as there are few
MODEST = 64  # tasks in flight, that are bought without any sign that more would be served sooner
QUEUED = 2.0  # times as long as ever: then tasks wait at the service, and more would only wait longer


@attrs.define
class Slots:
    """Grants the right to have one task in flight, and finds how many the service bears.

    A refused submit is blamed on a task limit, not on the request rate, if it is the second in a row while polls
    were answered in between, or if a limit found earlier is reached again (measured in the project's polling study).

    Attributes:
        bound: How many may be in use now.
        ceiling: As far as the bound may grow.
        in_use: How many are.
        useful: As many as may make it faster; no growth beyond, but for a modest number.
        found: Whether a task limit of the service was met.
    """

    bound: int
    ceiling: int
    in_use: int = 0
    useful: float = 0.0
    found: bool = False
    _shortest: float = math.inf
    _clean: int = 0
    _refused: int = 0
    _polls_answered: bool = False

    @property
    def free(self) -> bool:
        """Whether one can be taken."""
        return self.in_use < self.bound

    def take(self) -> None:
        """Take one, before a submit or for a task already in flight."""
        self.in_use += 1

    def learn(self, usual: float, rate: float) -> None:
        """Learn how many seconds tasks usually take, and how many requests a second pass at most; 0 if nobody knows."""
        self._shortest = min(self._shortest, usual)
        self.useful = 0.0 if usual > QUEUED * self._shortest else rate * self._shortest or math.inf

    def give_back(self) -> None:
        """Free one: refused, withdrawn, unknown, timed out or failed."""
        self.in_use -= 1

    def accepted(self) -> None:
        """Learn that the service took one more task."""
        self._refused = 0

    def poll_answered(self) -> None:
        """Learn that requests as such pass."""
        self._polls_answered = True

    def poll_limited(self) -> None:
        """Learn that the request rate is limited, whatever was refused before."""
        self._refused = 0

    def finished(self) -> None:
        """Free one whose task finished well; the bound may grow by it."""
        self.in_use -= 1
        self._clean += 1
        if self.found and self._clean < 2 * self.bound:
            return
        self._clean = 0
        growth = GROWTH if self.bound < MODEST and not self.found else 1
        reach = int(min(self.ceiling, max(MODEST, self.useful)))
        self.bound = max(self.bound, min(reach, self.bound + growth))

    def refused(self) -> bool:
        """Learn from a "too many requests" to a submit, and return whether the task limit is to blame.

        Call it while the refused submit still holds its slot.
        """
        self._refused += 1
        others = self.in_use - 1
        to_blame = others > 0 and (
            (self.found and others >= self.bound - 1) or (self._refused >= 2 and self._polls_answered)
        )
        if to_blame:
            # Attached tasks can be more than the bound.
            self.bound, self.found, self._clean = min(others, self.bound), True, 0
        self._polls_answered = False
        return to_blame
