"""Addresses for the images of edits: each image is uploaded once, and nobody waits for the uploads of others."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import attrs

from hunyuan_async.studio._sources import Sources
from tests.e2e.koi_run import write_run

BASE = "http://127.0.0.1:9"


@attrs.define
class Slow:
    """An uploader that takes until it may end.

    Attributes:
        begun: Whether an upload is under way.
        may_end: Whether uploads end.
        uploaded: Which they were.
    """

    begun: asyncio.Event = attrs.field(factory=asyncio.Event)
    may_end: asyncio.Event = attrs.field(factory=asyncio.Event)
    uploaded: list[str] = attrs.field(factory=list)

    async def upload(self, path: Path) -> str:
        """Wait."""
        self.uploaded.append(path.name)
        self.begun.set()
        await self.may_end.wait()
        return f"https://uploads.example/{path.name}"


async def test_a_known_image_does_not_wait_for_an_upload(tmp_path: Path) -> None:
    """Of another; the same one is uploaded once."""
    slow = Slow()
    sources = Sources(tmp_path, BASE, slow, emulated=False)
    slow.may_end.set()
    known = await sources.of_file(tmp_path / "known", "a" * 64, "")
    slow.may_end.clear()
    slow.begun.clear()
    new = [asyncio.create_task(sources.of_file(tmp_path / "new", "b" * 64, "")) for _ in range(2)]
    await slow.begun.wait()
    async with asyncio.timeout(10):  # not how long it takes, but that it ends at all
        assert await sources.of_file(tmp_path / "known", "a" * 64, "") == known
    slow.may_end.set()
    assert {await task for task in new} == {"https://uploads.example/new"}
    assert slow.uploaded == ["known", "new"]


async def test_of_several_images_of_a_task_the_right_one_is_found(tmp_path: Path) -> None:
    """By its bytes, with an emulator as well."""
    out = write_run(tmp_path / "koi", 2)
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE items SET files = json_replace(files, '$[0].url', 'http://127.0.0.1/' || id)")
        both = "SELECT json_group_array(json_extract(files, '$[0]')) FROM items WHERE id IN ('k0', 'k1')"
        journal.execute(f"UPDATE items SET files = ({both}) WHERE id = 'k0'")  # noqa: S608 - it is our own
        journal.execute("UPDATE items SET files = '[]' WHERE id = 'k1'")
    second = hashlib.sha256((out / "images" / "0000" / "k1.png").read_bytes()).hexdigest()
    assert await Sources(out, BASE, None, emulated=True).known(second) == "http://127.0.0.1/k1"
