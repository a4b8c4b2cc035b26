"""What a batch will take, told before it costs anything."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from hunyuan_async._core.text import printable
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.settings import Service

REQUESTS_PER_IMAGE = 4  # one submit, and about three looks until it is finished
SECONDS_PER_IMAGE = 10.0  # the service says 5 to 15
BYTES_PER_PIXEL = 1.6e6 / (1024 * 1024)  # of a PNG
SHOWN_PROMPTS = 3


@attrs.frozen(kw_only=True)
class Plan:
    """What a batch will take, as far as settings can tell.

    Attributes:
        rows: Rows that images are made from.
        images: To be made.
        prompts: The first few that differ.
        credits: What the images should cost.
        dollars: The same in US dollars.
        seconds: Until the last is finished; None if nothing tells the speed.
        bytes_needed: On disk, about.
        bytes_free: On disk; None if it is not known.
    """

    rows: int
    images: int
    prompts: tuple[str, ...]
    credits: int
    dollars: float
    seconds: float | None
    bytes_needed: int
    bytes_free: int | None

    def lines(self) -> list[str]:
        """The plan as lines for a terminal."""
        time = "found out on the way" if self.seconds is None else f"about {duration_text(self.seconds)}"
        free = "" if self.bytes_free is None else f", {_size_text(self.bytes_free)} free"
        return [
            f"Rows   {self.rows:,} -> {self.images:,} images",
            *(f"       {number}. {printable(prompt, 70)}" for number, prompt in enumerate(self.prompts, start=1)),
            f"Cost   {self.credits:,} credits, about ${self.dollars:,.2f} (settings, not a quote)",
            f"Time   {time}",
            f"Disk   about {_size_text(self.bytes_needed)} needed{free}",
        ]


def make_plan(
    items: Sequence[BatchItem],
    service: Service,
    *,
    rate: float | None = None,
    in_flight: int | None = None,
    bytes_free: int | None = None,
) -> Plan:
    """What *items* will take.

    Args:
        items: To be made.
        service: Knows the price.
        rate: Requests a second, submits and polls together, if known.
        in_flight: Tasks at the service at once, if known.
        bytes_free: Where the images go.
    """
    images = len(items)
    credits = images * service.credits_per_image
    bounds = [
        images * REQUESTS_PER_IMAGE / rate if rate else 0.0,
        images * SECONDS_PER_IMAGE / in_flight if in_flight else 0.0,
    ]
    return Plan(
        rows=len({item.line for item in items}),
        images=images,
        prompts=tuple(dict.fromkeys(item.request.prompt for item in items))[:SHOWN_PROMPTS],
        credits=credits,
        dollars=credits * service.usd_per_credit,
        seconds=max(bounds) or None,
        bytes_needed=round(BYTES_PER_PIXEL * sum(_pixels(item.request.size) for item in items)),
        bytes_free=bytes_free,
    )


def duration_text(seconds: float) -> str:
    """A duration for people, in its two largest units."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _size_text(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:,.0f} MB"


def _pixels(size: str) -> int:
    width, height = map(int, size.split("*"))
    return width * height
