"""Whose submit goes next."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.turns import IN_A_ROW, Turns


@attrs.define(eq=False)
class Place:
    """A place in the queue, as the dispatcher's tickets are."""

    name: str
    tenant: str = ""
    interactive: bool = False
    withdrawn: bool = False


def queued(*names: str) -> Turns[Place]:
    """A queue of such places: the first letter is the tenant, a capital is interactive."""
    turns: Turns[Place] = Turns()
    for name in names:
        turns.add(place(name))
    return turns


def place(name: str) -> Place:
    """The place of this name."""
    return Place(name, name[0].lower(), name[0].isupper())


def order(turns: Turns[Place]) -> list[str]:
    """The names in the order in which they go."""
    names = []
    while head := turns.head():
        turns.take(head)
        names.append(head.name)
    return names


@pytest.mark.parametrize(
    ("waiting", "go"),
    [
        ("a1 a2 a3", "a1 a2 a3"),
        ("a1 a2 a3 b1 c1 b2", "a1 b1 c1 a2 b2 a3"),
        ("a1 a2 B1 A1", "B1 A1 a1 a2"),
        ("a1 a2 A1 A2 A3 A4 A5 A6", "A1 A2 A3 A4 a1 A5 A6 a2"),
    ],
)
def test_tenants_take_turns(waiting: str, go: str) -> None:
    """One after the other, whoever has more; what a person waits for goes first, but not for ever."""
    assert order(queued(*waiting.split())) == go.split()


def test_one_that_was_refused_goes_first_again() -> None:
    """It has waited longest, whoever's turn it would be."""
    turns = queued("a1", "a2", "b1")
    first = turns.head()
    assert first
    turns.take(first)
    turns.add(first, again=True)

    assert order(turns) == ["a1", "b1", "a2"]


@pytest.mark.parametrize(
    ("waiting", "blocked", "go"), [("a1 b1 b2", "a1", "b1"), ("A1 b1", "A1", "b1"), ("a1 a2", "a1", None)]
)
def test_one_that_may_not_go_holds_up_its_own_tenant_alone(waiting: str, blocked: str, go: str | None) -> None:
    """Its turn comes when it may."""
    turns = queued(*waiting.split())
    head = turns.head(lambda one: one.name != blocked)

    assert (head and head.name) == go
    assert order(turns)[0] == blocked


def test_a_withdrawn_one_is_passed_over() -> None:
    """Nor does it cost its tenant the turn."""
    turns = queued("a1", "b1")
    second = place("a2")
    first = turns.head()
    assert first
    turns.add(second)
    turns.take(first)
    second.withdrawn = True

    assert (len(turns), turns.depth) == (1, 2)
    assert order(turns) == ["b1"]
    assert (len(turns), turns.depth) == (0, 0)


steps = st.lists(st.one_of(st.sampled_from("abcABC"), st.none()), max_size=80)


@given(steps)
def test_nobody_starves(steps: list[str | None]) -> None:
    """How long one waits is bounded by who stands before it, whatever comes later."""
    turns: Turns[Place] = Turns()
    served = 0
    latest: dict[Place, int] = {}
    waiting: list[Place] = []
    for number, name in enumerate([*steps, *[None] * len(steps)]):
        if name is not None:
            new = place(f"{name}{number}")
            before = sum((one.tenant, one.interactive) == (new.tenant, new.interactive) for one in waiting)
            lanes = 2 if new.interactive else IN_A_ROW + 1
            latest[new] = served + (before + 1) * 3 * lanes
            waiting.append(new)
            turns.add(new)
        elif gone := turns.head():
            served += 1
            turns.take(gone)
            waiting.remove(gone)
            assert served <= latest[gone]
        assert all(served <= latest[one] for one in waiting)
    assert not waiting
