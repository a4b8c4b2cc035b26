"""Which items of a run a command is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs
import click

from hunyuan_async.cli.inputs import BadLine, input_format, opened, read_rows
from hunyuan_async.cli.option_groups import option_group
from hunyuan_async.cli.picks import Pick, read_picks
from hunyuan_async.errors import InvalidRequest


@attrs.frozen
class Ids:
    """Items, as the options name them.

    Attributes:
        item_ids: One by one.
        ids: A file of them: one a line, or a table with a column "id"; "-" for standard input. Of a table of verdicts
            those count whose latest one is "redo".
        every: All that the command can be about.
    """

    item_ids: tuple[str, ...]
    ids: str | None
    every: bool

    def read(
        self, all_of_them: Callable[[], Iterable[str]], is_open: Callable[[Pick], bool] = lambda _: True
    ) -> list[str]:
        """Return the ids, each once.

        Args:
            all_of_them: Gives all that the command can be about.
            is_open: Whether a verdict has not been acted on yet.

        Raises:
            InvalidRequest: None is named, or they are named and all are asked for, or the file cannot be read.
        """
        named = [*self.item_ids, *(_listed(self.ids, is_open) if self.ids else ())]
        if bool(named or self.ids) == self.every:
            raise InvalidRequest("name the items: ID ..., or --ids FILE, or --all of them, and nothing else")
        ids = list(dict.fromkeys(all_of_them() if self.every else named))
        if not ids:
            raise InvalidRequest("there is none that this could be about; nothing was changed")
        return ids


def _listed(source: str, is_open: Callable[[Pick], bool]) -> list[str]:
    form = "txt" if source == "-" else input_format(source)
    column = "prompt" if form == "txt" else "id"  # a line of text is a prompt elsewhere
    ids = []
    with opened(source) as file:
        if form == "csv":
            if (picks := read_picks(file.read())) is not None:
                latest = {pick.id: pick for pick in picks}
                return [pick.id for pick in latest.values() if pick.verdict == "redo" and is_open(pick)]
            file.seek(0)
        for row in read_rows(file, form):
            if isinstance(row, BadLine) or not row.columns.get(column):
                raise InvalidRequest(f"{source}, line {row.line}: there is no id")
            ids.append(str(row.columns[column]))
    return ids


id_options = option_group(
    "ids",
    Ids,
    click.argument("item_ids", metavar="[ID]...", nargs=-1),
    click.option(
        "--ids",
        metavar="FILE",
        help='A file of ids: .txt with one a line, .csv or .jsonl, or picks.csv; "-" for stdin.',
    ),
    click.option("--all", "every", is_flag=True, help="All of them."),
)
"""Adds IDs, `--ids` and `--all` to a command, which gets them as `ids`."""
