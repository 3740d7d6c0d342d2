"""Whose address a request comes from, where a proxy may stand in between.

The peer of a connection is known. What ``X-Forwarded-For`` says is text that anyone can send, so it counts only where
the peer is a proxy of the operator's, and then from its end: each proxy appends the address that it was called from.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import marshmallow

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_WITH_PORT = re.compile(r"\[(?P<six>[^\]]*)\](?::\d+)?|(?P<four>[\d.]+):\d+")

_HOSTS_OF_A_SITE = 64
"""Bits of an IPv6 network that one site has at the least, whose hosts choose the rest as they like (RFC 6177)."""


class NetworkField(marshmallow.fields.Field):  # type: ignore[type-arg]  # marshmallow 3's takes none
    """An address or a network, as text."""

    def _deserialize(self, value: Any, attr: str | None, *_: Any, **__: Any) -> Network:
        try:
            if isinstance(value, str):
                return ipaddress.ip_network(value.strip())
        except ValueError:
            pass
        raise marshmallow.ValidationError(
            'this is no address or network; write one such as "10.0.0.7", "10.1.0.0/16" or "fd00::/8", '
            "with no bit set behind the prefix"
        )


class ProxySettings(marshmallow.Schema):
    """What the operator can set under [network]."""

    trusted_proxies = marshmallow.fields.List(
        NetworkField(),
        load_default=(),
        error_messages={"invalid": 'write a list such as ["127.0.0.1", "10.1.0.0/16"]'},
    )


class TrustedProxies:
    """The proxies that say truly where a request comes from.

    Args:
        networks: their addresses.
    """

    def __init__(self, networks: list[Network] | tuple[Network, ...] = ()) -> None:
        self._networks = tuple(networks)

    def client(self, peer: str | None, forwarded_for: str) -> str:
        """The address that a request comes from, as text to count by; all of an IPv6 site's are one.

        Args:
            peer: the address that the connection comes from.
            forwarded_for: the header ``X-Forwarded-For``, empty if there is none.
        """
        address = _address(peer or "")
        entries = forwarded_for
        while entries and address is not None and self._are(address):
            entries, _, last = entries.rpartition(",")
            before = _address(last)
            if before is None:
                break  # such as "unknown"; nobody answers for what stands to the left of it
            address = before
        return _site(address)

    def _are(self, address: Address) -> bool:
        return any(address in network for network in self._networks)


def _address(text: str) -> Address | None:
    text = text.strip().strip('"')
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match["six"] or match["four"] or ""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _site(address: Address | None) -> str:
    if address is None:
        return "unknown"
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, _HOSTS_OF_A_SITE), strict=False))
