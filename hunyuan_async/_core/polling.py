"""When is a look at a task worth it?

A task is looked at first when most tasks are done, then at growing gaps. How long that takes is learned: every first
look moves the estimate up a little if it came too early and down a quarter as much if it did not, which settles where
four first looks in five find the task finished. Until the first task has finished, two scouts are watched closely and
the others wait for a documented guess.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

import attrs

from hunyuan_async.settings import Polling

UNLEARNED = 8.0  # seconds; the service's page says that images take about 5 to 15
LATEST_FIRST_LOOK = 60.0  # seconds; tasks that hang must not hold back the looks at others
SCOUTS = 2
TOO_EARLY, IN_TIME = 1.08, 0.98
FIRST_GAP = 1 / 8  # of the usual duration
GROWTH = 1.5


@attrs.define
class _Task:
    accepted_at: float
    gap: float = 0.0
    looks: int = 0
    scout: bool = False


@attrs.define
class PollSchedule:
    """Holds every task in flight and says which one to look at next; each call costs O(log n) at most.

    A task is known by a number of the caller's.

    Attributes:
        settings: The gaps allowed between two looks.
        usual: Seconds after which most tasks are finished, as far as learned.
    """

    settings: Polling
    usual: float = UNLEARNED
    _learned: bool = False
    _scouts: int = 0
    _tasks: dict[int, _Task] = attrs.field(factory=dict)
    # Never looked at, in the order of acceptance: what is learned moves them all at once, without a re-sort.
    _fresh: deque[int] = attrs.field(factory=deque)
    _due: list[tuple[float, int, int]] = attrs.field(factory=list)
    _order: itertools.count[int] = attrs.field(factory=itertools.count)

    def add(self, key: int, now: float) -> None:
        """Watch a task that was accepted just now."""
        scout = not self._learned and self._scouts < SCOUTS
        self._scouts += scout
        self._tasks[key] = _Task(now, scout=scout)
        if scout:
            self._book(key, now + 2 * self.settings.min_gap)
        else:
            self._fresh.append(key)

    def add_known(self, key: int, now: float) -> None:
        """Watch a task of unknown age: look at once."""
        self._tasks[key] = _Task(now, looks=1)
        self._book(key, now)

    def next_due_at(self) -> float:
        """Return when the next look is worth it; infinite if no task waits for one."""
        while self._due and self._due[0][2] not in self._tasks:
            heapq.heappop(self._due)
        while self._fresh and self._fresh[0] not in self._tasks:
            self._fresh.popleft()
        due_at = self._due[0][0] if self._due else math.inf
        if self._fresh:
            due_at = min(due_at, self._fresh_due_at())
        return due_at

    def take(self, now: float) -> int:
        """Return the task to look at, once one is due; it is out of the schedule until the look is answered."""
        if self._fresh and self._fresh_due_at() <= now:
            return self._fresh.popleft()
        return heapq.heappop(self._due)[2]

    def running(self, key: int, now: float) -> None:
        """Note that a look found the task unfinished, and book the next one."""
        task = self._tasks[key]
        if task.scout:
            task.gap = max(self.settings.min_gap, (now - task.accepted_at) / 4)
        elif task.looks == 0:
            self._learn(self.usual * TOO_EARLY)
            task.gap = self.usual * FIRST_GAP
        else:
            task.gap *= GROWTH
        task.looks += 1
        task.gap = min(max(task.gap, self.settings.min_gap), self.settings.max_gap)
        self._book(key, now + task.gap)

    def failed(self, key: int, now: float, delay: float) -> None:
        """Note that a look taught nothing, and book the next one in *delay* seconds."""
        self._book(key, now + delay)

    def finished(self, key: int, now: float) -> None:
        """Note that a look found the task finished, and forget it."""
        task = self._tasks.pop(key)
        if task.scout and not self._learned:
            self._learn(now - task.accepted_at)
        elif task.looks == 0:
            self._learn(self.usual * IN_TIME)
        else:
            return
        self._learned = True

    def discard(self, key: int) -> None:
        """Forget a task without learning from it."""
        task = self._tasks.pop(key, None)
        if task and task.scout:
            self._scouts -= 1  # another takes its place

    def __len__(self) -> int:
        return len(self._tasks)

    def _fresh_due_at(self) -> float:
        return self._tasks[self._fresh[0]].accepted_at + self.usual

    def _learn(self, usual: float) -> None:
        self.usual = max(self.settings.min_gap, min(usual, LATEST_FIRST_LOOK))

    def _book(self, key: int, due_at: float) -> None:
        heapq.heappush(self._due, (due_at, next(self._order), key))
