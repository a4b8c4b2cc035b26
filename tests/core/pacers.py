"""A pacer that looks for an unknown limit, and requests that leave as soon as it lets them."""

from __future__ import annotations

from hunyuan_async._core.pacing import Pacer


def probing(rate: float = 2.0) -> Pacer:
    """A pacer that looks for an unknown limit."""
    return Pacer(rate, 100.0)


def leave(pacer: Pacer, now: float) -> float:
    """Let the next request leave as soon as it may, and return when that is."""
    at = pacer.ready_at(now)
    pacer.take(at)
    return at
