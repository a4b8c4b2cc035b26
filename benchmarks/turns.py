"""How long an event loop is held up."""

from __future__ import annotations

import selectors
import time


class TimedSelector(selectors.DefaultSelector):
    """Times every turn of the loop: between two looks at sockets and timers, nothing else can happen.

    Attributes:
        longest_cpu: The longest turn, in CPU seconds of its thread.
        longest_wall: The longest turn, in seconds.
    """

    longest_cpu = longest_wall = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._begin()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for what is ready, outside of any turn."""
        self.longest_cpu = max(self.longest_cpu, time.thread_time() - self._began_cpu)
        self.longest_wall = max(self.longest_wall, time.perf_counter() - self._began_wall)
        ready = super().select(timeout)
        self._begin()
        return ready

    def _begin(self) -> None:
        self._began_cpu, self._began_wall = time.thread_time(), time.perf_counter()
