"""The emulated service itself: tasks, credits, limits and the log; no socket, no clock, no own randomness."""

from __future__ import annotations

import hashlib
import hmac
import random
from collections.abc import Sequence
from typing import TypeVar
from urllib.parse import urlsplit

import attrs

from hunyuan_async.emulator import _shapes
from hunyuan_async.emulator._answers import Answer, Rejected
from hunyuan_async.emulator._limits import InFlight, TokenBucket, Workers
from hunyuan_async.emulator._orders import FAILING_MARK, MAX_SEED, Order, read_order
from hunyuan_async.emulator._settings import EmulatorSettings

API_PATH = "/api/v1"
FILES_PATH = "/files"
PRICE = 25  # credits for a task, taken when it is accepted, and not given back if it fails
SMALL_WIDTH = 64  # pixels

T = TypeVar("T")


@attrs.frozen
class Picture:
    """What a picture is drawn from: equal pictures have equal bytes.

    Attributes:
        prompt: Written on it.
        seed: Chooses colours and forms, with the prompt.
        width: In pixels.
        height: In pixels.
        inputs: What an edit starts from.
    """

    prompt: str
    seed: int
    width: int
    height: int
    inputs: tuple[Picture, ...] = ()


@attrs.frozen
class Post:
    """A submit whose body arrived whole, or that met a fault.

    Attributes:
        at: When, on the loop's clock.
        key: The API key that it carried.
        body: As received; empty if a fault left it unread.
        status: The HTTP status that the service answered with; 0 if a fault kept the request from it.
        task_id: The id issued for it, which is paid, whatever a fault made of the answer.
        fault: The kind of fault that it met.
    """

    at: float
    key: str | None = attrs.field(repr=False)
    body: bytes
    status: int
    task_id: str | None
    fault: str | None = None


@attrs.frozen
class Get:
    """A status check or a download.

    Attributes:
        at: When, on the loop's clock.
        task_id: What was asked for, whether it exists or not.
        status: The HTTP status that the service answered with; 0 if a fault kept the request from it.
    """

    at: float
    task_id: str
    status: int


@attrs.define
class _Task:
    number: int
    id: str
    order: Order
    picture: Picture
    done_at: float
    forgotten: bool = False

    def turn(self, values: Sequence[T]) -> T:
        return values[self.number % len(values)]


@attrs.define
class EmulatedService:
    """Accepts, makes and shows tasks as the documented API does.

    Times are seconds of any one clock; *origin* is where the caller reached the service, such as
    "http://127.0.0.1:8000".

    Attributes:
        settings: How it behaves.
        keys: API keys that it knows; they share one balance.
        rng: Every random choice comes from it.
        balance: Credits left; may be set.
        posts: Every submit received, in order.
        polls: Every status check received, in order.
        downloads: Every request for an image, in order.
    """

    settings: EmulatorSettings
    keys: Sequence[str]
    rng: random.Random
    balance: float = attrs.field(init=False)
    posts: list[Post] = attrs.field(factory=list, init=False)
    polls: list[Get] = attrs.field(factory=list, init=False)
    downloads: list[Get] = attrs.field(factory=list, init=False)
    _tasks: dict[str, _Task] = attrs.field(factory=dict, init=False)
    _secret: bytes = attrs.field(init=False, repr=False)
    _bucket: TokenBucket | None = attrs.field(init=False)
    _workers: Workers = attrs.field(init=False)
    _in_flight: InFlight = attrs.field(factory=InFlight, init=False)

    def __attrs_post_init__(self) -> None:
        rate = self.settings.requests_per_second
        self.balance = self.settings.credits
        self._secret = self.rng.randbytes(16)
        self._bucket = None if rate is None else TokenBucket(rate)
        self._workers = Workers(self.settings.workers)

    @property
    def issued(self) -> list[str]:
        """Every task id given out, in order."""
        return list(self._tasks)

    def number_of(self, task_id: str) -> int | None:
        """How many a task is by the order of acceptance, from 1."""
        task = self._tasks.get(task_id)
        return None if task is None else task.number + 1

    def submit(self, body: bytes, *, key: str | None, origin: str, now: float, fault: str | None = None) -> Answer:
        """Answer `POST images/generations`, and log it; *fault* is what becomes of an answer that accepts it."""
        task_id = None
        try:
            self._admit(key, now)
            task = self._accept(read_order(body), now)
            task_id = task.id
            answer = self._look(task, origin, now) if self.settings.finished_at_once else self._accepted(task)
        except Rejected as rejected:
            answer = rejected.answer
        self.posts.append(Post(now, key, body, answer.status, task_id, fault if task_id else None))
        return answer

    def poll(self, task_id: str, *, key: str | None, origin: str, now: float) -> Answer:
        """Answer `GET tasks/{task_id}`, and log it."""
        try:
            self._admit(key, now)
            task = self._tasks.get(task_id)
            if task is None or task.forgotten:
                raise Rejected(404, "Task not found", "not_found")
            answer = self._look(task, origin, now)
        except Rejected as rejected:
            answer = rejected.answer
        self.polls.append(Get(now, task_id, answer.status))
        return answer

    def picture(self, task_id: str, expires: str, signature: str, *, now: float) -> Picture | Answer:
        """What to draw for `GET /files/{task_id}.png`, or the answer to an address that does not work."""
        signed = hmac.compare_digest(self._signature(task_id, expires).encode(), signature.encode())
        if not signed or float(expires) <= now:
            answer = Rejected(403, "This address is wrong or has expired", "access_denied").answer
            self.downloads.append(Get(now, task_id, answer.status))
            return answer
        self.downloads.append(Get(now, task_id, 200))
        return self._tasks[task_id].picture

    def _admit(self, key: str | None, now: float) -> None:
        if key not in self.keys:
            raise Rejected(401, "Invalid API key", "authentication_error")
        if self._bucket is not None and (wait := self._bucket.take(now)):
            raise self._limited("Too many requests", wait)

    def _limited(self, message: str, wait: float) -> Rejected:
        retry_after = wait if self.settings.retry_after else None
        return Rejected(429, message, "rate_limit_exceeded", retry_after=retry_after)

    def _accept(self, order: Order, now: float) -> _Task:
        if self.balance < PRICE:
            raise Rejected(402, "Insufficient credits", "insufficient_credits")
        most = self.settings.tasks_in_flight
        if most is not None and self._in_flight.count(now) >= most:
            raise self._limited("Too many tasks in flight", self._in_flight.next_done_after(now))
        self.balance -= PRICE
        task_id = f"n{self.rng.getrandbits(64):016x}_hunyuan3"
        task = _Task(len(self._tasks), task_id, order, self._picture(order), self._done_at(now))
        self._in_flight.add(task.done_at)
        self._tasks[task_id] = task
        return task

    def _done_at(self, now: float) -> float:
        if self.settings.finished_at_once:
            return now
        return self._workers.place(self.settings.latency(self.rng) / self.settings.speed, now)

    def _picture(self, order: Order) -> Picture:
        seed = self.rng.randint(0, MAX_SEED) if order.seed == -1 else order.seed
        width, height = order.width, order.height
        if self.settings.small_pictures:
            width, height = SMALL_WIDTH, round(SMALL_WIDTH * height / width)
        inputs = tuple(self._input(url, width, height) for url in order.images)
        return Picture(order.prompt, seed, width, height, inputs)

    def _input(self, url: str, width: int, height: int) -> Picture:
        """The picture of ours behind *url*, or one that names the address: nothing is fetched."""
        unsigned, path = url.partition("?")[0], urlsplit(url).path
        task = self._tasks.get(path.removeprefix(f"{FILES_PATH}/").removesuffix(".png"))
        return task.picture if task is not None else Picture(f"Input image {unsigned}", 0, width, height)

    def _accepted(self, task: _Task) -> Answer:
        template = _shapes.ACCEPTED[task.turn(self.settings.accepted)]
        status = task.turn(self.settings.running_words)
        return Answer(200, _shapes.render(template, {_shapes.ID: task.id, _shapes.STATUS: status}))

    def _look(self, task: _Task, origin: str, now: float) -> Answer:
        shape = task.turn(self.settings.shapes)
        words, template = self.settings.done_words, _shapes.SHAPES[shape]
        if now < task.done_at:
            words, template = self.settings.running_words, _shapes.running(shape)
        elif FAILING_MARK in task.order.prompt:
            words = self.settings.failed_words
            template = _shapes.failed(shape, task.turn(self.settings.failures))
        task.forgotten = self.settings.forgets_finished and now >= task.done_at
        task_url = f"{origin}{API_PATH}/tasks/{task.id}"
        values: dict[str, _shapes.Json] = {
            _shapes.ID: task.id,
            _shapes.STATUS: task.turn(words),
            _shapes.MESSAGE: "The image could not be generated",
            _shapes.URL: self._url(task.id, origin, now),
            _shapes.TASK_URL: task_url,
            _shapes.CANCEL_URL: f"{task_url}/cancel",
            _shapes.REQUEST_IMAGES: task.order.images,
        }
        return Answer(200, _shapes.render(template, values))

    def _url(self, task_id: str, origin: str, now: float) -> str:
        expires = repr(now + self.settings.url_lifetime / self.settings.speed)
        signature = self._signature(task_id, expires)
        return f"{origin}{FILES_PATH}/{task_id}.png?expires={expires}&signature={signature}"

    def _signature(self, task_id: str, expires: str) -> str:
        return hmac.new(self._secret, f"{task_id} {expires}".encode(), hashlib.sha256).hexdigest()
