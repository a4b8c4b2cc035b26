"""An asyncio client for the Hunyuan Image 3 API: many images at once, nothing paid twice, nothing paid lost.

Names are loaded at first use (PEP 562), so that importing the package loads neither aiohttp nor cattrs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hunyuan_async.client import Client
    from hunyuan_async.errors import (
        AuthError,
        BudgetExceeded,
        ContentRefused,
        DownloadFailed,
        HunyuanError,
        InvalidRequest,
        JournalError,
        NotSent,
        OutOfCredits,
        RateLimited,
        Refused,
        ServiceUnavailable,
        SubmitUnknown,
        TaskFailed,
        TaskLost,
        TaskTimedOut,
    )
    from hunyuan_async.models import ImageRequest, ImageResult, Outcome, SavedImage, Statistics, TaskState, TaskStatus
    from hunyuan_async.settings import API_IN_ONE, Limits, Polling, Service, Timeouts
    from hunyuan_async.streams import OutcomeStream
    from hunyuan_async.tasks import GenerationTask

__version__ = "0.1.0"

_HOMES = {
    "client": ("Client",),
    "errors": (
        "AuthError",
        "BudgetExceeded",
        "ContentRefused",
        "DownloadFailed",
        "HunyuanError",
        "InvalidRequest",
        "JournalError",
        "NotSent",
        "OutOfCredits",
        "RateLimited",
        "Refused",
        "ServiceUnavailable",
        "SubmitUnknown",
        "TaskFailed",
        "TaskLost",
        "TaskTimedOut",
    ),
    "models": ("ImageRequest", "ImageResult", "Outcome", "SavedImage", "Statistics", "TaskState", "TaskStatus"),
    "settings": ("API_IN_ONE", "Limits", "Polling", "Service", "Timeouts"),
    "streams": ("OutcomeStream",),
    "tasks": ("GenerationTask",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
