"""From a finished task to files: retries, expired addresses, and no spending while images wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from hunyuan_async._core.replies import Fetched
from hunyuan_async.client import Client
from hunyuan_async.errors import DownloadFailed
from hunyuan_async.events import Downloaded, Event
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Limits
from hunyuan_async.testing import NoReply, Reply, ScriptedTransport, accepted, finished

Connect = Callable[..., Client]

GONE = Fetched(403)
LOST = NoReply("connection lost", sent=True)


class Hosting(ScriptedTransport):
    """Answers each look with new addresses, and fetches as scripted, the image itself when the script is over."""

    def __init__(
        self,
        image: bytes,
        *script: Fetched | NoReply,
        images: int = 1,
        seconds: float = 0.1,
        answer: Reply = accepted("t1"),  # noqa: B008 - a frozen value
    ) -> None:
        super().__init__(submit=lambda _: answer, poll=self._fresh, image=image)
        self._script = [*script]
        self._images, self._transfer, self._lookups = images, seconds, 0

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Answer as scripted."""
        if self._script:
            self.fetches.append(url)
            answer = self._script.pop(0)
            if answer != Fetched(200):
                return answer
            write(self._image)
            return answer
        await asyncio.sleep(self._transfer)
        return await super().fetch(url, write)

    def _fresh(self, task_id: str) -> Reply:
        self._lookups += 1
        return finished(task_id, *(f"https://i.example/{self._lookups}-{number}" for number in range(self._images)))


def names(folder: Path) -> list[str]:
    """What is in a folder."""
    return sorted(file.name for file in folder.iterdir())


async def saved(client: Client, place: Path, **options: bool) -> list[str]:
    """Make an image, save it, and return the names in its folder."""
    result = await client.generate("a fox")
    files = await client.download(result, place, **options)
    folder = files[0].path.parent
    assert {file.path.name for file in files} <= {*names(folder)}
    return names(folder)


async def test_a_file_name_is_kept_and_a_folder_gives_names(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Further images of one task are numbered."""
    (tmp_path / "folder").mkdir()
    client = connect(Hosting(png, images=2))

    assert await saved(client, tmp_path / "folder") == ["t1.2.png", "t1.png"]
    assert await saved(client, tmp_path / "koi.jpg") == ["folder", "koi.2.jpg", "koi.jpg"]


async def test_a_failed_fetch_is_tried_again(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Four times in all, then the error says that it was paid."""
    assert await saved(connect(Hosting(png, LOST, Fetched(500), LOST)), tmp_path / "a.png") == ["a.png"]
    with pytest.raises(DownloadFailed, match="connection lost") as caught:
        await saved(connect(Hosting(png, LOST, LOST, LOST, LOST)), tmp_path / "b.png")
    assert (caught.value.task_id, caught.value.charged, caught.value.kind) == ("t1", "yes", "download")


@pytest.mark.parametrize("status", [429, 503])
async def test_a_host_that_asks_for_time_gets_it(connect: Connect, tmp_path: Path, png: bytes, status: int) -> None:
    """Else all tries are over before it recovers."""
    hosting = Hosting(png, *[Fetched(status, retry_after=20.0)] * 3)
    client = connect(hosting)
    result = await client.generate("a fox")
    began = asyncio.get_running_loop().time()
    await client.download(result, tmp_path / "a.png")

    assert 60.0 <= asyncio.get_running_loop().time() - began < 61.0


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_an_expired_address_is_asked_for_anew_once(
    connect: Connect, tmp_path: Path, png: bytes, status: int
) -> None:
    """If the new one does not work either, the image is expired; it is never bought again."""
    transport = Hosting(png, Fetched(status))
    assert await saved(connect(transport), tmp_path / "a.png") == ["a.png"]
    assert transport.fetches == ["https://i.example/1-0", "https://i.example/2-0"]

    transport = Hosting(png, Fetched(status), Fetched(status))
    with pytest.raises(DownloadFailed) as caught:
        await saved(connect(transport), tmp_path / "b.png")
    assert (caught.value.kind, len(transport.fetches), len(transport.submits)) == ("expired", 2, 1)


async def test_what_is_saved_is_not_fetched_again_after_an_expiry(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Of three images the second had expired: the first stands."""
    transport = Hosting(png, Fetched(200), GONE, images=3)

    assert await saved(connect(transport), tmp_path / "a.png") == ["a.2.png", "a.3.png", "a.png"]
    assert [url.rpartition("/")[2] for url in transport.fetches] == ["1-0", "1-1", "2-1", "2-2"]


@pytest.mark.parametrize("script", [[], [GONE]], ids=["fresh", "expired"])
async def test_a_file_is_never_replaced_unasked(
    connect: Connect, tmp_path: Path, png: bytes, script: list[Fetched]
) -> None:
    """Not even by way of an expired address."""
    koi = tmp_path / "koi.png"
    koi.write_text("mine")

    with pytest.raises(DownloadFailed, match="exists already"):
        await saved(connect(Hosting(png, *script)), koi)
    assert koi.read_text() == "mine"
    assert await saved(connect(Hosting(png, *script)), koi, overwrite=True) == ["koi.png"]
    assert koi.read_bytes() == png


async def test_an_expired_image_of_a_task_without_an_id_is_expired(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """A submit may be answered with images alone; then there is nothing to ask for a new address."""
    transport = Hosting(png, GONE, answer=Reply(200, b'{"data": [{"url": "https://i.example/fox.png"}]}'))

    with pytest.raises(DownloadFailed) as caught:
        await saved(connect(transport), tmp_path / "a.png")
    assert caught.value.kind == "expired"


async def test_a_damaged_image_never_appears(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Half an image is fetched again, then given up; no file is left under any name."""
    with pytest.raises(DownloadFailed):
        await saved(connect(Hosting(png[:40])), tmp_path / "a.png")
    assert names(tmp_path) == []


async def test_a_stream_saves_what_it_yields(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """Under the requests' own names, or where a function says; told as it happens."""
    events: list[Event] = []
    client = connect(Hosting(png), on_event=events.append)

    def place(request: ImageRequest) -> Path:
        return tmp_path / "by-function" / request.prompt

    async with client.stream([ImageRequest("a fox", id="sku42")], save_to=tmp_path) as outcomes:
        [outcome] = [outcome async for outcome in outcomes]
    async with client.stream(["b"], save_to=place) as outcomes:
        [by_function] = [outcome async for outcome in outcomes]

    assert [file.path for file in outcome.files] == [tmp_path / "sku42.png"]
    assert [file.path for file in by_function.files] == [tmp_path / "by-function" / "b.png"]
    told = [file.path for event in events if isinstance(event, Downloaded) for file in event.files]
    assert told == [tmp_path / "sku42.png", tmp_path / "by-function" / "b.png"]


async def test_an_image_whose_file_exists_is_not_bought(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """It could not be saved, so the request is invalid before it costs anything; the others are made."""
    (tmp_path / "old.jpg").write_text("mine")
    transport = Hosting(png)
    wanted = [ImageRequest(name, id=name) for name in ("old", "new")]
    async with connect(transport).stream(wanted, save_to=tmp_path) as outcomes:
        kinds = {outcome.error and outcome.error.kind async for outcome in outcomes}

    assert kinds == {"invalid", None}
    assert [request.prompt for request in transport.submits] == ["new"]


@pytest.mark.parametrize("hostile", ["../../koi", "/etc/koi", "a\\b:c", "..", "con"])
async def test_no_id_leads_out_of_the_folder(connect: Connect, tmp_path: Path, png: bytes, hostile: str) -> None:
    """A request's own name is data: it names a file in the folder, or none."""
    folder = tmp_path / "images"
    async with connect(Hosting(png)).stream([ImageRequest("a", id=hostile)], save_to=folder) as outcomes:
        [outcome] = [outcome async for outcome in outcomes]

    [file] = outcome.files
    assert (names(tmp_path), names(folder)) == (["images"], [file.path.name])


async def test_an_image_that_cannot_be_saved_is_an_outcome_with_its_result(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """It is paid: its address travels with the error."""
    async with connect(Hosting(png, GONE, GONE)).stream(["a"], save_to=tmp_path) as outcomes:
        [outcome] = [outcome async for outcome in outcomes]

    assert outcome.result is not None
    assert outcome.error is not None
    assert outcome.error.kind == "expired"


async def test_nothing_is_bought_while_too_many_images_wait_to_be_saved(
    connect: Connect, tmp_path: Path, png: bytes
) -> None:
    """Addresses expire: with slow downloads the submits wait, and the statistics say why."""
    transport = Hosting(png, seconds=1000)
    client = connect(transport, limits=Limits(rate=1000, in_flight=2, downloads=1, unsaved=5))
    async with client.stream(map(str, range(50)), window=50, save_to=tmp_path) as outcomes:
        for handed_over in range(5):
            await asyncio.sleep(900)
            statistics = client.statistics()
            assert 5 < statistics.saving <= 5 + 2
            assert statistics.waiting_for == f"{statistics.saving} finished images wait to be saved"
            assert len(transport.submits) == statistics.saving + handed_over
            await anext(outcomes)


async def test_a_download_ends_when_the_client_closes(connect: Connect, tmp_path: Path, png: bytes) -> None:
    """It is not waited for, and it does not hang or look for a new address."""
    client = connect(Hosting(png, GONE, LOST, seconds=5), limits=Limits(rate=1000, downloads=1))
    result = await client.generate("a fox")
    downloads = [asyncio.create_task(client.download(result, tmp_path / name)) for name in ("a.png", "b.png")]
    await asyncio.sleep(0)
    await client.aclose()

    for download in downloads:
        with pytest.raises(DownloadFailed) as caught:
            await download
        assert caught.value.task_id == "t1"
    assert "closed" in str(caught.value)
