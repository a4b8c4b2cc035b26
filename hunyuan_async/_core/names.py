"""File names made from ids and prompts: harmless, and different for different ids, whatever those hold."""

from __future__ import annotations

import hashlib
import re
import unicodedata

LONGEST = 60  # characters; leaves room for an extension and a temporary suffix everywhere

# Names that belong to Windows devices, and those that end as if a hash had been appended.
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])|.*-[0-9a-f]{10}")


def safe_name(wanted: str, item_id: str, *, telling: bool = True) -> str:
    """Return a file name of a to z, 0 to 9, "-" and "_", without an extension.

    Args:
        wanted: The name that would be best.
        item_id: The id of the item that it is for.
        telling: Whether *wanted* alone tells items apart. A name that does not, or that could not be kept as it is,
            gets ten digits of the id's SHA-256 appended.
    """
    name = re.sub(r"[^a-z0-9_-]+", "-", _plain(wanted)).lstrip("-")
    is_kept = name == wanted and len(name) <= LONGEST and not _RESERVED.fullmatch(name)
    if is_kept and telling:
        return name
    digest = hashlib.sha256(item_id.encode()).hexdigest()
    return f"{name[: LONGEST - 11].rstrip('-') or 'image'}-{digest[:10]}"


def leads_out(path: str) -> bool:
    """Whether *path*, which is meant to be relative to a directory, may lead out of it."""
    return path.startswith("/") or ".." in path.split("/")


def slug(prompt: str) -> str:
    """Return a prompt as a short readable part of a file name, of a to z, 0 to 9 and "-"."""
    words = re.sub("[^a-z0-9]+", "-", _plain(prompt)).strip("-")
    return words[:40].rstrip("-") or "image"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
