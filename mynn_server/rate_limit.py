"""Rate limit for passwords and codes, for the notebook server and the desk: one try at a time per network.

Nobody is locked out: a user who shares an address with an attacker waits for a minute, others do not wait.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mynn.translation import _

PAUSE = 2  # seconds of delay after a wrong secret
MOST_WAITING = 32  # secrets per network

locks: dict[object, asyncio.Lock] = {}
waiting: Counter[object] = Counter()


class TooManyError(Exception):
    """Too many secrets at once; the message is a sentence for the user."""


def network_of(address: str) -> object:
    """Return the network that an address belongs to, as the unit of the rate limit.

    A computer has one IPv4 address, but many IPv6 addresses of a /64. The Pi's own programs have all of 127.0.0.0/8.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if ip.is_loopback:
        return "this Pi"
    return ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False)


def spellings(password: str) -> list[str]:
    """Return a password as typed, then in small letters, since generated passwords have no capitals.

    This gives an attacker no more tries: each request still waits, and is delayed.
    """
    return list(dict.fromkeys([password, password.lower()]))


@asynccontextmanager
async def rate_limited(address: str) -> AsyncIterator[None]:
    """Wait until a network may try a secret: one at a time. TooManyError: too many wait."""
    network = network_of(address)
    if waiting[network] >= MOST_WAITING:
        raise TooManyError(_("Too many at once from your network. Try again soon."))
    waiting[network] += 1
    try:
        async with locks.setdefault(network, asyncio.Lock()):
            yield
    finally:
        waiting[network] -= 1
        if not waiting[network]:
            del waiting[network], locks[network]
