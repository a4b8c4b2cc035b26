"""What a tenant and the app may order."""

from __future__ import annotations

from datetime import UTC, datetime

import attrs
import pytest

from hunyuan_async._store.quotas import Quotas, Shares, Use, check_shares
from hunyuan_async.errors import QuotaReached

NOW = datetime(2026, 11, 22, 18, tzinfo=UTC)
SIX_HOURS = 6 * 3600.0
SHARES = Shares(Quotas(in_flight=4, images_per_day=10, credits_per_day=200), daily_credits=1000, max_waiting=50)
NOTHING = Use(in_flight=0, images=0, credits=0, all_credits=0, waiting=0)
UP_TO_THE_LIMIT = Use(in_flight=3, images=9, credits=175, all_credits=975, waiting=49)


@pytest.mark.parametrize("use", [NOTHING, UP_TO_THE_LIMIT])
def test_what_fits_may_be_ordered(use: Use) -> None:
    """The last one that fits is let through."""
    check_shares(SHARES, use, 25, NOW)


@pytest.mark.parametrize(
    ("reached", "says", "retry_after"),
    [
        ({"waiting": 50}, "wait to be made", 10.0),
        ({"in_flight": 4}, "4 of your images are being made", 5.0),
        ({"images": 10}, "10 images today", SIX_HOURS),
        ({"credits": 176}, "176 credits today", SIX_HOURS),
        ({"all_credits": 976}, "No more images can be ordered today", SIX_HOURS),
    ],
)
def test_each_limit_says_what_it_is_and_when_to_come_back(
    reached: dict[str, int], says: str, retry_after: float
) -> None:
    """Days end at midnight, UTC."""
    with pytest.raises(QuotaReached, match=says) as caught:
        check_shares(SHARES, attrs.evolve(UP_TO_THE_LIMIT, **reached), 25, NOW)

    assert (caught.value.kind, caught.value.charged, caught.value.retry_after) == ("quota", "no", retry_after)


def test_none_is_no_limit() -> None:
    """Where nothing is set, nothing is refused."""
    everything = Use(10**6, 10**6, 10**6, 10**6, waiting=0)

    check_shares(Shares(Quotas(None, None, None), None, max_waiting=1), everything, 25, NOW)
