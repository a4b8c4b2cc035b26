"""The file of a store's orders: what several processes write into it at once, and what each reads."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hunyuan_async._store.order import OrderState
from hunyuan_async._store.orders import ORDERS, OrderFile, Progress, Wish
from hunyuan_async._store.quotas import Quotas, Shares
from hunyuan_async.errors import JournalError, NoSuchOrder, OrderConflict, QuotaReached, TaskFailed
from hunyuan_async.models import ImageRequest, SavedImage

FREE = Shares(Quotas(None, None, None), None, max_waiting=1000)
Open = Callable[[], OrderFile]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open the orders of one directory, as often as there are workers."""
    files: list[OrderFile] = []

    def open_one() -> OrderFile:
        files.append(OrderFile.open(tmp_path / "store"))
        return files[-1]

    yield open_one
    for file in files:
        file.close()


def wish(tenant: str = "ann", id: str | None = None, prompt: str = "a fox") -> Wish:
    """An order to be."""
    return Wish(tenant, id, digest=prompt, request=ImageRequest(prompt, seed=7), interactive=True, credits=25)


def test_every_change_is_numbered_after_all_that_can_be_seen(opened: Open) -> None:
    """Two workers that write in turn: who has read up to a number has missed nothing before it."""
    one, two = opened(), opened()
    first, second = one.place(wish(), FREE), two.place(wish("ben"), FREE)
    one.note([Progress(first.handle, OrderState.RUNNING), Progress(second.handle, OrderState.RUNNING)])
    two.withdraw(two.place(wish(), FREE).handle, "ann")

    assert (first.change, second.change, two.last_change()) == (1, 2, 6)
    assert [order.change for order in one.changed("ann", after=0)] == [3, 6]
    assert [order.change for order in two.changed("ben", after=2)] == [4]
    assert two.tenants_changed(after=3) == {"ann": 6, "ben": 4}


def test_one_id_is_one_order_of_a_tenant(opened: Open) -> None:
    """Whichever worker is asked; another request under the id is refused, and another tenant has ids of its own."""
    one, two = opened(), opened()
    placed = one.place(wish(id="click"), FREE)

    assert two.place(wish(id="click"), FREE) == placed
    assert two.place(wish("ben", id="click"), FREE).handle != placed.handle
    with pytest.raises(OrderConflict):
        two.place(wish(id="click", prompt="a dog"), FREE)


def test_an_order_that_stands_is_found_again_when_the_share_is_used_up(opened: Open) -> None:
    """A repeated click gets its order, not a refusal."""
    file, one_a_day = opened(), Shares(Quotas(images_per_day=1), None, max_waiting=1000)
    placed = file.place(wish(id="click"), one_a_day)

    assert file.place(wish(id="click"), one_a_day) == placed
    with pytest.raises(QuotaReached):
        file.place(wish(id="other"), one_a_day)


@pytest.mark.parametrize(
    ("end", "fits"),
    [
        (Progress("", OrderState.FAILED, settled=True, credits=0), True),
        (Progress("", OrderState.FAILED, settled=True, credits=25, error=TaskFailed("no")), False),
        (Progress("", OrderState.UNKNOWN, credits=25), False),
        (Progress("", OrderState.DONE, settled=True, credits=25), False),
    ],
    ids=["refused", "failed and charged", "unknown", "done"],
)
def test_what_cost_nothing_gives_its_share_back(opened: Open, end: Progress, fits: bool) -> None:
    """What may have been charged still counts for its day."""
    file, one_a_day = opened(), Shares(Quotas(images_per_day=1), 25, max_waiting=1000)
    placed = file.place(wish(), one_a_day)
    file.note([Progress(placed.handle, end.state, end.settled, end.credits, end.error)])

    if fits:
        file.place(wish(), one_a_day)
    else:
        with pytest.raises(QuotaReached):
            file.place(wish(), one_a_day)


def test_shares_are_counted_over_all_workers(opened: Open) -> None:
    """Two connections cannot both take the last place."""
    one, two = opened(), opened()
    shares = Shares(Quotas(in_flight=1), None, max_waiting=2)
    one.place(wish("ann"), shares)

    with pytest.raises(QuotaReached, match="1 of your images"):
        two.place(wish("ann"), shares)
    two.place(wish("ben"), shares)
    with pytest.raises(QuotaReached, match="Too many images wait"):
        one.place(wish("cyd"), shares)


def test_another_tenants_order_does_not_exist(opened: Open) -> None:
    """A handle is worth nothing to others."""
    file = opened()
    handle = file.place(wish("ann"), FREE).handle

    for call in (file.order, file.withdraw):
        with pytest.raises(NoSuchOrder):
            call(handle, "ben")
    assert file.orders("ben", 99, 10) == file.changed("ben", 0) == []
    assert not file.order(handle, "ann").withdrawing


def test_progress_is_read_as_it_was_noted(opened: Open, tmp_path: Path) -> None:
    """Error and files come back; the paths are below the directory, wherever it is."""
    file = opened()
    handle = file.place(wish(), FREE).handle
    image = SavedImage(tmp_path / "store/images/0000/x.png", "", "ab" * 32, 9, 8, 4)
    file.note([Progress(handle, OrderState.DONE, settled=True, files=(image,), error=TaskFailed("no", charged="yes"))])

    order = opened().order(handle, "ann")

    assert (order.state, order.files, order.credits) == (OrderState.DONE, (image,), 25)
    assert isinstance(order.error, TaskFailed)
    assert order.error.charged == "yes"


def test_whoever_begins_to_send_reads_what_is_not_settled(opened: Open) -> None:
    """What is settled is not read again, and what was placed meanwhile comes by its number."""
    file = opened()
    done, unknown, later = (file.place(wish(), FREE) for _ in range(3))
    file.note([Progress(done.handle, OrderState.DONE, settled=True), Progress(unknown.handle, OrderState.UNKNOWN)])

    assert [order.handle for order in file.unsettled(up_to=unknown.number)] == [unknown.handle]
    assert [order.handle for order in file.placed(after=unknown.number)] == [later.handle]


def test_only_what_waits_can_be_withdrawn(opened: Open) -> None:
    """What is on its way goes on."""
    file = opened()
    waits, runs = file.place(wish(), FREE), file.place(wish(), FREE)
    file.note([Progress(runs.handle, OrderState.SENDING)])

    assert file.withdraw(waits.handle, "ann").withdrawing
    assert not file.withdraw(runs.handle, "ann").withdrawing
    assert file.withdrawing() == [waits.handle]


def test_the_newest_orders_come_first_by_pages(opened: Open) -> None:
    """The last number of a page leads to the next one."""
    file = opened()
    numbers = [file.place(wish(), FREE).number for _ in range(5)]

    first = file.orders("ann", 99, 2)
    rest = file.orders("ann", first[-1].number, 10)

    assert [order.number for order in (*first, *rest)] == numbers[::-1]


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path, opened: Open) -> None:
    """A database that holds no orders, or orders of a later version, is named and not changed."""
    (tmp_path / "store").mkdir()
    with sqlite3.connect(tmp_path / "store" / ORDERS) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = (tmp_path / "store" / ORDERS).read_bytes()

    with pytest.raises(JournalError, match="does not hold orders"):
        opened()

    assert (tmp_path / "store" / ORDERS).read_bytes() == before


def test_its_files_are_private(opened: Open, tmp_path: Path) -> None:
    """Prompts are personal."""
    opened().place(wish(), FREE)

    assert {path.stat().st_mode & 0o77 for path in (tmp_path / "store").iterdir()} == {0}
