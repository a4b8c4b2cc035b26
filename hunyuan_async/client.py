"""The client: what users hold."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import attrs

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async._core.requests import prepare
from hunyuan_async._uncancelled import see_through
from hunyuan_async.errors import HunyuanError, InvalidRequest, NotSent, TaskTimedOut
from hunyuan_async.models import ImageRequest, ImageResult, SavedImage, TaskState, TaskStatus
from hunyuan_async.settings import API_IN_ONE, ApiKey, Limits, Polling, Service, Timeouts
from hunyuan_async.streams import Entry, OutcomeStream, Requests
from hunyuan_async.tasks import GenerationTask, unwrap

if TYPE_CHECKING:
    from hunyuan_async._engine import Engine
    from hunyuan_async.events import Event, Listener, Statistics
    from hunyuan_async.transport import Transport

LARGEST_SEED = 2**31 - 1


def _masked(key: str | None) -> str | None:
    return ApiKey(key) if isinstance(key, str) else key


@attrs.define(eq=False, slots=False)
class Client:
    """Makes images: many at once, within limits, never paying twice for one.

    Use it as ``async with Client() as client``, or call `aclose` in the end. Constructing it does no I/O and needs
    neither a running loop nor a key: they are taken at first use. One client serves one event loop.

    Attributes:
        api_key: The key; without one it is read from HUNYUAN_API_KEY, or from the file that HUNYUAN_API_KEY_FILE names.
        base_url: Where the API is, instead of HUNYUAN_BASE_URL or the service's own address.
        service: The gateway's facts and words.
        limits: How hard it may be used; what is not given is found, starting gently.
        timeouts: How long to wait for what.
        polling: How eagerly finished tasks are noticed.
        max_credits: What this client may spend, reserve and put at risk in its life; None for no limit.
        on_event: Called with each event as it happens, on the loop; it must not block. `subscribe` adds more.
        proxy: The address of an HTTP proxy for every request.
        journal: A file that every step is stored in before anything relies on it, so that what is paid outlives the
            process: see `recover`. `max_credits` then counts what it holds already. Of an existing folder, the first
            file is taken that no other process uses.
        transport: Sends the requests instead of aiohttp, for tests.
    """

    api_key: str | None = attrs.field(default=None, repr=False, converter=_masked)
    base_url: str | None = attrs.field(default=None, kw_only=True)
    service: Service = attrs.field(default=API_IN_ONE, kw_only=True, repr=False)
    limits: Limits = attrs.field(factory=Limits, kw_only=True)
    timeouts: Timeouts = attrs.field(factory=Timeouts, kw_only=True)
    polling: Polling = attrs.field(factory=Polling, kw_only=True)
    max_credits: int | None = attrs.field(default=None, kw_only=True)
    on_event: Callable[[Event], None] | None = attrs.field(default=None, kw_only=True, repr=False)
    proxy: str | None = attrs.field(default=None, kw_only=True, repr=False)
    journal: str | os.PathLike[str] | None = attrs.field(default=None, kw_only=True)
    transport: Transport | None = attrs.field(default=None, kw_only=True, repr=False)
    _listeners: dict[object, Listener] = attrs.field(factory=dict, init=False, repr=False)
    _engine: Engine | None = attrs.field(default=None, init=False, repr=False)
    _home: tuple[asyncio.AbstractEventLoop, int] | None = attrs.field(default=None, init=False, repr=False)
    _closed: bool = attrs.field(default=False, init=False, repr=False)

    async def generate(
        self,
        request: str | ImageRequest,
        *,
        size: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        tenant: str = "",
        interactive: bool = False,
    ) -> ImageResult:
        """Make an image and wait for it, however many others are under way.

        Args:
            request: The prompt, or a whole request.
            size: "W*H", "WxH" or a ratio such as "16:9".
            seed: 0 to 2**31 - 1; without one, a seed is drawn and recorded.
            timeout: Seconds for the whole wait, queue included. If it passes after the request was sent, the error's
                `task` can be awaited again for free.
            tenant: On whose behalf; those who wait take turns, however many requests each has.
            interactive: A person waits for it: it goes before what nobody waits for, and is looked at sooner.

        Raises:
            HunyuanError: The image was not made, or not in time; `charged` says whether it was paid.
        """
        return await self._generate(self._plan(_with(request, size, seed), tenant, interactive), timeout)

    async def edit(
        self,
        prompt: str,
        images: str | Iterable[str],
        *,
        size: str | None = None,
        seed: int | None = None,
        timeout: float | None = None,
        tenant: str = "",
        interactive: bool = False,
    ) -> ImageResult:
        """Make an image from one or two others, given by http(s) address; otherwise like `generate`."""
        request = _with(ImageRequest(prompt, "edit", images=images), size, seed)
        return await self._generate(self._plan(request, tenant, interactive), timeout)

    async def submit(
        self,
        request: str | ImageRequest,
        *,
        size: str | None = None,
        seed: int | None = None,
        tenant: str = "",
        interactive: bool = False,
    ) -> GenerationTask:
        """Ask for an image and return as soon as the service has accepted it; from then on it is paid.

        Raises:
            HunyuanError: It was not accepted, or nobody knows (`SubmitUnknown`).
        """
        item = self._plan(_with(request, size, seed), tenant, interactive)
        engine = self._bound()
        ticket = await engine.sender.admit(item)
        task = GenerationTask(item, engine.start(item, ticket))
        try:
            await engine.sender.accepted(item, task.running)
        except asyncio.CancelledError:
            engine.disown(item, task.running)
            raise
        if item.submitted_at is None:  # an id alone, out of a cut-off answer, is no acceptance
            unwrap(task.running.result())
        return task

    def attach(self, task_id: str) -> GenerationTask:
        """Take up a task again that was accepted earlier, here or in another process. It costs nothing."""
        return GenerationTask(*self._bound().attach(task_id))

    async def recover(self) -> list[GenerationTask]:
        """Take up the tasks that `journal` holds from earlier processes: paid, and not seen finished. It costs nothing.

        Raises:
            JournalError: The journal cannot be used.
        """
        return [GenerationTask(item, running) for item, running in await self._bound().recover()]

    async def status(self, task_id: str) -> TaskStatus:
        """Look once at a task.

        Raises:
            TaskLost, AuthError, NotSent, ServiceUnavailable: The look showed no status.
        """
        seen = await self._bound().status(task_id)
        if isinstance(seen, HunyuanError):
            raise seen
        return seen

    def stream(
        self,
        requests: Requests,
        *,
        ordered: bool = False,
        window: int | None = None,
        tenant: str = "",
        save_to: str | os.PathLike[str] | Callable[[ImageRequest], os.PathLike[str]] | None = None,
    ) -> OutcomeStream:
        """Make many images and hand their outcomes over as they complete.

        Use it as ``async with client.stream(requests) as outcomes: async for outcome in outcomes``.

        Args:
            requests: Prompts or requests, from any iterable or async iterable; it is read as far as needed.
            ordered: Hand over in the order of the requests; one slow image then holds back the rest.
            window: How many may be accepted and not yet handed over; by default twice as many as may be in flight.
            tenant: On whose behalf, as for `generate`.
            save_to: A folder to save the images in, named after the requests' ids; or a function that gives each
                request's path without the extension, which follows from the image.
        """
        from hunyuan_async._targets import target_for

        if window is not None and window < 1:
            raise InvalidRequest(f"window must be at least 1, got {window!r}")
        return OutcomeStream(
            self._bound(),
            requests,
            partial(self._plan, tenant=tenant),
            window=window or 2 * (self.limits.in_flight or self.service.max_in_flight),
            ordered=ordered,
            target=target_for(save_to),
        )

    async def download(
        self, result: ImageResult, path: str | os.PathLike[str], *, overwrite: bool = False
    ) -> tuple[SavedImage, ...]:
        """Save a result's images, checked and atomically.

        Args:
            result: What was made.
            path: A file name, which is kept, or a folder, which gives names after the task; further images of one
                task get ".2" and so on.
            overwrite: Replace what stands there.

        Raises:
            DownloadFailed: It could not be fetched or saved; `expired` if its address no longer works.
        """
        from hunyuan_async._targets import target_at

        target = target_at(path, result.task_id, overwrite=overwrite)
        return await self._bound().save(TaskStatus(result.task_id, TaskState.COMPLETED, result.urls), target)

    @property
    def unclaimed(self) -> list[GenerationTask]:
        """Tasks that are accepted and paid, and whose caller went away: cancelled, timed out, or left a stream."""
        if self._engine is None:
            return []
        unclaimed = self._engine.unclaimed.items()
        return [GenerationTask(item, running) for running, item in unclaimed if item.task_id and item.withdrawn]

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Let *listener* hear every event from now on; return what ends that.

        It is called on the loop as each event happens, and must not block. What it raises is logged and costs nothing.
        """
        subscription = object()
        self._listeners[subscription] = listener

        def end() -> None:
            self._listeners.pop(subscription, None)

        return end

    def statistics(self) -> Statistics:
        """Take a snapshot of the work."""
        from hunyuan_async.events import Statistics

        return self._engine.statistics() if self._engine else Statistics()

    async def aclose(self) -> None:
        """Stop, and release everything.

        Answers to requests already sent are waited for, as long as `Timeouts.close` says; images are not. Paid tasks
        can be attached to again by their ids, which are logged.
        """
        self._check_home()
        self._closed = True
        if self._engine:
            await see_through(self._engine.aclose())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _generate(self, item: Item, timeout: float | None) -> ImageResult:
        engine = self._bound()
        task: GenerationTask | None = None
        try:
            async with asyncio.timeout(timeout) as bound:
                ticket = await engine.sender.admit(item)
                task = GenerationTask(item, engine.start(item, ticket))
                return await task
        except asyncio.CancelledError:
            if task:
                engine.disown(item, task.running)
            raise
        except TimeoutError:
            if not bound.expired():
                raise
        raise _late(item, task, engine)

    def _plan(self, request: Entry, tenant: str = "", interactive: bool = False) -> Item:
        """Check a request and draw what it leaves open, before anything is sent."""
        if isinstance(request, Item):
            return request
        prepared = prepare(ImageRequest(request) if isinstance(request, str) else request, self.service)
        seed = secrets.randbelow(LARGEST_SEED + 1) if prepared.seed is None else prepared.seed
        prepared = attrs.evolve(prepared, seed=seed, id=prepared.id or secrets.token_hex(16))
        assert prepared.id is not None
        return Item(prepared.id, prepared, self.service.credits_per_image, tenant=tenant, interactive=interactive)

    def _bound(self) -> Engine:
        """Return the engine of this loop and process; make it at first use."""
        home = self._check_home()
        if self._closed:
            raise NotSent("The client is closed. Make a new one.", retry="after_change")
        if self._engine is None:
            from hunyuan_async._assembly import assemble

            if self.on_event:
                self.subscribe(self.on_event)
            self._engine = assemble(self, self._listeners.values())
            self._home = home
        return self._engine

    def _check_home(self) -> tuple[asyncio.AbstractEventLoop, int]:
        home = asyncio.get_running_loop(), os.getpid()
        if self._home is not None and self._home != home:
            raise InvalidRequest(
                "This client was used in another event loop or process. Make a new one in each asyncio.run() and "
                "after a fork; paid tasks can be attached to by their ids."
            )
        return home


def _with(request: str | ImageRequest, size: str | None, seed: int | None) -> ImageRequest:
    if isinstance(request, str):
        request = ImageRequest(request)
    if size is not None:
        request = attrs.evolve(request, size=size)
    return request if seed is None else attrs.evolve(request, seed=seed)


def _late(item: Item, task: GenerationTask | None, engine: Engine) -> HunyuanError:
    """Return the error for a wait that was bounded by the caller, with the handle that goes on."""
    if task is None or item.state is State.PLANNED:
        if task:
            engine.disown(item, task.running)
        return NotSent(
            "Its turn to be sent did not come in time; nothing was sent. Give it longer, or ask for fewer at once."
        )
    engine.disown(item, task.running)
    error = TaskTimedOut(
        f"The image was not finished in time; task {item.task_id} is paid and goes on. Await the error's `task`, or "
        "attach to it by its id."
        if item.task_id
        else "The service did not answer in time, and the request may have been charged. Await the error's `task`.",
        task_id=item.task_id,
        charged="yes" if item.task_id else "unknown",
    )
    error.task = task
    return error
