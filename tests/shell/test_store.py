"""A store: what its tenants see, who sends, and what becomes of the orders when that changes hands."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import attrs
import pytest

from hunyuan_async._core.lifecycle import Item, State, Step
from hunyuan_async._journal.disk import JOURNAL
from hunyuan_async._journal.file import JournalFile
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async._store.orders import OrderFile, Progress, Wish
from hunyuan_async._store.quotas import Shares
from hunyuan_async._store.sending import progress_of
from hunyuan_async.client import Client
from hunyuan_async.errors import HunyuanError, InvalidRequest, JournalError, SubmitUnknown
from hunyuan_async.models import ImageRequest
from hunyuan_async.run import Run
from hunyuan_async.settings import Limits, Timeouts
from hunyuan_async.store import NoSuchOrder, Order, OrderConflict, OrderState, Quotas, Store
from hunyuan_async.testing import Fetched, NoReply, Reply, ScriptedTransport, accepted, finished, refused
from hunyuan_async.transport import BeforeSend

Connect = Callable[..., Client]
FREE = Quotas(None, None, None)
ONE_MORE = Shares(FREE, None, max_waiting=10)
SILENT = NoReply("connection reset", sent=True)


@attrs.define
class Service:
    """What the service was asked for, whoever asked.

    Attributes:
        posts: The prompts, as they came.
        answers: What it says to a prompt's next POSTs, instead of accepting them.
        slow: Whether no task ends.
        unreachable: Whether nothing can be sent to it.
    """

    posts: list[str] = attrs.field(factory=list)
    answers: dict[str, list[Reply | NoReply]] = attrs.field(factory=dict)
    slow: bool = False
    unreachable: bool = False

    def answer(self, request: ImageRequest) -> Reply | NoReply:
        """Take a POST."""
        self.posts.append(request.prompt)
        if scripted := self.answers.get(request.prompt):
            return scripted.pop(0)
        return accepted(f"t{len(self.posts)}")

    def look(self, task_id: str) -> Reply | NoReply:
        """Say how far a task has come."""
        return accepted(task_id) if self.slow else finished(task_id)


class Line(ScriptedTransport):
    """A worker's way to the service."""

    def __init__(self, service: Service, image: bytes) -> None:
        super().__init__(poll=service.look)
        self.image = image
        self._service = service

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Hand the image over."""
        write(self.image)
        return Fetched(200, len(self.image))

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Ask whether to send, and send; what is let go arrives."""
        if self._service.unreachable:
            return NoReply("wrong certificate", sent=False, permanent=True)
        await before_send()
        self.submits.append(request)
        answer = self._service.answer(request)
        await asyncio.sleep(0.1)
        return answer


@attrs.define
class Host:
    """A host on which workers share a store.

    Attributes:
        service: Whom they pay.
        directory: Where the store is.
        stack: Closes what is open.
        connect: Makes a client.
        image: What every image looks like.
    """

    service: Service
    directory: Path
    stack: AsyncExitStack
    connect: Connect
    image: bytes

    def store(self, **options: object) -> Store:
        """One worker's store, not opened yet."""
        limits = options.pop("limits", Limits(rate=1000, in_flight=100))
        client = self.connect(Line(self.service, self.image), limits=limits)
        return Store(self.directory, client=client, **{"quotas": FREE, **options})  # type: ignore[arg-type]

    async def open(self, **options: object) -> Store:
        """One worker's store, open until the test ends."""
        return await self.stack.enter_async_context(self.store(**options))

    def journal(self) -> dict[str, State]:
        """What the journal says of each prompt."""
        with JournalReader.read_only(self.directory / JOURNAL, self.directory) as reader:
            record = reader.only_run()
            assert record
            items = reader.items(record.run, [*State], limit=-1)
        return {item.request.prompt: item.state for item in items if item.request}


@pytest.fixture
async def host(tmp_path: Path, connect: Connect, png: bytes) -> AsyncIterator[Host]:
    """A host whose workers stop when the test ends."""
    async with AsyncExitStack() as stack:
        yield Host(Service(), tmp_path / "store", stack, connect, png)


async def until(store: Store, order: Order, reached: Callable[[Order], bool] = lambda seen: not seen.active) -> Order:
    """Follow an order until it has come so far; by default, to its end."""
    async with asyncio.timeout(3600):
        async with store.follow(tenant=order.tenant, after=0) as changes:
            async for seen in changes:
                if seen.handle == order.handle and reached(seen):
                    return seen
    raise AssertionError


async def test_an_order_becomes_an_image_on_disk(host: Host) -> None:
    """It is stored before it is made, and says how far it has come on the way."""
    host.service.slow = True
    store = await host.open()

    placed = await store.submit(ImageRequest("a fox", size="16:9"), tenant="ann")
    await until(store, placed, lambda seen: seen.state is OrderState.RUNNING)
    host.service.slow = False
    done = await until(store, placed)

    assert (placed.state, placed.request.size, placed.credits) == (OrderState.WAITING, "1280*720", 25)
    assert (done.state, done.request, done.credits, done.error) == (OrderState.DONE, placed.request, 25, None)
    assert [file.path.read_bytes() for file in done.files] == [host.image]
    assert host.journal() == {"a fox": State.DOWNLOADED}


async def test_a_tenant_sees_nothing_of_the_service(host: Host) -> None:
    """No task id, no address, no path, no account: in a good end and in a bad one."""
    host.service.answers["a bad one"] = [refused(400, "secret detail of the account")]
    store = await host.open()

    for prompt in ("a fox", "a bad one"):
        order = await until(store, await store.submit(prompt, tenant="ann"))
        public = json.dumps(order.public())

        assert json.loads(public)["handle"] == order.handle
        for secret in ("t1", "t2", "http", str(host.directory), "secret", "images.example"):
            assert f'"{secret}' not in public
            assert secret not in public or secret.startswith("t")


async def test_one_id_is_paid_once(host: Host) -> None:
    """Two workers are asked at once, and later again: one order, one POST; another request is refused."""
    one, two = await host.open(), await host.open()

    orders = await asyncio.gather(*(store.submit("a fox", tenant="ann", id="click") for store in (one, two, one, two)))
    done = await until(two, orders[0])
    again = await one.submit("a fox", tenant="ann", id="click")

    assert len({order.handle for order in orders}) == 1
    assert again == done
    assert host.service.posts == ["a fox"]
    with pytest.raises(OrderConflict):
        await two.submit("a dog", tenant="ann", id="click")


async def test_any_worker_takes_and_shows_orders_and_one_sends(host: Host) -> None:
    """What comes in at a worker that does not send is made all the same, and its statistics are the sender's."""
    one, two = await host.open(), await host.open()

    done = await until(two, await two.submit("a fox", tenant="ann"))
    await asyncio.sleep(2)

    assert (one.sends, two.sends) == (True, False)
    assert done.state is OrderState.DONE
    assert await one.order(done.handle, tenant="ann") == done
    assert [seen.submits for seen in (await one.statistics(), await two.statistics())] == [1, 1]
    assert two.client.statistics().submits == 0


async def test_another_worker_goes_on_where_the_sender_stopped(host: Host) -> None:
    """What is paid is fetched, what waits is sent, and nothing is sent twice."""
    first = host.store(limits=Limits(rate=1000, in_flight=3))
    host.service.slow = True
    async with first:
        second = await host.open()
        orders = [await second.submit(f"koi {number}", tenant="ann") for number in range(6)]
        for order in orders[:3]:
            await until(second, order, lambda seen: seen.state is OrderState.RUNNING)
    host.service.slow = False

    ends = [await until(second, order) for order in orders]

    assert {order.state for order in ends} == {OrderState.DONE}
    assert sorted(host.service.posts) == [f"koi {number}" for number in range(6)]
    assert second.sends


async def test_a_restart_goes_on_with_everything(host: Host) -> None:
    """With one worker alone: what was ordered while none sent is made, too."""
    host.service.slow = True
    async with host.store() as store:
        paid = await store.submit("a paid one", tenant="ann")
        await until(store, paid, lambda seen: seen.state is OrderState.RUNNING)
    host.service.slow = False

    store = await host.open()
    done = await until(store, paid)

    assert done.state is OrderState.DONE
    assert host.service.posts == ["a paid one"]


async def test_an_unknown_outcome_is_told_and_followed_by_what_a_person_finds_out(host: Host) -> None:
    """It may have been paid, so it counts and is not sent again; resolved in the directory, it goes on."""
    host.service.answers["a fox"] = [SILENT]
    async with host.store() as store:
        unknown = await until(store, await store.submit("a fox", tenant="ann"))
    async with Run(host.directory, client=host.connect(Line(host.service, host.image))) as run:
        await run.resolve([unknown.handle], "accepted", task_id="t1")

    store = await host.open()
    done = await until(store, unknown, lambda seen: seen.state is OrderState.DONE)

    assert unknown.state is OrderState.UNKNOWN
    assert isinstance(unknown.error, SubmitUnknown)
    assert (unknown.credits, done.credits) == (25, 25)
    assert host.service.posts == ["a fox"]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refused(400), "rejected"),
        (refused(400, "content policy"), "refused"),
        (refused(402), "credits"),
        (None, "not_sent"),
    ],
    ids=["refused", "policy", "no credits", "not sent"],
)
async def test_what_cost_nothing_says_why(host: Host, answer: Reply | None, kind: str) -> None:
    """The order fails, its credits are free, and nobody sends it later."""
    host.service.unreachable = answer is None
    host.service.answers["a fox"] = [answer] * 50 if answer else []
    async with host.store() as store:
        failed = await until(store, await store.submit("a fox", tenant="ann"))
    host.service.answers.clear()
    host.service.unreachable = False
    posts = [*host.service.posts]

    store = await host.open()
    await until(store, await store.submit("another", tenant="ann"))

    assert failed.error
    assert (failed.state, failed.error.kind, failed.credits) == (OrderState.FAILED, kind, 0)
    assert (await store.order(failed.handle, tenant="ann")).state is OrderState.FAILED
    assert host.service.posts == [*posts, "another"]
    assert host.journal().get("a fox") in (None, State.REJECTED, State.SKIPPED)


@pytest.mark.parametrize(("answer", "orders"), [(refused(402), 2), (refused(400), 1)], ids=["no credits", "refused"])
async def test_what_failed_for_want_of_credits_can_be_ordered_again(host: Host, answer: Reply, orders: int) -> None:
    """Under the same id, for it cost nothing and was not the request's fault; what was refused stays so."""
    host.service.answers["a fox"] = [answer]
    store = await host.open()

    ends = [await until(store, await store.submit("a fox", tenant="ann", id="click")) for _ in range(2)]

    assert len({order.handle for order in ends}) == len(host.service.posts) == orders
    assert ends[0].state is OrderState.FAILED


async def test_what_waits_can_be_withdrawn_and_what_is_sent_cannot(host: Host) -> None:
    """A withdrawn order costs nothing, in whatever worker it is withdrawn; one on its way goes on."""
    host.service.slow = True
    _, store = await host.open(limits=Limits(rate=1000, in_flight=1)), await host.open()
    runs, waits = [await store.submit(prompt, tenant="ann") for prompt in ("runs", "waits")]
    await until(store, runs, lambda seen: seen.state is OrderState.RUNNING)

    for order in (runs, waits):
        await store.withdraw(order.handle, tenant="ann")
    gone = await until(store, waits)
    at_once = await store.submit("at once", tenant="ann")
    await store.withdraw(at_once.handle, tenant="ann")
    gone_at_once = await until(store, at_once)
    host.service.slow = False
    done = await until(store, runs)

    assert (gone.state, gone.credits) == (gone_at_once.state, gone_at_once.credits) == (OrderState.WITHDRAWN, 0)
    assert done.state is OrderState.DONE
    assert host.service.posts == ["runs"]


async def test_what_was_put_off_by_the_service_can_be_withdrawn(host: Host) -> None:
    """It stands in the journal by then, where nobody may send it any more."""
    host.service.answers["a fox"] = [refused(429)] * 50
    store = await host.open()
    order = await store.submit("a fox", tenant="ann")
    await until(store, order, lambda seen: seen.state is OrderState.SENDING)
    await until(store, order, lambda seen: seen.state is OrderState.WAITING)

    await store.withdraw(order.handle, tenant="ann")
    gone = await until(store, order)

    assert (gone.state, gone.credits) == (OrderState.WITHDRAWN, 0)
    assert host.journal() == {"a fox": State.SKIPPED}


async def test_what_was_withdrawn_while_nobody_sent_is_never_sent(host: Host) -> None:
    """Whoever sends next finds it withdrawn."""
    async with host.store():
        pass
    file = OrderFile.open(host.directory)
    request = ImageRequest("a fox", seed=1)
    placed = file.place(Wish("ann", None, "", request, interactive=True, credits=25), ONE_MORE)
    file.withdraw(placed.handle, "ann")
    file.close()

    store = await host.open()

    assert (await until(store, placed)).state is OrderState.WITHDRAWN
    assert not host.service.posts


async def test_an_image_that_was_saved_and_not_noted_is_saved_again(host: Host) -> None:
    """The process died between the two: what stands there is the order's own."""
    async with host.store() as store:
        done = await until(store, await store.submit("a fox", tenant="ann"))
    with JournalFile.open(host.directory / JOURNAL, host.directory) as journal:
        journal.move([1], State.DOWNLOADED, Step.LOSE_FILE)
    file = OrderFile.open(host.directory)
    file.note([Progress(done.handle, OrderState.SAVING)])
    file.close()

    store = await host.open()

    assert (await until(store, done)).files == done.files
    assert host.service.posts == ["a fox"]


async def test_a_person_still_goes_first_after_a_restart(host: Host) -> None:
    """Though the order had been put off, and stands in the journal."""
    one_slot = Limits(rate=1000, in_flight=1)
    host.service.answers["click"] = [refused(429)] * 50
    async with host.store(limits=one_slot) as store:
        click = await store.submit("click", tenant="ann")
        await until(store, click, lambda seen: seen.state is OrderState.SENDING)
        await until(store, click, lambda seen: seen.state is OrderState.WAITING)
        bulk = [await store.submit(f"bulk {number}", tenant="bulk", interactive=False) for number in range(3)]
    host.service.answers.clear()
    host.service.posts.clear()

    store = await host.open(limits=one_slot)
    for order in (click, *bulk):
        await until(store, order)

    assert host.service.posts.index("click") <= 1  # the first permit may go before it has asked for one


async def test_a_refused_key_that_paid_for_nothing_is_forgotten(host: Host) -> None:
    """The right one, given next, is not refused for it."""
    host.service.answers["a fox"] = [refused(401)] * 50
    wrong = Store(host.directory, client=Client("aio_wrong_key_0123456789", transport=Line(host.service, host.image)))
    async with wrong.client, wrong:
        failed = await until(wrong, await wrong.submit("a fox", tenant="ann"))

    store = await host.open()

    assert failed.error
    assert failed.error.kind == "auth"
    assert (await until(store, await store.submit("another", tenant="ann"))).state is OrderState.DONE


async def test_orders_outlive_a_client_that_is_closed_too_early(host: Host) -> None:
    """They wait for whoever sends next."""
    async with host.store(limits=Limits(rate=1000, in_flight=1)) as store:
        host.service.slow = True
        runs, waits = [await store.submit(prompt, tenant="ann") for prompt in ("runs", "waits")]
        await until(store, runs, lambda seen: seen.state is OrderState.RUNNING)
        await store.client.aclose()
    host.service.slow = False

    store = await host.open()
    ends = [await until(store, order) for order in (runs, waits)]

    assert {order.state for order in ends} == {OrderState.DONE}
    assert host.service.posts == ["runs", "waits"]


async def test_notes_that_cannot_be_stored_for_a_while_are_kept(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """The image is made meanwhile, and the order says so later."""
    store = await host.open()
    order = await store.submit("a fox", tenant="ann")
    assert store._orders
    await store._orders.call(lambda file: file._connection.execute("PRAGMA query_only = 1"))
    await asyncio.sleep(5)
    await store._orders.call(lambda file: file._connection.execute("PRAGMA query_only = 0"))

    assert (await until(store, order)).state is OrderState.DONE
    assert "cannot be stored for now" in caplog.text


async def test_what_is_paid_is_tried_again_and_again(host: Host) -> None:
    """A task that takes longer than we wait, and an image that cannot be fetched, come later by themselves."""
    host.service.slow = True
    line = Line(host.service, host.image)
    client = host.connect(line, timeouts=Timeouts(task=60.0))
    store = await host.stack.enter_async_context(Store(host.directory, client=client, quotas=FREE))
    order = await store.submit("a fox", tenant="ann")

    late = await until(store, order)
    host.service.slow, line.image = False, b"no image"
    unfetched = await until(store, order, lambda seen: seen.state is OrderState.FAILED)
    line.image = host.image
    done = await until(store, order, lambda seen: seen.state is OrderState.DONE)

    assert [seen.error and seen.error.kind for seen in (late, unfetched, done)] == ["timed_out", "download", None]
    assert host.service.posts == ["a fox"]


async def test_what_stays_unfetchable_is_tried_less_and_less_often(host: Host) -> None:
    """Two hours of it are a few changes, not one a minute."""
    line = Line(host.service, b"no image")
    store = await host.stack.enter_async_context(Store(host.directory, client=host.connect(line), quotas=FREE))
    order = await until(store, await store.submit("a fox", tenant="ann"))
    await asyncio.sleep(7200)

    later = await store.order(order.handle, tenant="ann")

    assert later.state is OrderState.FAILED
    assert 3 <= later.change - order.change <= 10


async def test_an_image_that_is_gone_is_fetched_again(host: Host) -> None:
    """When another process begins to send: the order says where it is."""
    async with host.store() as store:
        done = await until(store, await store.submit("a fox", tenant="ann"))
    [file] = done.files
    file.path.unlink()

    store = await host.open()
    async with store.follow(tenant="ann", after=done.change) as changes:
        again = await anext(changes)

    assert (again.state, again.files) == (OrderState.DONE, done.files)
    assert file.path.exists()
    assert host.service.posts == ["a fox"]


class Broken(Line):
    """Has a bug."""

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Fail as no transport may."""
        raise ZeroDivisionError


async def test_a_bug_is_not_hidden(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """The worker sends no more, says so to whoever orders, and another one goes on."""
    client = Client(transport=Broken(host.service, host.image))
    async with client, Store(host.directory, client=client, quotas=FREE) as store:
        order = await store.submit("a fox", tenant="ann")
        await until(store, order)
        waits = await store.submit("another", tenant="ann")
        await asyncio.sleep(60)
        assert not store.sends
        with pytest.raises(ZeroDivisionError):
            await store.submit("a third", tenant="ann")
    assert "a bug of ours" in caplog.text

    other = await host.open()

    for left in (order, waits):
        await until(other, left, lambda seen: seen.state is OrderState.DONE)
    assert host.service.posts == ["a fox", "another"]


async def test_tenants_take_turns(host: Host) -> None:
    """One who orders much does not keep another waiting."""
    store = await host.open(limits=Limits(rate=1000, in_flight=1))
    bulk = [await store.submit(f"bulk {number}", tenant="bulk", interactive=False) for number in range(10)]
    await until(store, bulk[0], lambda seen: seen.state is not OrderState.WAITING)

    click = await until(store, await store.submit("click", tenant="ann", interactive=False))

    assert click.state is OrderState.DONE
    assert host.service.posts.index("click") <= 2
    for order in bulk:
        await until(store, order)


async def test_another_tenants_orders_do_not_exist(host: Host) -> None:
    """Not to be read, withdrawn, listed or followed."""
    store = await host.open()
    order = await until(store, await store.submit("a fox", tenant="ann"))

    for call in (store.order, store.withdraw):
        with pytest.raises(NoSuchOrder):
            await call(order.handle, tenant="ben")
    assert await store.orders(tenant="ben") == []
    async with store.follow(tenant="ben", after=0) as changes:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await anext(changes)


async def test_who_follows_slowly_gets_what_is_true_by_then(host: Host) -> None:
    """Steps in between are left out, and from a change on another one goes on, in another worker as well."""
    one, two = await host.open(), await host.open()
    await until(one, await one.submit("before", tenant="ann"))
    async with one.follow(tenant="ann") as changes:
        orders = [await until(one, await one.submit(prompt, tenant="ann")) for prompt in ("a", "b")]
        seen = [await anext(changes), await anext(changes)]
    async with two.follow(tenant="ann", after=seen[0].change) as later:
        rest = await anext(later)

    assert seen == orders
    assert rest == orders[1]


async def test_following_ends_with_the_store(host: Host) -> None:
    """Whoever waits for a change is let go."""
    async with host.store() as store:
        changes = store.follow(tenant="ann")
        await changes.__aenter__()
        waiting = asyncio.create_task(anext(changes, None))
        await asyncio.sleep(1)

    assert await waiting is None
    await changes.aclose()


async def test_a_caller_who_goes_away_finds_the_order_by_its_id(host: Host) -> None:
    """A browser that disconnects, at whatever moment, neither loses nor repeats what is ordered."""
    store = await host.open()
    for turns in range(6):
        asking = asyncio.create_task(store.submit(f"koi {turns}", tenant="ann", id=f"click {turns}"))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(store, await store.submit(f"koi {turns}", tenant="ann", id=f"click {turns}"))

    assert sorted(host.service.posts) == [f"koi {turns}" for turns in range(6)]


async def test_a_journal_that_fails_is_opened_anew(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    """Orders wait meanwhile, and none is paid twice."""
    store = await host.open()
    await until(store, await store.submit("before", tenant="ann"))
    journal = host.directory / JOURNAL
    moved = journal.rename(journal.with_name("moved"))
    waits = await store.submit("meanwhile", tenant="ann")
    await asyncio.sleep(3)
    moved.rename(journal)

    done = await until(store, waits)

    assert done.state is OrderState.DONE
    assert host.service.posts == ["before", "meanwhile"]
    assert "stops sending orders" in caplog.text


async def test_what_the_journal_knows_better_is_told(host: Host) -> None:
    """A process may die between a step in the journal and the note of it among the orders."""
    host.service.slow = True
    async with host.store() as store:
        order = await store.submit("a fox", tenant="ann")
        await until(store, order, lambda seen: seen.state is OrderState.RUNNING)
    host.service.slow = False
    async with Run(host.directory, client=host.connect(Line(host.service, host.image))) as run:
        assert [outcome.ok async for outcome in run] == [True]

    store = await host.open()

    assert (await until(store, order)).state is OrderState.DONE
    assert host.service.posts == ["a fox"]


async def test_a_directory_of_another_account_is_refused_at_the_start(host: Host) -> None:
    """Before anything can be ordered."""
    async with host.store() as store:
        await until(store, await store.submit("a fox", tenant="ann"))
    other = Client("aio_other_key_0123456789", transport=Line(host.service, host.image))

    async with other:
        with pytest.raises(InvalidRequest, match="another API key"):
            await Store(host.directory, client=other).__aenter__()


async def test_a_wrong_request_is_refused_before_it_is_stored(host: Host) -> None:
    """Each says what to change."""
    store = await host.open()

    for request in ("", ImageRequest("a fox", size="1x1"), ImageRequest("a fox", type="edit")):
        with pytest.raises(InvalidRequest):
            await store.submit(request, tenant="ann")
    for nobody in ("", None):
        with pytest.raises(InvalidRequest, match="tenant must be text"):
            await store.submit("a fox", tenant=nobody)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="id must be text"):
        await store.submit("a fox", tenant="ann", id="")
    with pytest.raises(InvalidRequest, match="limit must be"):
        await store.orders(tenant="ann", limit=0)
    assert await store.orders(tenant="ann", before=10**30) == []


async def test_a_closed_store_says_so(host: Host) -> None:
    """Also while it was never opened."""
    store = host.store()
    with pytest.raises(InvalidRequest, match="not open"):
        await store.submit("a fox", tenant="ann")
    async with store:
        pass
    await store.aclose()
    with pytest.raises(HunyuanError):
        await store.submit("a fox", tenant="ann")


async def test_one_withdrawn_while_it_was_being_sent_is_not_lost(host: Host) -> None:
    """It is paid, though the orders still called it waiting, and the store closes before the answer comes."""
    async with host.store() as store:
        order = await store.submit("a fox", tenant="ann")
        for _ in range(30):
            await asyncio.sleep(0.001 * (not host.service.posts))
        withdrawn = await store.withdraw(order.handle, tenant="ann")
        await asyncio.sleep(0.01)
    file = OrderFile.open(host.directory)
    left = file.order(order.handle, "ann")
    file.close()

    store = await host.open()

    assert (withdrawn.withdrawing, left.state) == (True, OrderState.SENDING)
    assert (await until(store, order, lambda seen: seen.state is OrderState.DONE)).credits == 25
    assert host.service.posts == ["a fox"]


@pytest.mark.parametrize("turns", range(6))
async def test_an_order_taken_up_while_the_store_closes_is_paid_once(host: Host, turns: int) -> None:
    """At whatever moment: either it is made under the run that closes, or it is left to the next one."""
    store = await host.open()
    await asyncio.sleep(1)
    file = OrderFile.open(host.directory)
    wish = Wish("ann", None, "", ImageRequest("a fox", seed=1), interactive=True, credits=25)
    order = file.place(wish, ONE_MORE)
    file.close()
    assert store._orders
    store._orders.changed.set()
    await asyncio.sleep(0)  # it begins to read the order
    closing = asyncio.create_task(store.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    time.sleep(0.05)  # noqa: ASYNC251 - it has been read when the loop goes on
    await closing
    await asyncio.sleep(1)

    other = await host.open()

    assert (await until(other, order)).state is OrderState.DONE
    assert host.service.posts == ["a fox"]


async def test_what_is_withdrawn_amid_other_changes_comes_to_its_end(host: Host) -> None:
    """Whoever sends is told of it again and again, until that is noted."""
    host.service.answers["waits"] = [refused(429)] * 50
    host.service.slow = True
    async with host.store() as store:
        runs, waits = [await store.submit(prompt, tenant="ann") for prompt in ("runs", "waits")]
        await until(store, runs, lambda seen: seen.state is OrderState.RUNNING)
        await until(store, waits, lambda seen: seen.state is OrderState.SENDING)
        await until(store, waits, lambda seen: seen.state is OrderState.WAITING)
    store = await host.open(limits=Limits(rate=1000, in_flight=1))
    await until(store, runs, lambda seen: seen.change > runs.change and seen.state is OrderState.RUNNING)
    await asyncio.sleep(1)

    journal = sqlite3.connect(host.directory / JOURNAL)
    journal.execute("BEGIN IMMEDIATE")  # it takes long to store that
    await store.withdraw(waits.handle, tenant="ann")
    for number in range(5):
        await store.submit(f"koi {number}", tenant="ben")
    journal.close()

    assert (await until(store, waits)).state is OrderState.WITHDRAWN
    assert host.journal()["waits"] is State.SKIPPED


async def test_what_was_withdrawn_in_the_journal_alone_is_told(host: Host) -> None:
    """The process died before it was noted."""
    host.service.answers["a fox"] = [refused(429)] * 50
    async with host.store() as store:
        order = await store.submit("a fox", tenant="ann")
        await until(store, order, lambda seen: seen.state is OrderState.SENDING)
        await until(store, order, lambda seen: seen.state is OrderState.WAITING)
    with JournalFile.open(host.directory / JOURNAL, host.directory) as journal:
        journal.move([1], State.PLANNED, Step.SKIP)
    file = OrderFile.open(host.directory)
    file.withdraw(order.handle, "ann")
    file.close()

    store = await host.open()
    gone = await until(store, order)

    assert (gone.state, gone.credits, gone.error) == (OrderState.WITHDRAWN, 0, None)


async def test_what_was_sent_is_not_sent_again_by_a_journal_that_does_not_know_it(host: Host) -> None:
    """The journal was lost, and the orders were not: nobody can tell what became of what was under way."""
    host.service.slow = True
    async with host.store() as store:
        order = await store.submit("a fox", tenant="ann")
        await until(store, order, lambda seen: seen.state is OrderState.RUNNING)
    for path in host.directory.glob(f"{JOURNAL}*"):
        path.rename(host.directory / f"lost.{path.name}")

    async with host.store() as store:
        unknown = await until(store, order)
    for path in host.directory.glob("lost.*"):
        path.rename(host.directory / path.name.removeprefix("lost."))
    host.service.slow = False
    store = await host.open()

    assert (unknown.state, unknown.credits, type(unknown.error)) == (OrderState.UNKNOWN, 25, SubmitUnknown)
    assert (await until(store, order, lambda seen: seen.state is OrderState.DONE)).error is None
    assert host.service.posts == ["a fox"]


async def test_another_worker_sends_once_the_client_of_the_first_is_closed(host: Host) -> None:
    """Though its store stays open."""
    one, two = await host.open(), await host.open()
    await one.client.aclose()
    await asyncio.sleep(10)

    done = await until(one, await one.submit("a fox", tenant="ann"))

    assert done.state is OrderState.DONE
    assert (one.sends, two.sends) == (False, True)


async def test_a_directory_that_is_gone_for_a_while_is_waited_for(host: Host) -> None:
    """A worker that does not send stays ready to."""
    first = host.store()
    async with first:
        second = await host.open()
        moved = host.directory.rename(host.directory.with_name("moved"))
        host.directory.touch()
        await asyncio.sleep(3)
        host.directory.unlink()
        moved.rename(host.directory)
    await asyncio.sleep(10)

    assert (await until(second, await second.submit("a fox", tenant="ann"))).state is OrderState.DONE


@pytest.mark.parametrize(
    "damage",
    [
        "state = 'odd'",
        "change = 'odd'",
        "change = 1e300",
        "change = 9223372036854775807",
        "credits = 'odd'",
        "handle = x'00'",
        "placed_at = 'odd'",
        "request = '['",
        """files = '[{"path": "../x.png", "url": "", "sha256": "", "bytes": 1, "width": 1, "height": 1}]'""",
        """error = '{"type": "Path"}'""",
    ],
)
async def test_orders_that_somebody_else_wrote_are_a_journals_error(host: Host, damage: str) -> None:
    """To whoever starts, follows or orders, whatever it is; what is at work in the background does not die of it."""
    file = OrderFile.open(host.directory)
    file.place(Wish("ann", None, "", ImageRequest("a fox", seed=1), interactive=True, credits=25), ONE_MORE)
    file._connection.execute(f"UPDATE orders SET {damage}")  # noqa: S608 - from the table above
    file.close()

    async def follow_and_order() -> None:
        async with host.store() as store:
            await asyncio.sleep(1)
            async with store.follow(tenant="ann", after=0) as changes:
                await anext(changes)
            await store.submit("a dog", tenant="ann")

    with pytest.raises(JournalError):
        await follow_and_order()


async def test_an_end_that_the_journal_knows_better_is_told_once(host: Host) -> None:
    """An image that could not be fetched, and by now cannot be any more: both are failures, and only one is final."""
    async with host.store() as store:
        done = await until(store, await store.submit("a fox", tenant="ann"))
    done.files[0].path.unlink()
    with JournalFile.open(host.directory / JOURNAL, host.directory) as journal:
        journal.move([1], State.DOWNLOADED, Step.LOSE_FILE)
        journal.move([1], State.COMPLETED, Step.EXPIRE)
    file = OrderFile.open(host.directory)
    file.note([Progress(done.handle, OrderState.FAILED)])

    async with host.store() as store:
        await asyncio.sleep(1)

    assert file.unsettled(up_to=done.number) == []
    file.close()


def test_what_ended_while_its_answer_was_awaited_is_looked_at_again() -> None:
    """The journal may know by then that it is paid."""
    progress = progress_of("handle", Item("handle", ImageRequest("a fox"), 25, State.SENDING), None)

    assert (progress.state, progress.settled, progress.credits) == (OrderState.UNKNOWN, False, 25)


async def test_who_goes_away_while_beginning_to_follow_is_forgotten(host: Host) -> None:
    """Nobody would ever end that."""
    store = await host.open()
    beginning = asyncio.create_task(store.follow(tenant="ann").__aenter__())
    await asyncio.sleep(0)
    beginning.cancel()
    await asyncio.gather(beginning, return_exceptions=True)

    assert store._orders
    assert not store._orders._followers
