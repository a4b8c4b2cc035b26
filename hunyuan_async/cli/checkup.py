"""What can be wrong before anything is paid: each check is one finding, and none of them costs anything."""

from __future__ import annotations

import asyncio
import os
import platform
import resource
import shutil
import sqlite3
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import attrs

from hunyuan_async import __version__
from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.watch import one_look
from hunyuan_async._http.api import check_base_url
from hunyuan_async._journal.disk import is_on_network
from hunyuan_async.cli.connection import Connection, key_note, required_key
from hunyuan_async.cli.directories import log_folder
from hunyuan_async.errors import AuthError, HunyuanError, TaskLost
from hunyuan_async.transport import Transport

NO_TASK = "doctor"  # an id that no task has: the answer tells whether the key is accepted
MOST_SKEW = 60.0  # seconds
LEAST_DISK = 2**30  # bytes: some hundred images
LEAST_FILES = 512  # open at once: as many looks and downloads as a client makes, and the journal
SOON = 14  # days
PACKAGES = "aiohttp", "attrs", "cattrs", "anyio", "click", "rich"


@attrs.frozen
class Finding:
    """What a check found.

    Attributes:
        subject: What was looked at.
        level: Whether it is fine, may become a trouble, or must be mended first.
        told: What was seen, and what to do next.
    """

    subject: str
    level: Literal["ok", "warn", "fail"]
    told: str


def check_machine() -> Iterator[Finding]:
    """Look at versions, the disk and the number of files that may be open."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    told = (
        f"hunyuan_async {__version__}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}"
    )
    yield Finding("versions", "ok", f"{told}, {platform.platform(terse=True)}")
    yield _check_folder(log_folder())
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = files == resource.RLIM_INFINITY or files >= LEAST_FILES
    more = "" if enough else f"; raise it to {LEAST_FILES} with: ulimit -n {LEAST_FILES}"
    yield Finding("open files", "ok" if enough else "warn", f"this process may have {files} open{more}")


def check_settings(connection: Connection) -> Iterator[Finding]:
    """Look at the key, without showing it, and at the base URL."""
    if connection.emulator:
        yield Finding("key", "ok", "the emulator brings its own")
        return
    yield _finding("key", lambda: key_note(required_key()))
    yield _finding("base URL", lambda: check_base_url(connection.address))


async def check_tls(base_url: str) -> Finding:
    """Look at the certificate of the API's host; a connection that is closed again at once."""
    url = urlsplit(base_url)
    if url.scheme != "https":
        return Finding("TLS", "ok", "none: the API is on this machine")
    try:
        async with asyncio.timeout(10):
            _, writer = await asyncio.open_connection(url.hostname, url.port or 443, ssl=ssl.create_default_context())
    except (OSError, TimeoutError) as error:
        told = getattr(error, "verify_message", None) or error.strerror or "no answer within 10 s"
        return Finding("TLS", "fail", f"no connection to {url.hostname}: {told}")
    certificate, protocol = writer.get_extra_info("peercert"), writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(certificate["notAfter"]), UTC)
    days = (ends - datetime.now(UTC)).days
    return Finding("TLS", "ok" if days > SOON else "warn", f"{protocol}, certificate valid for {days} more days")


async def check_service(transport: Transport) -> list[Finding]:
    """Look at a task that does not exist: does the service answer, does it accept the key, what time has it?"""
    seen = await transport.poll(NO_TASK)
    if isinstance(seen, NoReply):
        return [Finding("service", "fail", f"no answer: {seen.reason}")]
    verdict = one_look(NO_TASK, seen, 0.0)
    known = isinstance(verdict, TaskLost) or not isinstance(verdict, HunyuanError)
    told = f"HTTP {seen.status}, the key is accepted" if known else str(getattr(verdict, "message", verdict))
    subject = "key" if isinstance(verdict, AuthError) else "service"
    return [Finding(subject, "ok" if known else "fail", told), *_check_clock(seen)]


def _finding(subject: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(subject, "ok", check())
    except HunyuanError as error:
        return Finding(subject, "fail", error.message)


def _check_clock(seen: Reply) -> Iterator[Finding]:
    try:
        skew = (datetime.now(UTC) - parsedate_to_datetime(seen.headers.get("date", ""))).total_seconds()
    except (ValueError, OverflowError, TypeError):  # no date, one beyond all calendars, or one without a zone
        return
    told = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the service's"
    fine = abs(skew) <= MOST_SKEW
    yield Finding("clock", "ok" if fine else "warn", told if fine else f"{told}; set it, or times in reports are wrong")


def _check_folder(folder: Path) -> Finding:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    told = f"{free / 1e9:,.1f} GB free at {folder}"
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding("disk", "fail", f"{there} cannot be written: journals of single images go below it")
    if is_on_network(there):
        return Finding("disk", "warn", f"{told}, on another machine's disk: keep journals on one of this machine")
    return Finding("disk", "ok" if free >= LEAST_DISK else "warn", told)
