"""Limits of users, in lines of the file of users that Redis and older versions take for comments:

    #limits app keys=100000 bytes=20000000 commands=500
    #strict-patterns

1. `keys`, `bytes`: what the counters that this user makes may be, and take (counters/accounts.py).
   The leader's file is put in force through the log, so all nodes refuse the same.
2. `commands`: how many a second this user may give to each node, over all its connections there,
   and as many at once. It is a matter of the node alone: nothing is asked of others for it.
3. `#strict-patterns`: a user's patterns of keys hold for commands without a key, too. SCAN, KEYS,
   RANDOMKEY, DBSIZE and INFO tell it of keys in its patterns alone, and FLUSHALL is refused.
4. A line that makes no sense is refused as any other of the file is, and the last good limits stay.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from counter_node.counters.replies import Failure
from counter_node.security.throttle import Account, Rate

LINE: Final = "#limits"
STRICT: Final = "#strict-patterns"
MOST: Final = 2_000
"""Users with a limit. Their rows are one entry of the log."""
LARGEST: Final = (1 << 63) - 1
TOO_FAST: Final = (
    "ERR user {} may give {} commands a second to this node (limits.commandsPerSecond); it was not"
    " executed. Send fewer, or have the limit raised"
)
_FIELDS: Final = ("keys", "bytes", "commands")


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """None: none."""

    keys: int | None = None
    bytes: int | None = None
    commands: int | None = None

    @property
    def of_counters(self) -> bool:
        return self.keys is not None or self.bytes is not None

    def lower(self, other: Limits | None) -> Limits:
        """Of each the lower."""
        if other is None:
            return self
        both = ((getattr(self, field), getattr(other, field)) for field in _FIELDS)
        return Limits(*(min((n for n in pair if n is not None), default=None) for pair in both))

    def line(self, name: str) -> str:
        found = [(field, getattr(self, field)) for field in _FIELDS]
        return " ".join([LINE, name, *(f"{field}={n}" for field, n in found if n is not None)])


def limits(words: Iterable[str]) -> Limits:
    """Of a line, without its first two words. Raises ValueError."""
    found: dict[str, int] = {}
    for word in words:
        field, equals, number = word.partition("=")
        if field not in _FIELDS or field in found or not equals:
            raise ValueError(
                f"a limit is keys=N, bytes=N or commands=N, each once; not {word[:64]!r}"
            )
        least = 1 if field == "commands" else 0
        digits = number.lstrip("0") or number[:1]
        if not (digits.isascii() and digits.isdigit()) or not least <= int(digits[:20]) <= LARGEST:
            raise ValueError(f"{field} is {number[:64]!r}; a whole number from {least} on")
        found[field] = int(digits)
    if not found:
        raise ValueError("a line of limits has keys=N, bytes=N or commands=N")
    return Limits(**found)


class Limited(Protocol):
    """A user, as far as its limits go."""

    @property
    def name(self) -> str: ...

    @property
    def limits(self) -> Limits | None: ...


class Pace:
    """How many commands users with a limit give to this node. Pure."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._accounts: dict[str, tuple[int, Account]] = {}  # by user: commands a second, tokens
        self.taken: dict[str, int] = {}
        self.refused: dict[str, int] = {}

    def settle(self, users: Iterable[Limited]) -> None:
        """These are in force. Who has the same limit as before has the same tokens."""
        before, self._accounts = self._accounts, {}
        limited = [u for u in users if u.limits is not None]
        for user in limited:
            self.taken.setdefault(user.name, 0)
            self.refused.setdefault(user.name, 0)
            if user.limits is None or (most := user.limits.commands) is None:
                continue
            last = before.get(user.name)
            fresh = most, Account(Rate(most, most), self._clock)
            self._accounts[user.name] = last if last is not None and last[0] == most else fresh
        names = {user.name for user in limited}
        for table in (self.taken, self.refused):
            for gone in table.keys() - names:
                del table[gone]

    def refusal(self, user: Limited | None) -> Failure | None:
        """Why the next command of a user is not taken, if so."""
        if user is None or user.limits is None:
            return None
        most, account = self._accounts.get(user.name, (0, None))
        if account is not None:
            if not account.has():
                self.refused[user.name] += 1
                return Failure(TOO_FAST.format(user.name, most).encode())
            account.take()
        self.taken[user.name] = self.taken.get(user.name, 0) + 1
        return None
