"""Web addresses for images on this machine, so that the service, which fetches images itself, can edit them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import attrs

from hunyuan_async._core.image_bytes import read_image
from hunyuan_async._core.image_urls import is_web_address
from hunyuan_async._core.text import printable
from hunyuan_async._core.uploading import command_words, is_worth_trying, printed_address
from hunyuan_async._http.addresses import is_loopback
from hunyuan_async._journal.reader import JournalReader
from hunyuan_async._keys import FILE_VARIABLE, KEY_VARIABLE
from hunyuan_async._uncancelled import see_through
from hunyuan_async.errors import DownloadFailed, InvalidRequest, NotSent
from hunyuan_async.settings import API_IN_ONE

UPLOAD_VARIABLE = "HUNYUAN_UPLOAD_COMMAND"
LARGEST = 50 * 2**20  # bytes
FORMATS = frozenset({"png", "jpg", "webp"})
COMPLAINT = 500  # characters, the last ones that a command wrote on stderr


class Uploader(Protocol):
    """Somebody who puts files where the service can fetch them."""

    async def upload(self, path: Path) -> str:
        """Upload the file at *path* and return its http(s) address."""


@attrs.frozen
class CommandUploader:
    """Uploads with a program of yours, for example rclone, aws or curl.

    The API key is not in the program's environment.

    Attributes:
        command: The program and its arguments, split as a shell would, and run without one; "{file}" becomes the path.
            The last line that it prints is the address.
        base_url: Where the API is: if it is on this machine, the address may be, too.
        timeout: Seconds for one file.
    """

    command: str = attrs.field()
    base_url: str = attrs.field(default=API_IN_ONE.base_url, kw_only=True)
    timeout: float = attrs.field(default=300.0, kw_only=True)

    @command.validator
    def _check_command(self, _: object, command: str) -> None:
        command_words(command, "")

    async def upload(self, path: Path) -> str:
        """Upload the file at *path* and return its http(s) address.

        Raises:
            InvalidRequest: The program cannot be started, or prints no address that the service could reach.
            NotSent: It failed, or took too long.
        """
        address = printed_address(await self._output_of(self._words(path)))
        if address is None or not is_reachable(address, self.base_url):
            raise InvalidRequest(
                f"The upload command for {printable(str(path))} must print an http(s) address that the service can "
                "reach, as its last line; it printed something else."
            )
        return address

    def _words(self, path: Path) -> list[str]:
        return command_words(self.command, str(path.absolute()))  # no program takes that for an option

    async def _output_of(self, words: list[str]) -> bytes:
        process = await _start(words)
        try:
            async with asyncio.timeout(self.timeout):
                output, complaint = await process.communicate()
        except BaseException as end:
            await see_through(_kill(process))
            if not isinstance(end, TimeoutError):
                raise
            problem = f"took longer than {self.timeout:g} s"
        else:
            if process.returncode == 0:
                return output
            told = printable(complaint.decode(errors="replace").strip()[-COMPLAINT:], 2 * COMPLAINT)
            problem = f"ended with {process.returncode}: {told or 'it said nothing'}"
        raise NotSent(f"The upload command {problem}. Nothing was sent to the service.")


def uploader_of(environment: Mapping[str, str], base_url: str = API_IN_ONE.base_url) -> CommandUploader | None:
    """Return the uploader that HUNYUAN_UPLOAD_COMMAND names; None if it is not set.

    Raises:
        InvalidRequest: It cannot be right.
    """
    command = environment.get(UPLOAD_VARIABLE, "").strip()
    return CommandUploader(command, base_url=base_url) if command else None


def digest_of_image(path: Path) -> str:
    """Return the SHA-256 of the image at *path*, as 64 hex digits; it reads the whole file.

    Raises:
        InvalidRequest: It is no whole PNG, JPEG or WebP image that can be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            problem = f"it has more than {LARGEST >> 20} MiB"
        elif read_image(data).extension in FORMATS:
            return hashlib.sha256(data).hexdigest()
        else:
            problem = "it is a GIF"
    except OSError as error:
        problem = error.strerror or "it cannot be read"
    except DownloadFailed:
        problem = "it is no image, or only a part of one"
    name = printable(str(path))
    raise InvalidRequest(f"{name} cannot be edited: {problem}. Give a whole PNG, JPEG or WebP image, or an address.")


def live_url_of(
    sha256: str, journal: JournalReader, *, now: datetime, base_url: str = API_IN_ONE.base_url
) -> str | None:
    """Return the address that an image of a run was fetched from, if it most likely still works; None otherwise.

    Raises:
        JournalError: The journal cannot be read.
    """
    for files, finished_at in journal.saved_as(sha256):
        for file in files:
            url = str(file["url"])
            if file["sha256"] == sha256 and is_reachable(url, base_url) and is_worth_trying(url, finished_at, now):
                return url
    return None


def is_reachable(url: str, base_url: str) -> bool:
    """Tell whether the service at *base_url* may be able to fetch *url*: not from this machine, unless it is here."""
    if not is_web_address(url):
        return False
    return is_loopback(urlsplit(base_url).hostname or "") or not is_loopback(urlsplit(url).hostname or "")


async def _start(words: list[str]) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if name not in {KEY_VARIABLE, FILE_VARIABLE}}
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,  # so that it can be killed with whatever it starts
        )
    except OSError as error:
        problem = error.strerror
    raise InvalidRequest(f"The upload command cannot be started: {printable(words[0])}: {problem}.")


async def _kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError, PermissionError):  # all of it has ended
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
