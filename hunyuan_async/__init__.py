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
    from hunyuan_async.events import Statistics
    from hunyuan_async.models import ImageRequest, ImageResult, Outcome, SavedImage, TaskState, TaskStatus
    from hunyuan_async.run import Run
    from hunyuan_async.settings import API_IN_ONE, Limits, Polling, Service, Timeouts
    from hunyuan_async.streams import OutcomeStream
    from hunyuan_async.tasks import GenerationTask

__version__ = "0.1.0"

__all__ = [
    "API_IN_ONE",
    "AuthError",
    "BudgetExceeded",
    "Client",
    "ContentRefused",
    "DownloadFailed",
    "GenerationTask",
    "HunyuanError",
    "ImageRequest",
    "ImageResult",
    "InvalidRequest",
    "JournalError",
    "Limits",
    "NotSent",
    "OutOfCredits",
    "Outcome",
    "OutcomeStream",
    "Polling",
    "RateLimited",
    "Refused",
    "Run",
    "SavedImage",
    "Service",
    "ServiceUnavailable",
    "Statistics",
    "SubmitUnknown",
    "TaskFailed",
    "TaskLost",
    "TaskState",
    "TaskStatus",
    "TaskTimedOut",
    "Timeouts",
    "__version__",
]

# Those that load least stand first.
_MODULES = ("errors", "models", "settings", "tasks", "streams", "client", "events", "run")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = (import_module(f"{__name__}.{module}") for module in _MODULES)
    value: object = next(getattr(module, name) for module in modules if hasattr(module, name))
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
