"""Options that reach a command as one value."""

from __future__ import annotations

import attrs
import click
from click.testing import CliRunner

from hunyuan_async.cli.option_groups import option_group


@attrs.frozen
class Size:
    """How large something is."""

    width: int
    height: int


sized = option_group("size", Size, click.option("--width", type=int), click.option("--height", type=int, default=2))


def test_a_group_reaches_its_command_as_one_value() -> None:
    """Beside other options, and in the order in which they were given."""
    seen: list[tuple[str, Size]] = []

    @click.command
    @click.argument("name")
    @sized
    def command(name: str, size: Size) -> int:
        seen.append((name, size))
        return 0

    ended = CliRunner().invoke(command, ["koi", "--width", "3"])
    assert (ended.exit_code, seen) == (0, [("koi", Size(3, 2))])
    shown = CliRunner().invoke(command, ["--help"]).output
    assert shown.index("--width") < shown.index("--height")
