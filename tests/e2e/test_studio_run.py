"""What the review of a run gives out, and what it takes, asked without a page."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import sqlite3
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from hunyuan_async._journal.file import JournalFile
from hunyuan_async.cli.picks import PicksFile
from hunyuan_async.studio._review import Review
from hunyuan_async.studio._server import Studio
from tests.e2e.koi_run import carry_out, picture, write_run

if TYPE_CHECKING:
    from hunyuan_async._core.lifecycle import Item
    from tests.e2e.conftest import CommandLine


def _request(studio: Studio, path: str, headers: dict[str, str], body: bytes | None = None) -> urllib.request.Request:
    return urllib.request.Request(urljoin(studio.url, path), body, headers)  # noqa: S310 - it is our own


async def _told(
    studio: Studio, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """What the studio answers a browser that it let in."""

    def ask() -> tuple[int, dict[str, str], bytes]:
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        opener.open(studio.url).close()
        try:
            with opener.open(_request(studio, path, {**(headers or {})}, body)) as answer:
                return answer.status, {**answer.headers}, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, {**error.headers}, error.read()

    return await asyncio.to_thread(ask)


async def _posted(studio: Studio, verdict: str) -> tuple[int, bytes]:
    """What the studio answers to a verdict of its page."""
    headers = {"Origin": f"http://127.0.0.1:{urlsplit(studio.url).port}", "Content-Type": "application/json"}
    status, _, body = await _told(studio, "/api/review/verdicts", verdict.encode(), headers)
    return status, body


def _make_again(out: Path, *, sent: bool = True) -> Item:
    """Do what `hunyuan redo koi k0` does; unless it is *sent*, up to that."""
    with JournalFile.open(out / "journal.sqlite", out) as file:
        record = file.only_run()
        assert record is not None
        item = file.item(record.run, "k0")
        assert item is not None
        again = item.next_attempt()
        with file.planning(record.run) as planning:
            planning.add(again)
            planning.keep = True
        if sent:
            carry_out(file, again, picture(out, 7), datetime.now(UTC))
    return again


async def test_image_bytes_have_their_own_type_and_are_kept(tmp_path: Path) -> None:
    """They are named by their hash, so a browser need not ask again; small ones are made once."""
    out = write_run(tmp_path / "koi", 2)
    path = out / "images" / "0000" / "k0.png"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            status, headers, body = await _told(studio, f"/images/{digest}")
            assert (status, headers["Content-Type"], body) == (200, "image/png", path.read_bytes())
            assert "immutable" in headers["Cache-Control"]
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert (await _told(studio, f"/images/{digest}", headers={"If-None-Match": headers["ETag"]}))[0] == 304
            status, headers, body = await _told(studio, f"/thumbnails/{digest}")
            assert (status, headers["Content-Type"]) == (200, "image/webp")
            path.unlink()
            assert (await _told(studio, f"/thumbnails/{digest}"))[2] == body
            assert (await _told(studio, f"/images/{digest}"))[0] == 404
    assert [file.name for file in (out / ".thumbnails").iterdir()] == [f"{digest}.webp"]


@pytest.mark.parametrize("folder", ["images", "thumbnails"])
@pytest.mark.parametrize("trap", ["link", "linked folder", "page", "pipe", "outside"])
async def test_nothing_but_images_of_the_run_is_given_out(tmp_path: Path, folder: str, trap: str) -> None:
    """The directory may be the work of somebody else: no link is followed, and what is no image is not sent."""
    out = write_run(tmp_path / "koi", 2)
    path, elsewhere = out / "images" / "0000" / "k0.png", out.parent / "elsewhere"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    match trap:
        case "link":
            path.rename(elsewhere)
            path.symlink_to(elsewhere)
        case "linked folder":
            path.parent.rename(elsewhere)
            path.parent.symlink_to(elsewhere)
        case "page":
            path.write_text("<!doctype html><script>alert(1)</script>")
        case "pipe":
            path.unlink()
            os.mkfifo(path)
        case "outside":
            path.rename(elsewhere)
            with sqlite3.connect(out / "journal.sqlite") as journal:
                journal.execute("UPDATE items SET files = replace(files, 'images/0000/k0.png', '../elsewhere')")
            journal.close()
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            assert (await _told(studio, f"/{folder}/{digest}"))[0] == 404
            assert (await _told(studio, f"/{folder}/{'0' * 64}"))[0] == 404
            assert (await _told(studio, f"/{folder}/..%2f..%2fjournal.sqlite"))[0] == 404


async def test_small_images_are_not_written_through_a_link(tmp_path: Path) -> None:
    """Then the images themselves are sent."""
    out = write_run(tmp_path / "koi", 1)
    (tmp_path / "elsewhere").mkdir()
    (out / ".thumbnails").symlink_to(tmp_path / "elsewhere")
    data = (out / "images" / "0000" / "k0.png").read_bytes()
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            answer = await _told(studio, f"/thumbnails/{hashlib.sha256(data).hexdigest()}")
    assert (answer[0], answer[2], [*(tmp_path / "elsewhere").iterdir()]) == (200, data, [])


async def test_a_reload_shows_what_was_made_since(tmp_path: Path) -> None:
    """A verdict about the older image is over; the changes go on being counted."""
    out = write_run(tmp_path / "koi", 2)
    picked = PicksFile(out)
    picked.add("k0", "redo")
    picked.add("k1", "keep")
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            before = json.loads((await _told(studio, "/api/review"))[2])
            again = _make_again(out)
            after = json.loads((await _told(studio, "/api/review"))[2])
            news = json.loads((await _told(studio, f"/api/review/verdicts?after={before['number']}"))[2])
            [shot] = json.loads((await _told(studio, "/api/review/items?positions=0"))[2])["items"].values()
    assert (before["counts"]["redo"], after["counts"]["redo"], after["counts"]["keep"]) == (1, 0, 1)
    assert news["verdicts"] == {"0": "none"}
    assert (shot["verdict"], shot["images"][0]["sha256"]) == ("none", again.files[0].sha256)


@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("reloaded", [True, False])
async def test_a_verdict_about_an_older_image_is_refused(tmp_path: Path, sent: bool, reloaded: bool) -> None:
    """Also if another tab shows the new one: it would count for that, and it would be paid for again."""
    out = write_run(tmp_path / "koi", 2)
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:

            async def shown() -> dict[str, object]:
                [shot] = json.loads((await _told(studio, "/api/review/items?positions=0"))[2])["items"].values()
                return {"position": 0, "verdict": "redo", "sent": shot["sent"]}

            seen = await shown()
            _make_again(out, sent=sent)
            if reloaded:
                await _told(studio, "/api/review")
            status, body = await _posted(studio, json.dumps(seen))
            assert (status, b"look again" in body) == (409, True)
            assert not (out / "picks.csv").exists()
            await _told(studio, "/api/review")
            assert (await _posted(studio, json.dumps(await shown())))[0] == 200
    assert "k0,redo," in (out / "picks.csv").read_text()


async def test_a_reload_is_seen_whole_or_not_at_all(tmp_path: Path) -> None:
    """A question that is answered while the run is read again counts no fewer changes than one before."""
    out = write_run(tmp_path / "koi", 2)
    PicksFile(out).add("k0", "redo")
    PicksFile(out).add("k1", "keep")
    review = Review(out)
    _make_again(out)
    routes = [route for route in review.routes() if isinstance(route, web.RouteDef) and route.method == "GET"]
    ask = {route.path: route.handler for route in routes}
    paths = "/api/review/verdicts", "/api/review"
    answers = [asyncio.ensure_future(ask[path](make_mocked_request("GET", path))) for path in paths]
    await asyncio.sleep(0)
    review.close()  # the threads end before the loop goes on
    told = [await answer for answer in answers]
    numbers = [json.loads(answer.text or "")["number"] for answer in told if isinstance(answer, web.Response)]
    assert numbers == [3, 3]


async def test_the_loop_reads_no_image(tmp_path: Path) -> None:
    """Of one with many bytes that takes a while, and meanwhile everybody else would wait."""
    out = write_run(tmp_path / "koi", 1)
    digest = hashlib.sha256((out / "images" / "0000" / "k0.png").read_bytes()).hexdigest()
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            called: set[str] = set()
            sys.setprofile(lambda frame, event, argument: called.add(frame.f_code.co_name))  # of this thread
            try:
                assert (await _told(studio, f"/images/{digest}"))[0] == 200
            finally:
                sys.setprofile(None)
    assert "run_in_executor" in called
    assert "read_image" not in called


async def test_a_port_can_be_chosen(command_line: CommandLine) -> None:
    """It is listened at once, and free again afterwards."""
    write_run(command_line.place / "koi", 1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    for _ in range(2):
        studio = await command_line.start("studio", "koi", "--no-browser", "--port", str(port))
        assert f"http://127.0.0.1:{port}/?token=" in await studio.prints("http://")
        studio.receives(signal.SIGINT)
        assert (await studio.ends()).code == 128 + signal.SIGINT


@pytest.mark.parametrize("positions", ["", "x", "-1", "3", "0," * 500 + "0"])
async def test_positions_that_there_are_not_are_refused(tmp_path: Path, positions: str) -> None:
    """As are too many at once."""
    with closing(Review(write_run(tmp_path / "koi", 2))) as review:
        async with Studio("review.html", review.routes()) as studio:
            assert (await _told(studio, f"/api/review/items?positions={positions}"))[0] == 400


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "[" * 10_000,
        '{"position": 0}',
        '{"position": 0, "verdict": "keep"}',
        '{"position": 3, "verdict": "keep", "sent": ""}',
        '{"position": -1, "verdict": "keep", "sent": ""}',
        '{"position": "x", "verdict": "keep", "sent": ""}',
        '{"position": 0, "verdict": "=1+1", "sent": ""}',
    ],
)
async def test_what_is_no_verdict_is_not_stored(tmp_path: Path, body: str) -> None:
    """The page is told, and the file stays as it is."""
    out = write_run(tmp_path / "koi", 2)
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            assert (await _posted(studio, body))[0] == 400
    assert not (out / "picks.csv").exists()


async def test_a_hash_that_is_none_names_no_file(tmp_path: Path) -> None:
    """Small images are stored under it, so it must not lead out of their folder."""
    out = write_run(tmp_path / "koi", 1)
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE items SET files = json_replace(files, '$[0].sha256', '../../evil')")
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            items = json.loads((await _told(studio, "/api/review/items?positions=0"))[2])["items"]
            assert (await _told(studio, "/thumbnails/..%2f..%2fevil"))[0] == 404
    assert items["0"]["images"] == []


async def test_a_file_that_was_replaced_is_complained_of(tmp_path: Path) -> None:
    """In words, and not as a bug: starting again heals it."""
    out = write_run(tmp_path / "koi", 1)
    PicksFile(out).add("k0", "keep")
    with closing(Review(out)) as review:
        async with Studio("review.html", review.routes()) as studio:
            (out / "picks.csv").write_text("id,verdict,at\n")
            status, _, body = await _told(studio, "/api/review/verdicts")
    assert (status, "start the studio again" in json.loads(body)["error"]["message"]) == (507, True)
