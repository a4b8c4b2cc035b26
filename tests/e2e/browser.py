"""A real browser for tests: Debian's Chromium. Whatever a page complains of fails the test.

It lives in the event loop of the session, so tests that use it have to run there, too.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import attrs
import pytest
import pytest_asyncio

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

FLAGS = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]


@attrs.define
class Tabs:
    """Opens pages, each in a browser profile of its own unless it is to share another's.

    Attributes:
        troubles: What pages complained of; a test that expects some of it takes that out.
    """

    troubles: list[str]
    _browser: Browser

    async def open(
        self,
        url: str,
        *,
        width: int = 1280,
        height: int = 800,
        theme: Literal["light", "dark"] = "light",
        beside: Page | None = None,
    ) -> Page:
        """Open *url*; *beside* another page it is a tab of the same profile."""
        context = (
            beside.context
            if beside
            else await self._browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                reduced_motion="reduce",  # nothing is looked at halfway
            )
        )
        page = await context.new_page()
        page.set_default_timeout(15_000)  # not how long things take, but that they happen at all
        page.on("console", lambda said: self._heard(said))
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        await page.goto(url)
        return page

    async def close(self) -> None:
        """Close all pages."""
        for context in self._browser.contexts:
            await context.close()

    def _heard(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.troubles.append(said.text)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for all tests, each with profiles of its own: starting it takes longer than most of them."""
    from playwright.async_api import async_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=Path(chromium), args=FLAGS)
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="session")
async def tabs(browser: Browser) -> AsyncIterator[Tabs]:
    """A browser; in the end no page may have complained, neither of an error nor of a breach of its policy."""
    opened = Tabs([], browser)
    yield opened
    await opened.close()
    assert opened.troubles == []


async def axe_findings(page: Page) -> list[str]:
    """What axe-core finds wrong with a page, by any of its rules."""
    from axe_playwright_python.async_playwright import Axe

    results = await Axe().run(page)
    return [
        f"{finding['id']}: {finding['help']} at {node['html'][:200]}"
        for finding in results.response["violations"]
        for node in finding["nodes"]
    ]
