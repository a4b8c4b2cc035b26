"""Small pictures of saved images. Pillow is imported when the first one is made."""

from __future__ import annotations

import secrets
from pathlib import Path

SIDE = 256  # pixels, of the longer side
LARGEST_SOURCE = 64_000_000  # pixels; more is no image of ours, and costs memory to decode


def make_thumbnail(source: Path, target: Path) -> bool:
    """Make a WebP thumbnail unless there is one that is not older than its source; return whether there is one.

    A source that is missing or damaged has none. Safe to call from several threads and processes.
    """
    from PIL import Image

    try:
        if target.exists() and target.stat().st_mtime_ns >= source.stat().st_mtime_ns:
            return True
        with Image.open(source, formats=("PNG", "JPEG", "WEBP")) as image:
            if image.width * image.height > LARGEST_SOURCE:
                return False
            image.thumbnail((SIDE, SIDE), reducing_gap=2.0)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{secrets.token_hex(8)}.part")
            try:
                image.save(partial, "WEBP", method=2)
                partial.replace(target)
            finally:
                partial.unlink(missing_ok=True)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True
