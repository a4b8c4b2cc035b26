"""Items that were not sent, as an input for the next batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from hunyuan_async.cli.items import BatchItem

FILE_NAME = "pending.jsonl"


def write_pending(out_dir: Path, items: Sequence[BatchItem]) -> Path:
    """Write the rows of *items* with their ids and everything else they had; return the file's path."""
    path = out_dir / FILE_NAME
    path.touch(0o600)
    with path.open("w", encoding="utf-8", errors="backslashreplace") as file:
        for item in items:
            request = item.request
            row = {
                **item.input,
                "id": item.id,
                "prompt": request.prompt,
                "size": request.size,
                "seed": request.seed,
                "type": request.type,
                "images": request.images,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return path
