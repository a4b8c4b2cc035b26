"""The options of `hunyuan batch`, by what they are about."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import attrs
import click

from hunyuan_async.cli.amounts import FailureLimit, parse_cost, parse_duration, parse_failures, parse_kinds, parse_rate
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
    changed: Literal["redo", "keep"] | None
    skip_invalid: bool

    def options(self) -> RowOptions:
        """Return them as the reader wants them."""
        return RowOptions(
            prompt=parse_template(self.prompt) if self.prompt else None,
            id_column=self.id_column,
            defaults={"size": self.size} if self.size else {},
            variations=self.variations,
            duplicates=self.duplicates,
            changed=self.changed or "stop",
        )


@attrs.frozen
class Bounds:
    """How far a run may go; what is None was not given.

    Attributes:
        max_credits: The most that may be spent in the run's directory.
        max_cost: The same in credits, given as money.
        in_flight: Tasks at the service at once.
        rate: Requests a second.
        max_failures: How many failures end it.
        give_up: Seconds that a service may be out of reach.
        on_unknown: What to do about requests whose outcome nobody knows.
    """

    max_credits: int | None = None
    max_cost: int | None = None
    in_flight: int | None = None
    rate: float | None = None
    max_failures: FailureLimit | None = None
    give_up: float | None = None
    on_unknown: Literal["hold", "resubmit", "fail"] | None = None

    @property
    def budget(self) -> int | None:
        """The smaller of both limits on credits."""
        given = [limit for limit in (self.max_credits, self.max_cost) if limit is not None]
        return min(given, default=None)

    def over(self, before: Bounds) -> Bounds:
        """Return these, and what was not given as it was *before*; a new limit on credits replaces both."""
        if self.budget is not None:
            before = attrs.evolve(before, max_credits=None, max_cost=None)
        given = attrs.asdict(self, recurse=False, filter=lambda _, value: value is not None)
        return attrs.evolve(before, **given)


@attrs.frozen
class Part:
    """Which images of the input are made, and how their files are named.

    Attributes:
        name: The template of file names.
        limit: Only so many images, from the start.
        sample: Only so many images, drawn at random, and the same ones each time.
        journal: Where to keep the journal, if not in the directory.
    """

    name: str | None
    limit: int | None
    sample: int | None
    journal: Path | None


@attrs.frozen
class Resumption:
    """How what an earlier command left is taken up.

    Attributes:
        retry_failed: Make again what failed and may succeed as it is.
        retry: Make again what failed in one of these ways.
        verify: Compare the images on disk with their checksums.
        key_changed: The key was replaced by another one of the same account.
    """

    retry_failed: bool = False
    retry: tuple[str, ...] = ()
    verify: bool = False
    key_changed: bool = False


@attrs.frozen
class Conduct:
    """How a command is carried out.

    Attributes:
        dry_run: Show the plan alone.
        yes: Do not ask.
        progress: How to show it.
    """

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
    click.option(
        "--changed",
        type=click.Choice(["redo", "keep"]),
        help="Rows edited since their images were made: made again, or left.",
    ),
    click.option("--skip-invalid", is_flag=True, help="Go on without the rows that cannot be right."),
)
"""Adds the options about the input, as `rows`."""

bound_options = option_group(
    "bounds",
    Bounds,
    click.option(
        "--max-credits",
        type=click.IntRange(1),
        help="The most that may ever be spent or at risk in DIR, by earlier commands too.",
    ),
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
        callback=lambda _, __, text: text and parse_duration(text),
        help="How long a service may be out of reach or refuse everything; 2h unless given.",
    ),
    click.option(
        "--on-unknown",
        type=click.Choice(["hold", "resubmit", "fail"]),
        help="Requests whose outcome nobody knows: leave them to you (hold), send each once more, which may pay twice, "
        "or give them up.",
    ),
)
"""Adds the options about limits, as `bounds`."""

part_options = option_group(
    "part",
    Part,
    click.option("--name", help="File names, from {id} {index} {slug} {seed} {variation}; {id} unless given."),
    click.option(
        "--limit",
        type=click.IntRange(1),
        metavar="N",
        help="Make the first N images only; what was planned before and is not among them is left out.",
    ),
    click.option(
        "--sample",
        type=click.IntRange(1),
        metavar="N",
        help="Make N images drawn at random, and the same ones each time.",
    ),
    click.option(
        "--journal",
        metavar="PATH",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Keep the journal there, for a DIR on a network; DIR gets a link to it.",
    ),
)
"""Adds the options about what is made, as `part`."""

resumption_options = option_group(
    "resumption",
    Resumption,
    click.option(
        "--retry-failed", is_flag=True, help="Make again, and pay again for, what failed and may succeed as it is."
    ),
    click.option(
        "--retry",
        metavar="KIND,...",
        default="",
        callback=lambda _, __, text: parse_kinds(text),
        help="Pay again for what failed like this: refused, rejected, task_failed, lost, expired, ...",
    ),
    click.option("--verify", is_flag=True, help="Compare the images on disk with their checksums."),
    click.option("--key-changed", is_flag=True, help="The key was replaced by another one of the same account."),
)
"""Adds the options about what an earlier command left, as `resumption`."""

conduct_options = option_group(
    "conduct",
    Conduct,
    click.option("--dry-run", is_flag=True, help="Show the plan and stop."),
    click.option("-y", "--yes", is_flag=True, help="Do not ask before a large batch."),
    click.option("--progress", type=click.Choice(["panel", "lines", "json", "none"]), help="How to show it."),
)
"""Adds the options about how it is carried out, as `conduct`."""
