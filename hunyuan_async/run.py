"""A batch that outlives its process: its items stand in a journal beside its images."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from hunyuan_async._core.lifecycle import PAID, Item, State
from hunyuan_async._core.text import shown
from hunyuan_async._intake import Intake
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.planning import Changed
from hunyuan_async._journal.recorder import Journal
from hunyuan_async._journal.resuming import OnUnknown, Resolution, resolve, settle
from hunyuan_async._opening import Admitted, OpenRun
from hunyuan_async._targets import Target, image_path
from hunyuan_async._uncancelled import see_through
from hunyuan_async.client import Client
from hunyuan_async.errors import AuthError, HunyuanError, InvalidRequest
from hunyuan_async.models import ImageRequest, Outcome
from hunyuan_async.streams import OutcomeStream, Requests

if TYPE_CHECKING:
    from hunyuan_async.events import Statistics

CHUNK = 1000  # requests planned in one commit


@attrs.define(eq=False, slots=False)
class Run:
    """Makes many images into a directory, and goes on where an earlier process stopped, however it ended.

    Use it as ``async with Run("out", client=client) as run``, then `add` requests and iterate over the run: it hands
    over the outcome of every item that is not yet on disk. What is on disk is neither paid nor handed over again.
    Leaving stops it: answers to requests already sent are waited for, images are not; the next process fetches them.

    Attributes:
        directory: Holds the images and the journal; one process at a time works in it.
        client: Makes the images.
        journal: Where the journal is kept instead, for a directory on a network; the directory gets a link to it.
        max_credits: What may be spent and put at risk in this directory, ever; None for no limit.
        on_unknown: What to do about requests that were sent and whose outcome nobody knows: "hold" leaves them to a
            person, "resubmit" sends each once more and may pay twice, "fail" abandons them; see `resolve`.
        key_changed: Admit another key than that of the earlier processes; it must belong to the same account.
        base_url_changed: Admit another address of the same service.
        verify: Compare the images on disk with their SHA-256, not only with their size.
    """

    directory: Path = attrs.field(converter=Path)
    client: Client = attrs.field(kw_only=True)
    journal: Path | None = attrs.field(default=None, kw_only=True, converter=attrs.converters.optional(Path))
    max_credits: int | None = attrs.field(default=None, kw_only=True)
    on_unknown: OnUnknown = attrs.field(default="hold", kw_only=True)
    key_changed: bool = attrs.field(default=False, kw_only=True)
    base_url_changed: bool = attrs.field(default=False, kw_only=True)
    verify: bool = attrs.field(default=False, kw_only=True)
    # For the command line: how files are named, and the number of the item after which planned ones are sent.
    _path: Callable[[Item], str] = attrs.field(default=image_path, kw_only=True, repr=False)
    _planned_after: int = attrs.field(default=0, kw_only=True, repr=False)
    _open: OpenRun | None = attrs.field(default=None, init=False, repr=False)
    _outcomes: OutcomeStream | None = attrs.field(default=None, init=False, repr=False)
    _passes: int = attrs.field(default=0, init=False, repr=False)  # of this iteration
    _stopped: bool = attrs.field(default=False, init=False, repr=False)

    async def add(self, requests: Requests, *, changed: Changed = "stop") -> int:
        """Plan requests that the run does not hold yet, and return how many; nothing is sent by it.

        A request is known by its `id`, or without one by what it asks for; the second of two equal ones in one call
        is another item, and the same call again adds nothing. An undrawn seed follows from the run and the id. What
        is added while the run is iterated over may need another iteration.

        Args:
            requests: Prompts or requests, from any iterable or async iterable.
            changed: What to do about an id that was sent before with another request: "stop" raises, "redo" makes it
                once more and pays again, "keep" leaves what was made.

        Raises:
            InvalidRequest: A request cannot be right, or was changed, or one id came with two requests. What came a
                thousand or more before it is planned.
            JournalError: It could not be stored.
        """
        opened, added = self._opened(), 0
        intake = Intake(opened.record, self.client.service)
        async for chunk in _chunks(requests):
            items = [intake.item(request) for request in chunk]
            added += await opened.journal.call(partial(self._plan, items=items, changed=changed))
        return added

    def stop(self) -> None:
        """Send nothing more; what is under way is still handed over. To go on, open the run again."""
        self._stopped = True
        if self._outcomes:
            self._outcomes.stop()

    def statistics(self) -> Statistics:
        """Take a snapshot of the client's work, with all that was ever spent and is at risk in this directory."""
        return self._opened().statistics()

    async def counts(self) -> dict[str, int]:
        """Count the items by their states: planned, submitted, downloaded, failed, unknown and so on."""
        opened = self._opened()
        totals = await opened.journal.call(lambda file: file.totals(opened.record.run))
        return {state.value: count for state, count in totals.items()}

    async def unknown(self) -> list[Outcome]:
        """Return the items that were sent and whose outcome nobody knows; their errors tell when, for the vendor."""
        opened = self._opened()
        items = await opened.journal.call(lambda file: [*file.each(opened.record.run, State.UNKNOWN)])
        return [Outcome(item.request, error=item.error) for item in items]

    async def resolve(self, ids: Iterable[str], resolution: Resolution, *, task_id: str | None = None) -> None:
        """Say what became of items whose outcome is unknown. Iterate again to fetch or make them.

        Args:
            ids: The items' ids.
            resolution: "accepted" if the service has it as *task_id*; "not_charged" if the vendor did not charge it,
                so that it is made; "resubmit" makes it again and may pay twice; "abandon" gives it up, and its
                credits stay at risk.
            task_id: The service's id, with "accepted" and one id alone.

        Raises:
            InvalidRequest: The outcome of one of them is not unknown, or *task_id* does not fit; none is resolved.
        """
        opened, wanted = self._opened(), [*ids]

        def write_down(file: JournalFile) -> list[Item]:
            with file.planning(opened.record.run) as planning:
                items = resolve(file, planning, wanted, resolution, task_id)
                planning.keep = True
                return items

        for item in await opened.journal.call(write_down):
            if resolution == "not_charged":
                opened.budget.correct(at_risk=-item.credits)
            elif resolution == "accepted":
                opened.budget.correct(at_risk=-item.credits, spent=item.credits)

    async def aclose(self) -> None:
        """Stop, store what is known, and let other processes have the directory."""
        if self._open:
            await see_through(self._close(self._open))

    async def __aenter__(self) -> Self:
        admitted = Admitted(self.key_changed, self.base_url_changed, files=self.verify)
        self._open = await OpenRun.open(self.client, self.directory, self.journal, self.max_credits, admitted)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Outcome:
        while True:
            self._opened()  # or it was closed under whoever iterates
            if self._outcomes is None:
                # What becomes unknown in the first pass is settled for a second one, and no more than that.
                settled = self._passes < 2 and not self._stopped and await self._settle()
                if self._passes and not settled:
                    self._passes = 0
                    raise StopAsyncIteration
                self._passes += 1
                self._outcomes = await self._stream()
            try:
                return await anext(self._outcomes)
            except StopAsyncIteration:
                self._outcomes = None
            except HunyuanError as error:
                self._outcomes, self._passes = None, 0
                if isinstance(error, AuthError):
                    await self._opened().unpin()
                raise

    async def _settle(self) -> int:
        opened = self._opened()

        def write_down(file: JournalFile) -> int:
            with file.planning(opened.record.run) as planning:
                count = settle(file, planning, self.on_unknown)
                planning.keep = True
                return count

        return await opened.journal.call(write_down)

    def _plan(self, file: JournalFile, items: Iterable[Item], changed: Changed) -> int:
        with file.planning(self._opened().record.run) as planning:
            for item in items:
                planning.add(item, changed)
            names = ", ".join(map(shown, planning.changed_ids))
            if planning.changed and changed == "stop":
                raise InvalidRequest(
                    f"{planning.changed} requests were sent before and have changed since: {names}. "
                    'Give changed="redo" to pay for them again, or changed="keep".'
                )
            if (planning.edited or planning.withdrawn) and self._outcomes:
                raise InvalidRequest(
                    "A request has changed that may be on its way just now: add it before iterating, or after."
                )
            planning.keep = True
            return planning.new + (planning.changed if changed == "redo" else 0)

    async def _stream(self) -> OutcomeStream:
        opened, limits = self._opened(), self.client.limits
        after = self._planned_after
        planned, _ = await opened.journal.call(lambda file: file.waiting(opened.record.run, after))
        items = _Pending(opened.journal, opened.record.run, after, planned)
        # Saving has a bound of its own; the stream's must not be met before it.
        window = (limits.in_flight or self.client.service.max_in_flight) + limits.unsaved + 1
        stream = OutcomeStream(
            opened.engine, items, self.client._plan, window=window, ordered=False, target=self._target
        )
        await stream.__aenter__()
        if self._stopped:
            stream.stop()
        return stream

    def _target(self, item: Item) -> Target:
        # What an earlier process left under this name is the item's own.
        return Target(self.directory / self._path(item), overwrite=item.state is not State.PLANNED)

    def _opened(self) -> OpenRun:
        if self._open is None:
            raise InvalidRequest("the run is not open; use: async with Run(directory, client=client) as run: ...")
        return self._open

    async def _close(self, opened: OpenRun) -> None:
        self._open = None
        try:
            if self._outcomes:
                await self._outcomes.aclose()
        finally:
            await opened.aclose()


class _Pending:
    """A run's unfinished items, a page at a time: first those that are paid, then those still to be sent."""

    def __init__(self, journal: Journal, run: str, planned_after: int, planned: int) -> None:
        self._journal = journal
        self._run = run
        self._to_send = planned
        self._passes: deque[tuple[Collection[State], int]] = deque([(PAID, 0), ({State.PLANNED}, planned_after)])
        self._page: deque[Item] = deque()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        while not self._page:
            if not self._passes:
                raise StopAsyncIteration
            states, after = self._passes[0]
            read = partial(JournalFile.items, run=self._run, states=states, after=after)
            self._page.extend(await self._journal.call(read))
            if self._page:
                self._passes[0] = states, self._page[-1].number
            else:
                self._passes.popleft()
        item = self._page.popleft()
        self._to_send -= item.state is State.PLANNED
        return item

    def __length_hint__(self) -> int:
        return max(0, self._to_send)


async def _chunks(requests: Requests) -> AsyncIterator[list[str | ImageRequest]]:
    chunk: list[str | ImageRequest] = []
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            chunk.append(request)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    else:
        for request in requests:
            chunk.append(request)
            if len(chunk) == CHUNK:
                yield chunk
                chunk = []
    if chunk:
        yield chunk
