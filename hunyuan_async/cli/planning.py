"""From an input to what its run is asked for, row by row: a million lines are never in memory."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from typing import cast

import attrs

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.seeds import drawing_order
from hunyuan_async._core.text import printable
from hunyuan_async._journal.planning import Planning
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.cli.inputs import BadLine, Row
from hunyuan_async.cli.items import RowOptions, read_items
from hunyuan_async.cli.seen import Seen
from hunyuan_async.errors import InvalidRequest

TOLD_EVERY = 10_000  # rows


@attrs.frozen
class InputPlan:
    """What an input came to.

    Attributes:
        planning: Counts its images, by what the run's journal held of them.
        rows: Rows that ask for images.
        bad: Rows that no image can be made from.
        gone: Images that were still to be made, and that the input no longer asks for.
    """

    planning: Planning
    rows: int
    bad: tuple[BadLine, ...]
    gone: int

    def check(self, options: RowOptions) -> None:
        """Check that there is something to do, and that nobody pays twice for an edit without saying so.

        Raises:
            InvalidRequest: No row asks for an image, or some ask otherwise for images that were made already.
        """
        if not self.rows:
            raise InvalidRequest("there is nothing to make: the input holds no row")
        planning = self.planning
        if planning.changed and options.changed == "stop":
            images = planning.new + planning.known + planning.edited + planning.changed
            raise InvalidRequest(
                f"{planning.changed:,} of {images:,} rows changed: {planning.changed_credits:,} credits; "
                "`--changed redo` makes them as attempt 2, `--changed keep` leaves them. They are: "
                + printable(", ".join(planning.changed_ids), 200)
            )

    def lines(self) -> list[str]:
        """What the run has to do with earlier ones of it, for a terminal."""
        planning = self.planning
        counts = {
            "as before": planning.known,
            "edited before they were sent": planning.edited,
            "changed": planning.changed,
            "new": planning.new,
            "no longer asked for": self.gone,
        }
        told = [f"{count:,} {words}" for words, count in counts.items() if count]
        lines = [] if told == [f"{planning.new:,} new"] else [f"Images {', '.join(told)}"]
        if planning.repeats:
            lines.append(
                f"{planning.repeats:,} more would repeat others exactly: left out (--duplicates make buys them)"
            )
        return lines


def plan_input(
    planning: Planning,
    rows: Iterable[Row | BadLine],
    options: RowOptions,
    record: RunRecord,
    *,
    limit: int | None = None,
    sample: int | None = None,
    on_rows: Callable[[int], None] = lambda _: None,
) -> InputPlan:
    """Plan the images that an input asks for, in one pass over it.

    Args:
        planning: Takes them.
        rows: The input.
        options: How they are read.
        record: The run.
        limit: Only so many images, from the start; the rest of the input is not read.
        sample: Only so many images, drawn by the run's seed, so that they are the same each time.
        on_rows: Told how many rows were read, from time to time.

    Raises:
        InvalidRequest: The options name a column that the first row does not have.
    """
    bad: list[BadLine] = []
    count, line = 0, 0
    with Seen() as seen:
        items = _good(read_items(_told(rows, on_rows), options, record, seen), bad)
        if sample:
            items = _drawn(items, record, sample)
        for item in _first(items, limit) if limit else items:
            planning.add(item, options.changed)
            if item.state is State.PLANNED and line != (line := _place(item)[0]):
                count += 1
    return InputPlan(planning, count, tuple(bad), planning.skip_rest())


def _told(rows: Iterable[Row | BadLine], on_rows: Callable[[int], None]) -> Iterator[Row | BadLine]:
    for number, row in enumerate(rows, start=1):
        yield row
        if number % TOLD_EVERY == 0:
            on_rows(number)


def _good(entries: Iterable[Item | BadLine], bad: list[BadLine]) -> Iterator[Item]:
    for entry in entries:
        if isinstance(entry, BadLine):
            bad.append(entry)
        else:
            yield entry


def _drawn(items: Iterable[Item], record: RunRecord, count: int) -> Iterator[Item]:
    wanted = (item for item in items if item.state is State.PLANNED)
    drawn = heapq.nsmallest(count, wanted, key=lambda item: drawing_order(record.seed, item.id))
    return iter(sorted(drawn, key=_place))


def _first(items: Iterable[Item], limit: int) -> Iterator[Item]:
    for item in items:
        yield item
        limit -= item.state is State.PLANNED
        if not limit:
            return


def _place(item: Item) -> tuple[int, int]:
    return cast("int", item.detail["line"]), cast("int", item.detail["variation"])
