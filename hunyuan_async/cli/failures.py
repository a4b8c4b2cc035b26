"""When have too many images failed to go on spending?"""

from __future__ import annotations

from collections import Counter, deque

import attrs

from hunyuan_async.cli.amounts import FailureLimit
from hunyuan_async.errors import HunyuanError

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

    def ended(self, error: HunyuanError | None) -> None:
        """Take note of an image's end."""
        self._ended += 1
        self._latest.append(error is not None)
        if error:
            self._failed += 1
            self.messages[f"{error.kind}: {error.message}"] += 1

    @property
    def too_many(self) -> bool:
        """Whether to stop."""
        if self.limit and self.limit.count is not None:
            return self._failed >= self.limit.count
        share = self.limit.share if self.limit and self.limit.share else SHARE
        all_of_the_first = self._ended >= FIRST and self._failed == self._ended
        return all_of_the_first or (len(self._latest) == LATEST and sum(self._latest) >= share * LATEST)
