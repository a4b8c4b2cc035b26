"""What derives from a run's seed and an item's id."""

from __future__ import annotations

import hashlib
import hmac

from hypothesis import given
from hypothesis import strategies as st

from hunyuan_async._core.requests import prepare
from hunyuan_async._core.seeds import derived_seed, drawing_order
from hunyuan_async.models import ImageRequest
from hunyuan_async.settings import API_IN_ONE


def test_a_seed_can_be_derived_by_hand() -> None:
    """The construction is a promise: the same run and id give the same image in every version."""
    digest = hmac.new((7).to_bytes(8, "big"), b"seed:koi-2", hashlib.sha256).digest()

    assert derived_seed(7, "koi-2") == int.from_bytes(digest[:4], "big") % 2**31 == 179_444_788


@given(st.integers(0, 2**63 - 1), st.text())
def test_any_id_has_a_seed_that_may_be_sent(run_seed: int, item_id: str) -> None:
    """Whatever the id holds."""
    prepare(ImageRequest("koi", seed=derived_seed(run_seed, item_id)), API_IN_ONE)


def test_runs_and_ids_do_not_share_seeds_or_samples() -> None:
    """Nor does an image's seed tell whether a sample draws it."""
    keys = [(run_seed, item_id) for run_seed in (1, 2) for item_id in ("a", "b")]

    assert len({derived_seed(*key) for key in keys}) == 4
    assert len({drawing_order(*key)[:4] for key in keys} | {derived_seed(*key).to_bytes(4, "big") for key in keys}) == 8
