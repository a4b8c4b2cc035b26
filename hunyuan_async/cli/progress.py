"""How far a run has come, from the client's events and statistics alone."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable

import attrs

from hunyuan_async.cli.plan import duration_text
from hunyuan_async.cli.result_lines import Status, end_status
from hunyuan_async.events import Cause, Downloaded, Event, Failed, Statistics

RECENT = 60.0  # seconds that the speed is taken from

_CAUSES: dict[Cause, str] = {
    "rate": "the request rate",
    "pause": "pauses",
    "slots": "slots",
    "saving": "saving",
    "budget": "the budget",
    "unclear": "unclear answers",
}


@attrs.frozen
class Snapshot:
    """A run at one moment.

    Attributes:
        title: What runs.
        total: Images asked for.
        done: Images on disk.
        failed: Images that will not come.
        unknown: Requests whose outcome nobody knows.
        to_collect: Paid images that are not on disk and can still be fetched.
        per_minute: Images that ended lately, as a rate; None until one has ended.
        note: What the run does now, if it is not simply going on.
        statistics: The client's.
    """

    title: str
    total: int
    done: int
    failed: int
    unknown: int
    to_collect: int
    per_minute: float | None
    note: str | None
    statistics: Statistics

    @property
    def ended(self) -> int:
        """Images that have ended, well or not."""
        return self.done + self.failed + self.unknown + self.to_collect

    @property
    def eta(self) -> float | None:
        """Seconds until the last image, at the present speed."""
        return (self.total - self.ended) / self.per_minute * 60 if self.per_minute else None

    @property
    def counts(self) -> str:
        """How the images stand."""
        seen = self.statistics
        parts = [f"done {self.done:,}", f"failed {self.failed:,}", f"unknown {self.unknown:,}"]
        if self.to_collect:
            parts.append(f"to collect {self.to_collect:,}")
        parts.append(f"in flight {seen.in_flight:,} of {seen.slots:,}")
        if seen.saving:
            parts.append(f"saving {seen.saving:,}")
        return "   ".join(parts)

    @property
    def speed(self) -> str:
        """How fast it goes."""
        speed = "-" if self.per_minute is None else f"{self.per_minute:.0f}"
        eta = "-" if self.eta is None else duration_text(self.eta)
        seen = self.statistics
        found = f" of {seen.rate_found:.3g}" if seen.rate_found else ""
        limited = f", limited {seen.limited:,} times" if seen.limited else ""
        return f"{speed} images/min   to go {eta}   requests {seen.rate:.3g}{found}/s{limited}"

    @property
    def learned(self) -> str:
        """How long images take, what noticing them costs, and what time went by for."""
        seen = self.statistics
        if seen.latency_p50 is None:
            return "images take: not known yet"
        latency = f"images take {seen.latency_p50:.1f} s (95%: {seen.latency_p95:.1f} s)"
        return f"{latency}, {seen.polls_per_task:.1f} looks each, noticed after {seen.notice_delay:.1f} s"

    @property
    def held(self) -> str:
        """What held requests back, the worst first."""
        waited = sorted(self.statistics.waited.items(), key=lambda one: -one[1])
        held = [f"{duration_text(seconds)} by {_CAUSES[cause]}" for cause, seconds in waited if seconds >= 1]
        return f"held back {', '.join(held)}" if held else "nothing was held back"

    @property
    def money(self) -> str:
        """What it has cost so far."""
        seen = self.statistics
        reserved, at_risk = f"{seen.credits_reserved:,} reserved", f"{seen.credits_at_risk:,} at risk"
        return f"credits {seen.credits_spent:,} spent, {reserved}, {at_risk}"

    @property
    def activity(self) -> str:
        """What it does now, or what it waits for."""
        if self.note:
            return self.note
        if self.ended >= self.total:
            return "finished"
        if self.statistics.waiting_for:
            return f"waiting: {self.statistics.waiting_for}"
        return "sending" if self.statistics.waiting else "collecting"


@attrs.define
class Progress:
    """Counts the images of a run as the client's events tell of them.

    Attributes:
        title: What runs.
        total: Images asked for.
        statistics: Takes the client's snapshot.
        note: What the run does now, if it is not simply going on.
        ends: How many images ended how, with those of earlier commands.
    """

    title: str
    total: int
    statistics: Callable[[], Statistics] = Statistics
    note: str | None = None
    ends: Counter[Status] = attrs.field(factory=Counter)
    _clock: Callable[[], float] = time.monotonic
    _started_at: float = attrs.field(default=attrs.Factory(lambda self: self._clock(), takes_self=True), init=False)
    _ended_at: deque[float] = attrs.field(factory=deque, init=False)

    def happened(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case Downloaded():
                status: Status = "succeeded"
            case Failed(error=error):
                status = end_status(error)
            case _:
                return
        if status != "pending":
            self.ends[status] += 1
            self._ended_at.append(self._clock())

    def snapshot(self) -> Snapshot:
        """Take a snapshot."""
        return Snapshot(
            title=self.title,
            total=self.total,
            done=self.ends["succeeded"],
            failed=self.ends["failed"],
            unknown=self.ends["unknown"],
            to_collect=self.ends["submitted"],
            per_minute=self._per_minute(),
            note=self.note,
            statistics=self.statistics(),
        )

    def _per_minute(self) -> float | None:
        now = self._clock()
        while self._ended_at and self._ended_at[0] < now - RECENT:
            self._ended_at.popleft()
        seconds = min(RECENT, now - self._started_at)
        return len(self._ended_at) / seconds * 60 if self._ended_at and seconds else None


class View:
    """Shows nothing; other views show more.

    Attributes:
        every: Seconds between two snapshots.
    """

    every = 3600.0

    def show(self, snapshot: Snapshot) -> None:
        """Show the run as it is."""

    def happened(self, event: Event) -> None:
        """Take note of an event."""

    def close(self) -> None:
        """Leave the terminal as it was."""
