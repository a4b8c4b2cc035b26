"""What a network error means, in a few words that hold no address and no key.

The class of an error does not tell whether a request left this machine; the caller knows that by other means
(notes in `submit`).
"""

from __future__ import annotations

import os
import ssl

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponseError,
    ConnectionTimeoutError,
    ServerDisconnectedError,
)

from hunyuan_async._core.replies import NoReply
from hunyuan_async._http.addresses import RefusedAddress

# An address that yarl or IDNA cannot read is a bare ValueError.
NetworkError = ClientError | TimeoutError | ValueError
NETWORK_ERRORS = (ClientError, TimeoutError, ValueError)


class NotRepeated(ClientError):
    """Wraps an error that aiohttp would answer by sending the request once more by itself."""

    def __init__(self, error: NetworkError) -> None:
        super().__init__()
        self.error = error


def no_reply(error: NetworkError, *, sent: bool) -> NoReply:
    """Return what *error* means for the request, which was *sent* or surely was not."""
    if isinstance(error, NotRepeated):
        error = error.error
    return NoReply(_reason(error), sent=sent, permanent=_is_permanent(error))


def _is_permanent(error: NetworkError) -> bool:
    match error:
        # A handshake that is merely cut off is a ConnectionError of asyncio, not an error of TLS.
        case ClientConnectorCertificateError() | ClientConnectorSSLError() | ValueError():
            return True
        case ClientConnectorError():
            return isinstance(error.os_error, RefusedAddress)
    return False


def _reason(error: NetworkError) -> str:
    match error:
        case ClientConnectorError():
            return _connect_reason(error)
        case ConnectionTimeoutError():
            return "no connection in time"
        case ClientHttpProxyError():
            return f"the proxy answered with HTTP {error.status}"
        case ClientResponseError():
            # Made by aiohttp's parser: its status is not the server's.
            return "the answer was not valid HTTP"
        case ServerDisconnectedError():
            return "the server closed the connection before it answered"
        case ClientPayloadError():
            return "the answer was cut off"
        case TimeoutError():
            return "no answer in time"
        case ValueError():
            return "the address is not valid"
        case ClientOSError():
            return _words(error) or "the connection was lost"
    return "the connection was lost"


def _connect_reason(error: ClientConnectorError) -> str:
    match error:
        case ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as cause):
            return f"the server's certificate is not accepted: {cause.verify_message}"
        case ClientConnectorSSLError(os_error=ssl.SSLError(reason=str() as reason)):
            return f"no TLS with the server: {reason.lower().replace('_', ' ')}"
        case ClientConnectorDNSError():
            return "the name could not be resolved"
        case ClientConnectorError(os_error=RefusedAddress() as cause):
            return str(cause)
        case ClientProxyConnectionError(os_error=cause):
            return f"no connection to the proxy: {_words(cause) or 'it failed'}"
    return _words(error.os_error) or "no connection could be made"


def _words(error: OSError) -> str | None:
    return os.strerror(error.errno).lower() if error.errno else None
