"""What was sent to the service for each order, and what came back, as the API tester shows it."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable

import attrs

from hunyuan_async._assembly import base_url_of, over_aiohttp
from hunyuan_async._core.replies import Fetched, NoReply, Reply
from hunyuan_async._core.wire import submit_body
from hunyuan_async.client import Client
from hunyuan_async.events import Event, Resumed, Submitted
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import Service
from hunyuan_async.studio._snippets import as_curl, as_python, submit_address
from hunyuan_async.transport import BeforeSend, Transport

KEPT = 200  # orders
LONGEST_BODY = 64 * 1024  # bytes kept of an answer
MASK = "\u2022" * 8


@attrs.define
class Calls:
    """The calls of one order.

    Attributes:
        submitted: Whether the submit was tried since the studio started.
        response: What came of it.
        polls: Status checks so far.
        poll: What the last one brought.
        task_id: The task, once it is known.
    """

    submitted: bool = False
    response: Reply | NoReply | None = None
    polls: int = 0
    poll: Reply | NoReply | None = None
    task_id: str | None = None


class CallLog:
    """Keeps the calls of the latest orders in memory."""

    def __init__(self, service: Service, base_url: str) -> None:
        self._service = service
        self._base_url = base_url
        self._calls: OrderedDict[str, Calls] = OrderedDict()
        self._handles: dict[str, str] = {}  # by task

    @classmethod
    def of(cls, client: Client) -> CallLog:
        """Listen to what *client*, which has not been used yet, sends to the service."""
        log = cls(client.service, base_url_of(client))
        client.transport = _Overheard(client.transport or over_aiohttp(client), log)
        client.subscribe(log.hear)
        return log

    def hear(self, event: Event) -> None:
        """Learn which task is whose: a look at a task tells its id alone."""
        if isinstance(event, Submitted | Resumed) and event.id:
            self.calls(event.id).task_id = event.task_id
            self._handles[event.task_id] = event.id

    def calls(self, handle: str) -> Calls:
        """Return what is kept of an order, to be added to; the order that was added to least lately is forgotten."""
        calls = self._calls.setdefault(handle, Calls())
        self._calls.move_to_end(handle)
        if len(self._calls) > KEPT:
            _, forgotten = self._calls.popitem(last=False)
            self._handles.pop(forgotten.task_id or "", None)
        return calls

    def note_poll(self, task_id: str, seen: Reply | NoReply) -> None:
        """Keep what a look at a task brought."""
        if handle := self._handles.get(task_id):
            calls = self.calls(handle)
            calls.polls, calls.poll = calls.polls + 1, _bounded(seen)

    def note_submit(self, request: ImageRequest, response: Reply | NoReply | None) -> None:
        """Keep that a request is sent, and then what came of it."""
        if request.id:
            calls = self.calls(request.id)
            calls.submitted, calls.response = True, response and _bounded(response)

    def as_json(self, handle: str, request: ImageRequest) -> dict[str, object]:
        """Return what the page shows of an order; the request is known even if its calls are not any more."""
        calls = self._calls.get(handle, Calls())
        task = self._service.task_path.format(task_id=calls.task_id) if calls.task_id else None
        return {
            "submitted": calls.submitted,
            "request": {
                "method": "POST",
                "url": submit_address(self._service, self._base_url),
                "headers": {**self._auth(), "Content-Type": "application/json"},
                **_body(submit_body(request, self._service)),
            },
            "response": _answer(calls.response),
            "polls": calls.polls,
            "poll_request": task and {"method": "GET", "url": f"{self._base_url}/{task}", "headers": self._auth()},
            "poll": _answer(calls.poll),
            "curl": as_curl(request, self._service, self._base_url),
            "python": as_python(request, self._service, self._base_url),
        }

    def _auth(self) -> dict[str, str]:
        return {self._service.auth_header: f"{self._service.auth_scheme} {MASK}"}


@attrs.frozen
class _Overheard(Transport):
    """Passes everything on, and notes what went out and came back."""

    inner: Transport
    log: CallLog

    async def submit(self, request: ImageRequest, before_send: BeforeSend) -> Reply | NoReply:
        self.log.note_submit(request, None)
        response = await self.inner.submit(request, before_send)
        self.log.note_submit(request, response)
        return response

    async def poll(self, task_id: str) -> Reply | NoReply:
        seen = await self.inner.poll(task_id)
        self.log.note_poll(task_id, seen)
        return seen

    async def fetch(self, url: str, write: Callable[[bytes], object]) -> Fetched | NoReply:
        return await self.inner.fetch(url, write)

    async def aclose(self) -> None:
        await self.inner.aclose()


def _bounded(answer: Reply | NoReply) -> Reply | NoReply:
    if isinstance(answer, NoReply) or len(answer.body) <= LONGEST_BODY:
        return answer
    return attrs.evolve(answer, body=answer.body[:LONGEST_BODY], complete=False)


def _answer(answer: Reply | NoReply | None) -> dict[str, object] | None:
    if answer is None:
        return None
    if isinstance(answer, NoReply):
        return {"problem": answer.reason, "sent": answer.sent}
    return {
        "status": answer.status,
        "headers": dict(answer.headers),
        "complete": answer.complete,
        **_body(answer.body),
    }


def _body(body: bytes) -> dict[str, object]:
    """The body as it is, and laid out to be read if it is JSON."""
    text = body.decode(errors="replace")
    try:
        pretty = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        pretty = None
    return {"body": text, "pretty": pretty}
