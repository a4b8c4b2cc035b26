"""When is a look at a task worth it, and when is it worth more than a submit?

Looking costs a request, not looking costs time: the seconds for which a finished task goes unnoticed. A look is due
once the seconds lost since the last one are expected to reach a price; that is the optimal density of inspections
(Keller, Management Science 21, 1974), and the price rises with what else the request could do. Against a submit another
rule decides, as both spend the same rate: a look goes first if it will find the task finished with probability 0.9, so
that about one look in ten is wasted (equal success for each inspection: Munford and Shahani 1972). Both need only
where the learned curve crosses a level, so each task waits in a heap under the time of its crossing.

Tasks that were never looked at share their crossings, as ages: what is learned moves them all without a re-sort. The
others keep the crossings that they were booked with, and the oldest booking is renewed with each look.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque

import attrs

from hunyuan_async._core.latency import LatencyModel
from hunyuan_async.settings import Polling

SURE_HIT = 0.9  # a look that succeeds as often as that beats a submit
URGENT = 0.8  # and so does one at a task that may be done for so long, as a share of the usual duration
SCARCE, SPARE = 0.01, 0.03  # seconds lost that a look must save, as a share of the usual duration
FEW, LEAST_SHARE = 20, 0.15  # with fewer tasks in flight a look costs less, down to this share of the price
LATE_GAP, LATE_SHARE = 3.0, 0.25  # seconds, share of the age: a second look is due no later, whatever was learned
EARLY_SHARE = 0.05  # of the age: no look comes sooner after the last one
SCOUTS = 3  # tasks; looked at whenever their age has doubled, to correct the guess
PROBE_EVERY, PROBE_AT = 50, 0.5  # tasks, probability: looked at early, or faster service would never show
LONGEST_WISH = 60.0  # seconds; a longer one is a mistake
FIRST_IN_A_ROW = 16  # looks that outrank all, while another is due: what never finishes must not be all that is seen
SLACK = 64  # stale bookings that a heap may hold besides as many as there are tasks


@attrs.define
class _Task:
    submitted_at: float
    scout: bool = False
    probe: bool = False
    interactive: bool = False
    age_known: bool = True
    seen: float = 0.0  # its age when it was last seen running; 0 before
    looked_at: float = -math.inf
    looks: int = 0
    booking: int = -1  # the one that counts; others in the heaps are stale


_Booking = tuple[float, int, int]  # when, number of the booking, key of the task


@attrs.define
class PollSchedule:
    """Holds every task in flight and says which one to look at next; each call costs O(log n) on average.

    A task is known by a number of the caller's.

    Attributes:
        settings: The gaps allowed between two looks, and how much sooner to notice is worth how many more.
        model: How long tasks take, as far as learned.
        looks: At tasks that have finished since.
        delay: Seconds for which those had been finished when that was noticed, all together, as expected.
    """

    settings: Polling
    model: LatencyModel
    looks: int = 0
    delay: float = 0.0
    _waiting: float = 0.0
    _rate: float = math.inf
    _sure: bool = False
    _added: int = 0
    _scouts: int = 0
    _first_in_a_row: int = 0
    _tasks: dict[int, _Task] = attrs.field(factory=dict)
    _order: itertools.count[int] = attrs.field(factory=itertools.count)
    # What outranks all: scouts, probes, urgent looks, tasks that a person waits for, and those of unknown age.
    _first: list[_Booking] = attrs.field(factory=list)
    _fresh: list[_Booking] = attrs.field(factory=list)  # never looked at, by when they were submitted
    _resting: list[_Booking] = attrs.field(factory=list)  # looked at before, by when the next look is due
    _due: list[_Booking] = attrs.field(factory=list)  # looked at before and due, by when a look is a sure hit
    _renewals: deque[tuple[int, int]] = attrs.field(factory=deque)  # those looked at before, oldest booking first
    # Ages at which a look at a fresh task is due and beats a submit; None if something was learned since.
    _crossings: tuple[float, float] | None = None

    def add(self, key: int, submitted_at: float, *, interactive: bool = False) -> None:
        """Watch a task whose submit was sent at that time; one that is *interactive* is looked at before others."""
        scout = self._scouts < SCOUTS
        self._scouts += scout
        self._added += 1
        task = self._tasks[key] = _Task(submitted_at, scout, self._added % PROBE_EVERY == 0, interactive)
        self._book(key, task)

    def add_known(self, key: int, now: float) -> None:
        """Watch a task of unknown age: look at once, and learn nothing from it."""
        task = self._tasks[key] = _Task(now, age_known=False, booking=next(self._order))
        self._push(self._first, (now, task.booking, key))

    def weigh(self, waiting: float, rate: float, *, sure: bool) -> None:
        """Set the price of a look by how many submits are *waiting* for the request *rate*, and if that is *sure*."""
        if (waiting > 0, sure) != (self._waiting > 0, self._sure):
            self._crossings = None
        self._waiting, self._rate, self._sure = waiting, rate, sure

    def next_due_at(self) -> float:
        """Return when a look is worth it if nothing else wants the request; infinite if no task waits for one."""
        self._tidy()
        if self._due:
            return -math.inf
        due_at = min((heap[0][0] for heap in (self._first, self._resting) if heap), default=math.inf)
        if self._fresh:
            due_at = min(due_at, self._fresh[0][0] + self._fresh_crossings()[0])
        return due_at

    def beats_submit(self, now: float) -> bool:
        """Whether the look that is due is worth more than a submit that may leave.

        Few are if requests cost nothing, or near the end of the queue: then what is submitted last counts.
        """
        self._move_due(now)
        if self._first and self._first[0][0] <= now:
            return True
        if self._waiting <= self._rate * self.model.quantile(0.9):
            return False
        if self._due and self._due[0][0] <= now:
            return True
        return bool(self._fresh) and self._fresh[0][0] + self._fresh_crossings()[1] <= now

    def take(self, now: float) -> int:
        """Return the task to look at, once one is due: one that outranks all, or the one that is done most likely.

        It is out of the schedule until the look is answered.
        """
        self._move_due(now)
        fresh_is_due = bool(self._fresh) and self._fresh[0][0] + self._fresh_crossings()[0] <= now
        others_wait = self._first_in_a_row >= FIRST_IN_A_ROW and (fresh_is_due or self._due)
        if self._first and self._first[0][0] <= now and not others_wait:
            heap = self._first
        elif not self._due:
            heap = self._fresh
        elif not fresh_is_due:
            heap = self._due
        else:
            heap = max(self._due, self._fresh, key=lambda heap: self._p(heap[0][2], now))
        self._first_in_a_row = self._first_in_a_row + 1 if heap is self._first else 0
        key = heapq.heappop(heap)[2]
        task = self._tasks[key]
        task.looked_at, task.booking, task.probe = now, -1, False
        task.looks += 1
        return key

    def running(self, key: int, now: float, wish: float = 0.0) -> None:
        """Note that a look found the task unfinished, and book the next one, not before the service *wishes*."""
        task = self._tasks[key]
        age = task.looked_at - task.submitted_at
        if task.age_known:
            self._learn(task, age, done=False)
        task.seen = max(age, self.settings.min_gap)
        if wish > 0:
            due_at = task.submitted_at + self._due_age(task.seen)
            self.failed(key, now, max(due_at - now, min(wish, LONGEST_WISH)))
        else:
            self._book(key, task)

    def failed(self, key: int, now: float, delay: float) -> None:
        """Note that a look taught nothing, and book the next one in *delay* seconds."""
        task = self._tasks[key]
        task.booking = booking = next(self._order)
        self._push(self._resting, (now + delay, booking, key))
        self._push(self._first, (max(now + delay, task.submitted_at + self._first_age(task)), booking, key))

    def finished(self, key: int, now: float) -> None:
        """Note that a look found the task finished, and forget it."""
        task = self._tasks.pop(key)
        if task.age_known:
            age = task.looked_at - task.submitted_at
            self.looks += task.looks
            self.delay += self.model.unnoticed(task.seen, age)
            self._learn(task, age, done=True)

    def discard(self, key: int) -> None:
        """Forget a task without learning from it."""
        task = self._tasks.pop(key, None)
        if task and task.scout and not self.model.finished:
            self._scouts -= 1  # another takes its place

    def __len__(self) -> int:
        return len(self._tasks)

    def _learn(self, task: _Task, age: float, *, done: bool) -> None:
        self.model.observe(task.seen, age, done=done)
        self._crossings = None
        while self._renewals:
            booking, key = self._renewals.popleft()
            if self._counts(booking, key):
                self._book(key, self._tasks[key])
                break

    def _book(self, key: int, task: _Task) -> None:
        task.booking = booking = next(self._order)
        if task.seen == 0.0:
            self._push(self._fresh, (task.submitted_at, booking, key))
        else:
            self._push(self._resting, (task.submitted_at + self._due_age(task.seen), booking, key))
            self._renewals.append((booking, key))
        if task.seen or task.scout or task.probe or task.interactive:
            self._push(self._first, (task.submitted_at + self._first_age(task), booking, key))

    def _push(self, heap: list[_Booking], entry: _Booking) -> None:
        heapq.heappush(heap, entry)
        if len(heap) > 2 * len(self._tasks) + SLACK:
            heap[:] = [one for one in heap if self._counts(*one[1:])]
            heapq.heapify(heap)

    def _move_due(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, booking, key = heapq.heappop(self._resting)
            if self._counts(booking, key):
                task = self._tasks[key]
                self._push(self._due, (task.submitted_at + self._hit_age(task.seen), booking, key))
        self._tidy()

    def _tidy(self) -> None:
        """Let a booking that counts stand first in each heap."""
        for heap in (self._first, self._fresh, self._resting, self._due):
            while heap and not self._counts(*heap[0][1:]):
                heapq.heappop(heap)

    def _counts(self, booking: int, key: int) -> bool:
        task = self._tasks.get(key)
        return task is not None and task.booking == booking

    def _p(self, key: int, now: float) -> float:
        task = self._tasks[key]
        return self.model.p(task.seen, now - task.submitted_at)

    def _fresh_crossings(self) -> tuple[float, float]:
        if self._crossings is None:
            self._crossings = self._due_age(0.0), min(self._hit_age(0.0), self._urgent_age(0.0))
        return self._crossings

    def _due_age(self, seen: float) -> float:
        """The age at which a look is worth its price, after one that found the task running at the age *seen*."""
        due = min(self.model.age_when_lost(seen, self._price()), self._hit_age(seen))
        if seen:
            gap = max(LATE_GAP, seen * LATE_SHARE / (1 - LATE_SHARE)) if self._waiting else LATE_GAP
            due = min(due, seen + min(gap, self.settings.max_gap))
        return max(due, self._earliest(seen))

    def _first_age(self, task: _Task) -> float:
        if task.scout:
            age = max(self.settings.min_gap, task.seen)
            return max(self._earliest(task.seen), age + min(age, self.settings.max_gap))
        if task.probe:
            return self.model.quantile(PROBE_AT)
        if task.interactive:
            return self._due_age(task.seen)
        return max(self._earliest(task.seen), min(self._urgent_age(task.seen), task.seen + self.settings.max_gap))

    def _hit_age(self, seen: float) -> float:
        return max(self._earliest(seen), self.model.age_when_done(seen, SURE_HIT))

    def _urgent_age(self, seen: float) -> float:
        return max(self._earliest(seen), self.model.age_when_lost(seen, URGENT * self.model.usual))

    def _earliest(self, seen: float) -> float:
        return max(seen + self.settings.min_gap, seen / (1 - EARLY_SHARE))

    def _price(self) -> float:
        """The seconds lost that a look must save."""
        if self._waiting:
            share = SCARCE if self._sure else SPARE
        else:
            share = SPARE * min(1.0, max(LEAST_SHARE, len(self._tasks) / FEW))
        return share * self.model.usual / self.settings.eagerness
