"""Bars as plain SVG, readable by day and by night."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

LABELS, BARS, VALUES, ROW, TITLE, EDGE = 330, 370, 100, 30, 52, 20  # pixels
STYLE = """
  .paper { fill: #ffffff } text { fill: #1f2328; font: 15px system-ui, sans-serif } .title { font-weight: 600 }
  .bar { fill: #6e7781 } .ours { fill: #0969da }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .bar { fill: #8b949e } .ours { fill: #58a6ff }
  }
"""

Bars = Sequence[tuple[str, float]]


def draw(title: str, panels: Sequence[tuple[str, Bars]], ours: Sequence[str]) -> str:
    """Return a drawing with a panel of horizontal bars for each heading; the bars named *ours* stand out."""
    width = LABELS + BARS + VALUES + 2 * EDGE
    parts, top = [], EDGE
    for heading, bars in panels:
        parts.append(f'<text class="title" x="{EDGE}" y="{top + 18}">{escape(heading)}</text>')
        parts += _panel(bars, top + TITLE - 16, ours)
        top += TITLE + ROW * len(bars)
    told = "; ".join(f"{heading}: " + ", ".join(f"{n} {v:,.1f}" for n, v in bars) for heading, bars in panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" role="img" aria-labelledby="t d">\n'
        f'<title id="t">{escape(title)}</title>\n<desc id="d">{escape(told)}</desc>\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{width}" height="{top}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _panel(bars: Bars, top: int, ours: Sequence[str]) -> list[str]:
    longest = max(value for _, value in bars)
    parts = []
    for row, (name, value) in enumerate(bars):
        y = top + row * ROW
        length = max(1.0, value / longest * BARS)
        kind = "bar ours" if name in ours else "bar"
        parts += [
            f'<text x="{EDGE + LABELS - 10}" y="{y + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{EDGE + LABELS}" y="{y}" width="{length:.1f}" height="{ROW - 8}" rx="3"/>',
            f'<text x="{EDGE + LABELS + length + 8:.1f}" y="{y + 16}">{value:,.1f}</text>',
        ]
    return parts
