"""A service that takes its time, limits requests and speaks like any of three vendors, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import attrs

from benchmarks.limits import Bucket
from benchmarks.rivals.dialects import DIALECTS
from benchmarks.server import Body, listen

SEED = 1  # the n-th accepted task takes equally long whoever asks
TOO_MANY: Body = {"error": {"code": 429, "message": "Too many requests", "type": "rate_limit_exceeded"}}
NOT_FOUND: Body = {"error": {"code": 404, "message": "Not found", "type": "not_found"}}
HOST = re.compile(rb"^host: *(\S+)", re.IGNORECASE | re.MULTILINE)


@attrs.frozen(kw_only=True)
class Setting:
    """How the service behaves.

    Attributes:
        dialect: Whose words it speaks.
        rate: Requests a second that it takes, submits and looks together; None for no limit.
        burst: Requests that it takes at once after a pause.
        least: Seconds that a task takes, at least.
        most: Seconds that a task takes, at most.
        answers_after: Seconds until a request is answered.
    """

    dialect: str = "hunyuan"
    rate: float | None = None
    burst: int = 20
    least: float = 5.0
    most: float = 15.0
    answers_after: float = 0.0


@attrs.define
class Log:
    """What the service has seen.

    Attributes:
        arrivals: When each request came, on the loop's clock.
        gets: Requests that looked at a task, refused ones included.
        limited: Requests answered with 429.
        accepted: How many tasks were accepted, and are paid, for each prompt.
        delays: Seconds from the end of a task until a look showed it, of those that were seen.
    """

    arrivals: list[float] = attrs.field(factory=list)
    gets: int = 0
    limited: int = 0
    accepted: Counter[str] = attrs.field(factory=Counter, converter=Counter)
    delays: list[float] = attrs.field(factory=list)


class _Service:
    def __init__(self, setting: Setting, clock: Callable[[], float]) -> None:
        self.setting = setting
        self.log = Log()
        self._clock = clock
        self._bucket = None if setting.rate is None else Bucket(setting.rate, setting.burst)
        self._dialect = DIALECTS[setting.dialect]
        self._chance = random.Random(SEED)  # noqa: S311 - the same in each run
        self._done_at: dict[str, float] = {}
        self._seen: set[str] = set()

    def answer(self, method: str, path: str, headers: bytes, body: bytes) -> tuple[str, Body]:
        now = self._clock()
        self.log.arrivals.append(now)
        self.log.gets += method == "GET"
        if self._bucket and not self._bucket.admits(now):
            self.log.limited += 1
            return f"429 Too Many Requests\r\nRetry-After: {self._bucket.retry_after(now):.0f}", TOO_MANY
        if method == "POST" and path == self._dialect.submit:
            host = HOST.search(headers)
            task_id = self._accept(json.loads(body)["prompt"], now)
            return "200 OK", self._dialect.accepted(task_id, host[1].decode() if host else "")
        task_id = path.removeprefix(self._dialect.look).partition("/")[0].partition("?")[0]
        if task_id not in self._done_at:
            return "404 Not Found", NOT_FOUND
        return "200 OK", self._dialect.seen(self._look(task_id, now))

    def _accept(self, prompt: str, now: float) -> str:
        task_id = f"n68{len(self._done_at):06}"
        self._done_at[task_id] = now + self._chance.uniform(self.setting.least, self.setting.most)
        self.log.accepted[prompt] += 1
        return task_id

    def _look(self, task_id: str, now: float) -> bool:
        if now < self._done_at[task_id]:
            return False
        if task_id not in self._seen:
            self._seen.add(task_id)
            self.log.delays.append(now - self._done_at[task_id])
        return True


async def _serve(setting: Setting) -> None:
    """Serve until standard input ends, then tell what was seen."""
    loop = asyncio.get_running_loop()
    service = _Service(setting, loop.time)
    await listen(service.answer, after=setting.answers_after)
    await loop.run_in_executor(None, sys.stdin.read)
    print(json.dumps(attrs.asdict(service.log)))


class Stub:
    """The service, as whoever started it sees it.

    Attributes:
        address: The host's name and port.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        self._process = process
        self.address = f"127.0.0.1:{process.stdout.readline().strip()}"

    def stop(self) -> Log:
        """End it and return what it saw."""
        return Log(**json.loads(self._process.communicate()[0]))


@contextlib.contextmanager
def serving(setting: Setting) -> Iterator[Stub]:
    """Run the service in another process."""
    command = [sys.executable, "-m", "benchmarks.rivals.stub", json.dumps(attrs.asdict(setting))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Stub(process)
        finally:
            process.kill()


if __name__ == "__main__":
    asyncio.run(_serve(Setting(**json.loads(sys.argv[1]))))
