"""The pacer alone under a source that never runs dry, against limits that it must find, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from functools import partial

from benchmarks.limits import Bucket, FixedWindow, Limit, SlidingWindow
from benchmarks.report import print_table
from hunyuan_async import API_IN_ONE
from hunyuan_async._assembly import MAX_RATE
from hunyuan_async._core.pacing import Pacer

CONNECTIONS = 64
ROUND_TRIP, SECONDS = 0.1, 600.0
LEAST_GOODPUT, MOST_LIMITED = 0.92, 0.02

# Each with the requests that it lets through in SECONDS.
LIMITS: tuple[tuple[str, Callable[[], Limit], float], ...] = (
    ("10/s, bursts of 20", partial(Bucket, 10, 20), 6020),
    ("50/s, bursts of 50", partial(Bucket, 50, 50), 30050),
    ("2/s, bursts of 5", partial(Bucket, 2, 5), 1205),
    ("600/min", partial(FixedWindow, 600, 60), 6000),
    ("600 in any 60 s", partial(SlidingWindow, 600, 60), 6000),
    ("600 in any 60 s, refusals count", partial(SlidingWindow, 600, 60, punishing=True), 6000),
)


def saturate(limit: Limit, *, tells: bool) -> tuple[int, int]:
    """Return how many requests were taken and how many were refused."""
    pacer = Pacer(API_IN_ONE.start_rate, MAX_RATE)
    chance = random.Random(1)  # noqa: S311 - the same in each run
    out: list[tuple[float, float, float | None]] = []  # when the answer comes, when it was sent, what a refusal says
    taken = refused = 0
    now = 0.0
    while now < SECONDS:
        while out and out[0][0] <= now:
            _, sent_at, after = heapq.heappop(out)
            if after is None:
                pacer.answered(now, sent_at)
            else:
                pacer.limited(now, sent_at, after if tells else None, chance.random())
        ready_at = pacer.ready_at(now)
        if ready_at <= now and len(out) < CONNECTIONS:
            pacer.take(now)
            admitted = limit.admits(now + ROUND_TRIP / 2)
            taken, refused = taken + admitted, refused + (not admitted)
            after = None if admitted else limit.retry_after(now + ROUND_TRIP / 2)
            heapq.heappush(out, (now + ROUND_TRIP, now, after))
        else:
            now = min([ready_at] * (ready_at > now) + [answer[0] for answer in out[:1]])
    return taken, refused


def main() -> None:
    """Print the table."""
    rows = []
    for name, limit, possible in LIMITS:
        for tells in (True, False):
            taken, refused = saturate(limit(), tells=tells)
            goodput, limited = taken / possible, refused / (taken + refused)
            met = goodput >= LEAST_GOODPUT and limited <= MOST_LIMITED
            rows.append((name, "yes" if tells else "no", goodput, f"{limited:.2%}", "" if met else "missed"))
    head = ("", "Retry-After", f"goodput, at least {LEAST_GOODPUT}", f"refused, at most {MOST_LIMITED:.0%}", "")
    print_table(f"The pacer alone, {SECONDS:g} s", head, rows)


if __name__ == "__main__":
    main()
