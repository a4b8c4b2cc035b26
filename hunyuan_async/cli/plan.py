"""What a batch will take, told before it costs anything."""

from __future__ import annotations

import attrs

from hunyuan_async._core.lifecycle import State
from hunyuan_async._core.text import printable
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.settings import Service

REQUESTS_PER_IMAGE = 4  # one submit, and about three looks until it is finished
SECONDS_PER_IMAGE = 10.0  # the service says 5 to 15
BYTES_PER_PIXEL = 1.6e6 / (1024 * 1024)  # of a PNG
SHOWN_PROMPTS = 3
LOOKED_AT = 1000  # images, for prompts and sizes


@attrs.frozen(kw_only=True)
class Plan:
    """What a batch will take, as far as settings can tell.

    Attributes:
        rows: Rows of the input; None if none was read.
        images: To be made.
        prompts: The first few that differ.
        credits: What the images should cost.
        dollars: The same in US dollars.
        seconds: Until the last is finished; None if nothing tells the speed.
        bytes_needed: On disk, about.
        bytes_free: On disk; None if it is not known.
    """

    rows: int | None
    images: int
    prompts: tuple[str, ...]
    credits: int
    dollars: float
    seconds: float | None
    bytes_needed: int
    bytes_free: int | None

    def lines(self) -> list[str]:
        """The plan as lines for a terminal."""
        if not self.images:
            return ["Nothing is left to be sent"]
        time = "found out on the way" if self.seconds is None else f"about {duration_text(self.seconds)}"
        free = "" if self.bytes_free is None else f", {_size_text(self.bytes_free)} free"
        images = f"{self.images:,} images"
        return [
            f"Rows   {self.rows:,} -> {images}" if self.rows else f"Left   {images}",
            *(f"       {number}. {printable(prompt, 70)}" for number, prompt in enumerate(self.prompts, start=1)),
            f"Cost   {self.credits:,} credits, about ${self.dollars:,.2f} (settings, not a quote)",
            f"Time   {time}",
            f"Disk   about {_size_text(self.bytes_needed)} needed{free}",
        ]


def make_plan(
    reader: JournalReader,
    run: str,
    service: Service,
    *,
    rows: int | None = None,
    rate: float | None = None,
    in_flight: int | None = None,
    bytes_free: int | None = None,
    after: int = 0,
) -> Plan:
    """What the items of a run will take that are still to be sent.

    Args:
        reader: Holds them.
        run: Its name.
        service: Knows the price.
        rows: How many rows of an input ask for them, and for those that were sent, if one was read.
        rate: Requests a second, submits and polls together, if known.
        in_flight: Tasks at the service at once, if known.
        bytes_free: Where the images go.
        after: Only items planned after this one count.
    """
    images, credits = reader.waiting(run, after)
    items = reader.items(run, [State.PLANNED], after, LOOKED_AT)
    requests = [item.request for item in items if item.request]
    pixels = sum(_pixels(request.size) for request in requests) / max(1, len(requests))
    return Plan(
        rows=rows,
        images=images,
        prompts=tuple(dict.fromkeys(request.prompt for request in requests))[:SHOWN_PROMPTS],
        credits=credits,
        dollars=credits * service.usd_per_credit,
        seconds=duration_of(images, rate, in_flight),
        bytes_needed=round(BYTES_PER_PIXEL * pixels * images),
        bytes_free=bytes_free,
    )


def duration_of(images: int, rate: float | None, in_flight: int | None) -> float | None:
    """Return how many seconds *images* take; None if neither rate nor tasks in flight are known."""
    bounds = [
        images * REQUESTS_PER_IMAGE / rate if rate else 0.0,
        images * SECONDS_PER_IMAGE / in_flight if in_flight else 0.0,
    ]
    return max(bounds) or None


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
