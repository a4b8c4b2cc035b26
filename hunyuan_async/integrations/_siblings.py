"""Whether other worker processes of a server use the same account."""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hunyuan_async.client import Client

log = logging.getLogger("hunyuan_async")

WARNING = (
    "Several processes of this server use one account, each by a Client of its own: rate, slots and budget hold for "
    "each process alone. Let them share a hunyuan_async.store.Store, or give each its part of the limits."
)
_SETTINGS = ("HUNYUAN_API_KEY", "HUNYUAN_API_KEY_FILE", "HUNYUAN_BASE_URL")
_held: set[Path] = set()  # by this process: its own further clients are no siblings


@contextmanager
def looks_for_siblings(client: Client) -> Iterator[None]:
    """Warn, once for all siblings, if another child of our parent process serves with a client of the same account.

    Each tries to lock a file that is named after user, parent and account. The first one gets it, the second one gets
    another and warns; the system frees both when their processes end, however they end, so old files do no harm.
    """
    if client.transport:
        yield
        return
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    name = f"hunyuan-async-{os.getuid()}-{os.getppid()}-{_account(client, os.environ)}"
    first, second = (folder / f"{name}-{which}.lock" for which in ("first", "second"))
    with _locked(first) as alone:
        if alone:
            yield
            return
        with _locked(second) as tells:
            if tells:
                log.warning(WARNING)
            yield


def _account(client: Client, environment: Mapping[str, str]) -> str:
    """Tell accounts apart without giving a key away."""
    told = [client.api_key, client.base_url, client.service.base_url, *map(environment.get, _SETTINGS)]
    return hashlib.sha256("\0".join(str(one or "") for one in told).encode()).hexdigest()[:16]


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Hold a lock, and say whether this process has it; where there can be none, it is as if it had."""
    descriptor = None
    try:
        if path not in _held:
            descriptor = _lock(path)
    except BlockingIOError:
        yield False
        return
    except OSError:  # no such folder, another user's file, a disk without locks
        log.debug("%s cannot be locked: whether this process has siblings is not known", path)
    if descriptor is None:
        yield True
        return
    _held.add(path)
    try:
        yield True
    finally:
        _held.discard(path)
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
