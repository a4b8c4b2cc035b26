"""The API's addresses, and the one place where the key goes into a header."""

from __future__ import annotations

from urllib.parse import quote

import attrs
from yarl import URL

from hunyuan_async._http.addresses import is_loopback
from hunyuan_async.errors import InvalidRequest
from hunyuan_async.settings import ApiKey, Service


@attrs.frozen
class Api:
    """Where the API listens and how it knows us.

    Attributes:
        service: The paths and the words of the gateway.
        base_url: What the paths are relative to, as `check_base_url` returned it.
        key: Sent to the base URL's origin alone.
    """

    service: Service
    base_url: str
    key: ApiKey

    @property
    def is_local(self) -> bool:
        """Whether the API runs on this machine, as an emulator does."""
        return is_loopback(URL(self.base_url).host or "")

    @property
    def submit_url(self) -> URL:
        """The address that takes submits."""
        return URL(f"{self.base_url}/{self.service.submit_path}")

    def task_url(self, task_id: str) -> URL:
        """Return the address of one task, whatever characters its id holds."""
        path = self.service.task_path.format(task_id=quote(task_id, safe=""))
        return URL(f"{self.base_url}/{path}", encoded=True)

    @property
    def auth(self) -> dict[str, str]:
        """The header with the key; it shows itself as little as the key does."""
        return {self.service.auth_header: ApiKey(f"{self.service.auth_scheme} {self.key}".strip())}


def check_base_url(base_url: str) -> str:
    """Return *base_url* in its normal form, without a slash at the end.

    Raises:
        InvalidRequest: The key must not, or cannot, be sent there.
    """
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if problem := _problem_with(url):
        raise InvalidRequest(f"base_url {problem}.")
    return str(url).rstrip("/")


def _problem_with(url: URL) -> str | None:
    if url.scheme not in {"http", "https"} or not url.host:
        return 'must be an address such as "https://host/api/v1"'
    if url.user is not None or url.password is not None:
        return "must not hold a user name or password"
    if url.raw_query_string or url.raw_fragment:
        return "must not have a query or a fragment"
    if url.scheme == "http" and not is_loopback(url.host):
        return "must be https: the key would travel readable for everyone on the way"
    return None


def check_key(key: str) -> ApiKey:
    """Return *key* as one that does not show itself.

    Raises:
        InvalidRequest: It cannot stand in a header; the message does not show it.
    """
    if not 8 <= len(key) <= 512 or any(not "!" <= character <= "~" for character in key):
        raise InvalidRequest("The API key must be 8 to 512 visible ASCII characters without spaces.")
    return ApiKey(key)
