"""From rows to the images they ask for: ids, variations, repeats and bad rows."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

import attrs

from hunyuan_async._core.requests import prepare
from hunyuan_async._core.text import shown
from hunyuan_async._core.wire import read_request
from hunyuan_async.cli.inputs import BadLine, Row
from hunyuan_async.cli.templates import Template, cell_text, check_names
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE, Service

_REQUEST_COLUMNS = ("prompt", "size", "seed", "type", "images")


@attrs.frozen
class BatchItem:
    """One image that a batch asks for.

    Attributes:
        id: Its own in the whole batch. A row without an id gets a hash of its request as given; the second of
            equal rows gets "_2", the second variation "-2" appended.
        index: Its place among all items of the input, counted from 0.
        line: Where its row starts in the file.
        variation: Counted from 1.
        request: Fit to be sent; a seed of None is still to be drawn.
        input: The row's other columns, which are never sent.
        duplicate_of: The id of the equal item that is made in its place.
    """

    id: str
    index: int
    line: int
    variation: int
    request: ImageRequest
    input: Mapping[str, object]
    duplicate_of: str | None = None


@attrs.frozen(kw_only=True)
class RowOptions:
    """How rows are read.

    Attributes:
        prompt: Fills prompts from other columns; without it they stand in the column "prompt".
        id_column: Holds the ids, in place of the column "id".
        defaults: Values of `size`, `seed`, `type` and `images` for rows that give none.
        variations: How many images each row asks for.
        duplicates: Whether equal rows are made once in all, or each.
    """

    prompt: Template | None = None
    id_column: str | None = None
    defaults: Mapping[str, object] = attrs.field(factory=dict)
    variations: int = 1
    duplicates: Literal["once", "make"] = "once"


@attrs.frozen
class Batch:
    """What a whole input comes to.

    Attributes:
        items: To be made.
        duplicates: Equal to an earlier item, so not made.
        bad: Rows that no image can be made from.
    """

    items: tuple[BatchItem, ...]
    duplicates: tuple[BatchItem, ...]
    bad: tuple[BadLine, ...]


def read_batch(rows: Iterable[Row | BadLine], options: RowOptions, service: Service = API_IN_ONE) -> Batch:
    """All items of an input, and all that is wrong with it.

    Raises:
        InvalidRequest: As `read_items`.
    """
    items: list[BatchItem] = []
    duplicates: list[BatchItem] = []
    bad: list[BadLine] = []
    for entry in read_items(rows, options, service):
        if isinstance(entry, BadLine):
            bad.append(entry)
        else:
            (duplicates if entry.duplicate_of else items).append(entry)
    return Batch(tuple(items), tuple(duplicates), tuple(bad))


def read_items(
    rows: Iterable[Row | BadLine], options: RowOptions, service: Service = API_IN_ONE
) -> Iterator[BatchItem | BadLine]:
    """The items of an input in its order; a bad row is told in its place.

    Raises:
        InvalidRequest: The options name a column that the first row does not have.
    """
    expand = _RowExpander(options, service)
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
    """Turns rows into items, and remembers them to tell repeats from contradictions."""

    options: RowOptions
    service: Service
    _count: int = 0
    # By id: the line, and a digest of what the row asked for if the id is the row's own.
    _seen: dict[str, tuple[int, str]] = attrs.field(factory=dict)
    _repeats: Counter[str] = attrs.field(factory=Counter)

    def __call__(self, row: Row) -> list[BatchItem]:
        """All variations that a row asks for.

        Raises:
            InvalidRequest: The row cannot be right, or contradicts an earlier one.
        """
        given = self._given(row.columns)
        request = read_request({**self.options.defaults, **given})
        as_given = json.dumps({name: str(getattr(request, name)).strip() for name in sorted(given)})
        digest = hashlib.sha256(as_given.encode()).hexdigest()
        first_id = row_id = self._own_id(row.columns) or digest[:16]
        if is_repeat := self._seen.get(row_id, (0, ""))[1] == digest:
            self._repeats[row_id] += 1
            row_id = f"{row_id}_{self._repeats[row_id] + 1}"

        variations = range(1, self.options.variations + 1)
        items = [self._item(row, request, row_id, variation) for variation in variations]
        for item in items:
            if item.id in self._seen:
                line, _ = self._seen[item.id]
                raise InvalidRequest(f"id {shown(item.id)} is already that of another request, in line {line}")
        self._seen.update({item.id: (row.line, "") for item in items})
        self._seen[row_id] = row.line, "" if is_repeat else digest
        self._count += len(items)
        if is_repeat and self.options.duplicates == "once":
            return [attrs.evolve(item, duplicate_of=_numbered(first_id, item.variation)) for item in items]
        return items

    def _item(self, row: Row, request: ImageRequest, row_id: str, variation: int) -> BatchItem:
        item_id, seed = _numbered(row_id, variation), request.seed
        if seed is not None and seed != -1:
            seed += variation - 1
        return BatchItem(
            id=item_id,
            index=self._count + variation - 1,
            line=row.line,
            variation=variation,
            request=prepare(attrs.evolve(request, id=item_id, seed=seed), self.service),
            input=self._other_columns(row.columns),
        )

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
