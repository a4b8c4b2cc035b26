"""The emulator over real sockets, as any HTTP client sees it."""

import ast
import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import cast

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

import hunyuan_async.emulator
from hunyuan_async.emulator import Emulator, EmulatorSettings, Picture, fixed
from hunyuan_async.emulator._app import WebSide

FAST = EmulatorSettings(latency=fixed(0.01), small_pictures=True)
ORDER: Mapping[str, object] = {"model": "hunyuan-image-3", "prompt": "a koi pond", "seed": 7}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A bare HTTP client."""
    async with aiohttp.ClientSession() as opened:
        yield opened


def bearer(emulator: Emulator) -> dict[str, str]:
    """The header that carries the emulator's key."""
    return {"Authorization": f"Bearer {emulator.api_key}"}


async def submitted(session: aiohttp.ClientSession, emulator: Emulator, order: Mapping[str, object] = ORDER) -> str:
    """Submit, and return the task's id."""
    url = f"{emulator.base_url}/images/generations"
    async with session.post(url, json=order, headers=bearer(emulator)) as response:
        assert response.status == 200
        return cast("str", (await response.json())["data"]["task_id"])


async def finished(session: aiohttp.ClientSession, emulator: Emulator, task_id: str) -> str:
    """Poll until the task is finished, and return its image's address."""
    while True:
        url = f"{emulator.base_url}/tasks/{task_id}"
        async with session.get(url, headers=bearer(emulator)) as response:
            data = (await response.json())["data"]
        if data["status"] == "completed":
            return cast("str", data["outputs"][0])


async def fetched(session: aiohttp.ClientSession, url: str) -> bytes:
    """Download a PNG file, without any key."""
    async with session.get(url) as response:
        assert (response.status, response.content_type) == (200, "image/png")
        return await response.read()


async def image(session: aiohttp.ClientSession, emulator: Emulator, order: Mapping[str, object] = ORDER) -> bytes:
    """Submit, wait and download."""
    return await fetched(session, await finished(session, emulator, await submitted(session, emulator, order)))


async def test_a_prompt_becomes_a_png_file(session: aiohttp.ClientSession) -> None:
    """Submit, poll and download as documented end in an image of the size asked for."""
    async with Emulator(settings=EmulatorSettings(latency=fixed(0.01))) as emulator:
        file = await image(session, emulator, {**ORDER, "size": "512*256"})

    assert Image.open(io.BytesIO(file)).size == (512, 256)


async def test_the_same_request_gives_the_same_bytes_again(session: aiohttp.ClientSession) -> None:
    """Another emulator makes the same image of the same request, and another one of another seed."""
    async with Emulator(settings=FAST) as first, Emulator(settings=FAST) as second:
        file = await image(session, first)

        assert await image(session, second) == file
        assert await image(session, second, {**ORDER, "seed": 8}) != file


async def test_an_edit_uses_the_image_it_was_given(session: aiohttp.ClientSession) -> None:
    """Two edits that differ in nothing but their input differ."""
    async with Emulator(settings=FAST) as emulator:
        koi = await finished(session, emulator, await submitted(session, emulator))
        edit = {**ORDER, "prompt": "at night", "type": "edit"}

        of_koi = await image(session, emulator, {**edit, "images": [koi]})
        of_unknown = await image(session, emulator, {**edit, "images": ["https://a.example/koi.png"]})

    assert of_koi != of_unknown


async def test_refusals_arrive_with_status_envelope_and_headers(session: aiohttp.ClientSession) -> None:
    """What the service decides is what is on the wire."""
    async with Emulator(settings=EmulatorSettings(requests_per_second=1)) as emulator:
        url = f"{emulator.base_url}/images/generations"
        async with session.post(url, json=ORDER, headers={"Authorization": "Bearer no"}) as response:
            unknown_key = response.status, await response.json()
        async with session.post(url, data=b"{", headers=bearer(emulator)) as response:
            not_json = response.status
        async with session.post(url, json=ORDER, headers=bearer(emulator)) as response:
            limited = response.status, response.headers["Retry-After"]

    message = {"code": 401, "message": "Invalid API key", "type": "authentication_error"}
    assert unknown_key == (401, {"error": message})
    assert not_json == 400
    assert limited == (429, "1")
    assert [post.status for post in emulator.posts] == [401, 400, 429]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("DELETE", "/api/v1/tasks/n1", 405)])
async def test_unknown_paths_and_methods_are_errors_of_the_api(
    session: aiohttp.ClientSession, method: str, path: str, status: int
) -> None:
    """Even there the documented error envelope is kept."""
    async with (
        Emulator() as emulator,
        session.request(method, emulator.base_url.removesuffix("/api/v1") + path) as response,
    ):
        assert response.status == status
        assert (await response.json())["error"]["code"] == status


async def test_a_browser_gets_no_error_for_its_icon(session: aiohttp.ClientSession) -> None:
    """Every browser asks for it."""
    async with (
        Emulator() as emulator,
        session.get(emulator.base_url.removesuffix("/api/v1") + "/favicon.ico") as response,
    ):
        assert response.status == 204


async def test_an_address_that_expired_is_refused(session: aiohttp.ClientSession) -> None:
    """403 with the error envelope, and the refusal is in the log of downloads."""
    settings = EmulatorSettings(latency=fixed(0), url_lifetime=0)
    async with Emulator(settings=settings) as emulator:
        task_id = await submitted(session, emulator)
        async with session.get(await finished(session, emulator, task_id)) as response:
            assert response.status == 403
            assert "expired" in (await response.json())["error"]["message"]

    assert [(get.task_id, get.status) for get in emulator.downloads] == [(task_id, 403)]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 404),
        ("localhost:8000", 404),
        ("[::1]:8000", 404),
        ("evil.example", 403),
        ("localhost.evil.example:80", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
async def test_foreign_host_names_are_refused(session: aiohttp.ClientSession, host: str, status: int) -> None:
    """A web page that points a name of its own at us gets nothing; with allow_remote any name will do."""
    async with Emulator() as closed, Emulator(allow_remote=True) as open_to_all:
        for emulator, expected in ((closed, status), (open_to_all, 404)):
            headers = {**bearer(emulator), "Host": host}
            async with session.get(f"{emulator.base_url}/tasks/n1", headers=headers) as response:
                assert response.status == expected


def test_other_machines_are_let_in_only_when_told_so() -> None:
    """An address beyond the loopback needs a second word."""
    with pytest.raises(ValueError, match="allow_remote"):
        Emulator(host="0.0.0.0")  # noqa: S104 - that is what is refused

    assert Emulator(host="0.0.0.0", allow_remote=True).balance > 0  # noqa: S104


async def test_given_keys_are_the_known_ones(session: aiohttp.ClientSession) -> None:
    """The first is the one to use, the others work as well."""
    async with Emulator(settings=FAST, api_keys=["first-key", "second-key"]) as emulator:
        url = f"{emulator.base_url}/images/generations"
        async with session.post(url, json=ORDER, headers={"Authorization": "Bearer second-key"}) as response:
            assert response.status == 200

    assert emulator.api_key == "first-key"
    assert emulator.posts[0].key == "second-key"
    assert json.loads(emulator.posts[0].body) == ORDER


def test_keys_of_its_own_look_like_nobody_elses() -> None:
    """A random key says what it is for."""
    first, second = Emulator().api_key, Emulator().api_key

    assert first.startswith("aio_emulator_")
    assert first != second


async def test_a_restarted_emulator_still_knows_its_tasks(session: aiohttp.ClientSession) -> None:
    """Closing is an outage, not the end: on the same port the tasks and their log are there again."""
    emulator = Emulator(settings=FAST)
    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.base_url
    await emulator.start()
    task_id = await submitted(session, emulator)
    await emulator.aclose()
    await emulator.aclose()

    async with emulator:
        await finished(session, emulator, task_id)

    assert emulator.issued == [task_id]


async def test_closing_cuts_what_is_under_way_and_leaves_no_asyncio_task() -> None:
    """A client that never sends the rest of its body keeps nobody waiting, and its POST is not in the log."""
    emulator = Emulator()
    before = asyncio.all_tasks()
    await emulator.start()
    host, port = emulator.base_url.split("/")[2].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /api/v1/images/generations HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 9\r\n"
    writer.write(f"{head}Expect: 100-continue\r\n\r\n{{".encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"

    await emulator.aclose()

    assert asyncio.all_tasks() == before
    assert emulator.posts == []
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))
    writer.close()


async def test_serving_for_ever_ends_when_cancelled() -> None:
    """What a command line awaits stops listening as soon as it is cancelled."""
    emulator = Emulator()
    await emulator.start()
    serving = asyncio.create_task(emulator.serve_forever())
    await asyncio.sleep(0)

    serving.cancel()
    await asyncio.wait([serving])

    with pytest.raises(RuntimeError, match="not started"):
        _ = emulator.base_url


async def test_pictures_are_drawn_off_the_event_loop() -> None:
    """Drawing takes CPU for tens of milliseconds, which no request may wait for."""
    drawn_in = []

    def draw(picture: Picture) -> bytes:
        drawn_in.append(threading.current_thread())
        return picture.prompt.encode()

    emulator = Emulator(settings=EmulatorSettings(finished_at_once=True))
    side = WebSide(emulator.service, draw, allow_remote=True)
    async with TestClient(TestServer(side.application())) as client:
        submit = client.post("/api/v1/images/generations", json=ORDER, headers=bearer(emulator))
        async with submit as response:
            url = (await response.json())["data"]["outputs"][0]
        async with client.get(url[url.index("/files") :]) as response:
            assert await response.read() == b"a koi pond"

    assert drawn_in
    assert drawn_in[0] is not threading.main_thread()


def test_the_emulator_shares_nothing_with_the_client() -> None:
    """One mistake in both must not pass for the truth, so the emulator imports nothing of ours but itself."""
    folder = Path(hunyuan_async.emulator.__file__).parent
    imported = {
        node.module or ""
        for path in folder.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom)
    }

    ours = {name for name in imported if name.startswith("hunyuan_async")}
    assert {name for name in ours if not name.startswith("hunyuan_async.emulator")} == set()


def test_importing_the_emulator_does_not_need_pillow() -> None:
    """Only what draws loads it, at the start."""
    code = "import sys, hunyuan_async.emulator; sys.exit('PIL' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
