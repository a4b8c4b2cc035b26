"""When do submits rest because nobody can tell what becomes of them?

Each submit without a clear answer may have been charged. After some in a row no further one leaves for a while, then a
single one as a probe; when probes end like that as well, the service is given up.
"""

from __future__ import annotations

import math

import attrs

IN_A_ROW = 5  # submits
FIRST_REST = 30.0  # seconds; doubled after each probe
PROBES = 3


@attrs.define
class Breaker:
    """Counts submits whose outcome is unknown, until one is answered clearly.

    Attributes:
        unclear: How many there were in a row, without those that were out already when it opened.
        rests_until: No submit leaves before this instant.
        probing: Whether the one submit that may be out while it is open is out.
    """

    unclear: int = 0
    rests_until: float = -math.inf
    probing: bool = False
    _opened_at: float = -math.inf

    @property
    def is_open(self) -> bool:
        """Whether submits leave one by one at most."""
        return self.unclear >= IN_A_ROW

    @property
    def has_given_up(self) -> bool:
        """Whether the probes have shown that the trouble stays."""
        return self.unclear >= IN_A_ROW + PROBES

    def ready_at(self) -> float:
        """Return the instant from which a submit may leave."""
        return math.inf if self.probing else self.rests_until

    def sent(self) -> None:
        """Count a submit that leaves."""
        self.probing = self.is_open

    def answered(self) -> None:
        """Learn that a submit was clearly accepted or refused."""
        self.unclear, self.rests_until, self.probing = 0, -math.inf, False

    def returned(self, sent_at: float) -> None:
        """Learn that a submit did not leave after all."""
        if sent_at > self._opened_at:  # one from before is no probe
            self.probing = False

    def unanswered(self, now: float, sent_at: float) -> float | None:
        """Learn that nobody knows what became of a submit; return the seconds of rest that follow, if any."""
        if sent_at <= self._opened_at:
            return None
        self.unclear += 1
        self.probing = False
        if not self.is_open:
            return None
        rest = FIRST_REST * 2.0 ** min(self.unclear - IN_A_ROW, PROBES)
        self._opened_at, self.rests_until = now, now + rest
        return rest
