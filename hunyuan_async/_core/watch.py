"""What does a look at a task mean: is it finished, worth another look, or given up?

A failed look is no failed task. Whatever comes back - a page of HTML, half an answer, a limit - the task is looked at
again, further and further apart, until the service says how it ended or the task's deadline passes.
"""

from __future__ import annotations

import attrs

from hunyuan_async._core.replies import NoReply, Reply
from hunyuan_async._core.retry import status_of
from hunyuan_async._core.wire import Answer, ServiceError, mentions, read_answer
from hunyuan_async.errors import (
    AuthError,
    ContentRefused,
    HunyuanError,
    NotSent,
    ServiceUnavailable,
    TaskFailed,
    TaskLost,
    TaskTimedOut,
)
from hunyuan_async.models import TaskState, TaskStatus
from hunyuan_async.settings import Service

FIRST_DELAY, LONGEST_DELAY = 0.5, 8.0  # seconds between looks that teach nothing
NOT_YET = 60.0  # seconds after acceptance in which "no such task" only means "not yet"
MISSES, MISSING_FOR, MISSING_GAP = 5, 300.0, 75.0  # looks, seconds, seconds: then the task is lost
LINKLESS, LINKLESS_DELAY = 5, 4.0  # looks and first seconds that a finished task may lack its images
DENIALS = 2  # looks in a row that refuse the key


@attrs.frozen
class KeepWaiting:
    """The task is not finished.

    Attributes:
        delay: Seconds until the next look, if this one taught nothing; None leaves it to the schedule.
        status: The answer's status, by HTTP or by its envelope; None for no answer.
        unknown_word: A status word that we do not know and take for "still running".
    """

    delay: float | None = None
    status: int | None = 200
    unknown_word: str | None = None


def read_status(seen: Reply, task_id: str, own_images: tuple[str, ...] = ()) -> TaskStatus | None:
    """Return what an answer says about a task; None if it says nothing that we understand."""
    return _status(seen, read_answer(seen.body, ignore_urls=own_images), task_id)


def one_look(task_id: str, seen: Reply | NoReply, now: float) -> TaskStatus | HunyuanError:
    """Return what a single look shows, finished or not; a `Watch` that never waits."""
    if isinstance(seen, NoReply):
        return NotSent(f"Task {task_id} could not be looked at: {seen.reason}.", task_id=task_id, charged="unknown")
    if status := read_status(seen, task_id):
        return status
    match status_of(seen, read_answer(seen.body)):
        case 404:
            return TaskLost(f"The service does not know task {task_id} (HTTP 404).", task_id=task_id, status=404)
        case 401 | 403 as code:
            return AuthError(
                f"The service does not accept the key (HTTP {code}).", task_id=task_id, charged="unknown", status=code
            )
        case code:
            return ServiceUnavailable(
                f"The answer about task {task_id} could not be understood (HTTP {code}).",
                task_id=task_id,
                charged="unknown",
                status=code,
            )


def _status(seen: Reply, answer: Answer | None, task_id: str) -> TaskStatus | None:
    if answer is None or not seen.complete or not 200 <= status_of(seen, answer) < 300:
        return None
    state = answer.state or (TaskState.COMPLETED if answer.urls else None)
    if state is None:
        return None
    said = answer.error or ServiceError()
    return TaskStatus(task_id, state, answer.urls, said.message, said.code, seen.body)


@attrs.define
class Watch:
    """Judges the looks at one task.

    Attributes:
        task_id: The service's id of the task.
        service: Whose words are read.
        deadline_at: When we stop waiting, by the loop's clock.
        grace_until: Until then "no such task" means "not yet".
        own_images: The request's own images, which are never results.
        finished: The last look that showed the task finished, and no address of an image.
    """

    task_id: str
    service: Service
    deadline_at: float
    grace_until: float
    own_images: tuple[str, ...] = ()
    finished: TaskStatus | None = None
    _failures: int = 0
    _misses: int = 0
    _missing_since: float = 0.0
    _linkless: int = 0
    _denials: int = 0

    def judge(self, seen: Reply | NoReply, now: float) -> KeepWaiting | TaskStatus | HunyuanError:
        """Decide what to do after a look."""
        answer = read_answer(seen.body, ignore_urls=self.own_images) if isinstance(seen, Reply) else None
        status = _status(seen, answer, self.task_id) if isinstance(seen, Reply) else None
        verdict = self._judge_status(status, answer) if status and answer else self._judge_failure(seen, answer, now)
        if isinstance(verdict, KeepWaiting) and now >= self.deadline_at:
            return TaskTimedOut(
                f"Task {self.task_id} was not finished in time; it is paid and may still finish. "
                "Attach to it by its id.",
                task_id=self.task_id,
            )
        return verdict

    def _judge_status(self, status: TaskStatus, answer: Answer) -> KeepWaiting | TaskStatus | HunyuanError:
        self._failures = self._misses = self._denials = 0
        if status.state is TaskState.FAILED:
            return self._failure(status, answer)
        if status.state is TaskState.COMPLETED:
            return status if status.urls else self._without_link(status)
        return KeepWaiting(unknown_word=answer.unknown_word)

    def _judge_failure(self, seen: Reply | NoReply, answer: Answer | None, now: float) -> KeepWaiting | HunyuanError:
        code = status_of(seen, answer) if isinstance(seen, Reply) else None
        if code == 404 and now >= self.grace_until:
            return self._missing(now)
        if code in {401, 403}:
            self._denials += 1
            if self._denials >= DENIALS:
                return AuthError(
                    f"The service does not accept the key for task {self.task_id} (HTTP {code}). "
                    "The task is paid: attach to it by its id with the key that made it.",
                    task_id=self.task_id,
                    charged="yes",
                    status=code,
                )
        self._failures += 1
        return KeepWaiting(min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(self._failures - 1, 16)), code)

    def _missing(self, now: float) -> KeepWaiting | HunyuanError:
        if self._misses == 0:
            self._missing_since = now
        self._misses += 1
        if self._misses >= MISSES and now - self._missing_since >= MISSING_FOR:
            return TaskLost(
                f"The service says that it does not know task {self.task_id} (HTTP 404, {self._misses} times). "
                "Ask its support before making the image again.",
                task_id=self.task_id,
                status=404,
            )
        return KeepWaiting(MISSING_GAP, 404)

    def _without_link(self, status: TaskStatus) -> KeepWaiting | HunyuanError:
        self.finished = status
        self._linkless += 1
        if self._linkless > LINKLESS:
            return TaskFailed(
                f"Task {self.task_id} is finished, and its answer holds no address of an image.",
                task_id=self.task_id,
                charged="yes",
                retry="no",
            )
        return KeepWaiting(LINKLESS_DELAY * 2.0 ** (self._linkless - 1))

    def _failure(self, status: TaskStatus, answer: Answer) -> HunyuanError:
        why = status.message or "the service gives no reason"
        if mentions(answer.error, self.service.refusal_words):
            return ContentRefused(
                f"The content policy stopped task {self.task_id}: {why}.",
                task_id=self.task_id,
                charged="unknown",
                code=status.code,
            )
        return TaskFailed(f"Task {self.task_id} failed: {why}.", task_id=self.task_id, code=status.code)
