"""File names made from ids and prompts: harmless, and different for different items, whatever those hold."""

from __future__ import annotations

import hashlib
import re
import unicodedata

import attrs

from hunyuan_async._core.text import shown
from hunyuan_async.cli.items import BatchItem
from hunyuan_async.cli.templates import Template, check_names, parse_template
from hunyuan_async.errors import InvalidRequest

PER_FOLDER = 1000
_LONGEST = 60  # characters; leaves room for an extension and a temporary suffix everywhere
_NAMES = ("id", "index", "slug", "seed", "variation")

# Names that belong to Windows devices, and those that end as if a hash had been appended.
_RESERVED = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9])|.*-[0-9a-f]{10}")

# Templates whose names tell items apart by themselves: an id or index can be read back from the name.
_TELLING = re.compile(
    r"[a-z0-9_-]*\{id\}([_-]\{(seed|variation|index)\})*"
    r"|[a-z0-9_-]*\{index\}([_-].*)?"
    r"|.*[_-]\{index\}"
)


@attrs.frozen
class NameTemplate:
    """How image files are named.

    Attributes:
        template: Filled with an item's id, index, slug of the prompt, seed and variation.
        telling: Whether it alone tells items apart.
    """

    template: Template
    telling: bool

    def path(self, item: BatchItem) -> str:
        """An item's file below the output directory, without the extension, such as "images/0000/sku42".

        It is of lower-case ASCII. A name that could not be kept as it is, or that another item may have, gets
        ten digits of the id's SHA-256 appended.
        """
        seed = item.request.seed
        wanted = self.template.fill(
            {
                "id": item.id,
                "index": f"{item.index:06}",
                "slug": slug(item.request.prompt),
                "seed": "random" if seed in (None, -1) else seed,
                "variation": item.variation,
            }
        )
        name = re.sub(r"[^a-z0-9_-]+", "-", _plain(wanted)).lstrip("-")
        is_kept = name == wanted and len(name) <= _LONGEST and not _RESERVED.fullmatch(name)
        if not (is_kept and self.telling):
            digest = hashlib.sha256(item.id.encode()).hexdigest()
            name = f"{name[: _LONGEST - 11].rstrip('-') or 'image'}-{digest[:10]}"
        return f"images/{item.index // PER_FOLDER:04}/{name}"


def parse_name(text: str) -> NameTemplate:
    """Read a template of file names, such as "{index}-{slug}".

    Raises:
        InvalidRequest: It holds an unknown name, or a character that file names here do not have.
    """
    template = parse_template(text)
    check_names(template.names, _NAMES)
    if not all(re.fullmatch("[a-z0-9_-]*", literal) for literal, _ in template.parts):
        raise InvalidRequest(f'name {shown(text)}: beside names in braces only a to z, 0 to 9, "-" and "_" may stand')
    return NameTemplate(template, bool(_TELLING.fullmatch(text)))


def slug(prompt: str) -> str:
    """A prompt as a short readable part of a file name, of a to z, 0 to 9 and "-"."""
    words = re.sub("[^a-z0-9]+", "-", _plain(prompt)).strip("-")
    return words[:40].rstrip("-") or "image"


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
