"""Items that are still to be made, as an input for the next batch."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

import attrs

from hunyuan_async.cli.items import BatchItem

FILE_NAME = "pending.jsonl"


def write_pending(out_dir: Path, items: Sequence[BatchItem]) -> Path:
    """Write the rows of *items* with their ids and everything else they had; return the file's path."""
    path = out_dir / FILE_NAME
    path.touch(0o600)
    try:
        with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
            for item in items:
                asked = attrs.asdict(item.request, filter=attrs.filters.exclude("model", "extra"))
                file.write(json.dumps({**item.input, **asked}, ensure_ascii=False) + "\n")
    except OSError:
        path.unlink()  # a part of it would make a part of the images
        raise
    return path


def go_on_command(pending: Path, options: str) -> str:
    """Return the command that makes what *pending* holds, into a directory that does not exist yet."""
    out_dir = pending.parent
    unused = (f"{out_dir}-{number}" for number in itertools.count(2))
    target = next(name for name in unused if not Path(name).exists())
    return f"hunyuan batch {shlex.quote(str(pending))} --out {shlex.quote(target)}{options}"
