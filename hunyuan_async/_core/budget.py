"""Credits: what may still be spent."""

from __future__ import annotations

import attrs


@attrs.define
class Budget:
    """Counts credits from before the POST, so that a limit is never overrun by submits under way.

    Every credit is in one place: `reserved` while an answer is awaited, then `spent`, `at_risk` or free again.

    Attributes:
        limit: The most that may ever be spent, reserved or at risk; None for no limit.
        spent: For accepted tasks.
        reserved: For submits whose answer is awaited.
        at_risk: For submits whose outcome is unknown: they may have been charged.
    """

    limit: int | None = None
    spent: int = 0
    reserved: int = 0
    at_risk: int = 0

    def fits(self, credits: int) -> bool:
        """Whether *credits* more can be reserved now."""
        return self.limit is None or self.spent + self.reserved + self.at_risk + credits <= self.limit

    def may_fit(self, credits: int) -> bool:
        """Whether *credits* would fit if every submit under way were refused."""
        return self.limit is None or self.spent + self.at_risk + credits <= self.limit

    def reserve(self, credits: int) -> None:
        """Set *credits* aside before a submit."""
        self.reserved += credits

    def release(self, credits: int) -> None:
        """Free what was reserved: the submit was never sent, or refused."""
        self.reserved -= credits

    def spend(self, credits: int) -> None:
        """Turn what was reserved into money spent: the task was accepted."""
        self.reserved -= credits
        self.spent += credits

    def risk(self, credits: int) -> None:
        """Turn what was reserved into money at risk: nobody knows."""
        self.reserved -= credits
        self.at_risk += credits
