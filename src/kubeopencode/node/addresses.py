"""Loopback addresses for Pods and Services: every one its own, so two servers may both listen on port 4096.

Pods live in 127.64.0.0/11, Services in 127.96.0.0/11. Keeps a table in memory; whoever allocates records.
"""

from __future__ import annotations

import secrets
from ipaddress import IPv4Address, IPv4Network

PODS = IPv4Network("127.64.0.0/11")
SERVICES = IPv4Network("127.96.0.0/11")


class Exhausted(Exception):  # noqa: N818 - a state of the range
    """Every address of a range is taken."""


class Range:
    """Addresses given to holders; the one given longest ago is reused last."""

    def __init__(self, network: IPv4Network) -> None:
        self._network = network
        self._holders: dict[str, str] = {}
        self._addresses: dict[str, str] = {}
        # Somewhere in the range: another plane on this machine does not begin at the same address.
        self._next = 1 + secrets.randbelow(network.num_addresses - 2)

    def claim(self, holder: str, address: str) -> bool:
        """Give an address that was recorded earlier; False if another holds it or it is outside the range."""
        try:
            outside = IPv4Address(address) not in self._network
        except ValueError:
            return False
        if outside or self._holders.get(address, holder) != holder:
            return False
        self._holders[address] = holder
        self._addresses[holder] = address
        return True

    def take(self, holder: str) -> str:
        """The holder's address, a new one if it has none. Raises `Exhausted`."""
        if holder in self._addresses:
            return self._addresses[holder]
        for _ in range(self._network.num_addresses - 2):
            address = str(self._network[self._next])
            self._next = self._next % (self._network.num_addresses - 2) + 1
            if address not in self._holders:
                self.claim(holder, address)
                return address
        raise Exhausted(f"every address of {self._network} is taken; delete Pods or Services")

    def release(self, holder: str) -> None:
        """Take the holder's address back."""
        address = self._addresses.pop(holder, None)
        if address is not None:
            del self._holders[address]
