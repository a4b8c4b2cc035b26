"""From requests to the items of a run."""

from __future__ import annotations

from collections import Counter

import attrs

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.requests import digest_of, prepare
from hunyuan_async._core.seeds import derived_seed
from hunyuan_async._core.text import shown
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Service


class Intake:
    """Turns the requests of one call into items, and tells repeats from contradictions."""

    def __init__(self, record: RunRecord, service: Service) -> None:
        self._record = record
        self._service = service
        self._repeats = Counter[str]()
        self._digests: dict[str, str] = {}

    def item(self, request: str | ImageRequest) -> Item:
        """Return the item of a request.

        Raises:
            InvalidRequest: It cannot be right, or has the id of another one.
        """
        asked = ImageRequest(request) if isinstance(request, str) else request
        prepared = prepare(asked, self._service)
        given = given_in(asked)
        digest = digest_of(asked, given)
        given.pop("extra", None)  # what no column of a table can hold
        item_id = asked.id
        if item_id is None:
            self._repeats[digest] += 1
            item_id = digest[:16] if self._repeats[digest] == 1 else f"{digest[:16]}_{self._repeats[digest]}"
        if self._digests.setdefault(item_id, digest) != digest:
            raise InvalidRequest(f"The id {shown(item_id)} came with two different requests: give each its own.")
        seed = derived_seed(self._record.seed, item_id) if prepared.seed is None else prepared.seed
        return Item(
            item_id,
            attrs.evolve(prepared, id=item_id, seed=seed),
            self._service.credits_per_image,
            run=self._record.run,
            given=digest,
            detail={"line": None, "variation": 1, "input": {}, "given": given},
        )


def given_in(request: ImageRequest) -> dict[str, object]:
    """Return the fields of a request that its maker gave, but for its id."""
    plain = attrs.asdict(ImageRequest(request.prompt), recurse=False)
    fields = attrs.asdict(request, recurse=False)
    given = {name: fields[name] for name in plain if name == "prompt" or fields[name] != plain[name]}
    given.pop("id", None)
    return given
