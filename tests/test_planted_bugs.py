"""The bugs that `tests/planted_bugs.py` plants still have a place in the code, and tests that must notice them."""

from __future__ import annotations

import pytest

from tests.planted_bugs import BUGS, ROOT, Bug, noticed_by


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_can_be_planted(bug: Bug) -> None:
    """What it replaces stands there once; else nobody would hear for weeks that it cannot be tried any more."""
    assert (ROOT / "hunyuan_async" / bug.module).read_text(encoding="utf-8").count(bug.right) == 1
    for test in noticed_by(bug):
        path, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8") or not name
