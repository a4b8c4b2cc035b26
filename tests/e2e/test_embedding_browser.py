"""The app of the docs in two people's real browsers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hunyuan_async.emulator import Emulator, EmulatorSettings, fixed
from tests.e2e.web_servers import serving

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.e2e.browser import Tabs

pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's

FOLLOW = """async () => {
    const list = await (await fetch("/images")).json();
    window.seen = list.images;
    const after = Math.max(0, ...list.images.map((image) => image.change));
    const events = new EventSource(`/events?after=${after}`);
    events.addEventListener("order", (event) => window.seen.push(JSON.parse(event.data)));
    await new Promise((resolve) => { events.onopen = resolve; });
}"""
ORDER = """async (prompt) => {
    const headers = {"Content-Type": "application/json", "Idempotency-Key": crypto.randomUUID()};
    const answer = await fetch("/images", {method: "POST", headers, body: JSON.stringify({prompt})});
    return (await answer.json()).handle;
}"""
DONE = """(handle) => window.seen.some((order) => order.handle === handle && order.state === "done")"""
STATUS = (
    "async (path) => { const answer = await fetch(path); return [answer.status, answer.headers.get('content-type')]; }"
)


async def visit(tabs: Tabs, address: str, user: str) -> Page:
    """Open the app as somebody who is signed in, and follow what happens there."""
    page = await tabs.open(f"{address}/openapi.json")
    await page.context.add_cookies([{"name": "user", "value": user, "url": address}])
    await page.evaluate(FOLLOW)
    return page


async def test_two_people_watch_their_own_images_and_no_others(tabs: Tabs, tmp_path: Path) -> None:
    """Each sees one image come, after a reload as well; the other's handle leads nowhere."""
    async with (
        Emulator(settings=EmulatorSettings(latency=fixed(0.05), small_pictures=True)) as emulator,
        serving(tmp_path, emulator, "fastapi_app", workers=2) as server,
    ):
        pages = {user: await visit(tabs, server.address, user) for user in ("ann", "ben")}
        handles = {user: await page.evaluate(ORDER, f"{user}'s koi") for user, page in pages.items()}
        for user, page in pages.items():
            await page.wait_for_function(DONE, arg=handles[user])
        for user, other in (("ann", "ben"), ("ben", "ann")):
            page = pages[user]
            await page.reload()
            await page.evaluate(FOLLOW)
            prompts = await page.evaluate("() => [...new Set(window.seen.map((order) => order.prompt))]")
            own, foreign = (f"/images/{handles[one]}" for one in (user, other))

            assert prompts == [f"{user}'s koi"]
            assert await page.evaluate(STATUS, f"{own}/0") == [200, "image/png"]
            assert [(await page.evaluate(STATUS, path))[0] for path in (foreign, f"{foreign}/0")] == [404, 404]
        await tabs.close()
        assert len(emulator.posts) == 2
        assert await server.stops() == 0
    assert all("404" in trouble for trouble in tabs.troubles)  # the foreign handles', and the icon's that there is not
    tabs.troubles.clear()
