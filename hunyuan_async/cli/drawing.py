"""Drawings as inline SVG.

Shapes stretch with the page and text does not, so that it can be read on a phone: whatever has text is placed in
percents of the width, and shapes are drawn in a picture of their own within the picture.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import attrs

_ROOM = 22  # pixels for a line of text
_SPACE = 8  # pixels below a strip
_UNITS = 100  # of a strip's height, whatever that is in pixels


@attrs.frozen
class Area:
    """Steps over the columns of each stretch, filled down to the base.

    Attributes:
        stretches: The values; between two stretches there is a gap.
        style: "", "light" or "alert".
        name: What it is, if there are several.
    """

    stretches: Sequence[Sequence[float]]
    style: str = ""
    name: str = ""


@attrs.frozen
class Strip:
    """Areas before one another on one scale.

    Attributes:
        name: What they show.
        areas: From back to front.
        most: The largest value, in words.
        height: In pixels.
    """

    name: str
    areas: tuple[Area, ...]
    most: str
    height: int = 56


@attrs.frozen
class Label:
    """A text at a part of the width."""

    place: float
    text: str


def draw(
    key: str,
    title: str,
    description: str,
    strips: Sequence[Strip],
    *,
    gap: float = 0,
    ticks: Sequence[Label] = (),
    marks: Sequence[Label] = (),
) -> str:
    """Return strips below one another over one axis.

    Args:
        key: Tells the picture from others on the page.
        title: What it is.
        description: What is to be seen, for those who do not see it.
        strips: From top to bottom.
        gap: The width left free between two stretches, in columns.
        ticks: Texts below the axis.
        marks: Lines through all strips, each with a text above.
    """
    lines, words, parts = [], [], []
    top = _ROOM * sum(1 for mark in marks if mark.text)
    bottom = top + sum(_ROOM + strip.height + _SPACE for strip in strips)
    under = 14
    for mark in marks:
        place = f"{mark.place:.2%}"
        lines.append(f'<line class="mark" x1="{place}" x2="{place}" y1="{under - 10}" y2="{bottom}"/>')
        if mark.text:
            words.append(_words(mark, under, beside=True))
            under += _ROOM
    for strip in strips:
        parts.append(_shapes(strip, top + _ROOM, gap))
        words.append(_names(strip, top + 14))
        top += _ROOM + strip.height + _SPACE
    words += [_words(tick, bottom + 14) for tick in ticks]
    return (
        f'<svg role="img" aria-labelledby="{key}-title {key}-description" height="{bottom + _ROOM}">'
        f'<title id="{key}-title">{html.escape(title)}</title>'
        f'<desc id="{key}-description">{html.escape(description)}</desc>'
        f"{''.join(parts + lines + words)}</svg>"
    )


def _shapes(strip: Strip, top: int, gap: float) -> str:
    highest = max((value for area in strip.areas for values in area.stretches for value in values), default=0) or 1
    stretches = strip.areas[0].stretches
    columns = sum(map(len, stretches)) + gap * (len(stretches) - 1)
    paths = "".join(_path(area, highest, gap) for area in strip.areas)
    base = top + strip.height
    return (
        f'<svg class="areas" y="{top}" width="100%" height="{strip.height}" viewBox="0 0 {columns:g} {_UNITS}" '
        f'preserveAspectRatio="none">{paths}</svg><line class="base" x2="100%" y1="{base}" y2="{base}"/>'
    )


def _names(strip: Strip, under: int) -> str:
    legend = "".join(
        f' <tspan class="key {area.style}" dx="8">■</tspan> {html.escape(area.name)}'
        for area in strip.areas
        if area.name
    )
    return (
        f'<text class="name" y="{under}">{html.escape(strip.name)}{legend}</text>'
        f'<text x="100%" y="{under}" text-anchor="end">{html.escape(strip.most)}</text>'
    )


def _path(area: Area, highest: float, gap: float) -> str:
    drawn, place = [], 0.0
    for values in area.stretches:
        drawn.append(f"M{place:g} {_UNITS}")
        before = 0.0
        for number, value in enumerate(values):
            if value != before:
                drawn.append(f"H{place + number:g}V{_UNITS * (1 - value / highest):.4g}")
            before = value
        drawn.append(f"H{place + len(values):g}V{_UNITS}Z")
        place += len(values) + gap
    return f'<path class="{area.style}" d="{"".join(drawn)}"/>'


def _words(label: Label, under: int, *, beside: bool = False) -> str:
    """A text at its place or *beside* it, where there is room for it."""
    if beside:
        anchor, shift = ("start", 6) if label.place < 0.6 else ("end", -6)
    else:
        anchor, shift = "start" if label.place < 0.1 else "end" if label.place > 0.9 else "middle", 0
    return (
        f'<text x="{label.place:.2%}" dx="{shift}" y="{under}" text-anchor="{anchor}">{html.escape(label.text)}</text>'
    )
