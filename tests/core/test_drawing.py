"""Drawings: their shapes, and what a page says to those who do not see them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from hunyuan_async.cli.drawing import Area, Label, Strip, draw

HOSTILE = "</svg><script>alert(1)</script>\"'&"


def parsed(drawing: str) -> ElementTree.Element:
    """A drawing as elements; it is well-formed."""
    return ElementTree.fromstring(drawing)  # noqa: S314 - our own


def one(*stretches: list[float], gap: float = 0) -> ElementTree.Element:
    """Draw one strip."""
    return parsed(draw("a", "title", "told", [Strip("Tasks", (Area(stretches),), "up to 4")], gap=gap))


@pytest.mark.parametrize(
    ("stretches", "path"),
    [
        (([1, 4, 4, 0],), "M0 100H0V75H1V0H3V100H4V100Z"),
        (([2], [4]), "M0 100H0V50H1V100ZM3 100H3V0H4V100Z"),
        (([0, 0],), "M0 100H2V100Z"),
    ],
    ids=["steps", "a gap", "nothing"],
)
def test_steps_fill_the_strip_up_to_the_largest_value(stretches: tuple[list[float], ...], path: str) -> None:
    """Equal ones are one step; between two stretches the base is free."""
    [drawn] = one(*stretches, gap=2).iter("path")
    assert drawn.get("d") == path


def test_shapes_stretch_and_words_do_not() -> None:
    """On a phone the text is as large as beside it: only the inner picture has a scale of its own."""
    svg = one([1], [2], gap=0.5)
    [shapes] = svg.findall("svg")
    assert (shapes.get("viewBox"), shapes.get("preserveAspectRatio")) == ("0 0 2.5 100", "none")
    assert not list(shapes.iter("text"))
    assert "viewBox" not in svg.attrib


def test_a_drawing_names_and_describes_itself() -> None:
    """To a reader aloud it is one picture with a title and a description."""
    svg = one([1])
    named = {each.get("id"): each.text for each in svg if each.get("id")}
    assert (svg.get("role"), svg.get("aria-labelledby")) == ("img", " ".join(map(str, named)))
    assert [*named.values()] == ["title", "told"]


def test_marks_cross_all_strips_and_each_text_has_a_line_of_its_own() -> None:
    """So that no two texts meet; near the right edge a text stands to the left."""
    strips = [Strip(name, (Area([[1.0]]),), "1") for name in "ab"]
    marks = [Label(0.3, "early"), Label(0.4, ""), Label(0.9, "late")]
    svg = parsed(draw("a", "t", "d", strips, marks=marks, ticks=[Label(0, "0 s"), Label(1, "9 s")]))
    lines = [line for line in svg.iter("line") if line.get("class") == "mark"]
    base = max(int(line.get("y1", 0)) for line in svg.iter("line") if line.get("class") == "base")
    assert [line.get("x1") for line in lines] == ["30.00%", "40.00%", "90.00%"]
    assert all(int(line.get("y2", 0)) >= base for line in lines)
    words = {text.text: text for text in svg.iter("text")}
    assert words["early"].get("y") != words["late"].get("y")
    anchors = {name: words[name].get("text-anchor") for name in ("early", "late", "0 s", "9 s")}
    assert anchors == {"early": "start", "late": "end", "0 s": "start", "9 s": "end"}


def test_hostile_text_stays_text() -> None:
    """Whatever is written in it."""
    areas = Area([[2.0]], "light", HOSTILE), Area([[1.0]], "", "b")
    label = [Label(0.5, HOSTILE)]
    drawing = draw("a", HOSTILE, HOSTILE, [Strip(HOSTILE, areas, HOSTILE)], ticks=label, marks=label)
    assert {each.tag for each in parsed(drawing).iter()} == {"svg", "title", "desc", "text", "tspan", "line", "path"}
    assert "<script" not in drawing
