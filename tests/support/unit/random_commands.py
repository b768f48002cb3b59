"""Random commands, most of them right: for tests that ask two servers the same."""

from __future__ import annotations

import random
from collections.abc import Callable

KEYS = [b"a", b"b", b"c", b"d", b"counter:1", b"counter:2", b"x*y", b"[q]", b"\x00\xff"]
MAX, MIN = 2**63 - 1, -(2**63)
ODD_NUMBERS = [
    b"abc",
    b"",
    b" 1",
    b"1 ",
    b"+1",
    b"01",
    b"-0",
    b"1.5",
    b"0x10",
    b"9223372036854775808",
    b"-9223372036854775809",
    b"--1",
    b"1\x00",
]


class Chance:
    """Random words of commands."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def of(self, *choices: bytes) -> bytes:
        return self.rng.choice(choices)

    def of_lists(self, *choices: list[bytes]) -> list[bytes]:
        return self.rng.choice(choices)

    def key(self) -> bytes:
        return self.rng.choice(KEYS)

    def integer(self) -> bytes:
        edge = self.rng.random() < 0.1
        return b"%d" % (
            self.rng.choice([MAX, MIN, MAX - 1, MIN + 1, 0, -1])
            if edge
            else self.rng.randint(-20, 20)
        )

    def number(self) -> bytes:
        return self.rng.choice(ODD_NUMBERS) if self.rng.random() < 0.08 else self.integer()

    def any_case(self, word: bytes) -> bytes:
        return self.rng.choice([word, word.lower(), word.title()])

    def some(self, make: object, least: int = 1, most: int = 4) -> list[bytes]:
        return [make() for _ in range(self.rng.randint(least, most))]  # type: ignore[operator]

    def _or_odd(self, odd: list[bytes], usual: Callable[[], int]) -> bytes:
        return self.rng.choice(odd) if self.rng.random() < 0.2 else b"%d" % usual()

    def seconds(self) -> bytes:
        """Far from where a slow machine would see another second go by; sometimes what must be
        refused."""
        odd = [b"0", b"-1", b"abc", b"9223372036854775807", b"9223372036854775", b"", b"1.5"]
        return self._or_odd(odd, lambda: self.rng.randint(1, 50) * 1_000)

    def milliseconds(self) -> bytes:
        odd = [b"0", b"-1", b"abc", b"9223372036854775807", b""]
        return self._or_odd(odd, lambda: self.rng.randint(1, 50) * 1_000_000)

    def moment_s(self) -> bytes:
        odd = [b"1", b"abc", b"9223372036854775807", b"0", b"-5"]
        return self._or_odd(odd, lambda: 2_000_000_000 + self.rng.randrange(9))

    def moment_ms(self) -> bytes:
        odd = [b"1", b"x", b"9223372036854775807", b"0"]
        return self._or_odd(odd, lambda: 2_000_000_000_499 + self.rng.randrange(999))

    def expiry(self, last: bytes) -> list[bytes]:
        option = self.of(b"EX", b"PX", b"EXAT", b"PXAT", last)
        value = {
            b"EX": self.seconds,
            b"PX": self.milliseconds,
            b"EXAT": self.moment_s,
            b"PXAT": self.moment_ms,
        }.get(option)
        return [self.any_case(option), *([value()] if value and self.rng.random() < 0.97 else [])]

    def options(self, *groups: list[bytes]) -> list[bytes]:
        chosen = [group for group in groups if self.rng.random() < 0.3]
        self.rng.shuffle(chosen)
        return [word for group in chosen for word in group]

    def command(self) -> list[bytes]:
        """Each kind is as likely as there are rows of it."""
        words = self.rng.choice([*self.values(), *self.expiries(), *self.keys(), *self.others()])
        return [self.any_case(words[0]), *words[1:]]

    def values(self) -> list[list[bytes]]:
        c = self
        return [
            [b"INCR", c.key()], [b"DECR", c.key()], [b"INCRBY", c.key(), c.number()],
            [b"DECRBY", c.key(), c.number()], [b"INCRBY", c.key(), c.integer()], [b"GET", c.key()],
            [b"SET", c.key(), c.integer()],
            [b"SET", c.key(), c.integer(), *c.options([b"NX"], [b"XX"], [b"get"],
             c.expiry(b"KEEPTTL"), c.expiry(b"KEEPTTL"), [b"foo"])],
            [b"SET", c.key(), c.integer(), *c.options([c.of(b"NX", b"XX")], [b"GET"],
             c.expiry(b"KEEPTTL"))],
            [b"GETSET", c.key(), c.integer()], [b"GETDEL", c.key()],
            [b"SETNX", c.key(), c.integer()],
            [b"SETEX", c.key(), c.seconds(), c.integer()],
            [b"PSETEX", c.key(), c.milliseconds(), c.integer()],
            [b"MGET", *c.some(c.key)], [b"MSET", *c.pairs()], [b"MSETNX", *c.pairs()],
            [b"MSET", c.key(), c.integer(), c.key()],
        ]  # fmt: skip

    def pairs(self) -> list[bytes]:
        return [w for _ in range(self.rng.randint(1, 3)) for w in (self.key(), self.integer())]

    def expiries(self) -> list[list[bytes]]:
        c = self
        kinds = [
            [b"EXPIRE", c.key(), c.seconds()], [b"PEXPIRE", c.key(), c.milliseconds()],
            [b"EXPIREAT", c.key(), c.moment_s()], [b"PEXPIREAT", c.key(), c.moment_ms()],
        ]  # fmt: skip
        conditions = (
            c.options([b"NX"], [b"XX"], [b"gt"], [b"Lt"], [b"foo"]) if c.rng.random() < 0.5 else []
        )
        return [
            [*c.rng.choice(kinds), *conditions], [*c.rng.choice(kinds)],
            [b"TTL", c.key()], [b"EXPIRETIME", c.key()], [b"PEXPIRETIME", c.key()],
            [b"PERSIST", c.key()],
            [b"GETEX", c.key(), *c.of_lists([], [b"PERSIST"], [b"EX", b"5000"],
             [b"PX", b"x", b"EX"])],
            [b"GETEX", c.key(), *c.options([b"PXAT", b"2000000000999"], [b"ex", b"9000"],
             [b"PERSIST"], [b"foo"])],
        ]  # fmt: skip

    def keys(self) -> list[list[bytes]]:
        c = self
        patterns = (b"*", b"a*", b"counter:?", b"[a-c]", b"x\\*y", b"[^a]", b"\\[q]", b"zzz", b"[",
                    b"*:*")  # fmt: skip
        return [
            [b"DEL", *c.some(c.key)], [b"UNLINK", *c.some(c.key)], [b"EXISTS", *c.some(c.key)],
            [b"TOUCH", *c.some(c.key)], [b"TYPE", c.key()], [b"STRLEN", c.key()], [b"DBSIZE"],
            [b"KEYS", c.of(*patterns)],
            [b"SCAN", b"0", b"COUNT", b"1000", *c.options([b"MATCH", c.of(b"*", b"c*")],
             [b"TYPE", c.of(b"string", b"STRING", b"hash")])],
            [b"SCAN", c.of(b"abc", b"1.5", b"1x", b" 1")],
            [b"SCAN", c.of(b"", b"+0"), b"COUNT", b"1000"],
            [b"SCAN", b"0", c.of(b"COUNT", b"MATCH", b"foo")],
            [b"SCAN", b"0", b"COUNT", c.of(b"0", b"-1", b"x")],
            [b"FLUSHALL", c.of(b"ASYNC", b"SYNC", b"x")], [b"FLUSHDB"],
        ]  # fmt: skip

    def others(self) -> list[list[bytes]]:
        """Transactions, the connection, what there is not, and words that are missing."""
        c = self
        unknown = c.of(b"FOO", b"foo bar", b"\xff\x00z", b"F" * 200)
        known = c.of(b"INCR", b"GET", b"SET", b"DEL", b"TTL", b"EXPIRE", b"EXEC", b"KEYS",
                     b"CLIENT", b"CONFIG", b"COMMAND", b"MGET")  # fmt: skip
        return [
            [b"MULTI"], [b"MULTI"], [b"EXEC"], [b"EXEC"], [b"DISCARD"], [b"UNWATCH"],
            [b"PING"], [b"PING", b"hi"], [b"ECHO", b"a\r\nb"],
            [b"SELECT", c.of(b"0", b"abc", b"99", b"-1", b"--5", b"")],
            [b"CLIENT", c.of(b"GETNAME", b"FOO", b"SETNAME", b"NO-EVICT", b"REPLY", b"\xff")],
            [b"CLIENT", b"SETNAME", c.of(b"me", b"a b", b"", b"\xff")],
            [b"CLIENT", b"NO-EVICT", c.of(b"ON", b"off", b"x")], [b"CLIENT", b"GETREDIR"],
            [b"AUTH", *c.some(lambda: c.of(b"default", b"x"), 1, 3)],
            [unknown, *c.some(lambda: c.of(b"a", b"b\r\nc", b"x" * 100, b"\x00"), 0, 4)],
            [known, *c.some(c.key, 0, 5)][: c.rng.randint(1, 2)],
            [b"CONFIG", b"GET", c.of(b"save", b"appendfsyn", b"zzz")],
            [b"CONFIG", c.of(b"GET", b"FOO")],
            [b"COMMAND", b"GETKEYS", *c.some(lambda: c.of(b"GET", b"MSET", b"a", b"b", b"DEL",
             b"foo", b"PING"), 2, 4)],
            [b"HELLO", *c.options([c.of(b"2", b"3", b"4", b"x", b"")])], [b"RESET"],
        ]  # fmt: skip
