"""Which addresses an image may be fetched from.

Image addresses are data from outside. Without this check, an answer could make us read, and save, what only
this machine or its network can reach. A name is judged by what it resolves to, at the moment of connecting:
that covers redirects, unusual spellings and names that change their mind between check and use.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import AddrInfoType
    from yarl import URL

_IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

# Ranges that lead elsewhere than they say, and that `is_global` of some Python takes for public.
_SPECIAL = tuple(
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "::/96",  # IPv4-compatible
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local use
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",  # site-local
    )
)


class RefusedAddress(OSError):
    """Raised while connecting to an address that images are not fetched from."""


def is_loopback(host: str) -> bool:
    """Whether *host*, as it stands in a URL, is this machine."""
    address = _literal(host)
    return host == "localhost" if address is None else address.is_loopback


def problem_with_image_url(url: URL, *, local_api: bool) -> str | None:
    """Return why nothing may be fetched from *url*, in words, or None.

    Only an address literal is judged here; `guarded_socket` judges names. Behind a proxy, which resolves
    names itself, this is the whole check.
    """
    local = local_api and is_loopback(url.host or "")
    if url.scheme != "https" and not (url.scheme == "http" and local):
        return "its address is not https"
    if not url.host or url.user is not None or url.password is not None:
        return "its address has no host or holds a password"
    literal = _literal(url.host)
    if literal is not None and not _may_connect(literal, local_api=local_api):
        return "its address is private"
    return None


def guarded_socket(*, local_api: bool) -> Callable[[AddrInfoType], socket.socket]:
    """Return a factory of sockets for a connector that only connects to public addresses."""

    def open_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not _may_connect(ipaddress.ip_address(address[0]), local_api=local_api):
            raise RefusedAddress("its address is private")
        return socket.socket(family, kind, protocol)

    return open_socket


def _may_connect(address: _IPAddress, *, local_api: bool) -> bool:
    if address.is_loopback:
        return local_api
    special = any(address in network for network in _SPECIAL)
    return address.is_global and not address.is_multicast and not special


def _literal(host: str) -> _IPAddress | None:
    try:
        if ":" in host:
            return ipaddress.IPv6Address(host)
        # Unlike ipaddress, it reads what resolvers read: 127.1, 0x7f000001, 2130706433.
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None
