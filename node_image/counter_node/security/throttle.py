"""How fast passwords may be guessed. Pure.

1. A wrong password costs three accounts a token: that of its address, that of its user (all users
   who do not exist share one), and one for all. While each has a token, a login is judged at once.
2. Otherwise it waits for its turn (net/logins.py): so a right password gets in, only later, also
   from an address from which others try passwords.
3. Accounts of addresses lie in a table of fixed size, by a hash that is another one for each
   process. Nothing is ever forgotten but by time: many addresses make some share an account, and
   free none. An address is that of a network (/64) where it is of IPv6.
4. Who logged in from an address before, waits apart from those who never did.
"""

from __future__ import annotations

import ipaddress
from array import array
from collections.abc import Callable
from typing import Final, NamedTuple

CELLS: Final = 4_096
TRUSTED: Final = 4_096
TRUSTED_S: Final = 86_400.0


class Rate(NamedTuple):
    burst: float
    per_s: float


ADDRESS, USER, TOTAL = Rate(10, 1), Rate(50, 5), Rate(200, 20)
Key = tuple[str, str]
"""Address and user; no user for all that do not exist."""


def network(address: str) -> str:
    """What counts as one address."""
    try:
        found = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class Account:
    """What is missing from a burst of tokens, in `count` cells."""

    def __init__(self, rate: Rate, clock: Callable[[], float], count: int = 1) -> None:
        self._rate, self._clock, self._count = rate, clock, count
        self._missing = array("d", bytes(8 * count))
        self._since = array("d", bytes(8 * count))

    def _now(self, cell: int) -> float:
        return max(
            0.0, self._missing[cell] - (self._clock() - self._since[cell]) * self._rate.per_s
        )

    def has(self, cell: int = 0) -> bool:
        return self._now(cell) <= self._rate.burst - 1

    def take(self, cell: int = 0) -> None:
        """At most as many can be missing as there ever were: a flood is over when it is over."""
        self._missing[cell] = min(self._rate.burst, self._now(cell) + 1)
        self._since[cell] = self._clock()


class Throttle:
    def __init__(self, clock: Callable[[], float], salt: bytes = b"") -> None:
        self._clock, self._salt = clock, salt
        self._addresses = Account(ADDRESS, clock, CELLS)
        self._users = Account(USER, clock, CELLS)
        self._total = Account(TOTAL, clock)
        self._trusted: dict[Key, float] = {}  # until when, the newest last

    def _cell(self, what: str) -> int:
        return hash((self._salt, what)) % CELLS

    def admits(self, key: Key) -> bool:
        """Whether a login may be judged at once."""
        return (
            self._total.has()
            and self._addresses.has(self._cell(key[0]))
            and self._users.has(self._cell(key[1]))
        )

    def failed(self, key: Key) -> None:
        self._total.take()
        self._addresses.take(self._cell(key[0]))
        self._users.take(self._cell(key[1]))

    def succeeded(self, key: Key) -> None:
        self._trusted.pop(key, None)
        self._trusted[key] = self._clock() + TRUSTED_S
        while len(self._trusted) > TRUSTED:
            del self._trusted[next(iter(self._trusted))]

    def trusts(self, key: Key) -> bool:
        """This user logged in from this address not long ago."""
        return self._trusted.get(key, -1.0) >= self._clock()
