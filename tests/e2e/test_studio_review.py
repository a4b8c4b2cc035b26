"""The review of a run in a real browser: fifty thousand images, keys, verdicts that stay."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
import pytest_asyncio

from hunyuan_async.studio._review import Review
from hunyuan_async.studio._server import Studio
from tests.e2e.browser import axe_findings
from tests.e2e.koi_run import write_run

if TYPE_CHECKING:
    from playwright.async_api import Page

    from tests.e2e.browser import Tabs

HOSTILE = [
    "<img src=x onerror=\"document.title='hacked'\">",
    "\u202egnp.koi \x1b[31mred\x1b[0m",
    "بركة أسماك الكوي",
    "a\nkoi\r\n" + "pond " * 350,
]
pytestmark = pytest.mark.asyncio(loop_scope="session")  # the browser's
OpenReview = Callable[..., Awaitable["Page"]]


@pytest_asyncio.fixture(loop_scope="session")
async def review(tmp_path: Path, tabs: Tabs) -> AsyncIterator[OpenReview]:
    """Return what writes a run as `write_run` does, and opens a review of it; its images are there."""
    async with AsyncExitStack() as stack:

        async def open_review(images: int, *prompts: str, also: int = 0, **how: Any) -> Page:
            out = write_run(tmp_path / "koi", images, *prompts, also=also)
            served = stack.enter_context(closing(Review(out)))
            studio = await stack.enter_async_context(Studio("review.html", served.routes()))
            stack.push_async_callback(tabs.close)  # before the studio, which they ask for news
            page = await tabs.open(studio.url, **how)
            await ready(page)
            return page

        yield open_review


def picks(out: Path) -> list[tuple[str, str]]:
    """The verdicts in picks.csv, in order."""
    header, *lines = (out / "picks.csv").read_text().splitlines()
    assert header == "id,verdict,at"
    return [(line.split(",")[0], line.split(",")[1]) for line in lines]


async def says(page: Page, selector: str, text: str) -> None:
    """Wait until an element says *text*."""
    await page.locator(selector).filter(has_text=text).first.wait_for()


async def ready(page: Page) -> None:
    """Wait until the grid has the focus and its images are there."""
    await page.locator("#grid:focus").wait_for()
    await page.wait_for_function("""() => {
        const images = [...document.querySelectorAll('.cell img')];
        return images.length && images.every((image) => image.complete && image.naturalWidth);
    }""")


async def test_keys_alone_lead_from_images_to_verdicts(review: OpenReview, tmp_path: Path) -> None:
    """Each is in the file before the page says so, an undo as well, and the cost of making again is shown."""
    out = tmp_path / "koi"
    page = await review(12)
    assert "token" not in page.url
    for key, expected in (("k", ("k0", "keep")), ("x", ("k1", "reject")), ("r", ("k2", "redo"))):
        await page.keyboard.press(key)
        await says(page, ".saved", "Saved in picks.csv")
        assert picks(out)[-1] == expected
    await says(page, ".totals", "1 keep, 1 reject, 1 redo (25 credits, about $0.05)")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("r")
    await says(page, ".totals", "2 redo (50 credits, about $0.10)")
    await page.keyboard.press("u")
    await says(page, ".totals", "1 redo")
    assert picks(out)[-2:] == [("k3", "redo"), ("k3", "none")]
    await page.keyboard.down("k")
    await page.keyboard.down("k")  # held, a key repeats itself
    await page.keyboard.up("k")
    await says(page, ".totals", "2 keep")
    await page.keyboard.press("u")
    await says(page, ".totals", "1 keep")
    assert await page.locator(".cell.current").get_attribute("aria-label") == "k3, succeeded, no verdict: koi number 3"


async def test_the_large_view_tells_everything(review: OpenReview, tmp_path: Path) -> None:
    """And takes the same keys."""
    out = tmp_path / "koi"
    page = await review(3)
    await page.keyboard.press("Enter")
    facts = "#large-facts"
    for told in ("koi number 0", "succeeded", "320 \u00d7 240", "gold"):
        await says(page, facts, told)
    await page.wait_for_function("() => document.querySelector('#large-images img').naturalWidth === 320")
    await page.keyboard.press("ArrowRight")
    await says(page, "#large-title", "k1 (2 of 4)")
    await page.keyboard.press("k")
    await says(page, "#large-title", "k2 (3 of 4)")
    await page.keyboard.press("ArrowRight")
    await says(page, facts, "refused: the policy <b>forbids</b> it")
    await page.keyboard.press("Escape")
    await page.locator("#grid:focus").wait_for()
    await says(page, ".totals", "1 keep")
    assert picks(out) == [("k1", "keep")]
    assert "SECRET" not in await page.content()
    assert "n68" not in await page.content()


async def test_hostile_text_is_text(review: OpenReview) -> None:
    """Markup does nothing, controls are shown, and no direction leaks out."""
    page = await review(1, *HOSTILE)
    await says(page, ".cell", HOSTILE[0])
    await says(page, ".cell", "\\u202egnp.koi \\u001b[31mred")
    await says(page, ".cell", HOSTILE[2])
    await page.keyboard.press("End")
    await page.keyboard.press("Enter")
    await says(page, "#large-facts", "a koi pond pond")
    assert await page.title() == "koi - hunyuan studio"
    assert await page.locator("img[src=x]").count() == 0


async def test_filters_leave_what_was_asked_for(review: OpenReview) -> None:
    """By status, by verdict, by a column and by words; what is judged stays in view until the filter changes."""
    page = await review(6, "a pond")
    await page.keyboard.press("k")
    await says(page, ".saved", "Saved")
    for label, value, count in (
        ("status", "failed", "1 of 8 images"),
        ("status", "succeeded", "6 of 8 images"),
        ("verdict", "keep", "1 of 8 images"),
        ("verdict", "none", "5 of 8 images"),
    ):
        await page.locator(f"select[name={label}]").select_option(value)
        await says(page, "#shown", count)
    await page.locator("select[name=column]").select_option("colour")
    await page.get_by_label("that holds").fill("GOLD")
    await says(page, "#shown", "2 of 8 images")
    await page.get_by_role("button", name="Show all").click()
    await says(page, "#shown", "8 images")
    await page.get_by_label("Words of the prompt").fill("POND")
    await says(page, "#shown", "1 of 8 images")
    await page.get_by_label("Words of the prompt").fill("nothing like it")
    await page.locator("#nothing").wait_for()
    assert await axe_findings(page) == []


async def test_two_tabs_lose_no_verdict(review: OpenReview, tabs: Tabs, tmp_path: Path) -> None:
    """What one says the other learns, and no undo takes back what somebody else said."""
    out = tmp_path / "koi"
    one = await review(6)
    two = await tabs.open(one.url, beside=one)
    await ready(two)
    await one.keyboard.press("k")
    await says(one, ".saved", "Saved")
    await two.keyboard.press("ArrowRight")
    await two.keyboard.press("x")
    await says(two, ".totals", "1 keep, 1 reject")
    await two.keyboard.press("Home")
    await two.keyboard.press("r")
    await says(two, ".totals", "0 keep, 1 reject, 1 redo")
    await one.keyboard.press("u")
    await says(one, ".trouble", "somebody else has thought otherwise since")
    await says(one, ".totals", "0 keep, 1 reject, 1 redo")
    assert picks(out) == [("k0", "keep"), ("k1", "reject"), ("k0", "redo")]
    assert [text for text in tabs.troubles if "409" in text] == tabs.troubles
    tabs.troubles.clear()


async def test_a_verdict_is_about_what_is_seen(review: OpenReview, tabs: Tabs, tmp_path: Path) -> None:
    """The image was made again while the page showed the older one: it says so, and nothing is marked."""
    out = tmp_path / "koi"
    page = await review(3)
    with closing(sqlite3.connect(out / "journal.sqlite")) as journal, journal:
        journal.execute("UPDATE items SET sending_at = replace(sending_at, '2026', '2027') WHERE id = 'k0'")
    await page.keyboard.press("r")
    await says(page, ".trouble", "reload the page, and look again")
    await says(page, ".totals", "0 redo")
    assert not (out / "picks.csv").exists()
    assert [text for text in tabs.troubles if "409" in text] == tabs.troubles
    tabs.troubles.clear()


async def test_what_cannot_be_stored_is_not_called_saved(review: OpenReview, tabs: Tabs, tmp_path: Path) -> None:
    """The page says why, and shows what stands in the file."""
    out = tmp_path / "koi"
    page = await review(3)
    (out / "picks.csv").mkdir()
    await page.keyboard.press("k")
    await says(page, ".saved", "Not saved")
    (out / "picks.csv").rmdir()
    await page.keyboard.press("k")
    await says(page, ".saved", "Saved")
    assert picks(out) == [("k1", "keep")]
    await says(page, ".totals", "1 keep")
    tabs.troubles.clear()


async def test_fifty_thousand_images_are_as_quick_as_fifty(review: OpenReview) -> None:
    """Only what is in view is in the page."""
    page = await review(40, also=50_000)
    await says(page, "#shown", "50,041 images")
    for key, label in (("End", "pond number 49999"), ("PageUp", "pond number"), ("Home", "koi number 0")):
        await page.keyboard.press(key)
        await page.locator(f'.cell.current[aria-label*="{label}"]').wait_for()
        assert await page.locator(".cell").count() < 200
    await page.evaluate("document.querySelector('#grid').scrollTop = 1e6")
    await page.locator('.cell[aria-label*="pond number"]').first.wait_for()
    assert await page.locator("*").count() < 1500
    await page.get_by_label("Words of the prompt").fill("number 49998")
    await says(page, "#shown", "1 of 50,041 images")


@pytest.mark.parametrize(("theme", "width"), [("light", 1280), ("dark", 390)])
async def test_everybody_can_use_it(
    review: OpenReview, theme: Literal["light", "dark"], width: int, tmp_path: Path
) -> None:
    """Axe finds nothing, in both themes; a phone needs no scrolling to the side; the focus is seen."""
    page = await review(17, *HOSTILE, width=width, theme=theme)
    for key in "kxr":
        await page.keyboard.press(key)
    await says(page, ".totals", "1 keep, 1 reject, 1 redo")
    await says(page, ".saved", "Saved")
    await page.screenshot(path=tmp_path / f"grid-{theme}-{width}.png")
    wider = "() => [...document.querySelectorAll('.cell')].filter((cell) => cell.scrollWidth > cell.clientWidth).length"
    assert await page.evaluate(wider) == 0, "a long prompt pushes its image and its verdict out of sight"
    assert await axe_findings(page) == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.keyboard.press("Enter")
    await page.wait_for_function("() => document.querySelector('#large-images img')?.naturalWidth === 320")
    await page.screenshot(path=tmp_path / f"large-{theme}-{width}.png")
    assert await axe_findings(page) == []
    assert await page.evaluate("document.querySelector('#large').scrollWidth") <= width
    await page.keyboard.press("Escape")
    other = "Light theme" if theme == "dark" else "Dark theme"
    await page.get_by_role("button", name=other).click()
    assert await axe_findings(page) == []
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == other.split()[0].lower()
