"""The orders of a store, in an SQLite file that several processes read and write.

A plain synchronous class. Every write is one short transaction that takes SQLite's write lock first, so the numbers of
changes are given in the order in which they become visible: who has read up to a number has missed nothing before it.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import attrs

from hunyuan_async._core.names import leads_out
from hunyuan_async._journal.disk import is_on_network, make_durable, refuse_links
from hunyuan_async._journal.rows import (
    Types,
    checked,
    error_of,
    error_text,
    files_text,
    images_of,
    request_of,
    request_text,
)
from hunyuan_async._journal.troubles import in_words
from hunyuan_async._store.order import ACTIVE, Order, OrderState
from hunyuan_async._store.quotas import Shares, Use, check_shares
from hunyuan_async.errors import HunyuanError, JournalError, NoSuchOrder, OrderConflict
from hunyuan_async.models import ImageRequest, SavedImage

ORDERS = "orders.sqlite"
APPLICATION_ID = 0x48594F52  # "HYOR"
VERSION = 1
PAGE = 200  # orders read at once
_CACHE = 4096  # KiB

_ACTIVE = ", ".join(f"'{state}'" for state in ACTIVE)
_TABLES = (
    """CREATE TABLE orders (
        number INTEGER PRIMARY KEY, handle TEXT NOT NULL UNIQUE, tenant TEXT NOT NULL, id TEXT, digest TEXT NOT NULL,
        request TEXT NOT NULL, interactive INTEGER NOT NULL, state TEXT NOT NULL, settled INTEGER NOT NULL DEFAULT 0,
        change INTEGER NOT NULL, placed_at TEXT NOT NULL, changed_at TEXT NOT NULL, credits INTEGER NOT NULL,
        withdrawing INTEGER NOT NULL DEFAULT 0, error TEXT, files TEXT,
        UNIQUE (tenant, id)
    )""",
    "CREATE UNIQUE INDEX orders_by_change ON orders (change)",
    "CREATE INDEX changes_of_tenant ON orders (tenant, change)",
    "CREATE INDEX orders_of_tenant ON orders (tenant, number)",
    "CREATE INDEX orders_unsettled ON orders (number) WHERE NOT settled",
    f"CREATE INDEX orders_active ON orders (tenant) WHERE state IN ({_ACTIVE})",
    "CREATE INDEX orders_waiting ON orders (state) WHERE state = 'waiting'",
    """CREATE TABLE days (
        day TEXT NOT NULL, tenant TEXT NOT NULL, images INTEGER NOT NULL, credits INTEGER NOT NULL,
        PRIMARY KEY (day, tenant)
    ) WITHOUT ROWID""",
    "CREATE TABLE pulse (statistics TEXT NOT NULL)",
)
_INSERT = """INSERT INTO orders (handle, tenant, id, digest, request, interactive, state, change, placed_at, changed_at,
    credits) VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, ?, ?, ?)"""
_COUNT = """INSERT INTO days VALUES (?, ?, ?, ?)
    ON CONFLICT DO UPDATE SET images = images + excluded.images, credits = credits + excluded.credits"""
_USE = f"""SELECT
    (SELECT count(*) FROM orders WHERE tenant = :tenant AND state IN ({_ACTIVE})),
    coalesce((SELECT images FROM days WHERE day = :day AND tenant = :tenant), 0),
    coalesce((SELECT credits FROM days WHERE day = :day AND tenant = :tenant), 0),
    coalesce((SELECT sum(credits) FROM days WHERE day = :day), 0),
    (SELECT count(*) FROM orders WHERE state = 'waiting')"""  # noqa: S608 - states are words of ours
_UPDATE = """UPDATE orders SET state = ?, settled = ?, change = ?, changed_at = ?, credits = ?, error = ?, files = ?
    WHERE handle = ?"""

# SQLite holds any type in any place, and the file may be the work of somebody else.
_CHANGED: Types = {"tenant": str, "change": int}
_ROW: Types = {
    **_CHANGED,
    **dict.fromkeys(("handle", "request", "state", "placed_at", "changed_at"), str),
    **dict.fromkeys(("number", "credits"), int),
    **dict.fromkeys(("error", "files"), str | None),
}


@attrs.frozen
class Wish:
    """What a tenant orders.

    Attributes:
        tenant: Who.
        id: The tenant's own name for it, by which a repeated order is known.
        digest: Tells what was asked for from other requests.
        request: What to make.
        interactive: Whether a person waits for it.
        credits: What it may cost.
    """

    tenant: str
    id: str | None
    digest: str
    request: ImageRequest
    interactive: bool
    credits: int


@attrs.frozen
class Progress:
    """How far an order has come.

    Attributes:
        handle: Which one.
        state: The state from now on.
        settled: Whether a worker that begins to send need not look at it again.
        credits: What it has cost; None if it stays as it was.
        error: Why it failed or is unknown.
        files: The images on disk.
    """

    handle: str
    state: OrderState
    settled: bool = False
    credits: int | None = None
    error: HunyuanError | None = None
    files: tuple[SavedImage, ...] = ()


class OrderFile:
    """The orders below a directory."""

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self._root = directory
        self._connection = connection
        connection.row_factory = sqlite3.Row
        self._process = os.getpid()

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Open the orders in *directory*, or begin them.

        Raises:
            JournalError: They cannot be used; the message says what to do.
        """
        path = directory / ORDERS
        return in_words(path, lambda: cls._open(directory, path))

    @classmethod
    def _open(cls, directory: Path, path: Path) -> Self:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        refuse_links(path)
        path.touch(0o600)
        if is_on_network(path):
            raise JournalError(f"{directory} is a network folder, which workers cannot share. Name a local one.")
        connection = sqlite3.connect(path, isolation_level=None, timeout=10)
        try:
            # Workers start at once, and switching to a write-ahead log waits for nobody.
            with _locked(path.with_name(f"{path.name}.lock")):
                _begin(connection, path)
        except BaseException:
            connection.close()
            raise
        return cls(directory, connection)

    def close(self) -> None:
        """Let the file go. In a forked child it does nothing: all is the parent's."""
        if self._process == os.getpid():
            self._connection.close()

    def place(self, wish: Wish, shares: Shares) -> Order:
        """Store a new order, or find the one that the tenant placed under the same id.

        Raises:
            OrderConflict: The tenant used the id for another request.
            QuotaReached: It does not fit into the shares.
            JournalError: It could not be stored.
        """
        now, handle = datetime.now(UTC), secrets.token_hex(16)
        day, tenant = now.date().isoformat(), wish.tenant
        with self._writing():
            if known := self._placed(wish):
                return known
            use = Use(*self._connection.execute(_USE, {"tenant": tenant, "day": day}).fetchone())
            check_shares(shares, use, wish.credits, now)
            text = request_text(attrs.evolve(wish.request, id=handle))
            origin = handle, tenant, wish.id, wish.digest, text, wish.interactive
            self._connection.execute(_INSERT, (*origin, self._next_change(), *[now.isoformat()] * 2, wish.credits))
            self._connection.execute(_COUNT, (day, tenant, 1, wish.credits))
            return self._one("handle = ?", handle)

    def withdraw(self, handle: str, tenant: str) -> Order:
        """Note that an order is not wanted any more; whoever sends stops it if it costs nothing yet.

        Raises:
            NoSuchOrder: There is no such order of this tenant.
            JournalError: It could not be stored.
        """
        with self._writing():
            order = self.order(handle, tenant)
            if order.state is OrderState.WAITING and not order.withdrawing:
                statement = "UPDATE orders SET withdrawing = 1, change = ? WHERE handle = ?"
                self._connection.execute(statement, (self._next_change(), handle))
            return self.order(handle, tenant)

    def note(self, progress: Iterable[Progress]) -> None:
        """Store how far orders have come, all or nothing.

        Raises:
            JournalError: It could not be stored.
        """
        now = datetime.now(UTC).isoformat()
        with self._writing():
            for step in progress:
                before = self._connection.execute(
                    "SELECT tenant, placed_at, credits FROM orders WHERE handle = ?", (step.handle,)
                ).fetchone()
                credits = before["credits"] if step.credits is None else step.credits
                error = error_text(step.error) if step.error else None
                files = files_text(step.files, self._root) if step.files else None
                values = step.state.value, step.settled, self._next_change(), now, credits, error, files, step.handle
                self._connection.execute(_UPDATE, values)
                images = (credits > 0) - (before["credits"] > 0)
                day = before["placed_at"][:10]
                self._connection.execute(_COUNT, (day, before["tenant"], images, credits - before["credits"]))

    def order(self, handle: str, tenant: str) -> Order:
        """Read an order.

        Raises:
            NoSuchOrder: There is no such order of this tenant.
        """
        return self._one("handle = ? AND tenant = ?", handle, tenant)

    def find(self, handle: str) -> Order | None:
        """Look up an order, whoever's it is."""
        return next(iter(self._read("handle = ?", handle)), None)

    def orders(self, tenant: str, before: int, limit: int) -> list[Order]:
        """Read a page of a tenant's orders, the newest first; the last one's `number` is the next page's *before*."""
        where = "tenant = ? AND number < ? ORDER BY number DESC LIMIT ?"
        return self._read(where, tenant, before, limit)

    def unsettled(self, up_to: int) -> list[Order]:
        """Read the orders to a number that a worker has to look at when it begins to send, the oldest first."""
        return self._read("NOT settled AND number <= ? ORDER BY number", up_to)

    def placed(self, after: int) -> list[Order]:
        """Read a page of the orders whose number is beyond *after*, the oldest first."""
        return self._read("number > ? ORDER BY number LIMIT ?", after, PAGE)

    def withdrawing(self) -> list[str]:
        """Return the handles of the orders that wait and are not wanted any more."""
        statement = "SELECT handle FROM orders WHERE state = 'waiting' AND withdrawing"
        return [row["handle"] for row in self._connection.execute(statement)]

    def changed(self, tenant: str, after: int) -> list[Order]:
        """Read a page of a tenant's orders that have changed after a change."""
        return self._read("tenant = ? AND change > ? ORDER BY change LIMIT ?", tenant, after, PAGE)

    def tenants_changed(self, after: int) -> dict[str, int]:
        """Return the tenants whose orders have changed after a change, and the number of the last one of each."""
        # The plus keeps SQLite from reading all orders in the order of their tenants.
        statement = "SELECT tenant, max(change) AS change FROM orders WHERE change > ? GROUP BY +tenant"
        rows = self._connection.execute(statement, (after,)).fetchall()
        return {row["tenant"]: checked(row, _CHANGED)["change"] for row in rows}

    def last_change(self) -> int:
        """Return the number of the last change; 0 before the first one."""
        [last] = self._connection.execute("SELECT coalesce(max(change), 0) FROM orders").fetchone()
        return int(last)

    def last_number(self) -> int:
        """Return the number of the order that was placed last; 0 before the first one."""
        [last] = self._connection.execute("SELECT coalesce(max(number), 0) FROM orders").fetchone()
        return int(last)

    def write_pulse(self, statistics: dict[str, object]) -> None:
        """Store the statistics of whoever sends, for all workers."""
        with self._writing():
            self._connection.execute("DELETE FROM pulse")
            self._connection.execute("INSERT INTO pulse VALUES (?)", (json.dumps(statistics),))

    def pulse(self) -> dict[str, object]:
        """Read the statistics of whoever sends, or has sent last; empty before the first time."""
        row = self._connection.execute("SELECT statistics FROM pulse").fetchone()
        return dict(json.loads(row["statistics"])) if row else {}

    def _placed(self, wish: Wish) -> Order | None:
        if wish.id is None:
            return None
        row = self._connection.execute(
            "SELECT * FROM orders WHERE tenant = ? AND id = ?", (wish.tenant, wish.id)
        ).fetchone()
        if row and row["digest"] != wish.digest:
            raise OrderConflict("This id was used before, for another request. Choose another id.")
        order = self._order(row) if row else None
        if order and order.may_be_repeated:
            self._connection.execute("UPDATE orders SET id = NULL WHERE handle = ?", (order.handle,))
            return None
        return order

    def _next_change(self) -> int:
        return self.last_change() + 1

    def _one(self, where: str, *values: str) -> Order:
        for order in self._read(where, *values):
            return order
        raise NoSuchOrder("There is no such image.")

    def _read(self, where: str, *values: str | int) -> list[Order]:
        statement = f"SELECT * FROM orders WHERE {where}"  # noqa: S608 - the conditions are those above
        return [self._order(row) for row in self._connection.execute(statement, values).fetchall()]

    def _order(self, row: sqlite3.Row) -> Order:
        checked(row, _ROW)
        files = images_of(row["files"], self._root) if row["files"] else ()
        if any(leads_out(str(file.path.relative_to(self._root))) for file in files):
            raise ValueError(row["files"])
        return Order(
            row["number"],
            row["handle"],
            row["tenant"],
            request_of(row["request"]),
            bool(row["interactive"]),
            OrderState(row["state"]),
            row["change"],
            datetime.fromisoformat(row["placed_at"]),
            datetime.fromisoformat(row["changed_at"]),
            row["credits"],
            bool(row["withdrawing"]),
            error_of(row["error"]) if row["error"] else None,
            files,
        )

    @contextmanager
    def _writing(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _begin(connection: sqlite3.Connection, path: Path) -> None:
    [application_id] = connection.execute("PRAGMA application_id").fetchone()
    [version] = connection.execute("PRAGMA user_version").fetchone()
    [tables] = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if (application_id, version) != (APPLICATION_ID, VERSION) and (tables or version):
        raise JournalError(
            f"{path} does not hold orders, or a newer version of this library made it. Name another directory, or "
            "update with: pip install -U hunyuan-async"
        )
    make_durable(connection, path, wal=True)
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")
    if tables:
        return
    connection.execute("BEGIN IMMEDIATE")
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")
