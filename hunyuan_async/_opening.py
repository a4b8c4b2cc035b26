"""A run's directory, taken up by one process: checked, pinned to its service and key, and ready to record."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import attrs

from hunyuan_async._core.budget import Budget
from hunyuan_async._journal.disk import place_journal
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import RunRecord
from hunyuan_async._journal.recorder import Journal
from hunyuan_async._journal.resuming import check_files, pin
from hunyuan_async._uncancelled import see_through

if TYPE_CHECKING:
    from hunyuan_async._engine import Engine
    from hunyuan_async.client import Client
    from hunyuan_async.events import Statistics


@attrs.frozen
class Admitted:
    """What may have changed since the directory was last worked in.

    Attributes:
        key: Another key, of the same account.
        base_url: Another address of the same service.
        files: Images of the same length: they are compared by their SHA-256, too.
    """

    key: bool = False
    base_url: bool = False
    files: bool = False


@attrs.frozen
class OpenRun:
    """What belongs to whoever works in a run's directory.

    Attributes:
        engine: Makes the images.
        journal: Holds the items; open, and locked for all others.
        record: What the run was pinned to before it was opened.
        budget: Counts the credits of the directory.
        spent: What had been spent in it before.
    """

    engine: Engine
    journal: Journal
    record: RunRecord
    budget: Budget
    spent: int

    @classmethod
    async def open(
        cls, client: Client, directory: Path, journal: Path | None, max_credits: int | None, admitted: Admitted
    ) -> Self:
        """Take *directory* up with *client*'s engine, and find out how the process before us left it.

        Raises:
            JournalError: Another process has it, or it cannot be used.
            InvalidRequest: It belongs to another service or account.
        """
        engine = client._bound()
        opening = Journal(place_journal(directory, journal), directory)
        try:
            record = await opening.call(partial(_begin, client=client, directory=directory, admitted=admitted))
            spent, at_risk = await opening.call(lambda file: file.credits(record.run))
            await opening.call(lambda file: file.count_traffic(record.run, engine.traffic))
            budget = engine.open_book(record.run, opening, max_credits, spent=spent, at_risk=at_risk)
        except BaseException:
            await see_through(opening.aclose())
            raise
        return cls(engine, opening, record, budget, spent)

    async def unpin(self) -> None:
        """Forget a key that was refused and has paid for nothing here: the right one must not be refused for it."""
        if self.budget.spent == self.spent:
            await self.journal.call(lambda file: file.write_run(self.record))

    def statistics(self) -> Statistics:
        """Take a snapshot of the engine's work, with all that was ever spent and is at risk in this directory."""
        return attrs.evolve(
            self.engine.statistics(),
            credits_spent=self.budget.spent,
            credits_reserved=self.budget.reserved,
            credits_at_risk=self.budget.at_risk,
        )

    async def aclose(self) -> None:
        """Stop, store what is known, and let other processes have the directory."""
        try:
            await self.engine.leave(self.record.run)
        finally:
            await self.journal.aclose()


def _begin(file: JournalFile, client: Client, directory: Path, admitted: Admitted) -> RunRecord:
    from hunyuan_async._assembly import base_url_of, key_of

    record = file.begin_run()
    key = key_of(client) if client.transport is None else client.api_key or ""
    pinned = pin(record, directory, base_url_of(client), key, admitted.base_url, admitted.key)
    if pinned != record:
        file.write_run(pinned)
    file.lose_answers(record.run)
    check_files(file, record.run, verify=admitted.files)
    return record
