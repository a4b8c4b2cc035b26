"""What a journal tells of a run: costs, speed, and what was sent last."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._journal.reader import JournalReader

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

MakeItem = Callable[..., Item]

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def read(write_run: WriteRun) -> Iterator[Callable[..., tuple[JournalReader, str]]]:
    """Write a run of some items and open its journal."""
    opened = []

    def write_and_open(*items: Item) -> tuple[JournalReader, str]:
        opened.append(JournalReader.read_only(write_run(*items) / "journal.sqlite"))
        record = opened[-1].only_run()
        assert record
        return opened[-1], record.run

    yield write_and_open
    for reader in opened:
        reader.close()


def test_costs_are_summed_by_state(batch_item: MakeItem, read: Callable[..., tuple[JournalReader, str]]) -> None:
    """All attempts count, for each may have been paid."""
    items = [batch_item(0, State.DOWNLOADED), batch_item(0, State.UNKNOWN, attempt=2), batch_item(1, State.DOWNLOADED)]
    reader, run = read(*items)
    assert reader.costs(run) == {State.DOWNLOADED: 50, State.UNKNOWN: 25}
    assert reader.credits(run) == (50, 25)


def test_what_was_sent_last_comes_first(batch_item: MakeItem, read: Callable[..., tuple[JournalReader, str]]) -> None:
    """Only so many, in the states asked for; what never was sent comes in the end."""
    times = [NOON, None, NOON + 2 * MINUTE, NOON + MINUTE]
    states = [State.FAILED, State.PLANNED, State.REJECTED, State.DOWNLOADED]
    reader, run = read(*(batch_item(n, state, sending_at=times[n]) for n, state in enumerate(states)))
    assert [item.id for item in reader.newest(run, [*State], 10)] == ["x2", "x3", "x0", "x1"]
    assert [item.id for item in reader.newest(run, [*State], 2)] == ["x2", "x3"]
    assert [item.id for item in reader.newest(run, [State.FAILED, State.REJECTED], 10)] == ["x2", "x0"]
    assert reader.newest("", [*State], 10) == []


def test_what_finished_lately_is_counted(batch_item: MakeItem, read: Callable[..., tuple[JournalReader, str]]) -> None:
    """Together with the time at which the first of it was sent, wherever the clock stands that asks."""
    finished = [NOON - MINUTE, NOON, NOON + MINUTE / 3, None]
    states = [State.DOWNLOADED] * 3 + [State.SUBMITTED]
    reader, run = read(
        *(
            batch_item(n, state, sending_at=NOON + (n - 5) * MINUTE, finished_at=finished[n])
            for n, state in enumerate(states)
        )
    )
    since = NOON.astimezone(timezone(timedelta(hours=-5)))
    assert reader.finished(run, since) == (2, NOON - 4 * MINUTE)
    assert reader.finished(run, NOON + MINUTE) == (0, None)
