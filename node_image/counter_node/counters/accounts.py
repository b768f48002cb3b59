"""What each user has of the counters, and may have: its account. Part of the replicated state,
since level 4.

1. A counter belongs to the user whose command made it, if that user had a limit then, until the
   counter is gone. Others may add to it, set it or give it an expiry meanwhile. All other counters
   belong to nobody, and cost nothing here.
2. An account counts those counters and what they take, expiries included, in the units of
   weights.py. So what one user has follows from the entries of the log alone.
3. A command is refused, before it changes anything, what would take the account of its user past a
   limit: a counter more, or an expiry for a counter of its own. What exists goes on: it is added
   to, read and deleted.
4. The producers of a user (producers.py) are bounded by its limit of bytes too, but by themselves:
   counters up to the limit leave room to say IDMP, and the other way round.
5. Limits come through the log (batches.UserLimits), as all replicas must refuse alike. A limit that
   is lower than what is there takes nothing away.
6. An account is there while it has a limit or a counter. Its number stands with each counter; a new
   account gets the lowest that is free.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Final

from counter_node.counters import weights
from counter_node.counters.batches import LimitsRow
from counter_node.counters.replies import Failure
from counter_node.counters.table import Table

TOO_MANY_KEYS: Final = (
    b"OOM user %s has %d counters of its own and may have %d (limits.keys); it was not executed."
    b" Delete some, or have the limit raised"
)
TOO_MANY_BYTES: Final = (
    b"OOM user %s has counters of %d bytes and may have %d (limits.bytes); it was not executed."
    b" Delete some, or have the limit raised"
)
TOO_MANY_PRODUCERS: Final = (
    b"OOM user %s has producers of IDMP that take %d bytes and may have %d (limits.bytes); it "
    b"was not"
    b" executed. Each is forgotten 24 hours after its last request; or have the limit raised"
)
Row = tuple[int, bytes, int | None, int | None]
"""Of a snapshot: number, name and limits. What is used follows from the counters."""


class Account:
    __slots__ = ("keys", "most_bytes", "most_keys", "name", "number", "refused", "size_bytes")

    def __init__(self, number: int, name: bytes) -> None:
        self.number, self.name = number, name
        self.keys = self.size_bytes = 0
        self.most_keys: int | None = None
        self.most_bytes: int | None = None
        self.refused = {"keys": 0, "bytes": 0}
        """By this process, for its metrics; no part of the state."""

    @property
    def limited(self) -> bool:
        return self.most_keys is not None or self.most_bytes is not None

    def passes(self, keys: int, size_bytes: int) -> str:
        """The limit that so much more would be past; empty when it may be."""
        if keys and self.most_keys is not None and self.keys + keys > self.most_keys:
            return "keys"
        most = self.most_bytes
        return (
            "bytes"
            if size_bytes and most is not None and self.size_bytes + size_bytes > most
            else ""
        )

    def refusal(self, limit: str) -> Failure:
        self.refused[limit] += 1
        if limit == "keys":
            return Failure(TOO_MANY_KEYS % (self.name, self.keys, self.most_keys))
        return Failure(TOO_MANY_BYTES % (self.name, self.size_bytes, self.most_bytes))


class Accounts:
    """`owners`: the number of the account that each counter belongs to, of those that belong to
    one."""

    def __init__(self) -> None:
        self.owners: Table[int] = Table()
        self.by_name: dict[bytes, Account] = {}
        self._by_number: dict[int, Account] = {}
        self._held: list[Account] | None = None

    def govern(self, rows: Iterable[LimitsRow]) -> None:
        """These limits and no others are in force."""
        wanted = {name: (keys, size_bytes) for name, keys, size_bytes in rows}
        for name in wanted.keys() - self.by_name.keys():
            assert wanted[name] != (None, None), "a row has a limit"
        for name in wanted:
            if name not in self.by_name:
                self._open(next(n for n in itertools.count(1) if n not in self._by_number), name)
        for account in list(self.by_name.values()):
            account.most_keys, account.most_bytes = wanted.get(account.name, (None, None))
            self._close_if_empty(account)

    def limits(self) -> tuple[LimitsRow, ...]:
        """Those in force, by name."""
        found = [(a.name, a.most_keys, a.most_bytes) for a in self.by_name.values() if a.limited]
        return tuple(sorted(found))

    def of(self, user: bytes) -> Account | None:
        """None for a user without a limit."""
        account = self.by_name.get(user)
        return account if account is not None and account.limited else None

    def most_bytes_of(self, user: bytes | None) -> int | None:
        account = self.by_name.get(user) if user is not None else None
        return None if account is None else account.most_bytes

    def _open(self, number: int, name: bytes) -> Account:
        account = self.by_name[name] = self._by_number[number] = Account(number, name)
        return account

    def _close_if_empty(self, account: Account) -> None:
        if self._held is not None:
            self._held.append(account)
        elif not account.keys and not account.limited and self.by_name.get(account.name) is account:
            del self.by_name[account.name], self._by_number[account.number]

    def hold(self) -> None:
        """No account closes until `release`: what a script did may be taken back."""
        self._held = []

    def release(self) -> None:
        held, self._held = self._held, None
        for account in held or ():
            self._close_if_empty(account)

    def owner_of(self, key: bytes) -> Account | None:
        number = self.owners.get(key)
        return None if number is None else self._by_number[number]

    # --- counters -------------------------------------------------------------------------------

    def made(self, account: Account, key: bytes) -> None:
        """A counter that is new, without an expiry yet."""
        self.owners[key] = account.number
        account.keys += 1
        account.size_bytes += weights.KEY + weights.OWNER + len(key)

    def gone(self, key: bytes, *, expiring: bool) -> bool:
        """A counter goes. True: it belonged to somebody."""
        number = self.owners.pop(key, None)
        if number is None:
            return False
        account = self._by_number[number]
        account.keys -= 1
        account.size_bytes -= weights.KEY + weights.OWNER + len(key)
        if expiring:
            account.size_bytes -= weights.DEADLINE
        self._close_if_empty(account)
        return True

    def grown(self, key: bytes, size_bytes: int) -> None:
        """A counter takes so much more; less than nothing: so much less."""
        number = self.owners.get(key)
        if number is not None:
            self._by_number[number].size_bytes += size_bytes

    def used(self) -> list[tuple[Account, int, int]]:
        """What each has: counters, and their bytes."""
        return [(a, a.keys, a.size_bytes) for a in self.by_name.values()]

    def put_back(self, owners: Table[int], used: list[tuple[Account, int, int]]) -> None:
        """As before `clear`, since when no account closed (`hold`)."""
        self.owners = owners
        for account, keys, size_bytes in used:
            account.keys, account.size_bytes = keys, size_bytes

    def clear(self) -> Table[int]:
        """All counters go. What is returned is the caller's to free in slices."""
        owners, self.owners = self.owners, Table()
        for account in list(self.by_name.values()):
            account.keys = account.size_bytes = 0
            self._close_if_empty(account)
        return owners

    # --- snapshots ------------------------------------------------------------------------------

    def dump(self) -> list[Row]:
        """Without `owners`, of which a dump takes a piece at a time."""
        return [(a.number, a.name, a.most_keys, a.most_bytes) for a in self.by_name.values()]

    def load(self, rows: Iterable[Row]) -> None:
        for number, name, keys, size_bytes in rows:
            account = self._open(number, name)
            account.most_keys, account.most_bytes = keys, size_bytes

    def take_owners(self, piece: dict[bytes, int], expiring: Table[int]) -> None:
        """Of counters that are there, with their expiries."""
        self.owners.absorb(piece)
        for key, number in piece.items():
            account = self._by_number[number]
            account.keys += 1
            account.size_bytes += weights.KEY + weights.OWNER + len(key)
            if key in expiring:
                account.size_bytes += weights.DEADLINE
