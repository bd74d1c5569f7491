"""Only addresses of hosts on the open internet are public, in each range of IANA's registries."""

from __future__ import annotations

import ipaddress

import pytest

from challenge.rules.public_addresses import is_public

# The registries' entries, with the ranges beyond them that lead inwards or to no host.
_SPECIAL = """
0.0.0.0/8 0.0.0.0/32 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12
192.0.0.0/24 192.0.0.0/29 192.0.0.8/32 192.0.0.9/32 192.0.0.10/32 192.0.0.170/32 192.0.0.171/32
192.0.2.0/24 192.31.196.0/24 192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24
198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4 255.255.255.255/32 224.0.0.0/4
168.63.129.16/32 ::1/128 ::/128 ::ffff:10.0.0.0/104 64:ff9b::a00:0/104 64:ff9b:1::/48 100::/64
100:0:0:1::/64 2001::/23 2001::/32 2001:1::1/128 2001:1::2/128 2001:1::3/128 2001:2::/48
2001:3::/32 2001:4:112::/48 2001:10::/28 2001:20::/28 2001:30::/28 2001:db8::/32 2002::/16
2002:5db8:d822::/48 2620:4f:8000::/48 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
::/96 200::/7 4000::/3
"""
PUBLIC = ["93.184.216.34", "1.1.1.1", "100.63.255.255", "172.32.0.0", "223.255.255.255",
          "2606:2800:220:1::1", "2001:200::1", "2001:db7:ffff::1", "3ffe::1", "2003::1",
          "::ffff:93.184.216.34", "64:ff9b::5db8:d822"]  # fmt: skip


@pytest.mark.parametrize("network", _SPECIAL.split())
def test_special_purpose_ranges_are_not_public(network: str) -> None:
    addresses = ipaddress.ip_network(network)
    for address in (addresses[0], addresses[addresses.num_addresses // 2], addresses[-1]):
        assert not is_public(address), address
        if address.version == 4:
            assert not is_public(ipaddress.ip_address(f"::ffff:{address}"))
            assert not is_public(ipaddress.ip_address("64:ff9b::") + int(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_the_open_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
