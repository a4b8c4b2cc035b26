"""`hunyuan generate`, `edit` and `task` in processes of their own."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shlex
import signal
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from PIL import Image

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine, Ended

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
SLOW = EmulatorSettings(latency=fixed(2), small_pictures=True)
ENDLESS = EmulatorSettings(latency=fixed(3600), small_pictures=True)


def fetch_command(ended: Ended) -> list[str]:
    """The arguments of the command that fetches what is paid."""
    told = next(line for line in ended.stderr.splitlines() if line.startswith("It is paid."))
    return shlex.split(told.partition("hunyuan ")[2])


async def test_only_the_result_is_on_stdout(command_line: CommandLine) -> None:
    """That is the path, a JSON object, or the image's bytes; task, seed and cost are on stderr."""
    (command_line.place / "a-koi-7.png").write_bytes(b"mine")
    (command_line.place / "old.png").write_bytes(b"mine")
    ask = "generate", "A koi!", "--seed", "7"
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        named, exact, piped, forced = await asyncio.gather(
            command_line.run(*ask),
            command_line.run(*ask, "-o", "koi", "--json", "--size", "16:9"),
            command_line.run(*ask, "-o", "-"),
            command_line.run(*ask, "-o", "old.png", "--force"),
        )

    assert [ended.code for ended in (named, exact, piped, forced)] == [0, 0, 0, 0]
    assert (named.stdout, forced.stdout) == (b"a-koi-7-2.png\n", b"old.png\n")
    assert named.stderr in {f"task {task_id}, seed 7, 25 credits (about $0.05)\n" for task_id in emulator.issued}
    told = json.loads(exact.stdout)
    assert (told["seed"], told["size"], told["credits"], told["images"][0]["path"]) == (7, "1280*720", 25, "koi")
    image = (command_line.place / "a-koi-7-2.png").read_bytes()
    assert piped.stdout == image == (command_line.place / "old.png").read_bytes()
    Image.open(io.BytesIO(image)).verify()
    assert sorted(os.listdir(command_line.place)) == ["a-koi-7-2.png", "a-koi-7.png", "koi", "old.png"]


async def test_an_edit_starts_from_an_image(command_line: CommandLine) -> None:
    """Its addresses are sent as they are."""
    url = "https://example.com/koi.png"
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("edit", "make it night", "--image", url, "-o", "night.png")
    body = json.loads(emulator.posts[0].body)
    assert (ended.code, ended.stdout, body["type"], body["images"]) == (0, b"night.png\n", "edit", [url])


async def test_who_leaves_is_told_how_to_fetch_what_is_paid(command_line: CommandLine) -> None:
    """The command works as it is printed, and costs nothing."""
    async with Emulator(settings=SLOW) as emulator:
        command_line.use(emulator)
        command = await command_line.start("generate", "a koi", "-o", "koi.png")
        await command.says("task ")
        command.receives(signal.SIGINT)
        ended = await command.ends()
        assert (ended.code, ended.stdout, os.listdir(command_line.place)) == (130, b"", [])
        assert fetch_command(ended) == ["task", *emulator.issued, "-o", "koi.png"]
        fetched = await command_line.run(*fetch_command(ended))
    assert (fetched.code, fetched.stdout) == (0, b"koi.png\n")
    assert command_line.paid() == {"a koi": 1}


async def test_a_task_can_be_looked_at(command_line: CommandLine) -> None:
    """Also one whose command was terminated."""
    async with Emulator(settings=ENDLESS) as emulator:
        command_line.use(emulator)
        command = await command_line.start("generate", "a koi")
        await command.says("task ")
        command.receives(signal.SIGTERM)
        ended = await command.ends()
        assert (ended.code, fetch_command(ended)) == (143, ["task", *emulator.issued, "--wait"])
        looked, lost = await asyncio.gather(
            command_line.run("task", *emulator.issued, "--json"), command_line.run("task", "another")
        )
    assert (looked.code, looked.stderr) == (0, "")
    assert json.loads(looked.stdout) == {"task_id": emulator.issued[0], "state": "running", "message": None}
    assert (lost.code, lost.stderr) == (1, "hunyuan: The service does not know task another (HTTP 404).\n")


async def test_who_leaves_before_the_answer_still_gets_the_id(command_line: CommandLine) -> None:
    """A request that is out may be paid: its answer is waited for."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def submit(_: web.Request) -> web.Response:
        asked.set()
        await answer.wait()
        return web.json_response({"code": 200, "data": {"task_id": "n1_hunyuan3", "status": "IN_PROGRESS"}})

    service = web.Application()
    service.router.add_post("/images/generations", submit)
    async with TestServer(service) as server:
        command_line.environment |= {"HUNYUAN_BASE_URL": str(server.make_url("")), "HUNYUAN_API_KEY": "aio_unused"}
        command = await command_line.start("generate", "a koi")
        await asked.wait()
        command.receives(signal.SIGINT)
        await command.says("waiting for the answer")
        answer.set()
        ended = await command.ends()
    assert (ended.code, ended.stdout) == (130, b"")
    assert fetch_command(ended) == ["task", "n1_hunyuan3", "--wait"]


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("[refuse]", "hunyuan: The content policy refused the request"),
        ("[fail]", "failed: The image could not be generated."),
    ],
)
async def test_an_image_that_is_not_made(command_line: CommandLine, prompt: str, says: str) -> None:
    """There is no file, and a failed task is not to be fetched."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("generate", prompt)
    assert (ended.code, ended.stdout, os.listdir(command_line.place)) == (1, b"", [])
    assert says in ended.stderr
    assert "It is paid" not in ended.stderr


async def test_a_refused_key_is_named_but_not_shown(command_line: CommandLine) -> None:
    """The message says where it came from and how it ends."""
    secret = command_line.place / "secret"
    secret.touch(0o600)
    secret.write_text("aio_wrong_1234\n")
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        del command_line.environment["HUNYUAN_API_KEY"]
        command_line.environment["HUNYUAN_API_KEY_FILE"] = str(secret)
        ended = await command_line.run("generate", "a koi")
    assert (ended.code, emulator.issued) == (4, [])
    assert "The key ends in 1234 and comes from the file that HUNYUAN_API_KEY_FILE names.\n" in ended.stderr
    assert "aio_wrong" not in ended.stderr


async def test_the_emulator_needs_no_key_and_gets_none(command_line: CommandLine) -> None:
    """One command makes an image on a fresh machine; what stands in the environment is left alone."""
    command_line.environment["HUNYUAN_API_KEY"] = "aio_mine_1234"
    ended = await command_line.run("generate", "a koi", "--emulator", "--size", "256x256", "-o", "koi.png")
    assert (ended.code, ended.stdout) == (0, b"koi.png\n")
    with Image.open(command_line.place / "koi.png") as image:
        assert image.size == (256, 256)


async def test_the_emulator_can_be_served_and_its_key_checked(command_line: CommandLine) -> None:
    """What it prints is what another shell pastes; Ctrl-C ends it."""
    served = await command_line.start("emulator", "--port", "0", "--small")
    for name in ("HUNYUAN_BASE_URL", "HUNYUAN_API_KEY"):
        line = await served.prints(f"export {name}=")
        command_line.environment[name] = line.strip().partition("=")[2]
    check = await command_line.run("key", "check")
    assert (check.code, check.stdout) == (0, b"accepted\n")
    command_line.environment["HUNYUAN_API_KEY"] = "aio_wrong_1234"
    refused = await command_line.run("key", "check")
    assert (refused.code, refused.stdout) == (4, b"")
    served.receives(signal.SIGINT)
    ended = await served.ends()
    assert (ended.code, "Traceback" in ended.stderr) == (130, False)
