"""report.html: a run as pages that open from disk, made from its journal alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.names import leads_out
from hunyuan_async.cli.directories import open_run
from hunyuan_async.cli.report_course import course_of
from hunyuan_async.cli.report_html import Card, Picture, Summary, index_page, item_page, page_name
from hunyuan_async.cli.result_lines import ResultLine, failure_reason, result_line
from hunyuan_async.cli.thumbnails import make_thumbnail
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import API_IN_ONE

PER_PAGE = 200


def build_report(out_dir: Path) -> Path:
    """Write `report.html`, its pages and the thumbnails that it lacks; return the path of `report.html`.

    It uses several threads and takes about 25 ms an image and core: keep it out of the event loop.

    Raises:
        InvalidRequest: The directory holds no run, or a folder of the report is a link.
        JournalError: Its journal cannot be read.
    """
    folder = out_dir / "report"
    summary = Summary(out_dir.resolve().name)
    # Pillow decodes and scales without the interpreter's lock, so threads use every core.
    with open_run(out_dir) as (reader, record), ThreadPoolExecutor() as threads:
        # A directory that somebody else made must not lead out of itself.
        if any(map(Path.is_symlink, (folder, *folder.rglob("*")))):
            raise InvalidRequest(f"{folder} is or holds a link, and would be written to: remove it")
        folder.mkdir(exist_ok=True)
        summary.course = course_of(reader.course(record.run))
        for number, (items, is_last) in enumerate(_paged(reader.latest(record.run)), start=1):
            cards = list(threads.map(partial(_card, out_dir), items))
            summary.add_page(cards)
            page = item_page(summary.title, number, cards, is_last=is_last)
            _write_anew(folder / page_name(number), page)
    report = out_dir / "report.html"
    _write_anew(report, index_page(summary))
    return report


def _write_anew(path: Path, text: str) -> None:
    """Write a file, not through what links there may be of its name."""
    path.unlink(missing_ok=True)
    path.write_text(text, encoding="utf-8")


def _paged(items: Iterator[Item]) -> Iterator[tuple[list[Item], bool]]:
    """Pages of items, each with whether it is the last."""
    page = list(itertools.islice(items, PER_PAGE))
    while page:
        following = list(itertools.islice(items, PER_PAGE))
        yield page, not following
        page = following


def _card(out_dir: Path, item: Item) -> Card:
    line = result_line(item, out_dir, API_IN_ONE)
    paths = [str(image["path"]) for image in line["images"]]
    inside = [path for path in paths if not leads_out(path)]
    return Card(line, tuple(_picture(out_dir, path) for path in inside), _reason(item, line))


def _reason(item: Item, line: ResultLine) -> str | None:
    if line["error"] is None:
        return None
    return failure_reason(item.error) if item.error else f"{line['error']['kind']}: {line['error']['message']}"


def _picture(out_dir: Path, path: str) -> Picture:
    thumbnail = f"report/thumbs/{path}.webp"
    return Picture(path, thumbnail if make_thumbnail(out_dir / path, out_dir / thumbnail) else None)
