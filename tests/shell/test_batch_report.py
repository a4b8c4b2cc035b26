"""report.html: complete, harmless, and made of files beside it alone."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urldefrag

import attrs
import pytest
from PIL import Image

from hunyuan_async._core.lifecycle import Item, State
from hunyuan_async.cli.report import build_report
from hunyuan_async.errors import ContentRefused, DownloadFailed, HunyuanError, InvalidRequest
from hunyuan_async.models import ImageRequest, SavedImage

if TYPE_CHECKING:
    from tests.shell.conftest import WriteRun

MakeItem = Callable[..., Item]

EVENING = datetime(2026, 11, 22, 23, tzinfo=UTC)
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)> ' &amp; $title",
    "\u202egnp.exe \x1b[31m \ud800",
    "بركة أسماك الكوي",
    "<" * 2000,
]


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.tags: Counter[str] = Counter()
        self.attributes: set[str] = set()
        self.images: list[dict[str, str | None]] = []
        self.links: list[Path] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        values = dict(attrs)
        self.tags[tag] += 1
        self.attributes.update(values)
        if tag == "img":
            self.images.append(values)
        if tag == "a":
            self.links.append(self.beside(values["href"]))

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data + " "

    def beside(self, address: str | None) -> Path:
        """The file behind a relative address."""
        return (self.path.parent / unquote(urldefrag(address or "")[0])).resolve()


Report = Callable[..., tuple[Page, list[Page]]]


def saved(out: Path, name: str, size: tuple[int, int] = (64, 32)) -> SavedImage:
    """A small image on disk."""
    path = out / "images" / "0000" / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "teal").save(path)
    return SavedImage(path, f"https://cdn.example/{name}?signature=SECRET", "ab" * 32, 9, *size)


@pytest.fixture
def item(batch_item: MakeItem) -> MakeItem:
    """Return what makes items that have files, or failed by an error, or are still to be made."""

    def make(index: int, *files: SavedImage, prompt: str = "a koi", error: HunyuanError | None = None) -> Item:
        failed = State.REJECTED if error and error.charged == "no" else State.COMPLETED
        state = State.DOWNLOADED if files else failed if error else State.PLANNED
        request = ImageRequest(prompt, size="64*32", seed=index)
        return batch_item(index, state, request=request, files=files, error=error)

    return make


@pytest.fixture
def report(write_run: WriteRun, tmp_path: Path) -> Report:
    """Return what builds the report of a run of some items: the index and the pages."""

    def build(*items: Item, out: Path = tmp_path) -> tuple[Page, list[Page]]:
        index = Page(build_report(write_run(*items, out=out)))
        return index, [Page(path) for path in sorted((out / "report").glob("*.html"))]

    return build


def test_a_thousand_images_stand_on_pages_behind_an_index(report: Report, item: MakeItem, tmp_path: Path) -> None:
    """Every link leads to a file, and every image is a small file beside the report."""
    items = [item(index, saved(tmp_path, f"x {index}#?")) for index in range(1000)]
    index, pages = report(*items)
    assert [len(page.images) for page in pages] == [200] * 5
    assert len(index.images) == 48
    assert {page.path for page in pages} <= set(index.links)
    for page in [index, *pages]:
        assert all(link.is_file() for link in page.links)
        assert {image["loading"] for image in page.images} == {"lazy"}
        assert {image["alt"] for image in page.images} == {"a koi"}
        for image in page.images:
            with Image.open(page.beside(image["src"])) as thumbnail:
                assert (thumbnail.format, thumbnail.size) == ("WEBP", (64, 32))
    assert index.path in pages[2].links
    assert {pages[1].path, pages[3].path} <= set(pages[2].links)


def test_the_index_tells_totals_and_the_commonest_failures(
    report: Report, item: MakeItem, batch_item: MakeItem, tmp_path: Path
) -> None:
    """Failures that differ in an address alone are one kind of failure."""
    refused = [ContentRefused("the policy forbids it", code="1301")] * 3
    missing = [DownloadFailed(f"https://cdn.example/{n}?s=1 is gone", task_id="n") for n in "ab"]
    failures = [item(index, error=error) for index, error in enumerate([*refused, *missing])]
    gone = batch_item(7, State.SKIPPED)
    index, (page,) = report(*failures, item(5, saved(tmp_path, "a")), item(6), gone)
    words = " ".join(index.text.split())
    assert "Images 7 Done 1 Failed 3 Unknown 0 To go 3 Left out 1 Credits 75" in words
    assert "3 x refused: the policy forbids it ( an example ) 2 x download: (address) is gone" in words
    assert "1 to 8, 3 failed" in words
    for told in (
        "refused: the policy forbids it",
        "✗ failed",
        "↓ paid",
        "✓ done",
        "… to go",
        "= left out",
        "gone: no longer in the input",
        "x5",
        "64 x 32",
        "Seed",
    ):
        assert told in page.text


def test_hostile_text_stays_text(report: Report, item: MakeItem, tmp_path: Path) -> None:
    """No prompt, id or message becomes an element, an attribute, or an order to the reader's eyes."""
    items = [item(index, saved(tmp_path, f"{index}"), prompt=text) for index, text in enumerate(HOSTILE)]
    for hostile in HOSTILE:
        refusal = ContentRefused(hostile, code=hostile)
        items += [item(len(items), prompt=hostile, error=refusal)]
    for index, each in enumerate(items):
        each.id = f"{index} {HOSTILE[index % 2]}"
    for page in [*(pages := report(*items))[1], pages[0]]:
        assert not {"script", "iframe", "object", "form", "base"} & set(page.tags)
        assert not {name for name in page.attributes if name.startswith("on")}
        assert "\u202e" not in page.text
        assert r"\u202egnp.exe" in page.text
        assert HOSTILE[0] in page.text
    assert HOSTILE[4] in pages[1][0].text
    assert [image["alt"] for image in pages[0].images[:2]] == HOSTILE[:2]


def test_pages_load_nothing_from_elsewhere_and_show_no_address(report: Report, item: MakeItem, tmp_path: Path) -> None:
    """Addresses of images may be signed; the policy admits local images and our own style alone."""
    index, pages = report(item(0, saved(tmp_path, "a")))
    policy = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'"
    for page in [index, *pages]:
        source = page.path.read_text(encoding="utf-8")
        assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in source
        assert not any(word in source for word in ("://", "SECRET", "data:", "url("))


def test_thumbnails_are_made_once_and_again_for_a_newer_image(report: Report, item: MakeItem, tmp_path: Path) -> None:
    """Building a report again takes no time for what has not changed."""
    rows = [item(index, saved(tmp_path, f"{index}", (900, 600))) for index in range(2)]
    _, (page,) = report(*rows)
    first, second = (page.beside(image["src"]) for image in page.images)
    with Image.open(first) as thumbnail:
        assert thumbnail.size == (256, 171)
    for path in (first, second):
        os.utime(path, (2e9, 2e9))
    os.utime(tmp_path / "images" / "0000" / "1.png", (3e9, 3e9))
    build_report(tmp_path)
    assert first.stat().st_mtime == 2e9
    assert second.stat().st_mtime != 2e9


def test_images_that_are_missing_or_damaged_are_told(report: Report, item: MakeItem, tmp_path: Path) -> None:
    """The report is built all the same."""
    missing, damaged = saved(tmp_path, "missing"), saved(tmp_path, "damaged")
    missing.path.unlink()
    damaged.path.write_bytes(damaged.path.read_bytes()[:60])
    _, (page,) = report(item(0, missing), item(1, damaged))
    assert page.text.count("Image missing or damaged") == 2
    assert not page.images


@pytest.mark.parametrize("path", ["../secret.png", "images/../../secret.png", "{}/secret.png"])
def test_a_directory_that_somebody_else_made_leads_nowhere(
    write_run: WriteRun, item: MakeItem, path: str, tmp_path: Path
) -> None:
    """Nothing outside of it is read, written or linked."""
    Image.new("RGB", (64, 64)).save(tmp_path / "secret.png")
    out = tmp_path / "out"
    write_run(item(0, saved(out, "a")), out=out)
    with closing(sqlite3.connect(out / "journal.sqlite", isolation_level=None)) as journal:
        changed = journal.execute(
            "UPDATE items SET files = replace(files, 'images/0000/a.png', ?)", (path.format(tmp_path),)
        )
        assert changed.rowcount == 1
    page = Page(build_report(out).with_name("report") / "page-0001.html")
    assert "a koi" in page.text
    assert not page.images
    assert "secret" not in str(page.links)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "secret.png"]


def test_a_picture_of_another_size_than_asked_for_is_told(report: Report, item: MakeItem, tmp_path: Path) -> None:
    """It is no error, and no secret."""
    file = attrs.evolve(saved(tmp_path, "a"), width=32, height=32)
    _, (page,) = report(item(0, file))
    assert "32 x 32, asked for 64 x 32" in page.text


def test_a_run_that_was_interrupted_at_night_can_be_read(report: Report, batch_item: MakeItem) -> None:
    """The night takes no room on the axis, and the task that it came in between does not tell how long tasks take."""
    night, items = 9 * 3600, []
    for number in range(200):
        since = EVENING + timedelta(seconds=number + (night if number > 100 else 0))
        seconds = night if number == 100 else 8 if number < 100 else 12
        until = since + timedelta(seconds=seconds)
        items.append(batch_item(number, State.DOWNLOADED, submitted_at=since, finished_at=until))
    index, _ = report(*items)

    words = " ".join(index.text.split())
    assert "Finished: 200, from 2026-11-22 23:00:00 UTC to 2026-11-23 08:03:31 UTC: 4 min of work and 9 h" in words
    assert words.count("left out") == 1
    assert "22 Nov 23:00 23 Nov 08:0" in words
    assert "Tasks: 199. From acceptance until they were seen finished half took up to 8.0 s" in words


@pytest.mark.parametrize(
    ("state", "seconds", "drawings"),
    [
        (State.PLANNED, None, 0),
        (State.REJECTED, None, 0),
        (State.FAILED, None, 0),
        (State.SUBMITTED, None, 1),
        (State.DOWNLOADED, 0, 2),
        (State.DOWNLOADED, 9.5, 2),
        (State.DOWNLOADED, -7200, 1),
    ],
)
def test_what_is_not_known_is_not_drawn(
    report: Report, batch_item: MakeItem, state: State, seconds: float | None, drawings: int
) -> None:
    """One item of any kind makes a page, also if it finished before it was accepted, by a clock that was set back."""
    times = {} if seconds is None else {"submitted_at": EVENING, "finished_at": EVENING + timedelta(seconds=seconds)}
    index, _ = report(batch_item(0, state, **times))
    assert index.tags["figure"] == drawings


def test_a_run_without_items_has_a_report(report: Report) -> None:
    """With nothing to draw."""
    index, pages = report()
    assert (index.tags["figure"], pages) == (0, [])


def test_a_directory_without_a_run_is_an_error(tmp_path: Path) -> None:
    """Nothing is made in a directory that is no run."""
    with pytest.raises(InvalidRequest, match=r"holds no run: there is no journal\.sqlite"):
        build_report(tmp_path)
    assert not list(tmp_path.iterdir())
