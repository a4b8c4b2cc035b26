"""Uploading with real programs, and editing local images from the command line."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import shlex
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

from hunyuan_async._journal.reader import JournalReader
from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed
from hunyuan_async.errors import InvalidRequest, NotSent
from hunyuan_async.uploads import CommandUploader, digest_of_image, live_url_of, uploader_of

if TYPE_CHECKING:
    from tests.e2e.conftest import CommandLine

QUICK = EmulatorSettings(latency=fixed(0.05), small_pictures=True)
ADDRESS = "https://u.example/koi.png"


def picture(kind: str = "PNG") -> bytes:
    """A small image file."""
    file = io.BytesIO()
    Image.new("RGB", (8, 4)).save(file, kind)
    return file.getvalue()


def program(folder: Path, text: str) -> str:
    """Write a program in Python and return the command that runs it for a file."""
    script = folder / "up.py"
    script.write_text(f"import os, sys, time\n{text}\n")
    return f"{shlex.quote(sys.executable)} {shlex.quote(str(script))} {{file}}"


async def test_a_program_gets_the_file_and_prints_its_address(tmp_path: Path) -> None:
    """However odd the file's name is; what it says before does not matter."""
    koi = tmp_path / "-my 'koi' $(touch x); {file}.png"
    koi.write_bytes(b"koi")
    command = program(tmp_path, "print('uploading'); print('https://u.example/' + open(sys.argv[1]).read())")

    assert await CommandUploader(command).upload(koi) == "https://u.example/koi"
    assert sorted(os.listdir(tmp_path)) == sorted([koi.name, "up.py"])


async def test_a_program_does_not_get_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor the name of the file that holds it; everything else in the environment it may need."""
    monkeypatch.setenv("HUNYUAN_API_KEY", "aio_very_secret_key")
    monkeypatch.setenv("HUNYUAN_API_KEY_FILE", "/run/aio_very_secret_key")
    monkeypatch.setenv("BUCKET", "koi")
    command = program(
        tmp_path, "print('https://u.example/', os.environ['BUCKET'], 'secret' in str(os.environ), sep='')"
    )

    assert await CommandUploader(command).upload(tmp_path) == "https://u.example/koiFalse"


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("sys.exit('no \\x1b[2Jbucket')", NotSent, r"ended with 1: no \\u001b\[2Jbucket\. Nothing was sent"),
        ("sys.exit(3)", NotSent, "ended with 3: it said nothing"),
        ("print('done')", InvalidRequest, "must print an http"),
        ("print('http://127.0.0.1:8000/koi.png')", InvalidRequest, "must print an http"),
        ("print('http://localhost/koi.png')", InvalidRequest, "must print an http"),
    ],
)
async def test_what_goes_wrong_is_told(tmp_path: Path, text: str, error: type[Exception], says: str) -> None:
    """The end of what the program complained of, safe for a terminal; what it printed, never."""
    with pytest.raises(error, match=says):
        await CommandUploader(program(tmp_path, text)).upload(tmp_path)


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    """So that a typing error is found."""
    with pytest.raises(InvalidRequest, match=r"cannot be started: \./no-such-program"):
        await CommandUploader("./no-such-program {file}").upload(tmp_path)


async def test_this_machine_will_do_for_a_service_that_runs_here(tmp_path: Path) -> None:
    """As the emulator does."""
    address = "http://127.0.0.1:8000/koi.png"
    uploader = CommandUploader(program(tmp_path, f"print({address!r})"), base_url="http://127.0.0.1:9/api/v1")

    assert await uploader.upload(tmp_path) == address


async def test_a_program_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """It may hang for ever; we do not."""
    with pytest.raises(NotSent, match=r"took longer than 0\.2 s"):
        await CommandUploader(program(tmp_path, "time.sleep(3600)"), timeout=0.2).upload(tmp_path)


async def test_a_program_is_killed_with_all_it_started(tmp_path: Path) -> None:
    """As soon as nobody waits for it any more: a pipe that two processes hold ends only with both."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    text = f"pipe = os.open({str(pipe)!r}, os.O_WRONLY); os.fork(); os.write(pipe, b'x'); time.sleep(3600)"
    uploading = asyncio.create_task(CommandUploader(program(tmp_path, text)).upload(tmp_path))

    async with await anyio.open_file(pipe, "rb", buffering=0) as end:
        started = await end.read(1) + await end.read(1)
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
        assert (started, await end.read()) == (b"xx", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_what_can_be_edited_is_told_by_its_bytes(tmp_path: Path, kind: str) -> None:
    """Whatever the file is called."""
    path = tmp_path / "koi.txt"
    path.write_bytes(picture(kind))

    assert digest_of_image(path) == hashlib.sha256(picture(kind)).hexdigest()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (picture("GIF"), "it is a GIF"),
        (picture()[:-20], "only a part"),
        (b"<html>", "no image"),
        (b"", "no image"),
        (bytes(50 * 2**20 + 1), "more than 50 MiB"),
        (None, "Is a directory"),
    ],
)
def test_what_cannot_be_edited_is_not_uploaded(tmp_path: Path, content: bytes | None, says: str) -> None:
    """The service would refuse it, or worse, charge for it."""
    path = tmp_path if content is None else tmp_path / "koi.png"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(InvalidRequest, match=says):
        digest_of_image(path)


def test_without_the_variable_there_is_no_uploader() -> None:
    """And one that cannot be right is found at once."""
    assert uploader_of({"HUNYUAN_UPLOAD_COMMAND": " "}) is None
    assert uploader_of({"HUNYUAN_UPLOAD_COMMAND": " up {file}"}) == CommandUploader("up {file}")
    with pytest.raises(InvalidRequest, match="upload command"):
        uploader_of({"HUNYUAN_UPLOAD_COMMAND": "up"})


async def test_a_local_image_is_uploaded_and_edited(command_line: CommandLine) -> None:
    """Addresses beside it stay as they are, and the program does not see the key."""
    (command_line.place / "koi.png").write_bytes(picture())
    text = f"print('secret' if 'aio_' in str(os.environ) else {ADDRESS!r})"
    command_line.environment["HUNYUAN_UPLOAD_COMMAND"] = program(command_line.place, text)
    images = "--image", "koi.png", "--image", "https://example.com/a.png"
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("edit", "make it night", *images, "-o", "night.png")

    assert (ended.code, ended.stdout) == (0, b"night.png\n"), ended.stderr
    assert ended.stderr.startswith("uploading koi.png\n")
    assert json.loads(emulator.posts[0].body)["images"] == [ADDRESS, "https://example.com/a.png"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        (None, 2, "Set HUNYUAN_UPLOAD_COMMAND to a command that uploads {file} and prints its address"),
        ("sys.exit('no bucket')", 7, "ended with 1: no bucket"),
        ("print('done')", 2, "must print an http(s) address"),
    ],
)
async def test_an_image_that_is_not_uploaded_costs_nothing(
    command_line: CommandLine, text: str | None, code: int, says: str
) -> None:
    """The command says what to do, and the service never hears of it."""
    (command_line.place / "koi.png").write_bytes(picture())
    if text:
        command_line.environment["HUNYUAN_UPLOAD_COMMAND"] = program(command_line.place, text)
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        ended = await command_line.run("edit", "make it night", "--image", "koi.png")

    assert (ended.code, ended.stdout, emulator.posts) == (code, b"", [])
    assert says in " ".join(ended.stderr.split())


async def test_nothing_is_uploaded_without_a_key(command_line: CommandLine) -> None:
    """Nothing could be made of it."""
    (command_line.place / "koi.png").write_bytes(picture())
    command_line.environment["HUNYUAN_UPLOAD_COMMAND"] = program(command_line.place, "open('uploaded', 'w')")

    ended = await command_line.run("edit", "make it night", "--image", "koi.png")

    assert (ended.code, sorted(os.listdir(command_line.place))) == (4, ["koi.png", "up.py"])


async def test_an_image_that_we_made_needs_no_upload_while_its_address_works(command_line: CommandLine) -> None:
    """It is known by its bytes, under whatever name; an hour later its address is not trusted any more."""
    async with Emulator(settings=QUICK) as emulator:
        command_line.use(emulator)
        made = await command_line.run("batch", command_line.koi([1]), "--out", "out", "--yes")
        assert made.code == 0, made.stderr
        (name,) = command_line.results()[0]["images"]
        path = command_line.place / "out" / str(name["path"])
        renamed = path.rename(path.with_name("renamed.png"))
        ended = await command_line.run("edit", "make it night", "--image", renamed, "-o", "night.png")

        base_url = emulator.base_url

    assert ended.code == 0, ended.stderr
    (address,) = json.loads(emulator.posts[-1].body)["images"]
    assert address.startswith(base_url.removesuffix("/api/v1"))
    digest = digest_of_image(renamed)
    with JournalReader.read_only(command_line.place / "out/journal.sqlite") as journal:
        made_at = max(when for _, when in journal.saved_as(digest) if when)
        ask = partial(live_url_of, digest, journal, base_url=base_url)
        assert ask(now=made_at + timedelta(minutes=54)) == address
        assert ask(now=made_at + timedelta(minutes=56)) is None
        assert ask(now=made_at, base_url="https://apiin.one/api/v1") is None
        assert live_url_of("0" * 64, journal, now=made_at, base_url=base_url) is None
