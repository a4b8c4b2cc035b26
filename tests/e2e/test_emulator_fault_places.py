"""Where faults strike and where they do not: connections, tasks, seeds, an emulator that closes, the command line."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click
import pytest

from hunyuan_async.cli.commands import emulator as command
from hunyuan_async.emulator import ACCEPTED, Emulator, Fault
from tests.e2e.bare_client import OPEN_AFTER, PATIENCE, SETTINGS, End, Line, Seen, Served, ask, submit, with_fault

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine


async def connect(emulator: Emulator, end: End = "closed") -> Seen | None:
    """What a connection sees that asks for nothing; None if it is refused."""
    try:
        return await ask(emulator, b"", end=end)
    except ConnectionRefusedError:
        return None


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("refused", None),
        ("accept-reset", Seen(b"", "reset")),
        ("accept-close", Seen(b"", "closed")),
        ("accept-silence", Seen(b"", "open")),
        ("accept-plain", Seen(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "open")),
    ],
)
async def test_a_connection_comes_to_harm_before_it_is_read(kind: str, expected: Seen | None) -> None:
    """The second connection meets it, and the others do not."""
    settings = attrs.evolve(SETTINGS, faults=[Fault(kind, first=2, last=2, seconds=0.1)])
    async with Emulator(settings=settings) as emulator:
        assert (await ask(emulator, submit(emulator))).status == 200
        assert await connect(emulator, expected.end if expected else "closed") == expected
        async with asyncio.timeout(PATIENCE):
            while (seen := await connect(emulator, "open")) is None:
                pass
        assert seen == Seen(b"", "open")
        assert (await ask(emulator, submit(emulator))).status == 200
        assert [(each.kind, each.number) for each in emulator.injected] == [(kind, 2)]
        assert len(emulator.posts) == 2


async def test_the_first_connection_may_be_refused() -> None:
    """The port is taken from the start, so that its address is known, and nobody listens there."""
    settings = attrs.evolve(SETTINGS, faults=[Fault("refused", last=1, seconds=60)])
    async with Emulator(settings=settings) as emulator:
        assert await connect(emulator) is None


async def test_a_plain_answer_ends_a_handshake(tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Faults of a connection come before TLS."""
    settings = attrs.evolve(SETTINGS, faults=[Fault("accept-plain", last=1)])
    async with Emulator(settings=settings, tls=tls[0]) as emulator:
        with pytest.raises(ssl.SSLError, match=r"(?i)wrong.version|http.request|record"):
            await ask(emulator, submit(emulator), tls[1])
        assert (await ask(emulator, submit(emulator), tls[1])).status == 200


async def test_a_closed_emulator_holds_nobody() -> None:
    """What waits for ever ends with it, and no asyncio task is left."""
    before = asyncio.all_tasks()
    settings = attrs.evolve(SETTINGS, faults=[Fault("accept-silence", first=2, last=2), Fault("silence", at="submit")])
    emulator = Emulator(settings=settings)
    await emulator.start()
    lines = [Line(emulator), Line(emulator)]
    for line in lines:
        await line.send(submit(emulator))
        await line.see(patience=OPEN_AFTER)
    await emulator.aclose()

    assert [(await line.see()).end != "open" for line in lines] == [True, True]
    assert asyncio.all_tasks() == before
    assert [post.task_id for post in emulator.posts] == [*emulator.issued]
    for line in lines:
        await line.aclose()


async def test_who_leaves_a_silent_emulator_leaves_nothing_behind() -> None:
    """Else every fault that waits would cost memory for as long as the emulator runs."""
    async with Emulator(settings=with_fault("silence", "submit")) as emulator:
        before = asyncio.all_tasks()
        assert await ask(emulator, submit(emulator), end="open") == Seen(b"", "open")
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(asyncio.all_tasks() - before), return_exceptions=True)


@pytest.mark.parametrize("accepted", ACCEPTED)
@pytest.mark.parametrize(("kind", "there"), [("task_id-null", True), ("task_id-missing", False)])
async def test_the_id_goes_wrong_wherever_it_stands(accepted: str, kind: str, there: bool) -> None:
    """Settings may put it in several places."""
    settings = attrs.evolve(with_fault(kind, "submit"), accepted=(accepted,))
    async with Emulator(settings=settings) as emulator:
        body = (await ask(emulator, submit(emulator))).body.decode()
        assert emulator.issued[0] not in body
        assert ('id": null' in body) == there


async def test_chance_repeats_with_the_seed_of_the_emulator() -> None:
    """The same seed injects the same faults into the same requests, and another one others."""
    met = []
    for seed in (1, 1, 2):
        settings = attrs.evolve(SETTINGS, faults=[Fault("http-500", share=0.3), Fault("limit-none", share=0.3)])
        async with Emulator(settings=settings, seed=seed) as emulator:
            met.append([(await ask(emulator, submit(emulator))).status for _ in range(30)])
        assert [status for status in met[-1] if status != 200] == [
            500 if each.kind == "http-500" else 429 for each in emulator.injected
        ]
    assert met[0] == met[1] != met[2]
    assert {*met[0]} == {200, 429, 500}


async def test_what_the_service_refuses_meets_no_fault() -> None:
    """An answer that costs nothing is not worth spoiling, and the log does not say that it was."""
    async with Emulator(settings=with_fault("reset-after-body", "submit")) as emulator:
        assert (await ask(emulator, submit(emulator).replace(b"Bearer aio", b"Bearer bio"))).status == 401
        assert (emulator.injected, emulator.posts[0].fault, emulator.posts[0].status) == ([], None, 401)


async def test_without_faults_nothing_is_injected() -> None:
    """They are off unless somebody asks for them, even by an address."""
    async with Emulator(settings=SETTINGS) as emulator:
        request = submit(emulator).replace(b"generations ", b"generations?fault=redirect-302-loop ")
        assert (await ask(emulator, request)).status == 200
        assert not emulator.injected
        assert emulator.posts[0].fault is None


async def test_the_command_line_takes_a_file_and_shares(command_line: CommandLine) -> None:
    """The rules of the file come first, and chance strikes after them."""
    (command_line.place / "faults.json").write_text('[{"kind": "http-402", "at": "submit", "last": 1}]')
    started = await command_line.start("emulator", "--port", "0", "--faults", "faults.json", "--fault", "http-500=1")
    lines = [await started.prints(name) for name in ("HUNYUAN_BASE_URL", "HUNYUAN_API_KEY")]
    served = Served(*(line.strip().partition("=")[2] for line in lines))

    assert [(await ask(served, submit(served))).status for _ in range(3)] == [402, 500, 500]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fault", "http-500", "'http-500' is not like http-500=0.01"),
        ("--fault", "http-500=often", "'http-500=often' is not like http-500=0.01"),
        ("--fault", "http-500=2", "share must be a number from 0 to 1, not 2.0"),
        ("--faults", "missing.json", "missing.json: [Errno 2] No such file or directory"),
        ("--faults", "wrong.json", "wrong.json: fault 1: there is no kind of fault 'slow'"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path: Path, option: str, value: str, message: str) -> None:
    """Nothing is served, and the exit code is that of a usage error."""
    (tmp_path / "wrong.json").write_text('[{"kind": "slow"}]')
    path = str(tmp_path / value) if option == "--faults" else value
    with pytest.raises(click.BadParameter) as caught:
        command.emulator.make_context("emulator", [option, path])

    assert message in caught.value.message
    assert caught.value.exit_code == 2
