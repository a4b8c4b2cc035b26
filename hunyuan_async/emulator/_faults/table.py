"""All kinds of faults by their names."""

from __future__ import annotations

from collections.abc import Mapping

from hunyuan_async.emulator._faults.answers import ANSWERS
from hunyuan_async.emulator._faults.bodies import BODIES
from hunyuan_async.emulator._faults.kinds import ConnectionKind, Kind, RequestKind
from hunyuan_async.emulator._faults.wire import CONNECTIONS, WIRE

CONNECTION_KINDS: Mapping[str, ConnectionKind] = {kind.word: kind for kind in CONNECTIONS}
REQUEST_KINDS: Mapping[str, RequestKind] = {kind.word: kind for kind in (*WIRE, *ANSWERS, *BODIES)}
KINDS: Mapping[str, Kind] = {**CONNECTION_KINDS, **REQUEST_KINDS}
"""Every kind of fault, what it means and where it applies."""
