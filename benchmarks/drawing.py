"""Figures as plain SVG, readable by day, by night and by the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import attrs

LABELS, AXIS, VALUES, ROW, HEAD, EDGE, DOT = 250, 330, 200, 26, 48, 20, 6  # pixels
STYLE = """
  .paper { fill: #ffffff } text { fill: #1f2328; font: 15px system-ui, sans-serif } .title { font-weight: 600 }
  .others { fill: #afb8c1 } .ours { fill: #0969da } .bound { stroke: #6e7781 }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #0d1117 } text { fill: #e6edf3 } .others { fill: #57606a } .ours { fill: #58a6ff }
    .bound { stroke: #8b949e }
  }
"""


@attrs.frozen
class Span:
    """A row: our figure, and the least and the most of what others reach."""

    name: str
    ours: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"{self.ours:.2f} beside {self.least:.2f} to {self.most:.2f}"


def draw_spans(title: str, panels: Mapping[str, Sequence[Span]], others: str) -> str:
    """Return a drawing with a panel of rows for each heading, on an axis that begins at 1."""
    parts, top = [_legend(others)], EDGE + ROW
    for heading, spans in panels.items():
        parts.append(f'<text class="title" x="{EDGE}" y="{top + 22}">{escape(heading)}</text>')
        parts += _panel(spans, top + HEAD - 12)
        top += HEAD + ROW * len(spans)
    told = f"Ours beside {others}. " + "; ".join(f"{row.name}: {row}" for spans in panels.values() for row in spans)
    return _framed(title, told, LABELS + AXIS + VALUES + 2 * EDGE, top + EDGE, parts)


def _framed(title: str, told: str, width: int, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-labelledby="t d">\n'
        f'<title id="t">{escape(title)}</title>\n<desc id="d">{escape(told)}</desc>\n<style>{STYLE}</style>\n'
        f'<rect class="paper" width="{width}" height="{height}" rx="8"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _legend(others: str) -> str:
    left, y = EDGE + LABELS, EDGE + 14
    return (
        f'<circle class="ours" cx="{left}" cy="{y - 5}" r="{DOT}"/><text x="{left + 14}" y="{y}">ours</text>\n'
        f'<rect class="others" x="{left + 70}" y="{y - 11}" width="40" height="12" rx="3"/>'
        f'<text x="{left + 118}" y="{y}">{escape(others)}; at the line: the bound</text>'
    )


def _panel(spans: Sequence[Span], top: int) -> list[str]:
    left = EDGE + LABELS
    scale = AXIS / (max(row.most for row in spans) - 1)
    parts = [f'<line class="bound" x1="{left}" x2="{left}" y1="{top}" y2="{top + ROW * len(spans)}"/>']
    for number, row in enumerate(spans):
        y = top + number * ROW + ROW // 2
        ours, least = left + (row.ours - 1) * scale, left + (row.least - 1) * scale
        width = max(2 * DOT, (row.most - row.least) * scale)
        parts += [
            f'<text x="{left - 14}" y="{y + 5}" text-anchor="end">{escape(row.name)}</text>',
            f'<rect class="others" x="{least:.1f}" y="{y - 6}" width="{width:.1f}" height="12" rx="3"/>',
            f'<circle class="ours" cx="{ours:.1f}" cy="{y}" r="{DOT}"/>',
            f'<text x="{left + AXIS + 20}" y="{y + 5}">{row}</text>',
        ]
    return parts
