"""Text filled from columns, as in `--prompt "studio photo of {title}, {color}"`."""

from __future__ import annotations

import string
from collections.abc import Collection, Iterable, Mapping

import attrs

from hunyuan_async._core.text import printable, shown
from hunyuan_async.errors import InvalidRequest


@attrs.frozen
class Template:
    """Text with plain names in braces; `{{` and `}}` stand for braces.

    Attributes:
        parts: Literal text, each with the name whose value follows it, if any.
    """

    parts: tuple[tuple[str, str | None], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The names in braces, in their order."""
        return tuple(name for _, name in self.parts if name is not None)

    def fill(self, columns: Mapping[str, object]) -> str:
        """The text with every name replaced by its cell.

        Raises:
            InvalidRequest: A cell is missing, empty or not text or a number.
        """
        return "".join(text + (cell_text(columns, name) if name else "") for text, name in self.parts)


def parse_template(text: str) -> Template:
    """Read a template.

    Raises:
        InvalidRequest: A brace stands alone, or braces hold anything but a plain name.
    """
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError as error:
        raise InvalidRequest(f"template {shown(text)}: {error}; write {{{{ or }}}} for a brace") from None
    for _, name, form, conversion in parsed:
        if name is not None and (form or conversion or not name.strip() or set(name) & set(".[]{")):
            raise InvalidRequest(f"template {shown(text)}: braces may hold a plain column name only, as in {{title}}")
    return Template(tuple((literal, name) for literal, name, _, _ in parsed))


def check_names(names: Iterable[str], known: Collection[str]) -> None:
    """Check that every name of a template is known.

    Raises:
        InvalidRequest: One is not; the message lists those that are.
    """
    for name in names:
        if name not in known:
            raise InvalidRequest(f"there is no {shown(name)} here; there are: {printable(', '.join(known))}")


def cell_text(columns: Mapping[str, object], name: str) -> str:
    """One cell as text, trimmed.

    Raises:
        InvalidRequest: It is missing, empty or not text or a number.
    """
    check_names([name], columns)
    value = columns[name]
    if isinstance(value, bool) or not isinstance(value, str | int | float | None):
        raise InvalidRequest(f"column {shown(name)} holds {shown(value)}, not text")
    text = "" if value is None else str(value).strip()
    if not text:
        raise InvalidRequest(f"column {shown(name)} is empty")
    return text
