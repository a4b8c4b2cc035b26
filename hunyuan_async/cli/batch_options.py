"""The options of `hunyuan batch`, by what they are about."""

from __future__ import annotations

from typing import Literal

import attrs
import click

from hunyuan_async.cli.amounts import FailureLimit, parse_cost, parse_duration, parse_failures, parse_rate
from hunyuan_async.cli.inputs import FORMATS
from hunyuan_async.cli.items import RowOptions
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.cli.templates import parse_template
from hunyuan_async.cli.views import Mode
from hunyuan_async.settings import API_IN_ONE


@attrs.frozen
class Rows:
    """How the input is read; the fields are the options' own texts."""

    input_format: str | None
    prompt: str | None
    id_column: str | None
    size: str | None
    variations: int
    duplicates: Literal["once", "make"]
    skip_invalid: bool

    def options(self) -> RowOptions:
        """Return them as the reader wants them."""
        return RowOptions(
            prompt=parse_template(self.prompt) if self.prompt else None,
            id_column=self.id_column,
            defaults={"size": self.size} if self.size else {},
            variations=self.variations,
            duplicates=self.duplicates,
        )


@attrs.frozen
class Bounds:
    """How far the run may go.

    Attributes:
        max_credits: The most that may be spent.
        max_cost: The same in credits, given as money.
        in_flight: Tasks at the service at once.
        rate: Requests a second.
        max_failures: How many failures end it.
        give_up: Seconds that a service may be out of reach.
    """

    max_credits: int | None
    max_cost: int | None
    in_flight: int | None
    rate: float | None
    max_failures: FailureLimit | None
    give_up: float

    @property
    def budget(self) -> int | None:
        """The smaller of both limits on credits."""
        given = [limit for limit in (self.max_credits, self.max_cost) if limit is not None]
        return min(given, default=None)


@attrs.frozen
class Conduct:
    """How the run is carried out.

    Attributes:
        name: The template of file names.
        limit: Only so many images, from the start.
        sample: Only so many images, drawn at random.
        dry_run: Show the plan alone.
        yes: Do not ask.
        progress: How to show it.
    """

    name: str
    limit: int | None
    sample: int | None
    dry_run: bool
    yes: bool
    progress: Mode | None


row_options = option_group(
    "rows",
    Rows,
    click.option("--input-format", type=click.Choice(FORMATS), help="Needed for standard input."),
    click.option("--prompt", metavar="TEMPLATE", help='Fill prompts from columns: "photo of {title}, {color}".'),
    click.option("--id-column", metavar="NAME", help="The column that holds the ids."),
    click.option("--size", help="For rows without one: WxH in pixels, or a ratio such as 16:9."),
    click.option(
        "--variations", type=click.IntRange(1), default=1, help="Images for each row; a given seed counts up."
    ),
    click.option(
        "--duplicates", type=click.Choice(["once", "make"]), default="once", help="Equal rows: made once, or each."
    ),
    click.option("--skip-invalid", is_flag=True, help="Go on without the rows that cannot be right."),
)
"""Adds the options about the input, as `rows`."""

bound_options = option_group(
    "bounds",
    Bounds,
    click.option("--max-credits", type=click.IntRange(1), help="Spend no more than this."),
    click.option(
        "--max-cost",
        metavar="25usd",
        callback=lambda _, __, text: text and parse_cost(text, API_IN_ONE),
        help="The same, in money.",
    ),
    click.option("--in-flight", type=click.IntRange(1), help="Images under way at once; found out unless given."),
    click.option(
        "--rate",
        metavar="N/s",
        callback=lambda _, __, text: text and parse_rate(text),
        help="Requests a second or minute (5/s, 20/m); found out unless given.",
    ),
    click.option(
        "--max-failures",
        metavar="N|P%",
        callback=lambda _, __, text: text and parse_failures(text),
        help="Stop after so many; by default if the first 20 all fail, or 20% of the latest 200.",
    ),
    click.option(
        "--give-up",
        metavar="2h",
        default="2h",
        show_default=True,
        callback=lambda _, __, text: parse_duration(text),
        help="How long a service may be out of reach or refuse everything.",
    ),
)
"""Adds the options about limits, as `bounds`."""

conduct_options = option_group(
    "conduct",
    Conduct,
    click.option(
        "--name", default="{id}", show_default=True, help="File names, from {id} {index} {slug} {seed} {variation}."
    ),
    click.option("--limit", type=click.IntRange(1), metavar="N", help="Make the first N images only."),
    click.option("--sample", type=click.IntRange(1), metavar="N", help="Make N images drawn at random."),
    click.option("--dry-run", is_flag=True, help="Show the plan and stop."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask before a large batch."),
    click.option("--progress", type=click.Choice(["panel", "lines", "json", "none"]), help="How to show it."),
)
"""Adds the options about how it is carried out, as `conduct`."""
