"""How a run shows what it does: a live panel, lines, JSON, or nothing; from events and statistics alone."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

import attrs

from hunyuan_async._core.text import printable
from hunyuan_async.cli.plan import duration_text
from hunyuan_async.cli.terminal import say
from hunyuan_async.events import Event, Failed, Paused
from hunyuan_async.models import Statistics

Mode = Literal["panel", "lines", "json", "none"]
PANEL_EVERY, LINE_EVERY = 0.25, 10.0  # seconds
TROUBLE_EVERY = 300.0  # seconds between lines about what heals by itself
RECENT = 60.0  # seconds that the speed is taken from


@attrs.frozen
class Snapshot:
    """A run at one moment.

    Attributes:
        title: What runs.
        total: Images asked for.
        ended: How many have ended, well or not.
        statistics: The client's.
        per_minute: Images that ended in the last minute, as a rate; None at the start.
        note: What the run does now, if it is not simply going on.
    """

    title: str
    total: int
    ended: int
    statistics: Statistics
    per_minute: float | None
    note: str | None = None

    @property
    def eta(self) -> float | None:
        """Seconds until the last image, at the present speed."""
        return (self.total - self.ended) / self.per_minute * 60 if self.per_minute else None

    def line(self) -> str:
        """The snapshot in one line."""
        seen = self.statistics
        parts = [
            f"{self.ended:,} of {self.total:,}",
            f"done {seen.succeeded:,}",
            f"failed {seen.failed:,}",
            f"unknown {seen.unknown:,}",
            f"in flight {seen.in_flight:,}",
            f"{seen.credits_spent:,} credits",
        ]
        if self.per_minute:
            parts.append(f"{self.per_minute:.0f}/min")
        if self.eta is not None:
            parts.append(f"{duration_text(self.eta)} to go")
        return "  ".join(parts)


class View(Protocol):
    """Shows snapshots."""

    every: float

    def show(self, snapshot: Snapshot) -> None:
        """Show the run as it is."""

    def happened(self, event: Event) -> None:
        """Take note of an event."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Silent:
    """Shows nothing."""

    every = 3600.0

    def show(self, snapshot: Snapshot) -> None:
        """Do nothing."""

    def happened(self, event: Event) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Lines:
    """Prints a line every ten seconds, and one every five minutes about what heals by itself."""

    every = LINE_EVERY

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told_at = -TROUBLE_EVERY

    def show(self, snapshot: Snapshot) -> None:
        """Print the snapshot's line."""
        say(f"{time.strftime('%H:%M:%S')}  {snapshot.line()}")

    def happened(self, event: Event) -> None:
        """Print a pause, unless one was printed lately."""
        if isinstance(event, Paused) and self._clock() - self._told_at >= TROUBLE_EVERY:
            self._told_at = self._clock()
            say(f"{time.strftime('%H:%M:%S')}  waiting {event.seconds:.0f} s: {printable(event.reason)}")

    def close(self) -> None:
        """Do nothing: lines need no clean-up."""


class JsonLines:
    """Prints every event, and a snapshot a second, as a JSON object a line on stdout."""

    every = 1.0

    def show(self, snapshot: Snapshot) -> None:
        """Print the snapshot."""
        self._print(
            {"event": "progress", "total": snapshot.total, "ended": snapshot.ended, **attrs.asdict(snapshot.statistics)}
        )

    def happened(self, event: Event) -> None:
        """Print the event."""
        fields = attrs.asdict(event, recurse=False, filter=lambda field, _: field.name not in {"files", "error"})
        if isinstance(event, Failed):
            fields |= {"kind": event.error.kind, "message": event.error.message, "charged": event.error.charged}
        self._print({"event": type(event).__name__.lower(), **fields})

    def close(self) -> None:
        """Do nothing: lines need no clean-up."""

    def _print(self, content: dict[str, object]) -> None:
        json.dump(content, sys.stdout, default=str)
        sys.stdout.write("\n")
        sys.stdout.flush()


def open_view(mode: Mode | None) -> View:
    """Return the view that was asked for; without one, a panel on a terminal that can draw it, else lines."""
    if mode is None:
        mode = "panel" if sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" else "lines"
    match mode:
        case "lines":
            return Lines()
        case "json":
            return JsonLines()
        case "none":
            return Silent()
    from hunyuan_async.cli.panel import LivePanel

    return LivePanel()


class Speed:
    """Counts images that ended, over the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._started = clock()
        self._ends: deque[float] = deque()
        self.ended = 0

    def count(self) -> None:
        """Count one that ended now."""
        self.ended += 1
        self._ends.append(self._clock())

    def per_minute(self) -> float | None:
        """Return images a minute; None until one has ended."""
        now = self._clock()
        while self._ends and self._ends[0] < now - RECENT:
            self._ends.popleft()
        seconds = min(RECENT, now - self._started)
        return len(self._ends) / seconds * 60 if self._ends and seconds else None


async def keep_showing(view: View, snapshot: Callable[[], Snapshot]) -> None:
    """Show a snapshot now and then, until cancelled."""
    while True:
        view.show(snapshot())
        await asyncio.sleep(view.every)
