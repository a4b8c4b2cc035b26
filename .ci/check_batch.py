"""Checks what a batch left on disk: `python .ci/check_batch.py PROMPTS.txt DIR`."""

from __future__ import annotations

import hashlib
import json
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from PIL import Image


class Links(HTMLParser):
    """Collects where a page leads and what it shows."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take the tag's addresses."""
        self.targets |= {value for name, value in attrs if name in {"href", "src"} and value}


def check_images(prompts: Path, out: Path) -> int:
    """Check that each prompt became a whole image whose hash is the one in the results; return how many."""
    wanted = [line for line in prompts.read_text().splitlines() if line.strip() and not line.startswith("#")]
    results = [json.loads(line) for line in (out / "results.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [result["request"]["prompt"] for result in results] == wanted
    for result in results:
        assert result["status"] == "succeeded", result
        [image] = result["images"]
        path = out / image["path"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == image["sha256"], path
        with Image.open(path) as picture:
            picture.load()
            assert picture.size == (image["width"], image["height"]), path
    return len(results)


def check_links(out: Path) -> int:
    """Check that every link and picture of the report is there; return how many."""
    links = [
        (page, page.parent / unquote(target.partition("#")[0]))
        for page in [out / "report.html", *(out / "report").rglob("*.html")]
        for target in Links(page).targets
        if not target.startswith("#")
    ]
    for page, target in links:
        assert target.is_file(), f"{page} leads to {target}, which is not there"
    return len(links)


if __name__ == "__main__":
    prompts, out = map(Path, sys.argv[1:])
    images, links = check_images(prompts, out), check_links(out)
    assert links > images, "the report shows its images"
    sys.stdout.write(f"{images} images as results.jsonl says, {links} links and pictures of the report resolve\n")
