"""How the services talk that the parties were written for: the same submit and look, in each vendor's words."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from benchmarks.server import Body

PICTURE = "https://images.example/1.png"


@attrs.frozen
class Dialect:
    """How one vendor's service talks.

    Attributes:
        submit: The path of the POST.
        look: The path of the GET, up to the task's id.
        accepted: The body that answers the POST, of the task's id and the host's name.
        seen: The body that answers the GET, by whether the task is finished.
    """

    submit: str
    look: str
    accepted: Callable[[str, str], Body]
    seen: Callable[[bool], Body]


def _enveloped(data: Body) -> Body:
    return {"code": 200, "message": "success", "data": data}


def _fal_urls(task_id: str, host: str) -> Body:
    url = f"http://{host}/bench/image/requests/{task_id}"
    return {"request_id": task_id, "response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}


DIALECTS = {
    "hunyuan": Dialect(
        "/api/v1/images/generations",
        "/api/v1/tasks/",
        lambda task_id, host: _enveloped({"task_id": task_id, "status": "IN_PROGRESS"}),
        lambda done: _enveloped({"status": "completed", "outputs": [PICTURE]} if done else {"status": "IN_PROGRESS"}),
    ),
    "wavespeed": Dialect(
        "/api/v3/bench/image",
        "/api/v3/predictions/",
        lambda task_id, host: _enveloped({"id": task_id, "status": "created"}),
        lambda done: _enveloped({"status": "completed", "outputs": [PICTURE]} if done else {"status": "processing"}),
    ),
    "fal": Dialect(
        "/bench/image",
        "/bench/image/requests/",
        _fal_urls,
        lambda done: (
            {"status": "COMPLETED", "logs": None, "images": [{"url": PICTURE}]}
            if done
            else {"status": "IN_PROGRESS", "logs": None}
        ),
    ),
}
