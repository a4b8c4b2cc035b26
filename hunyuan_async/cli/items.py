"""From rows to the images they ask for: ids, variations, repeats and bad rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

import attrs

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.requests import check_name, digest_of, prepare
from hunyuan_async._core.seeds import derived_seed
from hunyuan_async._core.text import shown
from hunyuan_async._core.wire import read_request
from hunyuan_async._journal.planning import Changed
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.cli.inputs import BadLine, Row
from hunyuan_async.cli.seen import Seen
from hunyuan_async.cli.templates import Template, cell_text, check_names
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE, Service

_REQUEST_COLUMNS = ("prompt", "size", "seed", "type", "images")


@attrs.frozen(kw_only=True)
class RowOptions:
    """How rows are read.

    Attributes:
        prompt: Fills prompts from other columns; without it they stand in the column "prompt".
        id_column: Holds the ids, in place of the column "id".
        defaults: Values of `size`, `seed`, `type` and `images` for rows that give none.
        variations: How many images each row asks for.
        duplicates: Whether equal rows are made once in all, or each.
        changed: What becomes of images that were made already, and that the rows now ask for otherwise.
    """

    prompt: Template | None = None
    id_column: str | None = None
    defaults: Mapping[str, object] = attrs.field(factory=dict)
    variations: int = 1
    duplicates: Literal["once", "make"] = "once"
    changed: Changed = "stop"


def read_items(
    rows: Iterable[Row | BadLine], options: RowOptions, record: RunRecord, seen: Seen, service: Service = API_IN_ONE
) -> Iterator[Item | BadLine]:
    """The items of an input in its order; a bad row is told in its place.

    A row without an id gets a hash of its request as given; the second of equal rows gets "_2", the second variation
    "-2" appended. A seed that was not given derives from the run's and the id.

    Raises:
        InvalidRequest: The options name a column that the first row does not have.
    """
    expand = _RowExpander(options, record, seen, service)
    named = [*(options.prompt.names if options.prompt else ()), *filter(None, [options.id_column])]
    for row in rows:
        if isinstance(row, BadLine):
            yield row
            continue
        check_names(named, row.columns)
        named = []
        try:
            items = expand(row)
        except InvalidRequest as error:
            yield BadLine(row.line, error.message, row.columns)
        else:
            yield from items


@attrs.define
class _RowExpander:
    """Turns rows into items, and tells repeats from contradictions by what was seen."""

    options: RowOptions
    record: RunRecord
    seen: Seen
    service: Service

    def __call__(self, row: Row) -> list[Item]:
        """All variations that a row asks for.

        Raises:
            InvalidRequest: The row cannot be right, or contradicts an earlier one.
        """
        given = self._given(row.columns)
        request = read_request({**self.options.defaults, **given})
        digest = digest_of(request, given)
        first_id = row_id = self._own_id(row.columns) or digest[:16]
        check_name("id", row_id)
        first = self.seen.first(row_id)
        if is_repeat := first is not None and first[1] == digest:
            row_id = f"{row_id}_{self.seen.repeat(row_id) + 1}"

        detail = {"line": row.line, "input": self._other_columns(row.columns), "given": given}
        items = []
        for variation in range(1, self.options.variations + 1):
            item = self._item(_numbered(row_id, variation), request, variation)
            item.given, item.detail = digest, {**detail, "variation": variation}
            if is_repeat and self.options.duplicates == "once":
                item.state = State.SKIPPED
                item.detail = {**item.detail, "duplicate_of": _numbered(first_id, variation)}
            items.append(item)
        self._claim([item.id for item in items], row, "" if is_repeat else digest)
        return items

    def _item(self, item_id: str, request: ImageRequest, variation: int) -> Item:
        seed = request.seed
        if seed is None:
            seed = derived_seed(self.record.seed, item_id)
        elif seed != -1:
            seed += variation - 1
        request = prepare(attrs.evolve(request, id=item_id, seed=seed), self.service)
        return Item(item_id, request, self.service.credits_per_image, run=self.record.run)

    def _claim(self, ids: Sequence[str], row: Row, digest: str) -> None:
        """Take ids for a row. Later rows of the first one and the same *digest* repeat it, unless that is empty."""
        for item_id in ids:
            if taken := self.seen.first(item_id):
                raise InvalidRequest(f"id {shown(item_id)} is already that of another request, in line {taken[0]}")
        for item_id in ids:
            self.seen.note(item_id, row.line, digest if item_id == ids[0] else "")

    def _given(self, columns: Mapping[str, object]) -> dict[str, object]:
        given = {name: columns[name] for name in _REQUEST_COLUMNS if _is_filled(columns.get(name))}
        if self.options.prompt:
            given["prompt"] = self.options.prompt.fill(columns)
        return given

    def _own_id(self, columns: Mapping[str, object]) -> str | None:
        if self.options.id_column:
            return cell_text(columns, self.options.id_column)
        return cell_text(columns, "id") if _is_filled(columns.get("id")) else None

    def _other_columns(self, columns: Mapping[str, object]) -> dict[str, object]:
        """What comes back in the results: also a prompt or id that was read from another column."""
        read = {"id", *_REQUEST_COLUMNS}
        if self.options.prompt:
            read.remove("prompt")
        if self.options.id_column:
            read.remove("id")
        return {name: cell for name, cell in columns.items() if name not in read}


def _is_filled(cell: object) -> bool:
    return cell is not None and bool(str(cell).strip())


def _numbered(row_id: str, variation: int) -> str:
    return row_id if variation == 1 else f"{row_id}-{variation}"
