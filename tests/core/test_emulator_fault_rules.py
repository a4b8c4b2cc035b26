"""Which requests meet a fault, and what is wrong with a rule that cannot be."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async.emulator import FAULT_KINDS, Fault, read_faults
from hunyuan_async.emulator._faults.injector import Injector
from hunyuan_async.emulator._faults.rules import Occasion, choose


def test_a_file_holds_the_arguments_of_faults() -> None:
    """Each object becomes a rule; what is left out is as in Python."""
    text = """[
        {"kind": "reset-after-body", "at": "submit", "first": 3, "last": 3},
        {"kind": "late", "at": ["poll", "fetch"], "task": 2, "share": 0.5, "whole_task": true, "seconds": 3},
        {"kind": "http-429-bare", "after": 10, "until": 20.5}
    ]"""

    assert read_faults(text) == (
        Fault("reset-after-body", at="submit", first=3, last=3),
        Fault("late", at=("poll", "fetch"), task=2, share=0.5, whole_task=True, seconds=3),
        Fault("http-429-bare", after=10, until=20.5),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "this is not JSON: "),
        ("[" * 100_000, "this is not JSON: "),
        (b"\xff", "this is not JSON: "),
        ('{"kind": "silence"}', "a list is needed, such as "),
        ("[7]", 'fault 1: an object with a "kind" is needed'),
        ('[{"kind": "silence"}, {"at": "poll"}]', 'fault 2: an object with a "kind" is needed'),
        ('[{"kind": "http-5000"}]', "fault 1: there is no kind of fault 'http-5000'; 'http-500' is near"),
        ('[{"kind": ["x"]}]', "fault 1: there is no kind of fault ['x']"),
        ('[{"kind": "zzz"}]', "fault 1: there is no kind of fault 'zzz'"),
        ('[{"kind": "late", "shar": 1}]', "fault 1: there is no shar; there are kind, at, first, last, task, share"),
        ('[{"kind": "stuck", "at": "submit"}]', "fault 1: stuck is for poll, not for 'submit'"),
        ('[{"kind": "late", "at": "nowhere"}]', "fault 1: late is for submit, poll, fetch, not for 'nowhere'"),
        (
            '[{"kind": "late", "at": 7}]',
            "fault 1: late is for submit, poll, fetch, not for 7",
        ),
        ('[{"kind": "late", "at": [["poll"]]}]', "fault 1: late is for submit, poll, fetch, not for ['poll']"),
        ('[{"kind": "late", "task": 1}]', "fault 1: task goes with at poll or fetch alone"),
        ('[{"kind": "late", "first": 0}]', "fault 1: first must be a whole number of at least 1, not 0"),
        ('[{"kind": "late", "first": 1.5}]', "fault 1: first must be a whole number of at least 1, not 1.5"),
        ('[{"kind": "late", "last": "3"}]', "fault 1: last must be a whole number of at least 1, not '3'"),
        ('[{"kind": "late", "share": 1.1}]', "fault 1: share must be a number from 0 to 1, not 1.1"),
        ('[{"kind": "late", "share": true}]', "fault 1: share must be a number from 0 to 1, not True"),
        ('[{"kind": "late", "share": NaN}]', "fault 1: share must be a number from 0 to 1, not nan"),
        ('[{"kind": "late", "seconds": -1}]', "fault 1: seconds must be a number of at least 0, not -1"),
        ('[{"kind": "late", "whole_task": 1}]', "fault 1: whole_task must be true or false, not 1"),
    ],
)
def test_a_mistake_is_named(text: str | bytes, message: str) -> None:
    """It says which fault is wrong, what it has, and what it could have."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is what is tested
        read_faults(text)

    assert str(caught.value).startswith(message)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.sampled_from(["poll", "late", "stuck", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=3,
)
NAMES = st.sampled_from(
    ["kind", "at", "first", "last", "task", "share", "whole_task", "seconds", "after", "until", "x"]
)


@given(st.lists(st.dictionaries(NAMES, JSON)))
def test_whatever_a_file_holds_is_read_or_refused(listed: list[dict[str, Any]]) -> None:
    """No other error comes out."""
    try:
        faults = read_faults(json.dumps(listed))
    except ValueError:
        return
    assert len(faults) == len(listed)


@pytest.mark.parametrize(
    ("fault", "hit"),
    [
        (Fault("late"), {1, 2, 3, 4, 5}),
        (Fault("late", first=3), {3, 4, 5}),
        (Fault("late", first=2, last=3), {2, 3}),
        (Fault("late", at="submit"), set()),
        (Fault("late", at=["fetch", "poll"]), {1, 2, 3, 4, 5}),
        (Fault("late", at="poll", task=7), {1, 2, 3, 4, 5}),
        (Fault("late", at="poll", task=8), set()),
        (Fault("late", after=20), {2, 3, 4, 5}),
        (Fault("late", until=20), {1}),
        (Fault("late", share=0), set()),
    ],
)
def test_a_rule_applies_to_what_it_names(fault: Fault, hit: set[int]) -> None:
    """These are five looks at the seventh task, ten seconds apart."""
    looks = [Occasion("poll", number, 7, 10.0 * number) for number in range(1, 6)]

    assert {look.number for look in looks if choose([fault], look, "seed")} == hit


def test_the_first_rule_that_applies_wins() -> None:
    """A rule for all may follow one for some."""
    faults = [Fault("silence", first=2, last=2), Fault("late")]

    met = [choose(faults, Occasion("submit", number, None, 0), "seed") for number in (1, 2, 3)]

    assert [fault.kind for fault in met if fault] == ["late", "silence", "late"]


def struck(seed: str, faults: list[Fault]) -> list[tuple[str, int | None, int]]:
    """Which looks at a hundred tasks meet a fault of a list, as (kind, task, number)."""
    looks = [Occasion("poll", number, task, 0) for task in range(1, 101) for number in range(1, 11)]
    return [(met.kind, look.task, look.number) for look in looks if (met := choose(faults, look, seed))]


def test_chance_repeats_with_the_seed() -> None:
    """The same seed strikes the same looks, in whatever order they come; another one strikes others."""
    fault = [Fault("late", share=0.1)]

    assert 60 < len(struck("a", fault)) < 140
    assert struck("a", fault) == struck("a", fault) != struck("b", fault)


def test_rules_are_drawn_each_for_itself() -> None:
    """A second rule of the same kind adds its share to that of the first."""
    one = struck("a", [Fault("late", share=0.1)])

    assert len(one) * 1.5 < len(struck("a", [Fault("late", share=0.1)] * 2)) < len(one) * 2.5


def test_chance_may_choose_whole_tasks() -> None:
    """Then all looks at a task meet the fault, or none; otherwise hardly ever all."""
    whole = struck("a", [Fault("stuck", share=0.2, whole_task=True)])
    tasks = {task for _, task, _ in whole}

    assert 8 < len(tasks) < 35
    assert len(whole) == 10 * len(tasks)


def test_rules_may_be_made_in_python_for_all_kinds() -> None:
    """A kind alone is a rule, which applies wherever the kind does and for ever."""
    for word, kind in FAULT_KINDS.items():
        fault = Fault(word)
        assert (fault.places, fault.last, fault.until) == (kind.at, None, math.inf)


def test_requests_are_counted_where_they_belong() -> None:
    """Submits are counted through, looks for each task; a look ahead counts nothing."""
    injector = Injector([Fault("late", first=2, last=2)], "seed")
    injector.start(0)

    assert injector.peek("submit", 0) is injector.take("submit", 0) is None
    assert injector.peek("submit", 0) == injector.take("submit", 0) is not None
    assert injector.take("submit", 0) is None
    assert [bool(injector.take("poll", 0, task_id, 1)) for task_id in ("a", "b", "a", "a", "b")] == [0, 0, 1, 0, 1]


def test_time_counts_from_the_first_start() -> None:
    """An emulator that is started again goes on."""
    injector = Injector([Fault("late", after=5, until=7)], "seed")
    injector.start(100)
    injector.start(200)

    assert [bool(injector.peek("submit", now)) for now in (104.9, 105, 106.9, 107, 206)] == [0, 1, 1, 0, 0]
