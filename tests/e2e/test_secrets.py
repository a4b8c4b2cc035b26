"""The key is found nowhere but at the API: not in what fails, is logged, kept or handed on, whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import logging
import pickle
import traceback
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import click
import pytest

from hunyuan_async._http.transport import AiohttpTransport
from hunyuan_async._keys import FoundKey
from hunyuan_async.cli.app import hunyuan
from hunyuan_async.client import Client
from hunyuan_async.emulator import FAULT_KINDS, Emulator, EmulatorSettings, Fault, fixed
from hunyuan_async.errors import HunyuanError
from hunyuan_async.events import Event
from hunyuan_async.models import ImageRequest, ImageResult
from hunyuan_async.run import Run
from hunyuan_async.settings import ApiKey, Limits, Polling, Timeouts

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

Serve = Callable[..., Awaitable[tuple[str, asyncio.Queue[bytes]]]]
MakeTransport = Callable[..., AiohttpTransport]

KEY = "aio_sentinel_5f0c7a19e2"
SECRET = "sentinel_5f0c7"  # what may be shown is its end
PROMPT = "a sentinel prompt 8d1e"
QUICK = EmulatorSettings(latency=fixed(0.02), small_pictures=True)
HASTY = Timeouts(task=1.0, trouble=0.3, submit=0.3, poll=0.3, download=0.3, close=0.3)


def forms(value: object) -> Iterator[str]:
    """Everything that a log, a debugger or a crash report might take from a value."""
    for one in (value, copy.copy(value)):
        yield f"{one!r} {getattr(one, '__dict__', '')!r}"
        yield "" if isinstance(one, ApiKey) else str(one)
    if isinstance(value, Event):
        yield json.dumps(attrs.asdict(value), default=str)
    with contextlib.suppress(TypeError, AttributeError):
        yield pickle.dumps(value).decode("latin-1")
    if isinstance(value, BaseException):
        ours = traceback.TracebackException.from_exception(value, capture_locals=True)
        ours.stack = traceback.StackSummary.from_list(ours.stack[1:])  # the first frame is the test's
        yield "".join(ours.format())


@contextlib.contextmanager
def everything_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Log all that any logger has to say, asyncio's own among them."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    try:
        with caplog.at_level(logging.DEBUG):
            yield
    finally:
        loop.set_debug(False)


@pytest.mark.parametrize("place", ["connect", "submit", "poll", "fetch"])
async def test_no_fault_brings_a_secret_to_light(
    place: Literal["connect", "submit", "poll", "fetch"], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Every fault, on a client of its own: no error, event, result or line of a log holds the key, at any depth.

    Neither the prompt nor the signature of an image's address is logged or told by an error.
    """
    kinds = [kind.word for kind in FAULT_KINDS.values() if place in kind.at]
    faults = [
        Fault(kind, at=place, first=n, last=n, seconds=0.2)
        if place in ("connect", "submit")
        else Fault(kind, at=place, last=1, task=n, seconds=0.2)
        for n, kind in enumerate(kinds, start=1)
    ]
    told: list[object] = []

    async def make(number: int) -> None:
        client = Client(
            KEY,
            base_url=emulator.base_url,
            timeouts=HASTY,
            limits=Limits(rate=1000),
            polling=Polling(min_gap=0.02),
            on_event=told.append,
        )
        async with client:
            try:
                result = await client.generate(PROMPT)
                told.append(result)
                told.extend(await client.download(result, tmp_path / f"{number}.png"))
            except HunyuanError as error:
                error.task = None  # a handle, which no program pickles
                told.append(error)
        told.extend([client, client.statistics()])

    settings = attrs.evolve(QUICK, faults=tuple(faults))
    with everything_logged(caplog):
        async with Emulator(settings=settings, api_keys=[KEY]) as emulator:
            for first in range(0, len(kinds), 100):
                await asyncio.gather(*map(make, range(first, min(first + 100, len(kinds)))))

    errors = [error for error in told if isinstance(error, HunyuanError)]
    signatures = {url.partition("?")[2] for result in told if isinstance(result, ImageResult) for url in result.urls}
    logged = "\n".join([caplog.text, *(repr(vars(record)) for record in caplog.records)])
    assert len(errors) > len(kinds) / 3
    assert SECRET not in logged
    assert not [value for value in told for form in forms(value) if SECRET in form]
    said = "\n".join(
        [logged, *(str(vars(error)) for error in errors), *(repr(e) for e in told if isinstance(e, Event))]
    )
    assert PROMPT not in said
    assert not [signature for signature in signatures if signature and signature in said]


def test_a_key_is_not_pickled() -> None:
    """Neither by itself nor in what holds it; a copy is the same."""
    client = Client(KEY)
    for value in (ApiKey(KEY), FoundKey(ApiKey(KEY), "here"), client):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(value)
        assert all(SECRET not in form for form in forms(value))
    assert copy.deepcopy(ApiKey(KEY)) == copy.copy(client).api_key == KEY


def test_no_option_takes_a_key() -> None:
    """A command's arguments are there to be read by everybody on the machine, and stay in the shell's history."""

    def parameters(command: click.Command, context: click.Context) -> Iterator[tuple[str, click.Parameter]]:
        yield from ((context.command_path, parameter) for parameter in command.params)
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                inner = command.get_command(context, name)
                assert inner
                yield from parameters(inner, click.Context(inner, context, name))

    taking = [
        (path, one.name)
        for path, one in parameters(hunyuan, click.Context(hunyuan))
        if not getattr(one, "is_flag", False)
    ]
    assert len(taking) > 50
    assert not [(path, name) for path, name in taking if "key" in str(name) or "token" in str(name)]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
async def test_a_redirect_takes_the_key_nowhere(serve: Serve, make_transport: MakeTransport, status: str) -> None:
    """Neither a submit nor a poll follows to another origin; a download does, and has no key to take along."""
    elsewhere, log = await serve(b"HTTP/1.1 404 Gone\r\nContent-Length: 0\r\n\r\n")
    answer = f"HTTP/1.1 {status}\r\nLocation: {elsewhere}/\r\nContent-Length: 0\r\n\r\n".encode()
    url, _ = await serve(answer)
    transport = make_transport(url)

    async def agree() -> None: ...

    await transport.submit(ImageRequest(PROMPT), agree)
    await transport.poll("n1")
    assert log.empty()
    await transport.fetch(f"{url}/a.png", len)
    assert b"aio_" not in await log.get()


async def test_a_run_keeps_the_prompt_and_not_the_key(tmp_path: Path) -> None:
    """Of all files that a run leaves, while it runs and afterwards, none holds the key."""
    out, kept = tmp_path / "out", b""
    async with (
        Emulator(settings=QUICK, api_keys=[KEY]) as emulator,
        Client(KEY, base_url=emulator.base_url) as client,
        Run(out, client=client) as run,
    ):
        await run.add([ImageRequest(PROMPT, id="koi")])
        async for outcome in run:
            assert outcome.ok
        kept += b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    kept += b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())

    assert PROMPT.encode() in kept
    assert SECRET.encode() not in kept


async def test_a_command_says_and_keeps_nothing_of_the_key(command_line: CommandLine) -> None:
    """Not in what it prints, with or without failures, nor in results, report, events and journal."""
    command_line.write("koi.jsonl", [{"id": prompt, "prompt": prompt} for prompt in (PROMPT, "[fail]", "[refuse]")])
    commands = (
        ("batch", "koi.jsonl", "--out", "out", "--progress", "json"),
        ("generate", PROMPT, "-o", "koi.png"),
        ("key", "check"),
    )
    faults = (Fault("http-500", at="poll", share=0.2), Fault("half-body", at="fetch", share=0.3))
    async with Emulator(settings=attrs.evolve(QUICK, faults=faults), api_keys=[KEY], seed=3) as emulator:
        command_line.use(emulator)
        ends = [await command_line.run(*command) for command in commands]
    said = [text for end in ends for text in (end.stdout.decode(), end.stderr)]
    files = [path for path in command_line.place.parent.rglob("*") if path.is_file()]

    assert {"journal.sqlite", "results.jsonl", "report.html"} <= {path.name for path in files}
    assert [end.code for end in ends] == [1, 0, 0]
    assert not [text for text in said if SECRET in text]
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


async def test_a_directory_does_not_choose_where_a_key_goes(command_line: CommandLine) -> None:
    """Whoever made it might listen there: a key that it does not know goes where its owner says, and there alone."""
    command_line.koi(range(3))
    theirs, mine = "aio_theirs_1234", KEY
    async with Emulator(settings=QUICK, api_keys=[theirs, mine]) as stranger:
        command_line.environment["HUNYUAN_API_KEY"] = theirs
        begun = "batch", "koi.jsonl", "--out", "out", "--max-credits", "25", "--base-url", stranger.base_url
        assert (await command_line.run(*begun)).code == 6
        more = "--max-credits", "75"
        own = await command_line.run("resume", "out", "--max-credits", "50")  # whoever began it may go on
        command_line.environment["HUNYUAN_API_KEY"] = mine
        for command in (("resume", "out", *more, "--key-changed"), ("redo", "out", "k0"), ("resume", "out", *more)):
            ended = await command_line.run(*command)
            assert (ended.code, "Traceback" in ended.stderr) == (2, False)
        assert {post.key for post in stranger.posts} == {theirs}

        command_line.environment["HUNYUAN_BASE_URL"] = stranger.base_url
        said = await command_line.run("resume", "out", *more, "--key-changed")
    assert (own.code, said.code) == (6, 0)
