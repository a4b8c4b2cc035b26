"""Who is compared, each used as its own README says; what a party does not need is not imported with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import attrs

THREADS = 100  # as many as the hand-written one has slots; the executor's own default would be six on two cores
FIRST_BACKOFF, LONGEST_BACKOFF = 1.0, 30.0  # seconds

Ask = Callable[[str], Awaitable[object]]


@attrs.frozen
class Job:
    """What a party has to do.

    Attributes:
        party: Its name in `PARTIES`.
        address: Host and port of the service.
        prompts: How many.
        cut_off: Seconds after which it is over.
        rate: What the service's limit is, for who is told.
        gap: Seconds between two looks of the hand-written one.
        burst: What may leave at once, for who is told the rate.
    """

    party: str
    address: str
    prompts: int
    cut_off: float
    rate: float
    gap: float = 2.0
    burst: int = 1


@contextlib.asynccontextmanager
async def _ours(job: Job, *, told: bool) -> AsyncIterator[Ask]:
    from hunyuan_async import Client, Limits, _assembly  # noqa: F401 - the client would import it at first use

    limits = Limits(rate=job.rate, burst=job.burst) if told else Limits()
    async with Client("benchmark-key", base_url=f"http://{job.address}/api/v1", limits=limits) as client:
        yield client.generate


@contextlib.asynccontextmanager
async def _hand_written(job: Job) -> AsyncIterator[Ask]:
    from aiohttp import ClientSession

    from benchmarks.rivals.hand_written import HandWritten

    async with ClientSession(headers={"Authorization": "Bearer benchmark-key"}) as session:
        yield HandWritten(session, f"http://{job.address}/api/v1", job.gap).generate


@contextlib.asynccontextmanager
async def _wavespeed(job: Job) -> AsyncIterator[Ask]:
    """Use it in threads, as it has no async API."""
    import wavespeed

    client = wavespeed.Client(api_key="benchmark-key", base_url=f"http://{job.address}")
    threads = ThreadPoolExecutor(THREADS)

    async def ask(prompt: str) -> object:
        run = partial(client.run, "bench/image", {"prompt": prompt})
        return await asyncio.get_running_loop().run_in_executor(threads, run)

    yield ask


@contextlib.asynccontextmanager
async def _fal(job: Job) -> AsyncIterator[Ask]:
    """Use its queue, which is what a service without answers that wait has to offer."""
    import fal_client

    fal_client.client.QUEUE_URL_FORMAT = f"http://{job.address}/"  # it has a setting for the host, none for http

    async def ask(prompt: str) -> object:
        return await client.subscribe("bench/image", arguments={"prompt": prompt})

    client = fal_client.AsyncClient(key="benchmark-key")
    yield ask


@contextlib.asynccontextmanager
async def _persistent(
    party: Callable[[Job], contextlib.AbstractAsyncContextManager[Ask]], job: Job
) -> AsyncIterator[Ask]:
    """Ask again for each prompt that failed, as who wants all images must."""

    async def ask_again(prompt: str) -> object:
        backoff = FIRST_BACKOFF
        while True:
            try:
                return await ask(prompt)
            except Exception:  # noqa: BLE001 - the caller's view: anything but an image is a failure
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, LONGEST_BACKOFF)

    async with party(job) as ask:
        yield ask_again


@attrs.frozen
class Party:
    """One of those compared.

    Attributes:
        title: Its name in tables.
        dialect: What the service must speak.
        enter: Makes it ready; gives what makes one image.
    """

    title: str
    dialect: str
    enter: Callable[[Job], contextlib.AbstractAsyncContextManager[Ask]]


PARTIES = {
    "ours": Party("`Client()`", "hunyuan", partial(_ours, told=False)),
    "ours-told": Party("`Client`, rate given", "hunyuan", partial(_ours, told=True)),
    "hand-written": Party("aiohttp by hand", "hunyuan", _hand_written),
    "wavespeed": Party("wavespeed", "wavespeed", _wavespeed),
    "wavespeed-again": Party("wavespeed, failed ones again", "wavespeed", partial(_persistent, _wavespeed)),
    "fal": Party("fal-client", "fal", _fal),
    "fal-again": Party("fal-client, failed ones again", "fal", partial(_persistent, _fal)),
}
