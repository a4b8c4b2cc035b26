"""report.html: a run as pages that open from disk, made from its results alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath

from hunyuan_async.cli.report_html import Card, Picture, Summary, index_page, item_page, page_name
from hunyuan_async.cli.result_lines import ResultLine
from hunyuan_async.cli.results import FILE_NAME, read_results
from hunyuan_async.cli.thumbnails import make_thumbnail
from hunyuan_async.errors import InvalidRequest

PER_PAGE = 200


def build_report(out_dir: Path) -> Path:
    """Write `report.html`, its pages and the thumbnails that it lacks; return the path of `report.html`.

    It uses several threads and takes about 25 ms an image and core: keep it out of the event loop.

    Raises:
        InvalidRequest: The directory holds no results, or a line that is none.
    """
    results = out_dir / FILE_NAME
    if not results.exists():
        raise InvalidRequest(f"{out_dir} holds no {FILE_NAME}")
    folder = out_dir / "report"
    folder.mkdir(exist_ok=True)
    summary = Summary(out_dir.resolve().name)
    # Pillow decodes and scales without the interpreter's lock, so threads use every core.
    with ThreadPoolExecutor() as threads:
        for number, (lines, is_last) in enumerate(_paged(read_results(results)), start=1):
            cards = list(threads.map(partial(_card, out_dir), lines))
            summary.add_page(cards)
            page = item_page(summary.title, number, cards, is_last=is_last)
            (folder / page_name(number)).write_text(page, encoding="utf-8")
    report = out_dir / "report.html"
    report.write_text(index_page(summary), encoding="utf-8")
    return report


def _paged(lines: Iterator[ResultLine]) -> Iterator[tuple[list[ResultLine], bool]]:
    """Pages of lines, each with whether it is the last."""
    page = list(itertools.islice(lines, PER_PAGE))
    while page:
        following = list(itertools.islice(lines, PER_PAGE))
        yield page, not following
        page = following


def _card(out_dir: Path, line: ResultLine) -> Card:
    paths = [str(image["path"]) for image in line["images"]]
    # A directory that somebody else made must not lead out of itself.
    inside = [path for path in paths if not path.startswith("/") and ".." not in PurePosixPath(path).parts]
    return Card(line, tuple(_picture(out_dir, path) for path in inside))


def _picture(out_dir: Path, path: str) -> Picture:
    thumbnail = f"report/thumbs/{path}.webp"
    return Picture(path, thumbnail if make_thumbnail(out_dir / path, out_dir / thumbnail) else None)
