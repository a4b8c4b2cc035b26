"""Each kind of fault at each place, with the real client: the result is the documented one, and the log agrees.

The faults of a row run at the same time, each against an emulator of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import os
import socket
import ssl
import stat
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import aiohttp.connector
import attrs
import pytest

from hunyuan_async.client import Client
from hunyuan_async.emulator import FAULT_KINDS, Emulator, EmulatorSettings, Fault, fixed
from hunyuan_async.errors import HunyuanError
from hunyuan_async.settings import Limits, Polling, Timeouts
from tests.e2e.fault_table import FAR_LIMITS, MADE, TABLES, TIMED_OUT, UNKNOWN, End, Place, Row

PRICE = 25  # credits
AT_ONCE = 80
CONNECTION_OF: dict[Place, int] = {"submit": 1, "poll": 2, "fetch": 3}
AFTERWARDS = ("idle-close", "keep-alive-race")  # seen by the next request on the connection
STALLING = ("silence", "trickle", "trickle-body", "length-too-long", "accept-silence", "accept-plain")
STALL = 2.0  # seconds until they are given up, which must be enough for the request after it
STALL_LASTING = 0.2  # and where none comes that is answered
SECONDS = {"trickle": 60.0, "trickle-body": 60.0, "idle-close": 0.1, "refused": 0.2, "late": 0.1}
REFUSED_AND_UNKNOWN = ("ok-500",)  # nothing was done, but no 500 proves that
SETTINGS = EmulatorSettings(small_pictures=True)


@attrs.frozen
class Case:
    """A fault at a place.

    Attributes:
        kind: The fault.
        place: What meets it.
        expected: How that ends.
        https: Whether over TLS.
        reused: Whether it is a look on a connection that served one before.
        lasting: Whether every such request meets it, or one.
    """

    kind: str
    place: Place
    expected: End = attrs.field(repr=False)
    https: bool = False
    reused: bool = False
    lasting: bool = False

    @property
    def settings(self) -> EmulatorSettings:
        """The emulator's."""
        # What ends after an answer is noticed only if another look follows on that connection.
        latency = fixed(1 if self.place == "poll" and self.kind in AFTERWARDS else 0)
        return attrs.evolve(SETTINGS, latency=latency, faults=[*self._faults()])

    def _faults(self) -> Iterator[Fault]:
        if self.reused:
            yield Fault("stuck", at="poll", last=1)
        connecting = FAULT_KINDS[self.kind].at == ("connect",)
        first = CONNECTION_OF[self.place] if connecting else 2 if self.reused else 1
        yield Fault(
            self.kind,
            at="connect" if connecting else self.place,
            first=first,
            last=None if self.lasting else first,
            seconds=SECONDS.get(self.kind, 1.0),
        )

    @property
    def _waits(self) -> bool:
        """Whether it is put off for longer than a test can wait."""
        return self.kind in FAR_LIMITS and self.place != "fetch"

    @property
    def timeouts(self) -> Timeouts:
        """The client's: a minute, unless waiting for one is what the case is about."""
        stall = 60.0
        if self.kind in STALLING:
            stall = STALL_LASTING if self.lasting else STALL
        return Timeouts(
            submit=stall if self.place == "submit" else 60.0,
            poll=stall if self.place == "poll" else 60.0,
            download=stall if self.place == "fetch" else 60.0,
            task=0.5 if self.expected == TIMED_OUT else 60.0,
            trouble=0.01 if self.lasting else 60.0,
        )

    async def run(self, folder: Path, tls: ssl.SSLContext) -> End:
        """Make and save an image, and check what is left behind; return how it ended."""
        result = MADE
        async with (
            Emulator(settings=self.settings, seed=1, tls=tls if self.https else None) as emulator,
            Client(
                emulator.api_key,
                base_url=emulator.base_url,
                limits=Limits(rate=500, in_flight=20),
                timeouts=self.timeouts,
                polling=Polling(min_gap=0.02),
            ) as client,
        ):
            try:
                image = await client.generate("koi", timeout=STALL if self._waits else None)
                await client.download(image, folder / "koi.png")
            except HunyuanError as error:
                result = End(type(error).__name__, error.charged, error.kind, error.retry)
            told = client.statistics()
        if result.result == "made" and self._requests(emulator) > (2 if self.reused else 1):
            result = End("again", "yes")
        assert files(folder) == (["koi.png"] if result.kind is None else []), self
        assert emulator.injected, self
        assert told.credits_spent + told.credits_at_risk >= PRICE * len(emulator.issued), self
        assert len(emulator.posts) <= told.submits, self
        if self.place == "poll":  # a look that confirms a submit is not counted
            assert len(emulator.polls) <= told.polls, self
        self._check_posts(emulator, result)
        return result

    def _requests(self, emulator: Emulator) -> int:
        """How many of the kind that met the fault were made, as far as the emulator saw them."""
        logs = {"submit": emulator.posts, "poll": emulator.polls, "fetch": emulator.downloads}
        unread = sum(each.place == "connect" for each in emulator.injected)
        return len(logs[self.place]) + unread

    def _check_posts(self, emulator: Emulator, result: End) -> None:
        """What the client says of the money is what the emulator's log says."""
        again = {FAULT_KINDS[post.fault or self.kind].effect for post in emulator.posts[:-1]}
        assert again <= {"refused"}, f"{self}: sent again without a refusal"
        last = emulator.posts[-1].task_id if emulator.posts else None
        match result.charged:
            case "yes":
                assert last, self
            case "no":
                assert not last, self
        if result == UNKNOWN:
            possible = FAULT_KINDS[self.kind].effect != "refused"
            assert possible is (self.kind not in REFUSED_AND_UNKNOWN), self


def files(folder: Path) -> list[str]:
    """What stands there."""
    return os.listdir(folder) if os.path.isdir(folder) else []


def cases(row: Row, place: Place) -> Iterator[Case]:
    """Every way in which one of a row's faults can be met."""
    for kind, https in itertools.product(FAULT_KINDS, (False, True)):
        connecting = FAULT_KINDS[kind].at == ("connect",)
        if (connecting or place in FAULT_KINDS[kind].at) and row.holds(kind, https=https):
            yield Case(kind, place, row.once, https)
            if place == "poll" and not connecting and kind not in AFTERWARDS:
                yield Case(kind, place, row.once, https, reused=True)


def lasting_cases(place: Place) -> Iterator[Case]:
    """Every fault that lasts, where that makes a difference."""
    for row in TABLES[place]:
        for case in cases(row, place):
            if row.lasting and not (case.https or case.reused):
                yield attrs.evolve(case, expected=row.lasting, lasting=True)


Meet: TypeAlias = Callable[[Sequence[Case]], Awaitable[Mapping[Case, End]]]
ROWS = [(place, row) for place, rows in TABLES.items() for row in rows]


def open_sockets() -> int:
    """How many this process has."""
    count = 0
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the one of the listing itself
            count += stat.S_ISSOCK(os.fstat(int(name)).st_mode)
    return count


@pytest.fixture
def trusting(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept the emulator's certificate, and let no name lead off this machine."""
    monkeypatch.setattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", ssl.create_default_context(cafile=certificate[0]))
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **options: Any) -> list[Any]:
        if host not in ("127.0.0.1", "localhost"):
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize("place", TABLES)
@pytest.mark.parametrize("https", [False, True])
def test_every_fault_is_in_one_row(place: Place, https: bool) -> None:
    """A new kind needs a row at each place where it can happen, and no pattern takes what another has."""
    kinds = [kind.word for kind in FAULT_KINDS.values() if place in kind.at or kind.at == ("connect",)]
    rows = {kind: [row.seen for row in TABLES[place] if row.holds(kind, https=https)] for kind in kinds}

    assert {kind: found for kind, found in rows.items() if len(found) != 1} == {}


@pytest.fixture
def meet(trusting: None, self_signed: ssl.SSLContext, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Meet:
    """Run cases at the same time, see that nothing is left open, and return those that did not end as expected."""

    async def meet(met: Sequence[Case]) -> Mapping[Case, End]:
        places, before = asyncio.Semaphore(AT_ONCE), open_sockets()

        async def run(case: Case, folder: Path) -> End:
            async with places:
                return await case.run(folder, self_signed)

        ends = await asyncio.gather(*(run(case, tmp_path / str(number)) for number, case in enumerate(met)))
        gc.collect()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert open_sockets() == before
        assert [each.getMessage() for each in caplog.records if each.name.startswith(("asyncio", "aiohttp"))] == []
        assert ends
        return {case: end for case, end in zip(met, ends, strict=True) if end != case.expected}

    return meet


@pytest.mark.parametrize(("place", "row"), ROWS, ids=lambda value: value.seen if isinstance(value, Row) else value)
async def test_a_fault_ends_as_documented(place: Place, row: Row, meet: Meet) -> None:
    """What the client says is what the table says, and what the log shows."""
    assert await meet([*cases(row, place)]) == {}


@pytest.mark.parametrize("place", TABLES)
async def test_a_fault_that_lasts_ends_as_documented(place: Place, meet: Meet) -> None:
    """If every request of the kind meets it, it is given up in the end, and still nothing is paid twice."""
    assert await meet([*lasting_cases(place)]) == {}
