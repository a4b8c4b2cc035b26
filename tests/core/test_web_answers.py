"""What a browser is told: errors as HTTP answers, images and event ids; nothing of our own affairs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest

from hunyuan_async.errors import (
    BudgetExceeded,
    HunyuanError,
    InvalidRequest,
    JournalError,
    Kind,
    NoSuchOrder,
    OrderConflict,
    QuotaReached,
    RateLimited,
    TaskTimedOut,
)
from hunyuan_async.integrations.web import STATUSES, answer_to, image_headers, last_event_id, media_type
from hunyuan_async.models import SavedImage

SECRET = "task n68_hunyuan3 of key aio_0123 at https://cdn.example/x.png?sig=1 in /srv/orders"
HANDLE = "d0bmFcfQBk6GpXQx4hX3ag"
KINDS = get_args(Kind)


@pytest.mark.parametrize(
    ("kinds", "status"),
    [
        (("invalid", "rejected", "refused"), 422),
        (("conflict",), 409),
        (("not_found",), 404),
        (("quota",), 429),
        (("credits", "auth", "service", "not_sent", "limited"), 503),
        (("task_failed", "lost", "expired", "download"), 502),
        (("timed_out", "unknown"), 202),
    ],
)
def test_each_kind_has_its_status(kinds: tuple[Kind, ...], status: int) -> None:
    """The table of the issue."""
    assert [answer_to(HunyuanError("x", kind=kind)).status for kind in kinds] == [status] * len(kinds)


def test_no_kind_is_forgotten() -> None:
    """A new kind of error needs a line in the table."""
    assert set(STATUSES) == set(KINDS)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"conflict", "not_found", "quota"}))
def test_what_an_error_says_to_us_is_not_said_to_a_browser(kind: Kind) -> None:
    """Its message is for the operator, who pays; it may name tasks, addresses and paths."""
    error = HunyuanError(SECRET, kind=kind, task_id="n68_hunyuan3", status=400)

    told = json.dumps(answer_to(error, HANDLE).body)

    for secret in ("n68", "aio_", "http", "/srv"):
        assert secret not in told


@pytest.mark.parametrize(
    "error",
    [
        HunyuanError("The account is empty.", kind="credits"),
        HunyuanError("The key was revoked.", kind="auth"),
        BudgetExceeded("max_credits"),
        JournalError("The disk is full."),
        JournalError("The journal /srv/orders is in use by process 7.", kind="invalid"),
    ],
)
def test_our_own_troubles_are_all_the_same_to_a_browser(error: HunyuanError) -> None:
    """A tenant learns that it is not the request's fault, and nothing of account, key or disk."""
    answer = answer_to(error, HANDLE)

    assert answer.status == 503
    assert answer.body == {"error": {"kind": "service", "message": "Images cannot be made just now. Try again later."}}


@pytest.mark.parametrize(
    "error",
    [
        InvalidRequest("size must be ..., got 'big'"),
        OrderConflict("This id was used before."),
        NoSuchOrder("There is no such image."),
        QuotaReached("4 of your images are being made.", 5.0),
    ],
)
def test_what_the_browser_did_wrong_is_said_in_full(error: HunyuanError) -> None:
    """These messages are made for it."""
    assert answer_to(error).body == {"error": {"kind": error.kind, "message": error.message}}


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (QuotaReached("x", 4.2), "5"),
        (QuotaReached("x", 0.0), "1"),
        (RateLimited("x"), "30"),
        (HunyuanError("x", kind="service"), None),
    ],
)
def test_a_browser_is_told_when_to_come_back(error: HunyuanError, seconds: str | None) -> None:
    """In whole seconds, never 0, as the header wants it."""
    assert answer_to(error).headers.get("retry-after") == seconds


def test_what_may_still_come_is_named() -> None:
    """A handle goes along where the browser can ask again, and nowhere else."""
    assert answer_to(TaskTimedOut(SECRET), HANDLE).body["handle"] == HANDLE
    assert "handle" not in answer_to(TaskTimedOut(SECRET)).body
    assert "handle" not in answer_to(RateLimited(SECRET), HANDLE).body


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ("0", 0),
        (" 17 ", 17),
        ("9" * 18, 10**18 - 1),
        ("9" * 19, None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("12abc", None),
        ("1\n2", None),
        ("", None),
        (None, None),
    ],
)
def test_an_event_id_is_a_number_of_ours_or_nothing(value: str | None, change: int | None) -> None:
    """Rubbish begins anew; it is no error, and nothing that the store cannot count to."""
    assert last_event_id(value) == change


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("x.png", "image/png"),
        ("x.jpg", "image/jpeg"),
        ("x.webp", "image/webp"),
        ("x.gif", "image/gif"),
        ("x.html", "application/octet-stream"),
        ("x", "application/octet-stream"),
    ],
)
def test_an_image_is_served_as_what_it_was_checked_to_be(name: str, kind: str) -> None:
    """Its type is fixed and not to be guessed, its name is ours, and only its tenant keeps it."""
    file = SavedImage(Path("/srv/orders/images") / name, "https://cdn.example/x?sig=1", "ab" * 32, 10, 64, 64)

    headers = image_headers(file)

    assert media_type(file) == headers["content-type"] == kind
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "private, max-age=31536000, immutable"
    assert headers["content-disposition"] == f'inline; filename="image-abababababababab{Path(name).suffix}"'
