"""The report's pages as HTML: no script, nothing from elsewhere, every text escaped, no addresses shown."""

from __future__ import annotations

import functools
import html
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from string import Template
from urllib.parse import quote

import attrs

from hunyuan_async._core.text import printable
from hunyuan_async.cli.result_lines import ResultLine

SHEET = 48  # images on the index
SHOWN_FAILURES = 10
_LONG_PROMPT = 140  # characters; a longer one is folded

# A mark beside the word, so that neither shape nor colour tells alone.
_STATUSES = {
    "succeeded": "✓ done",
    "failed": "✗ failed",
    "unknown": "? unknown: may have been charged",
    "submitted": "↓ paid, not yet collected",
    "skipped": "= left out",
    "pending": "… to go",
}


@attrs.frozen
class Picture:
    """A saved image below the output directory.

    Attributes:
        path: Relative to the output directory, with "/".
        thumbnail: The same of its thumbnail; None if the image is missing or damaged.
    """

    path: str
    thumbnail: str | None


@attrs.frozen
class Card:
    """One item with its images.

    Attributes:
        line: What the results say of it.
        pictures: Its images.
        reason: Why there is none.
    """

    line: ResultLine
    pictures: tuple[Picture, ...] = ()
    reason: str | None = None


@attrs.define
class Summary:
    """What the index shows, gathered page by page.

    Attributes:
        title: The run's name.
        course: How it went over time, as HTML.
        counts: Items by status.
        credits: Charged or at risk.
        failures: How often each failure was seen.
        examples: Where the first of each failure stands.
        pages: The status counts of each page.
        sheet: The first items with a thumbnail, and the page each is on.
    """

    title: str
    course: str = ""
    counts: Counter[str] = attrs.field(factory=Counter)
    credits: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    examples: dict[str, str] = attrs.field(factory=dict)
    pages: list[Counter[str]] = attrs.field(factory=list)
    sheet: list[tuple[str, Card]] = attrs.field(factory=list)

    def add_page(self, cards: Sequence[Card]) -> None:
        """Count the next page's items."""
        counts = Counter[str](card.line["status"] for card in cards)
        self.pages.append(counts)
        self.counts += counts
        for card in cards:
            place = f"report/{page_name(len(self.pages))}#{_anchor(card.line)}"
            self.credits += card.line["credits"]
            if card.reason and card.line["status"] != "skipped":
                self.failures[card.reason] += 1
                self.examples.setdefault(card.reason, place)
            if len(self.sheet) < SHEET and card.pictures and card.pictures[0].thumbnail:
                self.sheet.append((place, card))


def page_name(number: int) -> str:
    """The file name of a page, counted from 1."""
    return f"page-{number:04}.html"


def index_page(summary: Summary) -> str:
    """The report's first page."""
    counts = summary.counts
    totals = {
        "Images": counts.total() - counts["skipped"],
        "Done": counts["succeeded"],
        "Failed": counts["failed"],
        "Unknown": counts["unknown"],
        "To go": counts["pending"] + counts["submitted"],
        "Left out": counts["skipped"],
        "Credits": summary.credits,
    }
    tiles = "".join(f"<div><dt>{name}</dt><dd>{number:,}</dd></div>" for name, number in totals.items())
    return _document(
        summary.title,
        f'<dl class="totals">{tiles}</dl>{_failures(summary)}{_sheet(summary)}{summary.course}{_page_links(summary)}',
    )


def item_page(title: str, number: int, cards: Sequence[Card], *, is_last: bool) -> str:
    """One page of items.

    Args:
        title: The run's name.
        number: The page's, counted from 1.
        cards: What stands on it.
        is_last: Whether no page follows.
    """
    links = ['<a href="../report.html">Overview</a>']
    if number > 1:
        links.append(f'<a rel="prev" href="{page_name(number - 1)}">← Page {number - 1}</a>')
    if not is_last:
        links.append(f'<a rel="next" href="{page_name(number + 1)}">Page {number + 1} →</a>')
    items = "".join(map(_card, cards))
    return _document(
        f"{title}, page {number}",
        f'{_nav("Pages", links)}<ul class="cards">{items}</ul>{_nav("Pages, again", links)}',
    )


def _document(title: str, body: str) -> str:
    return _page().substitute(title=_text(title), body=body)


@functools.cache
def _page() -> Template:
    return Template(resources.files("hunyuan_async.cli").joinpath("report_page.html").read_text(encoding="utf-8"))


def _failures(summary: Summary) -> str:
    if not summary.failures:
        return ""
    rows = "".join(
        f'<li>{count:,} x {_text(reason)} (<a href="{summary.examples[reason]}">an example</a>)</li>'
        for reason, count in summary.failures.most_common(SHOWN_FAILURES)
    )
    return f'<h2>Commonest failures</h2><ul class="failures">{rows}</ul>'


def _sheet(summary: Summary) -> str:
    pictures = "".join(
        _picture(card.pictures[0], prefix="", target=place, alt=_alt(card)) for place, card in summary.sheet
    )
    return f'<h2>First images</h2><div class="sheet">{pictures}</div>' if pictures else ""


def _page_links(summary: Summary) -> str:
    links = []
    last = 0
    for number, counts in enumerate(summary.pages, start=1):
        first, last = last + 1, last + counts.total()
        failed = f", {counts['failed']} failed" if counts["failed"] else ""
        links.append(f'<a href="report/{page_name(number)}">{first:,} to {last:,}{failed}</a>')
    return f"<h2>All images</h2>{_nav('Pages', links)}"


def _nav(label: str, links: Sequence[str]) -> str:
    return f'<nav aria-label="{label}">{"".join(links)}</nav>'


def _card(card: Card) -> str:
    line = card.line
    pictures = [
        _picture(picture, prefix="../", target=f"../{quote(picture.path)}", alt=_alt(card)) for picture in card.pictures
    ]
    facts = {"Id": line["id"], "Size": _size(line), "Seed": _seed(line), "Cost": f"{line['credits']} credits"}
    rows = "".join(f"<dt>{name}</dt><dd>{_text(value)}</dd>" for name, value in facts.items() if value)
    return (
        f'<li id="{_anchor(line)}">{"".join(pictures) or _nothing("No image")}<div class="about">'
        f'<p class="status {_text(line["status"])}">{_text(_STATUSES.get(line["status"], line["status"]))}</p>'
        f"{_prompt(line)}{f'<p>{_text(card.reason)}</p>' if card.reason else ''}<dl>{rows}</dl></div></li>"
    )


def _picture(picture: Picture, *, prefix: str, target: str, alt: str) -> str:
    if picture.thumbnail is None:
        return _nothing("Image missing or damaged")
    source = prefix + quote(picture.thumbnail)
    return (
        f'<a class="picture" href="{target}">'
        f'<img src="{source}" alt="{alt}" width="256" height="256" loading="lazy" decoding="async"></a>'
    )


def _nothing(why: str) -> str:
    return f'<p class="nothing">{why}</p>'


def _prompt(line: ResultLine) -> str:
    prompt = str(line["request"]["prompt"])
    if len(prompt) <= _LONG_PROMPT:
        return f'<p dir="auto">{_text(prompt)}</p>'
    start = _text(prompt, _LONG_PROMPT)
    return f'<details><summary dir="auto">{start}</summary><p dir="auto">{_text(prompt)}</p></details>'


def _alt(card: Card) -> str:
    return _text(card.line["request"]["prompt"], 200)


def _size(line: ResultLine) -> str:
    asked = str(line["request"]["size"]).replace("*", " x ")
    made = [f"{image['width']} x {image['height']}" for image in line["images"] if image["width"]]
    return asked if not made or made[0] == asked else f"{made[0]}, asked for {asked}"


def _seed(line: ResultLine) -> str:
    seed = line["request"]["seed"]
    return "drawn by the service" if seed == -1 else "" if seed is None else str(seed)


def _anchor(line: ResultLine) -> str:
    return f"item-{int(line['index'])}"


def _text(value: object, limit: int = 2000) -> str:
    return html.escape(printable(str(value), limit))
