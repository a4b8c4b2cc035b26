"""How a run stands, live or dead, from its journal alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import attrs

from hunyuan_async._core.lifecycle import AT_RISK, FAILED, PAID, SPENT, State
from hunyuan_async._core.text import printable
from hunyuan_async._journal.lock import holder
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.cli.exits import Exit
from hunyuan_async.cli.plan import duration_text
from hunyuan_async.cli.result_lines import STATUS, Status, failure_reason
from hunyuan_async.settings import API_IN_ONE

RECENT = timedelta(minutes=10)  # that the speed is taken from
LATEST, SHOWN = 200, 5  # failures that are grouped, and groups that are shown
UNFINISHED = PAID | {State.PLANNED, State.SENDING}

WORDS = {
    State.PLANNED: "to go",
    State.SENDING: "being sent",
    State.SUBMITTED: "at the service",
    State.COMPLETED: "to download",
    State.DOWNLOADED: "done",
    State.REJECTED: "refused",
    State.FAILED: "failed",
    State.EXPIRED: "expired",
    State.LOST: "lost by the service",
    State.UNKNOWN: "unknown",
    State.ABANDONED: "given up",
    State.SKIPPED: "left out",
}


@attrs.frozen
class RunStatus:
    """A run at one moment.

    Attributes:
        runner: The process that works on it; None if none does.
        items: How many are in which state.
        spent: Credits.
        reserved: Credits of what is being sent.
        at_risk: Credits of what may have been charged.
        per_minute: Tasks that finished lately, as a rate; None if none did.
        failures: How often each of the latest failures was seen.
    """

    runner: str | None
    items: Mapping[State, int]
    spent: int
    reserved: int
    at_risk: int
    per_minute: float | None
    failures: Counter[str]

    @property
    def to_go(self) -> int:
        """Images that are neither on disk nor given up."""
        return sum(self.items.get(state, 0) for state in UNFINISHED)

    def count(self, status: Status) -> int:
        """Count the images of a status."""
        return sum(count for state, count in self.items.items() if STATUS[state] == status)

    def exit_code(self) -> Exit:
        """Return what the shell is told of a run that was not stopped."""
        if self.count("unknown"):
            return Exit.SOME_UNKNOWN
        return Exit.SOME_FAILED if self.count("failed") or self.count("submitted") else Exit.DONE

    @property
    def seconds_left(self) -> float | None:
        """Until the last image, at the present speed; None if nobody works, or nobody can tell."""
        return self.to_go / self.per_minute * 60 if self.runner and self.per_minute else None

    def lines(self) -> list[str]:
        """Return it in words, safe to print."""
        images = sum(self.items.values()) - self.items.get(State.SKIPPED, 0)
        dollars = (self.spent + self.reserved + self.at_risk) * API_IN_ONE.usd_per_credit
        money = f"{self.spent:,} spent, {self.reserved:,} reserved, {self.at_risk:,} at risk"
        speed = "-" if self.per_minute is None else f"{self.per_minute:,.1f}"
        left = "-" if self.seconds_left is None else duration_text(self.seconds_left)
        standing = "   ".join(f"{word} {self.items[state]:,}" for state, word in WORDS.items() if state in self.items)
        lines = [
            f"Runner   {self.runner or 'none'}",
            f"Images   {images:,}:   {standing}",
            f"Credits  {money}: about ${dollars:,.2f}",
            f"Speed    {speed} images/min of late, to go {left}",
            *(["Latest failures:"] if self.failures else []),
            *(f"  {count:,} x {reason}" for reason, count in self.failures.most_common(SHOWN)),
        ]
        return [printable(line, 1000) for line in lines]

    def fields(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "runner": self.runner,
            "items": {state.value: count for state, count in self.items.items()},
            "credits": {"spent": self.spent, "reserved": self.reserved, "at_risk": self.at_risk},
            "per_minute": self.per_minute,
            "seconds_left": self.seconds_left,
            "failures": [{"reason": reason, "count": count} for reason, count in self.failures.most_common()],
        }


def look(reader: JournalReader, run: str, now: datetime | None = None) -> RunStatus:
    """Look at a run as it is *now*."""
    now = now or datetime.now(UTC)
    runner = holder(reader.path)  # asked first: what a run stores while it ends is seen
    items, costs = reader.totals(run), reader.costs(run)
    if not runner and State.SENDING in items:  # what was being sent when its runner died may have arrived
        items[State.UNKNOWN] = items.get(State.UNKNOWN, 0) + items.pop(State.SENDING)
    reserved = costs.get(State.SENDING, 0) if runner else 0
    count, first = reader.finished(run, now - RECENT)
    seconds = (now - max(first, now - RECENT)).total_seconds() if first else 0.0
    return RunStatus(
        runner=runner,
        items=items,
        spent=sum(costs.get(state, 0) for state in SPENT),
        reserved=reserved,
        at_risk=sum(costs.get(state, 0) for state in AT_RISK) - reserved,
        per_minute=count / seconds * 60 if seconds > 0 else None,
        failures=Counter(failure_reason(item.error) for item in reader.newest(run, FAILED, LATEST) if item.error),
    )


def utc_text(when: datetime | None) -> str:
    """A time for people who talk to the vendor, who is elsewhere."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if when else "-"
