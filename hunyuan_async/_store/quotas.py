"""What each tenant, and the app as a whole, may order."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import attrs

from hunyuan_async.errors import QuotaReached

SOON = 5.0  # seconds: about as long as an image takes


@attrs.frozen
class Quotas:
    """What one tenant may order; None for no limit. Days are those of UTC.

    Attributes:
        in_flight: Orders that are not at their end.
        images_per_day: Orders placed in a day, but for those that cost nothing in the end.
        credits_per_day: Credits of the orders placed in a day, as charged or reserved.
    """

    in_flight: int | None = 4
    images_per_day: int | None = 200
    credits_per_day: int | None = 5000


@attrs.frozen
class Shares:
    """The limits of a store.

    Attributes:
        tenant: For each tenant.
        daily_credits: For all of them together in a day.
        max_waiting: Orders that may wait to be sent, of all tenants.
    """

    tenant: Quotas
    daily_credits: int | None
    max_waiting: int


@attrs.frozen
class Use:
    """What is in use of a store's limits.

    Attributes:
        in_flight: Orders of the tenant that are not at their end.
        images: Orders of the tenant today.
        credits: Their credits.
        all_credits: Credits of all tenants today.
        waiting: Orders that wait to be sent, of all tenants.
    """

    in_flight: int
    images: int
    credits: int
    all_credits: int
    waiting: int


def check_shares(shares: Shares, use: Use, credits: int, now: datetime) -> None:
    """Check that one more order of *credits* fits.

    Raises:
        QuotaReached: It does not; the error says which limit it is, and when to try again.
    """
    tenant = shares.tenant
    if use.waiting >= shares.max_waiting:
        raise QuotaReached("Too many images wait to be made. Try again later.", 2 * SOON)
    if _exceeds(use.in_flight + 1, tenant.in_flight):
        raise QuotaReached(f"{use.in_flight} of your images are being made: wait until one is done.", SOON)
    tomorrow = datetime.combine(now.date() + timedelta(days=1), time(), UTC)
    rest = (tomorrow - now).total_seconds()
    if _exceeds(use.images + 1, tenant.images_per_day):
        raise QuotaReached(f"You have ordered {use.images} images today, as many as you may.", rest)
    if _exceeds(use.credits + credits, tenant.credits_per_day):
        raise QuotaReached(f"You have used {use.credits} credits today; another image does not fit.", rest)
    if _exceeds(use.all_credits + credits, shares.daily_credits):
        raise QuotaReached("No more images can be ordered today.", rest)


def _exceeds(amount: int, limit: int | None) -> bool:
    return limit is not None and amount > limit
