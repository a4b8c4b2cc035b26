"""Failures: why, and when there are too many to go on spending."""

from __future__ import annotations

from collections import Counter, deque

import attrs

from hunyuan_async.cli.amounts import FailureLimit

FIRST = 20  # images that all failed
LATEST, SHARE = 200, 0.2  # of the latest images, so many failed


@attrs.define
class FailureGuard:
    """Watches how images end, and says when to stop submitting.

    Attributes:
        limit: The user's; None for the default: the first 20 all failed, or 20 % of the latest 200.
        messages: How often each failure was seen.
    """

    limit: FailureLimit | None = None
    messages: Counter[str] = attrs.field(factory=Counter)
    _ended: int = 0
    _failed: int = 0
    _latest: deque[bool] = attrs.field(factory=lambda: deque(maxlen=LATEST))

    def ended(self, reason: str | None) -> None:
        """Take note of an image's end, and of the *reason* if it failed."""
        self._ended += 1
        self._latest.append(reason is not None)
        if reason:
            self._failed += 1
            self.messages[reason] += 1

    @property
    def too_many(self) -> str | None:
        """Why to stop, with the commonest messages; None to go on."""
        if not self._is_too_many():
            return None
        commonest = "; ".join(f"{count:,} x {text}" for text, count in self.messages.most_common(3))
        return f"too many failures: {commonest}"

    def _is_too_many(self) -> bool:
        if self.limit and self.limit.count is not None:
            return self._failed >= self.limit.count
        share = self.limit.share if self.limit and self.limit.share else SHARE
        all_of_the_first = self._ended >= FIRST and self._failed == self._ended
        return all_of_the_first or (len(self._latest) == LATEST and sum(self._latest) >= share * LATEST)
