"""What came back from one HTTP request, as plain values that the rules can read."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen
class Reply:
    """An answer whose status line was read.

    Attributes:
        status: The HTTP status.
        body: The decoded body, capped; what came of it, if `complete` is false.
        headers: By lower-case name; only those that a rule reads or a bug report needs.
        complete: Whether the body arrived whole.
    """

    status: int
    body: bytes = attrs.field(default=b"", repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    complete: bool = True


@attrs.frozen
class NoReply:
    """No answer that a status can be trusted from.

    Attributes:
        reason: What went wrong, in words for a person.
        sent: Whether the request may have left this machine. False is a proof, true is a doubt.
        permanent: Whether trying again cannot help, for example with a certificate that does not fit.
    """

    reason: str
    sent: bool
    permanent: bool = False


@attrs.frozen
class Fetched:
    """A download that came to its end.

    Attributes:
        status: The HTTP status; bytes were handed over only for 200.
        received: How many bytes were handed over.
        retry_after: Seconds after which the host asked to be tried again, if it did.
    """

    status: int
    received: int = 0
    retry_after: float | None = None
