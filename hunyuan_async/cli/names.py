"""Where a batch puts its images: `--name` and a thousand a folder."""

from __future__ import annotations

import re

import attrs

from hunyuan_async._core.lifecycle import Item
from hunyuan_async._core.names import slug
from hunyuan_async._core.text import shown
from hunyuan_async._targets import image_path
from hunyuan_async.cli.templates import Template, check_names, parse_template
from hunyuan_async.errors import InvalidRequest

_NAMES = ("id", "index", "slug", "seed", "variation")

# Templates whose names tell items apart by themselves, because id or index can be read back from the name. All
# indices in a folder have as many digits.
_TELLING = re.compile(
    r"[a-z0-9_-]*\{id\}([_-]\{(seed|variation|index)\})*"
    r"|[a-z0-9_-]*\{index\}.*"
    r"|.*\{index\}"
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

    def path(self, item: Item) -> str:
        """An item's file below the output directory, without the extension, such as "images/0000/sku42".

        It is of lower-case ASCII. A name that could not be kept as it is, or that another item may have, gets
        ten digits of the id's SHA-256 appended. A later attempt has a name of its own, so that older images stay.
        """
        assert item.request is not None  # what a run makes, it asks for
        seed = item.request.seed
        wanted = self.template.fill(
            {
                "id": item.id,
                "index": f"{item.detail['index']:06}",
                "slug": slug(item.request.prompt),
                "seed": "random" if seed in (None, -1) else seed,
                "variation": item.detail["variation"],
            }
        )
        return image_path(item, wanted, telling=self.telling)


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
