"""Which internet addresses and ports belong to the open internet.

From the special-purpose address registries of IANA (RFC 6890), not from
`ipaddress.is_global`, whose answer depends on Python's version.
https://www.iana.org/assignments/iana-ipv4-special-registry
https://www.iana.org/assignments/iana-ipv6-special-registry
"""

from __future__ import annotations

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Written as is; addresses in these ranges are never called.
SPECIAL_IPV4 = (
    "0.0.0.0/8",  # this network
    "10.0.0.0/8",  # private use
    "100.64.0.0/10",  # shared by carriers; metadata of some clouds
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # not in the registry: Azure's machines find credentials here
    "169.254.0.0/16",  # link local; metadata of most clouds
    "172.16.0.0/12",  # private use
    "192.0.0.0/24",  # protocol assignments; Oracle's metadata
    "192.0.2.0/24",  # documentation
    "192.31.196.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # relays of 6to4
    "192.168.0.0/16",  # private use
    "192.175.48.0/24",  # AS112
    "198.18.0.0/15",  # benchmarks
    "198.51.100.0/24",  # documentation
    "203.0.113.0/24",  # documentation
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, broadcast
)
# Only this one block of IPv6 is assigned to hosts of the open internet (RFC 4291): loopback,
# unique local, link and site local, multicast, discard and whatever comes later lie outside.
GLOBAL_UNICAST_IPV6 = "2000::/3"
SPECIAL_IPV6 = (
    "2001::/23",  # protocol assignments: Teredo, benchmarks, AMT, ORCHID, remote identification
    "2001:db8::/32",  # documentation
    "2002::/16",  # 6to4, which holds an IPv4 address
    "2620:4f:8000::/48",  # AS112
    "3fff::/20",  # documentation
)
# IPv4 addresses as sockets and DNS64 resolvers write them; the last 32 bits are the address.
HOLD_IPV4 = ("::ffff:0:0/96", "64:ff9b::/96")

_SPECIAL_IPV4 = tuple(map(ipaddress.IPv4Network, SPECIAL_IPV4))
_SPECIAL_IPV6 = tuple(map(ipaddress.IPv6Network, SPECIAL_IPV6))
_GLOBAL_UNICAST_IPV6 = ipaddress.IPv6Network(GLOBAL_UNICAST_IPV6)
_HOLD_IPV4 = tuple(map(ipaddress.IPv6Network, HOLD_IPV4))


def is_public(address: Address) -> bool:
    """Say whether an address is one of a host on the open internet, whatever it is wrapped in.

    >>> is_public(ipaddress.ip_address("::ffff:127.0.0.1"))
    False
    >>> is_public(ipaddress.ip_address("64:ff9b::5db8:d822"))
    True
    """
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _SPECIAL_IPV4)
    if any(address in network for network in _HOLD_IPV4):
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_UNICAST_IPV6 and not any(
        address in network for network in _SPECIAL_IPV6
    )
