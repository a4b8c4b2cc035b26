"""Credits: what may still be spent."""

from __future__ import annotations

import attrs


@attrs.define
class Budget:
    """Counts credits from before the POST, so that a limit is never overrun by submits under way.

    Every credit is in one place: `reserved` while an answer is awaited, then `spent`, `at_risk` or free again. What
    counts in a budget counts in the one that it is `within`, too.

    Attributes:
        limit: The most that may ever be spent, reserved or at risk; None for no limit.
        spent: For accepted tasks.
        reserved: For submits whose answer is awaited.
        at_risk: For submits whose outcome is unknown: they may have been charged.
        within: A larger budget that this one is a part of.
    """

    limit: int | None = None
    spent: int = 0
    reserved: int = 0
    at_risk: int = 0
    within: Budget | None = None

    def fits(self, credits: int) -> bool:
        """Whether *credits* more can be reserved now."""
        fits_here = self.limit is None or self.spent + self.reserved + self.at_risk + credits <= self.limit
        return fits_here and (self.within is None or self.within.fits(credits))

    def exceeded_by(self, credits: int) -> Budget | None:
        """Return the budget that *credits* would not fit in even if every submit under way were refused, if any."""
        if self.limit is not None and self.spent + self.at_risk + credits > self.limit:
            return self
        return self.within and self.within.exceeded_by(credits)

    def reserve(self, credits: int) -> None:
        """Set *credits* aside before a submit."""
        self.book(reserved=credits)

    def release(self, credits: int) -> None:
        """Free what was reserved: the submit was never sent, or refused."""
        self.book(reserved=-credits)

    def spend(self, credits: int) -> None:
        """Turn what was reserved into money spent: the task was accepted."""
        self.book(reserved=-credits, spent=credits)

    def risk(self, credits: int) -> None:
        """Turn what was reserved into money at risk: nobody knows."""
        self.book(reserved=-credits, at_risk=credits)

    def correct(self, *, spent: int = 0, at_risk: int = 0) -> None:
        """Count otherwise what an earlier process spent or risked: the larger budget never held it."""
        self.spent += spent
        self.at_risk += at_risk

    def book(self, *, reserved: int = 0, spent: int = 0, at_risk: int = 0) -> None:
        """Count so many credits more, or less, in each place."""
        self.reserved += reserved
        self.correct(spent=spent, at_risk=at_risk)
        if self.within:
            self.within.book(reserved=reserved, spent=spent, at_risk=at_risk)
