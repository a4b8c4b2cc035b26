"""When a run has failed too often to go on spending."""

from __future__ import annotations

import pytest

from hunyuan_async.cli.amounts import FailureLimit
from hunyuan_async.cli.failures import FailureGuard


def stops_after(limit: FailureLimit | None, ends: str) -> int | None:
    """After how many images a guard stops a run, if it does; "x" is a failure."""
    guard = FailureGuard(limit)
    for number, end in enumerate(ends, start=1):
        guard.ended("failed: no" if end == "x" else None)
        if guard.too_many:
            return number
    return None


@pytest.mark.parametrize(
    ("limit", "ends", "number"),
    [
        (None, "x" * 30, 20),
        (None, "." + "x" * 50, None),
        (None, "x" * 19 + "." + "x" * 50, None),
        (None, ("x" + "." * 4) * 100, 200),
        (None, ("x" + "." * 5) * 100, None),
        (None, "." * 1000 + "x" * 100, 1040),
        (FailureLimit(count=3), "..x.x..x..", 8),
        (FailureLimit(count=30), "x" * 40, 30),
        (FailureLimit(share=0.5), ".x" * 200, 200),
        (FailureLimit(share=0.5), "..x" * 200, None),
        (FailureLimit(share=0.5), "x" * 30, 20),
    ],
)
def test_a_run_stops_after_too_many_failures(limit: FailureLimit | None, ends: str, number: int | None) -> None:
    """Unless told otherwise: the first 20 all failed, or 20 % of the latest 200."""
    assert stops_after(limit, ends) == number


def test_the_commonest_messages_are_shown() -> None:
    """The reason to stop names them with their numbers."""
    guard = FailureGuard(FailureLimit(count=7))
    for reason in "aabcdaa":
        guard.ended(reason)
    assert guard.too_many == "too many failures: 4 x a; 1 x b; 1 x c"
