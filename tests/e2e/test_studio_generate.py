"""The page that makes images, in a real browser: from a prompt to images, edits, comparisons, and raw calls."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import attrs
import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import expect

from hunyuan_async._assembly import over_aiohttp
from hunyuan_async.client import Client
from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed
from hunyuan_async.integrations.web import end_streams
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Limits, Polling
from hunyuan_async.studio._generate import Generator, open_generator
from hunyuan_async.studio._server import Studio
from hunyuan_async.testing import Fetched, NoReply, Reply
from hunyuan_async.transport import BeforeSend, Transport
from tests.e2e.browser import axe_findings

if TYPE_CHECKING:
    from playwright.async_api import Locator, Page, Response, Route

    from hunyuan_async.uploads import Uploader
    from tests.e2e.browser import Tabs
    from tests.e2e.conftest import CommandLine

KOI = "a koi pond, watercolour"
HOSTILE = "<img src=x onerror=\"document.title='hacked'\"> '; echo $HOME `id` \u202egnp.koi بركة"
DONE = ".tile[data-state=done]"


@attrs.define
class Gate(Transport):
    """The real transport, which shows no finished task until it is opened; what it brings back repeats the key.

    Attributes:
        inner: Sends the requests.
        key: The key.
        opened: Whether status checks go through.
    """

    inner: Transport
    key: str
    opened: asyncio.Event = attrs.field(factory=asyncio.Event)

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        """Pass a submit on."""
        return self._repeating(await self.inner.submit(request, before_send))

    async def poll(self, task_id: str) -> Reply | NoReply:
        """Pass a status check on once the gate is open."""
        await self.opened.wait()
        return self._repeating(await self.inner.poll(task_id))

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        """Pass a download on."""
        return await self.inner.fetch(url, write)

    async def aclose(self) -> None:
        """Close it."""
        self.opened.set()
        await self.inner.aclose()

    def _repeating(self, reply: Reply | NoReply) -> Reply | NoReply:
        if isinstance(reply, NoReply):
            return reply
        return attrs.evolve(reply, headers={**reply.headers, "x-request-id": f"Bearer {self.key}"})


@attrs.define
class Desk:
    """A studio and what is behind it.

    Attributes:
        page: The page, opened.
        emulator: The service.
        gate: Before its answers.
        generator: What the page talks to.
        studio: What serves it.
    """

    page: Page
    emulator: Emulator
    gate: Gate
    generator: Generator
    studio: Studio

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was bought, in order."""
        return [json.loads(post.body) for post in self.emulator.posts if post.task_id]

    async def order(self, prompt: str = KOI, *, seed: str = "7", variations: int = 1) -> None:
        """Fill the form, and send it by the keyboard."""
        await self.page.get_by_label("Prompt").fill(prompt)
        await self.page.get_by_label("Seed", exact=True).fill(seed)
        await self.page.get_by_label("Variations").fill(str(variations))
        await self.page.keyboard.press("Control+Enter")

    async def made(self, prompt: str = KOI, *, seed: str = "7", variations: int = 1) -> None:
        """Have images made, and wait for them."""
        before = await self.page.locator(DONE).count()
        self.gate.opened.set()
        await self.order(prompt, seed=seed, variations=variations)
        await loaded(self.page, before + variations)

    def tile(self, seed: int) -> Locator:
        """The tile of a seed."""
        return self.page.locator(".tile").filter(has_text=f"seed {seed} ")


pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's
OpenDesk = Callable[..., Awaitable[Desk]]


async def loaded(page: Page, count: int) -> None:
    """Wait until so many images are there to be seen."""
    await page.wait_for_function(
        """(count) => {
            const images = [...document.querySelectorAll('.tile[data-state=done] img')];
            return images.length === count && images.every((image) => image.complete && image.naturalWidth);
        }""",
        arg=count,
    )


async def says(page: Page, selector: str, text: str) -> None:
    """Wait until an element says *text*."""
    await page.locator(selector).filter(has_text=text).first.wait_for()


async def ask(page: Page, path: str, body: object = None) -> tuple[int, Any]:
    """Ask as the page does."""
    script = """async ([path, body]) => {
        const headers = { "Content-Type": "application/json" };
        const answer = await fetch(path, body === null ? {} : { method: "POST", headers, body: JSON.stringify(body) });
        return [answer.status, await answer.json()];
    }"""
    status, content = await page.evaluate(script, [path, body])
    return status, content


@pytest_asyncio.fixture(loop_scope="session")
async def desk(tmp_path: Path, tabs: Tabs) -> AsyncIterator[OpenDesk]:
    """Open a studio over an emulator: `in_flight`, a `theme` and so on may be given."""
    async with AsyncExitStack() as stack:

        async def open_desk(
            *,
            in_flight: int = 8,
            small: bool = True,
            emulated: bool = True,
            uploader: Uploader | None = None,
            **how: Any,
        ) -> Desk:
            settings = EmulatorSettings(latency=fixed(0.01), small_pictures=small)
            emulator = await stack.enter_async_context(Emulator(settings=settings))
            client = Client(
                emulator.api_key,
                base_url=emulator.base_url,
                limits=Limits(rate=200, in_flight=in_flight),
                polling=Polling(max_gap=0.3),
            )
            gate = client.transport = Gate(over_aiohttp(client), emulator.api_key)
            await stack.enter_async_context(client)
            generator = await stack.enter_async_context(
                open_generator(client, tmp_path / "studio", uploader=uploader, emulated=emulated)
            )
            studio = await stack.enter_async_context(Studio("generate.html", generator.routes()))
            stack.push_async_callback(tabs.close)  # before the studio, which they listen to
            page = await tabs.open(studio.url, **how)
            await page.locator("#empty").wait_for()
            return Desk(page, emulator, gate, generator, studio)

        yield open_desk


async def test_variations_are_watched_from_the_click_to_the_images(desk: OpenDesk) -> None:
    """With their seeds in a row, what they will cost before, and what they did cost after."""
    made = await desk()
    page = made.page
    await page.get_by_label("Prompt").fill(KOI)
    await page.get_by_label("Variations").fill("3")
    await says(page, "#go", "Generate 3 images 75 credits ($0.15)")
    await made.order(variations=3)
    await page.wait_for_function("() => document.querySelectorAll('.tile[data-state=running]').length === 3")
    await says(page, "#doing", "3 under way")
    await page.wait_for_function("() => parseFloat(document.querySelector('.filled').style.width) > 5")
    assert await page.title() == "(3) hunyuan studio"
    made.gate.opened.set()
    await loaded(page, 3)
    await says(page, "#doing", "charged")
    await says(page, "#pulse", "75 credits ($0.15)")
    assert await page.locator(".tile .quiet").all_inner_texts() == [
        f"seed {seed} · 1024 \u00d7 1024 · 25 credits" for seed in (9, 8, 7)
    ]
    assert [body["seed"] for body in made.bodies] == [7, 8, 9]
    assert await page.title() == "hunyuan studio"


async def test_a_double_click_buys_once(desk: OpenDesk, tabs: Tabs) -> None:
    """So does a click whose answer was lost and the one after it, also if no seed is given; other wishes are new."""
    made = await desk()
    page = made.page
    made.gate.opened.set()
    await page.get_by_label("Prompt").fill(KOI)
    await page.locator("#go").dblclick()
    await loaded(page, 1)

    async def lose(route: Route) -> None:
        await route.fetch()
        await route.abort()

    await page.route("**/api/orders", lose, times=1)
    await page.get_by_label("Prompt").fill(f"{KOI}, again")
    await page.locator("#go").click()
    await says(page, "#composer-trouble", "does not answer")
    await page.locator("#go").click()
    await page.locator("#composer-trouble").wait_for(state="hidden")
    await loaded(page, 2)
    assert [body["prompt"] for body in made.bodies] == [KOI, f"{KOI}, again"]
    expect_only(tabs, "ERR_FAILED")


@pytest.mark.parametrize(("status", "bought"), [(503, 1), (422, 2)])
async def test_a_click_that_may_have_bought_is_the_same_click(
    desk: OpenDesk, tabs: Tabs, status: int, bought: int
) -> None:
    """After a failure of the server nobody knows, whatever it says; what was refused is asked for anew."""
    made = await desk()
    page = made.page
    made.gate.opened.set()

    async def fail(route: Route) -> None:
        await route.fetch()
        await route.fulfill(status=status, json={"error": {"message": "no luck"}})

    await page.route("**/api/orders", fail, times=1)
    await made.order()
    await says(page, "#composer-trouble", "no luck")
    await page.locator("#go").click()
    await page.locator("#composer-trouble").wait_for(state="hidden")
    await loaded(page, bought)
    assert len(made.bodies) == bought
    expect_only(tabs, str(status))


async def test_an_order_waits_for_the_upload(desk: OpenDesk, tmp_path: Path) -> None:
    """Also one by the keyboard: the page says what it waits for. The loop does not read the image."""
    made = await desk()
    page = made.page
    made.gate.opened.set()
    held: asyncio.Future[Route] = asyncio.get_running_loop().create_future()
    await page.route("**/api/uploads", lambda route: held.set_result(route))
    (tmp_path / "koi.png").write_bytes(_png())
    await page.get_by_text("Edit an image").click()
    await page.locator("#source-file").set_input_files(tmp_path / "koi.png")
    route = await held
    await made.order("make it night")
    await says(page, "#composer-trouble", "Wait until the image is uploaded")
    called: set[str] = set()
    sys.setprofile(lambda frame, event, argument: called.add(frame.f_code.co_name))  # of this thread
    try:
        await route.continue_()
        await page.locator("#source-list .words").get_by_text("koi.png", exact=True).wait_for()
    finally:
        sys.setprofile(None)
    assert "_take_upload" in called
    assert "read_image" not in called
    await made.order("make it night")
    await loaded(page, 1)
    assert len(made.bodies) == 1


async def test_an_order_that_cannot_be_looked_up_is_told_of(desk: OpenDesk, tabs: Tabs) -> None:
    """An edit that is to be made again needs what it began from; what is typed stays."""
    made = await desk()
    page = made.page
    await made.made()
    await made.tile(7).locator(".open").click()
    await page.get_by_role("button", name="Edit this image").click()
    await made.order("make it night", seed="8")
    await loaded(page, 2)
    await page.get_by_label("Prompt").fill("the next idea")
    await made.tile(8).locator(".open").click()
    await page.route("**/calls", lambda route: route.abort())
    await page.get_by_role("button", name="Again with this seed").click()
    await says(page, "#trouble", "does not answer")
    await expect(page.get_by_label("Prompt")).to_have_value("the next idea")
    expect_only(tabs, "ERR_FAILED")


async def test_an_image_is_edited(desk: OpenDesk) -> None:
    """From its large view: the service gets its address, and the new image goes on from there."""
    made = await desk()
    page = made.page
    await made.made()
    await made.tile(7).locator(".open").click()
    await page.get_by_role("button", name="Edit this image").click()
    await page.locator("#prompt:focus").wait_for()
    await says(page, "#source-list", f"seed 7: {KOI}")
    await page.keyboard.type("make it night")
    await says(page, "#go", "Edit 1 image")
    await page.keyboard.press("Control+Enter")
    await loaded(page, 2)
    edit = made.bodies[-1]
    assert (edit["type"], edit["prompt"]) == ("edit", "make it night")
    assert edit["images"][0].split("?")[0].endswith(f"/files/{made.emulator.issued[0]}.png")
    await page.locator(".tile .open").first.click()
    await page.get_by_role("button", name="Again with this seed").click()
    await page.locator("#source-list").get_by_text(edit["images"][0]).wait_for()


def _png() -> bytes:
    file = BytesIO()
    Image.new("RGB", (80, 60), "teal").save(file, "PNG")
    return file.getvalue()


async def test_an_image_of_this_machine_is_edited(desk: OpenDesk, tmp_path: Path, tabs: Tabs) -> None:
    """With an emulator no command is needed; what is no image is told of, and two may be given."""
    made = await desk()
    page = made.page
    made.gate.opened.set()
    (tmp_path / "koi.png").write_bytes(_png())
    (tmp_path / "fake.png").write_bytes(b"GIF89a")
    await page.get_by_text("Edit an image").click()
    await page.locator("#source-file").set_input_files(tmp_path / "fake.png")
    await says(page, "#composer-trouble", "no whole PNG, JPEG or WebP image")
    await page.locator("#source-file").set_input_files(tmp_path / "koi.png")
    await page.locator("#source-list .words").get_by_text("koi.png", exact=True).wait_for()
    await page.get_by_label("Address of an image").fill("https://example.com/pond.png")
    await page.keyboard.press("Enter")
    await made.order("both in one")
    await loaded(page, 1)
    local, given = made.bodies[-1]["images"]
    assert local.startswith("http://127.0.0.1")
    assert given == "https://example.com/pond.png"
    expect_only(tabs, "422")


@attrs.define
class Copies:
    """An uploader that remembers."""

    uploaded: list[tuple[Path, bytes]] = attrs.field(factory=list)

    async def upload(self, path: Path) -> str:
        """Pretend."""
        self.uploaded.append((path, await asyncio.to_thread(path.read_bytes)))
        return f"https://uploads.example/{len(self.uploaded)}.png"


async def test_the_upload_command_gets_the_file_once(desk: OpenDesk, tmp_path: Path) -> None:
    """It is gone afterwards, and so is the need to upload it again."""
    uploader = Copies()
    made = await desk(emulated=False, uploader=uploader)
    page = made.page
    made.gate.opened.set()
    (tmp_path / "koi.png").write_bytes(_png())
    await page.get_by_text("Edit an image").click()
    await page.locator("#source-file").set_input_files(tmp_path / "koi.png")
    await page.locator("#source-list .words").get_by_text("koi.png", exact=True).wait_for()
    await made.order("make it night", variations=2)
    await loaded(page, 2)
    assert [body["images"] for body in made.bodies] == [["https://uploads.example/1.png"]] * 2
    [(path, data)] = uploader.uploaded
    assert data == _png()
    assert not path.exists()


async def test_without_an_upload_command_it_says_what_to_set(desk: OpenDesk, tmp_path: Path, tabs: Tabs) -> None:
    """And nothing is bought."""
    made = await desk(emulated=False)
    (tmp_path / "koi.png").write_bytes(_png())
    await made.page.get_by_text("Edit an image").click()
    await made.page.locator("#source-file").set_input_files(tmp_path / "koi.png")
    await says(made.page, "#composer-trouble", "Set HUNYUAN_UPLOAD_COMMAND")
    assert made.bodies == []
    expect_only(tabs, "422")


def expect_only(tabs: Tabs, *parts: str) -> None:
    """Take out what a page had to complain of in this test."""
    assert [trouble for trouble in tabs.troubles if not any(part in trouble for part in parts)] == []
    tabs.troubles.clear()


async def test_images_are_compared_side_by_side(desk: OpenDesk) -> None:
    """At one zoom and place, by keys and by the wheel, and the focus returns."""
    made = await desk()
    page = made.page
    await made.made(variations=3)
    for _ in range(2):
        await page.keyboard.press("Escape")
    await page.locator("#count").evaluate("(heading) => heading.focus()")
    for key in ("g", "c", "ArrowRight", "c", "ArrowRight", "c", "v"):
        await page.keyboard.press(key)
    await page.locator("#panes:focus").wait_for()
    moved = "() => [...document.querySelectorAll('#panes img')].map((image) => image.style.transform)"
    for key in ("+", "+", "ArrowRight"):
        await page.keyboard.press(key)
    await says(page, "#zoom", "156%")
    transforms = await page.evaluate(moved)
    assert len(transforms) == 3
    assert {*transforms} == {"translate(-8%, 0%) scale(1.5625)"}
    await page.keyboard.press("2")
    assert await page.locator(".pane:visible figcaption").all_inner_texts() == [f"2 seed 8 · 1024 \u00d7 1024 {KOI}"]
    await page.keyboard.press("2")
    await page.locator(".pane .frame").first.hover()
    await page.mouse.wheel(0, -400)
    assert len({*await page.evaluate(moved)}) == 1
    await page.keyboard.press("0")
    await says(page, "#zoom", "100%")
    await page.keyboard.press("Escape")
    assert await page.evaluate("() => document.activeElement.closest('.tile') !== null")


async def test_a_reload_in_mid_flight_loses_nothing(desk: OpenDesk) -> None:
    """Neither what is under way, nor what is typed; and nothing is bought twice."""
    made = await desk()
    page = made.page
    await made.order(variations=2)
    await page.wait_for_function("() => document.querySelectorAll('.tile[data-state=running]').length === 2")
    await page.get_by_label("Prompt").fill("the next idea")
    await page.reload()
    await page.wait_for_function("() => document.querySelectorAll('.tile[data-state=running]').length === 2")
    await expect(page.get_by_label("Prompt")).to_have_value("the next idea")
    made.gate.opened.set()
    await loaded(page, 2)
    assert len(made.bodies) == 2


async def test_a_lost_connection_is_told_of_and_caught_up(desk: OpenDesk, tabs: Tabs) -> None:
    """What happened meanwhile is there as soon as the line is."""
    made = await desk()
    page = made.page
    await made.order(variations=2)
    await page.wait_for_function("() => document.querySelectorAll('.tile[data-state=running]').length === 2")
    await page.context.set_offline(True)
    end_streams()
    await says(page, "#line", "Connection lost. Reconnecting ...")
    made.gate.opened.set()
    store = made.generator.store
    async with store.follow(tenant="studio", after=0) as changes:
        done: set[str] = set()
        while len(done) < 2:
            order = await anext(changes)
            done |= {order.handle} if order.state == "done" else set()
    assert await page.locator(DONE).count() == 0
    await page.context.set_offline(False)
    await loaded(page, 2)
    await page.locator("#line", has_text="Reconnecting").wait_for(state="hidden")
    expect_only(tabs, "ERR_INTERNET_DISCONNECTED", "ERR_INCOMPLETE_CHUNKED", "ERR_NETWORK")


async def test_a_restart_is_told_of(desk: OpenDesk, tabs: Tabs) -> None:
    """The page cannot go on with the old token; once the new address is opened beside it, it does."""
    made = await desk()
    page = made.page
    port = int(made.studio.url.split(":")[2].split("/")[0])
    await made.studio.aclose()
    await says(page, "#line", "Reconnecting")
    async with Studio("generate.html", made.generator.routes(), port=port) as again:
        await says(page, "#line", "started again: open the address")
        await tabs.open(again.url, beside=page)
        await page.wait_for_function("() => document.querySelector('#line').textContent === ''")
        await made.made()
        await page.context.close()
    expect_only(tabs, "403", "ERR_CONNECTION_REFUSED", "ERR_INCOMPLETE_CHUNKED", "ERR_EMPTY_RESPONSE", "ERR_CONNECTION")


async def test_what_waits_can_be_withdrawn(desk: OpenDesk) -> None:
    """It costs nothing; what is sent goes on."""
    made = await desk(in_flight=1)
    page = made.page
    await made.order(variations=2)
    await made.tile(7).and_(page.locator("[data-state=running]")).wait_for()
    await made.tile(8).get_by_role("button", name="Withdraw seed 8").click()
    await made.tile(8).and_(page.locator("[data-state=withdrawn]")).wait_for()
    made.gate.opened.set()
    await loaded(page, 1)
    await says(page, ".tile", "seed 8 · 1024 \u00d7 1024 · 0 credits")
    assert [body["seed"] for body in made.bodies] == [7]


async def test_hostile_text_is_text(desk: OpenDesk) -> None:
    """Wherever it is shown; the refusal of such a prompt is as well."""
    made = await desk()
    page = made.page
    await made.made(HOSTILE)
    await made.order(f"{HOSTILE} [refuse]", seed="8")
    await says(page, ".tile[data-state=failed]", "The content policy forbids this prompt")
    await made.tile(7).locator(".open").click()
    for pane in ("Request", "As curl", "As Python"):
        await page.locator("summary", has_text=pane).click()
    await says(page, "#detail-prompt", HOSTILE)
    await says(page, ".call pre", "echo $HOME")
    await page.get_by_role("button", name="New seed").click()
    await expect(page.get_by_label("Prompt")).to_have_value(HOSTILE)
    assert await page.title() == "hunyuan studio"
    assert await page.locator("img[src=x]").count() == 0


async def test_the_key_is_in_nothing_that_the_page_gets(desk: OpenDesk) -> None:
    """Not even if the service repeats it in its answers, or a prompt holds it."""
    made = await desk()
    page = made.page
    key = made.emulator.api_key
    answers: list[Response] = []
    page.on("response", lambda answer: answers.append(answer))
    await page.reload()
    await made.made(f"{KOI} {key}")
    await made.tile(7).locator(".open").click()
    for pane in ("Request", "Response", "Status checks", "As curl"):
        await page.locator("summary", has_text=pane).click()
    await says(page, ".call pre", "x-request-id: Bearer (the key)")
    await says(page, ".call pre", "Authorization: Bearer \u2022\u2022\u2022")
    told = [answer for answer in answers if "/api/events" not in answer.url and answer.status == 200]
    assert any("/calls" in answer.url for answer in told)
    for answer in told:
        assert key not in str(await answer.all_headers())
        assert key.encode() not in await answer.body()
    event = await page.evaluate("""async () => {
        const reader = (await fetch('/api/events?after=0')).body.getReader();
        let text = '';
        while (!text.includes('event: order')) text += new TextDecoder().decode((await reader.read()).value);
        await reader.cancel();
        return text;
    }""")
    assert "(the key)" in event
    assert key not in event + await page.content()


async def test_what_is_copied_asks_for_the_same(desk: OpenDesk, tmp_path: Path) -> None:
    """The curl command in a shell, and the Python program; the panes show what went over the wire."""
    made = await desk()
    page = made.page
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await made.made('it\'s "a" koi $(pond) \\')
    await made.tile(7).locator(".open").click()
    sent = made.emulator.posts[0].body
    request = page.locator(".call").first
    await request.locator("summary").click()
    await request.get_by_label("as on the wire").check()
    await says(page, ".call pre", sent.decode())
    environment = {"HUNYUAN_API_KEY": made.emulator.api_key, "PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for pane, command in (("As curl", ["sh", "-c"]), ("As Python", [sys.executable, "-c"])):
        call = page.locator(".call").filter(has=page.get_by_text(pane, exact=True))
        await call.locator("summary").click()
        await call.get_by_role("button", name="Copy").click()
        await says(page, "#detail-said", f"{pane}: copied.")
        copied = await page.evaluate("() => navigator.clipboard.readText()")
        process = await asyncio.create_subprocess_exec(
            *command, copied, env=environment, cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL
        )
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        assert json.loads(made.emulator.posts[-1].body) == json.loads(sent)
    assert len(made.emulator.posts) == 3
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    assert (await download.value).suggested_filename == "it-s-a-koi-pond-7.png"


async def test_older_images_come_when_they_are_wanted(desk: OpenDesk) -> None:
    """A page at a time, in order, each once; small copies and whole images have a fixed type."""
    made = await desk()
    made.gate.opened.set()
    store = made.generator.store
    for seed in range(63):
        await store.submit(ImageRequest(KOI, seed=seed), tenant="studio")
    await made.page.reload()
    await made.tile(62).wait_for()
    await made.page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    await made.tile(0).wait_for()
    await made.page.wait_for_function("() => document.querySelectorAll('.tile[data-state=done]').length === 63")
    await says(made.page, "#count", "63 images")
    texts = await made.page.locator(".tile .quiet").all_inner_texts()
    assert [int(text.split()[1]) for text in texts] == [*range(62, -1, -1)]
    [order] = await store.orders(tenant="studio", limit=1)
    for path in ("images", "thumbnails"):
        answer = await made.page.request.get(f"{made.page.url}{path}/{order.handle}/0")
        assert answer.headers["content-type"] == ("image/png" if path == "images" else "image/webp")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
async def test_everybody_can_use_it(
    desk: OpenDesk, theme: Literal["light", "dark"], width: int, tmp_path: Path
) -> None:
    """Axe finds nothing in either theme; a phone needs no scrolling to the side; the focus is seen."""
    made = await desk(small=False, theme=theme, width=width, in_flight=2)
    page = made.page
    await page.screenshot(path=tmp_path / f"empty-{theme}-{width}.png")
    await made.made(variations=2)
    await made.made(f"{KOI}, at night", seed="100")
    made.gate.opened.clear()
    await made.order(f"{HOSTILE} [refuse]", seed="200")
    await page.locator(".tile[data-state=failed]").wait_for()
    await made.order("a pond under way " + "and on " * 40, seed="300", variations=3)
    await page.wait_for_function("() => document.querySelectorAll('.tile[data-state=running]').length === 2")
    await page.get_by_text("Edit an image").click()
    await _is_fine(page, width)
    await page.screenshot(path=tmp_path / f"wall-{theme}-{width}.png", full_page=width < 400)
    await made.tile(7).locator(".open").click()
    await page.locator("summary").first.click()
    await page.wait_for_function("() => document.querySelector('#detail img').naturalWidth === 1024")
    await _is_fine(page, width, "#detail")
    await page.screenshot(path=tmp_path / f"large-{theme}-{width}.png")
    await page.keyboard.press("Escape")
    for seed in (7, 8, 100):
        await made.tile(seed).locator(".open").focus()
        await page.keyboard.press("c")
    await page.get_by_role("button", name="Compare 3").click()
    await _is_fine(page, width, "#compare")
    await page.screenshot(path=tmp_path / f"compare-{theme}-{width}.png")
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Light theme" if theme == "dark" else "Dark theme").click()
    assert await axe_findings(page) == []


async def _is_fine(page: Page, width: int, part: str = "html") -> None:
    assert await axe_findings(page) == []
    assert await page.evaluate("(part) => document.querySelector(part).scrollWidth", part) <= width


async def test_the_command_keeps_what_it_makes(command_line: CommandLine, tabs: Tabs) -> None:
    """In the user's data folder, over a restart; of the calls before it only the request is known."""
    async with Emulator(settings=EmulatorSettings(latency=fixed(0.02), small_pictures=True)) as emulator:
        command_line.use(emulator)
        for start in (1, 2):
            studio = await command_line.start("studio", "--no-browser")
            page = await tabs.open((await studio.prints("http://")).strip())
            if start == 1:
                await page.get_by_label("Prompt").fill(KOI)
                await page.keyboard.press("Control+Enter")
            await loaded(page, 1)
            await page.locator(".tile .open").click()
            await page.locator("summary", has_text="Response").click()
            await says(page, ".call pre", "Status 200" if start == 1 else "It was made before the studio was started")
            await page.context.close()
            studio.receives(signal.SIGINT)
            assert (await studio.ends()).code == 128 + signal.SIGINT
        assert len(emulator.posts) == 1
    [image] = (command_line.place.parent / "home").rglob("studio/images/**/*.png")
    assert image.stat().st_size


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--emulator", "--store", "x"], "an emulator's images are not kept"),
        ([".", "--emulator"], "needs no service"),
        ([], "There is no API key"),
    ],
)
async def test_options_that_cannot_be_right(command_line: CommandLine, arguments: list[str], told: str) -> None:
    """They are told of before anything is served."""
    ended = await command_line.run("studio", "--no-browser", *arguments)
    assert (ended.code != 0, ended.stdout) == (True, b"")
    assert told in ended.stderr


async def test_an_emulator_needs_nothing(command_line: CommandLine, tabs: Tabs) -> None:
    """Neither key nor folder; what it made is gone with it."""
    studio = await command_line.start("studio", "--emulator", "--no-browser")
    page = await tabs.open((await studio.prints("http://")).strip())
    await says(page, "#service", "Emulator")
    await page.get_by_role("button", name="A koi pond in the rain").click()
    await page.keyboard.press("Enter")
    await loaded(page, 1)
    await page.context.close()
    studio.receives(signal.SIGTERM)
    assert (await studio.ends()).code == 128 + signal.SIGTERM
    assert not [*(command_line.place.parent / "home").rglob("*.png")]


WRONG: list[tuple[dict[str, object], int, str]] = [
    ({"prompt": KOI}, 400, "no wish"),
    ({"id": "a", "prompt": " "}, 422, "prompt has 0 characters"),
    ({"id": "a", "prompt": KOI, "size": "9*9"}, 422, "size"),
    ({"id": "a", "prompt": KOI, "variations": 9}, 422, "1 to 8 variations"),
    ({"id": "a", "prompt": KOI, "seed": 2**31 - 1, "variations": 2}, 422, "seeds"),
    ({"id": "a", "prompt": KOI, "type": "edit"}, 422, "images"),
    ({"id": "a", "prompt": KOI, "type": "edit", "images": [{"handle": "x"}]}, 404, "no such image"),
    ({"id": "a", "prompt": KOI, "type": "edit", "images": [{"upload": "x"}]}, 422, "choose the file again"),
]


async def test_wrong_wishes_are_refused_and_others_see_nothing(desk: OpenDesk, tabs: Tabs) -> None:
    """In words, and before anything is bought; what another tenant ordered is not there, for whoever has its handle."""
    made = await desk()
    for wish, status, told in WRONG:
        answer = await ask(made.page, "/api/orders", wish)
        assert (answer[0], told in answer[1]["error"]["message"]) == (status, True), answer
    await made.generator.store.submit(KOI, tenant="alice", id="a")
    [other] = await made.generator.store.orders(tenant="alice")
    for path in (f"/api/orders/{other.handle}", f"/api/orders/{other.handle}/calls", f"/images/{other.handle}/0"):
        assert (await ask(made.page, path))[0] == 404
    assert (await ask(made.page, "/api/orders"))[1] == {"orders": [], "more": False}
    expect_only(tabs, "400", "404", "422")
