"""Whole scenarios, each drawn from a seed: nothing paid is lost or repeated, whatever fails and whoever dies."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.simulation.world import simulate

SEEDS = 200
ITEMS = 20  # at most; `python -m tests.simulation --seeds 5000` plays up to 100
FOUND: Mapping[tuple[int, int], str] = {  # what a seed found, with how many items at most
    (63, 20): "the outcome of an image that was gone, and could not be fetched again, named its file",
    (1043, 100): "an image came with the acceptance, without an id, and was lost with the process",
}


@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_fails_nothing_paid_is_lost_or_repeated(seed: int) -> None:
    """The invariants hold after every process of a scenario, and everything ends once the faults do."""
    simulate(seed, ITEMS)


@pytest.mark.parametrize(("seed", "items"), FOUND)
def test_what_a_seed_has_found_stays_mended(seed: int, items: int) -> None:
    """Scenarios that failed once, each for a bug that was then mended."""
    simulate(seed, items)


@pytest.mark.parametrize("seed", [3, 20])
def test_a_seed_stands_for_one_course_of_events(seed: int) -> None:
    """Twice in one process and in others with other hash seeds: the trace is the same to the last step."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed), "--items", str(ITEMS)]
    traces = {simulate(seed, ITEMS), simulate(seed, ITEMS)}
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        played = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        traces.add(played.stdout.split()[-1])

    assert len(traces) == 1


class Forgetful(list[str]):
    """A trace that breaks the scenario which is noted in it."""

    def append(self, line: str) -> None:
        """Note a line."""
        raise MemoryError


def test_a_scenario_that_fails_says_how_to_play_it_again() -> None:
    """Whatever it failed of, and with as many items."""
    with pytest.raises(ExceptionGroup) as caught:
        simulate(3, ITEMS, Forgetful())

    assert caught.value.__notes__ == [f"Again: python -m tests.simulation --seed 3 --items {ITEMS}"]
