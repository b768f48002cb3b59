"""The same commands to a real redis-server and to this one: the bytes of the replies are the same.

Where they are not, on purpose, the reference page of the commands says so. The generator below
keeps away from these: values that are no integers, and commands that Redis 7.0 does not have."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local import LocalServer
from tests.support.redis_server import RedisServer
from tests.support.unit.protocol_errors import ERRORS
from tests.support.unit.redis_connection import RealConnection

SEEDS = [1, 2, 3, 4, 5, 6, random.SystemRandom().randrange(10**9)]
COMMANDS_PER_SEED = int(os.environ.get("DIFFERENTIAL_COMMANDS", "1500"))
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


@pytest.fixture(scope="module")
def redis_port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(directory) as server:
        yield server.port


@pytest.fixture
def real(redis_port: int) -> Iterator[RealConnection]:
    connection = RealConnection(redis_port)
    connection.command(b"FLUSHALL")
    yield connection
    connection.close()


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

    def seconds(self) -> bytes:
        """Far from where a slow machine would see another second go by; sometimes what must be
        refused."""
        odd = [b"0", b"-1", b"abc", b"9223372036854775807", b"9223372036854775", b"", b"1.5"]
        return (
            self.rng.choice(odd)
            if self.rng.random() < 0.2
            else b"%d" % (self.rng.randint(1, 50) * 1_000)
        )

    def milliseconds(self) -> bytes:
        odd = [b"0", b"-1", b"abc", b"9223372036854775807", b""]
        return (
            self.rng.choice(odd)
            if self.rng.random() < 0.2
            else b"%d" % (self.rng.randint(1, 50) * 1_000_000)
        )

    def moment_s(self) -> bytes:
        odd = [b"1", b"abc", b"9223372036854775807", b"0", b"-5"]
        return (
            self.rng.choice(odd)
            if self.rng.random() < 0.2
            else b"%d" % (2_000_000_000 + self.rng.randrange(9))
        )

    def moment_ms(self) -> bytes:
        odd = [b"1", b"x", b"9223372036854775807", b"0"]
        return (
            self.rng.choice(odd)
            if self.rng.random() < 0.2
            else b"%d" % (2_000_000_000_499 + self.rng.randrange(999))
        )

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
        c = self
        ttl = [[b"EXPIRE", c.key(), c.seconds()], [b"PEXPIRE", c.key(), c.milliseconds()],
        [b"EXPIREAT", c.key(), c.moment_s()],
               [b"PEXPIREAT", c.key(), c.moment_ms()]]  # fmt: skip
        conditions = (
            c.options([b"NX"], [b"XX"], [b"gt"], [b"Lt"], [b"foo"]) if c.rng.random() < 0.5 else []
        )
        makers = [
            [b"INCR", c.key()], [b"DECR", c.key()], [b"INCRBY", c.key(), c.number()], [b"DECRBY",
            c.key(), c.number()],
            [b"INCRBY", c.key(), c.integer()],
            [b"GET", c.key()], [b"SET", c.key(), c.integer()],
            [b"SET", c.key(), c.integer(), *c.options([b"NX"], [b"XX"], [b"get"],
            c.expiry(b"KEEPTTL"), c.expiry(b"KEEPTTL"), [b"foo"])],
            [b"SET", c.key(), c.integer(), *c.options([c.of(b"NX", b"XX")], [b"GET"],
            c.expiry(b"KEEPTTL"))],
            [b"GETSET", c.key(), c.integer()], [b"GETDEL", c.key()], [b"SETNX", c.key(),
            c.integer()],
            [b"SETEX", c.key(), c.seconds(), c.integer()], [b"PSETEX", c.key(), c.milliseconds(),
            c.integer()],
            [b"MGET", *c.some(c.key)], [b"MSET", *[w for _ in range(c.rng.randint(1,
            3)) for w in (c.key(), c.integer())]],
            [b"MSETNX", *[w for _ in range(c.rng.randint(1, 3)) for w in (c.key(), c.integer())]],
            [b"MSET", c.key(), c.integer(), c.key()],
            [b"DEL", *c.some(c.key)], [b"UNLINK", *c.some(c.key)], [b"EXISTS", *c.some(c.key)],
            [b"TOUCH", *c.some(c.key)], [b"TYPE", c.key()],
            [b"STRLEN", c.key()], [b"TTL", c.key()], [b"EXPIRETIME", c.key()], [b"PERSIST",
            c.key()], [b"DBSIZE"],
            [*c.rng.choice(ttl), *conditions], [*c.rng.choice(ttl)], [b"PEXPIRETIME", c.key()],
            [b"KEYS", c.of(b"*", b"a*", b"counter:?", b"[a-c]", b"x\\*y", b"[^a]", b"\\[q]", b"zzz",
            b"[", b"*:*")],
            [b"SCAN", b"0", b"COUNT", b"1000", *c.options([b"MATCH", c.of(b"*", b"c*")], [b"TYPE",
            c.of(b"string", b"STRING", b"hash")])],
            [b"SCAN", c.of(b"abc", b"1.5", b"1x", b" 1")], [b"SCAN", c.of(b"", b"+0"), b"COUNT",
            b"1000"],
            [b"SCAN", b"0", c.of(b"COUNT", b"MATCH", b"foo")],
            [b"GETEX", c.key(), *c.of_lists([], [b"PERSIST"], [b"EX", b"5000"], [b"PX", b"x",
            b"EX"])],
            [b"GETEX", c.key(), *c.options([b"PXAT", b"2000000000999"], [b"ex", b"9000"],
            [b"PERSIST"], [b"foo"])],
            [b"SCAN", b"0", b"COUNT", c.of(b"0", b"-1", b"x")],
            [b"MULTI"], [b"MULTI"], [b"EXEC"], [b"EXEC"], [b"DISCARD"], [b"UNWATCH"],
            [b"PING"], [b"PING", b"hi"], [b"ECHO", b"a\r\nb"], [b"SELECT", c.of(b"0", b"abc", b"99",
            b"-1", b"--5", b"")],
            [b"CLIENT", c.of(b"GETNAME", b"FOO", b"SETNAME", b"NO-EVICT", b"REPLY", b"\xff")],
            [b"CLIENT", b"SETNAME", c.of(b"me", b"a b", b"", b"\xff")],
            [b"CLIENT", b"NO-EVICT", c.of(b"ON", b"off", b"x")], [b"CLIENT", b"GETREDIR"], [b"AUTH",
            *c.some(lambda: c.of(b"default", b"x"), 1, 3)],
            [b"FLUSHALL", c.of(b"ASYNC", b"SYNC", b"x")], [b"FLUSHDB"],
            [c.of(b"FOO", b"foo bar", b"\xff\x00z", b"F" * 200), *c.some(lambda: c.of(b"a",
            b"b\r\nc", b"x" * 100, b"\x00"), 0, 4)],
            [c.of(b"INCR", b"GET", b"SET", b"DEL", b"TTL", b"EXPIRE", b"EXEC", b"KEYS", b"CLIENT",
            b"CONFIG", b"COMMAND", b"MGET"),
             *c.some(c.key, 0, 5)][: c.rng.randint(1, 2)],
            [b"CONFIG", b"GET", c.of(b"save", b"appendfsyn", b"zzz")], [b"CONFIG", c.of(b"GET",
            b"FOO")],
            [b"COMMAND", b"GETKEYS", *c.some(lambda: c.of(b"GET", b"MSET", b"a", b"b", b"DEL",
            b"foo", b"PING"), 2, 4)],
            [b"HELLO", *c.options([c.of(b"2", b"3", b"4", b"x", b"")])], [b"RESET"],
        ]  # fmt: skip
        words = c.rng.choice(makers)
        return [c.any_case(words[0]), *words[1:]]


NOT_COMPARED = {b"HELLO", b"COMMAND"}
"""Only whether they succeed: the replies tell the version, the number of the connection, and
commands of Redis that are no others' business."""


def alike(words: list[bytes], ours: bytes, theirs: bytes) -> bool:
    name = words[0].upper()
    if name in NOT_COMPARED and theirs[:1] != b"-":
        return ours[:1] != b"-"
    if name in (b"KEYS", b"SCAN") or b"KEYS" in (w.upper() for w in words):
        return sorted(ours.split(b"\r\n")) == sorted(theirs.split(b"\r\n"))
    return ours == theirs or same_but_for_the_clock(ours, theirs)


def same_but_for_the_clock(ours: bytes, theirs: bytes) -> bool:
    """Seconds or milliseconds of an expiry, of which another one may have gone by. Counters are
    smaller, or at the edge of 64 bits."""
    pairs = list(zip(ours.split(b"\r\n"), theirs.split(b"\r\n"), strict=False))
    if ours.count(b"\r\n") != theirs.count(b"\r\n"):
        return False
    for mine, other in pairs:
        if mine == other:
            continue
        if mine[:1] != b":" or other[:1] != b":" or not 1_000 <= int(other[1:]) < 10**15:
            return False
        if abs(int(mine[1:]) - int(other[1:])) > (1_500 if int(other[1:]) > 10**12 else 1):
            return False
    return True


@pytest.mark.parametrize("seed", SEEDS)
def test_random_commands_are_answered_byte_for_byte_as_redis_answers_them(
    real: RealConnection, seed: int
) -> None:
    chance, local = Chance(seed), LocalServer().connect()
    history: list[list[bytes]] = []
    queued_keys = False
    for _ in range(COMMANDS_PER_SEED):
        words = chance.command()
        history.append(words)
        ours, theirs = local.command(*words), real.command(*words)
        if words[0].upper() == b"DBSIZE" and ours != theirs and theirs[:1] == b":":
            real.command(b"KEYS", b"*")  # Redis counts a key that has expired until it meets it
            theirs = real.command(*words)
        queued_keys = queued_keys or (
            theirs == b"+QUEUED\r\n"
            and words[0].upper() in (b"KEYS", b"SCAN", b"HELLO", b"COMMAND")
        )
        if words[0].upper() == b"EXEC" and queued_keys:
            queued_keys = False
            if theirs[:1] == b"*":
                assert ours[:1] == b"*"
                continue
        assert alike(words, ours, theirs), (
            f"seed {seed}: {words} → {ours!r}, redis: {theirs!r}; before it: {history[-8:-1]}"
        )


WATCHING = [
    [b"WATCH", b"a"], [b"WATCH", b"b", b"c"], [b"UNWATCH"], [b"MULTI"], [b"MULTI"], [b"EXEC"],
    [b"EXEC"], [b"EXEC"], [b"DISCARD"], [b"RESET"],
    [b"INCR", b"a"], [b"INCR", b"b"], [b"SET", b"c", b"1"], [b"DEL", b"a"], [b"DEL", b"b", b"c"],
    [b"EXPIRE", b"a", b"5000"], [b"PERSIST", b"a"],
    [b"GET", b"a"], [b"MGET", b"a", b"b"], [b"FLUSHALL"], [b"SETNX", b"a", b"1"], [b"GETDEL", b"b"],
    [b"EXPIRE", b"c", b"-1"], [b"INCR"],
    [b"NONSENSE"], [b"GETEX", b"a", b"EX", b"4000"], [b"GETEX", b"a"], [b"EXPIRE", b"zzz", b"5"],
    [b"SET", b"a", b"1", b"NX"],
    [b"MSETNX", b"a", b"1", b"b", b"2"],
]  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_what_several_connections_watch_and_change_ends_as_in_redis(
    redis_port: int, real: RealConnection, seed: int
) -> None:
    rng, server = random.Random(seed), LocalServer()
    pairs = [
        (server.connect(), real),
        *((server.connect(), RealConnection(redis_port)) for _ in range(2)),
    ]
    history: list[tuple[int, list[bytes]]] = []
    for _ in range(COMMANDS_PER_SEED):
        number = rng.randrange(3)
        words = rng.choice(WATCHING)
        history.append((number, words))
        ours, theirs = pairs[number][0].command(*words), pairs[number][1].command(*words)
        assert ours == theirs, f"seed {seed}: {ours!r}, redis: {theirs!r}, after {history[-15:]}"
    for _, connection in pairs[1:]:
        connection.close()


CHANGES = [
    [b"INCR", b"a"], [b"SET", b"a", b"7"], [b"SET", b"a", b"8"], [b"DEL", b"a"], [b"DEL", b"zzz"],
    [b"EXPIRE", b"a", b"900"], [b"PERSIST", b"a"],
    [b"PERSIST", b"b"], [b"FLUSHALL"], [b"FLUSHDB"], [b"GETEX", b"a", b"PERSIST"], [b"GETEX", b"a"],
    [b"GETDEL", b"a"], [b"GETSET", b"a", b"7"],
    [b"SETNX", b"a", b"1"], [b"SETNX", b"c", b"1"], [b"EXPIRE", b"a", b"-1"], [b"MSET", b"a", b"7"],
    [b"INCRBY", b"a", b"0"], [b"PING"],
    [b"SET", b"a", b"1", b"NX"], [b"SET", b"a", b"7", b"KEEPTTL"], [b"EXPIRE", b"a", b"1", b"NX"],
    [b"GET", b"a"], [b"INCRBY", b"a", b"%d" % MAX],
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=[b" ".join(words).decode() for words in CHANGES])
def test_a_watch_is_broken_by_what_breaks_it_in_redis(
    redis_port: int, real: RealConnection, change: list[bytes]
) -> None:
    server, other = LocalServer(), RealConnection(redis_port)
    watcher, changer = (server.connect(), real), (server.connect(), other)
    script = [(changer, [b"SET", b"a", b"7", b"EX", b"500"]), (changer, [b"SET", b"b", b"7"]),
    (watcher, [b"WATCH", b"a", b"b", b"c"]),
              (changer, change), (watcher, [b"MULTI"]), (watcher, [b"INCR", b"x"]), (watcher,
              [b"EXEC"])]  # fmt: skip
    for (local, peer), words in script:
        assert local.command(*words) == peer.command(*words), words
    other.close()


PATTERN_PIECES = [
    b"*",
    b"?",
    b"[",
    b"]",
    b"^",
    b"-",
    b"\\",
    b"a",
    b"b",
    b"c",
    b"!",
    b"[a-c]",
    b"[^b]",
    b"\\*",
]


def test_patterns_match_what_they_match_in_redis(real: RealConnection) -> None:
    rng = random.Random(11)
    local = LocalServer().connect()
    names = [
        bytes(rng.choice(b"abc!-]^*\\[") for _ in range(rng.randint(1, 4))) for _ in range(120)
    ]
    for name in names:
        local.command(b"SET", name, b"1")
        real.command(b"SET", name, b"1")
    for _ in range(1_500):
        pattern = b"".join(rng.choice(PATTERN_PIECES) for _ in range(rng.randint(1, 5)))
        ours, theirs = (sorted(c.command(b"KEYS", pattern).split(b"\r\n")) for c in (local, real))
        assert ours == theirs, pattern


@pytest.mark.parametrize(
    ("data", "text"), ERRORS, ids=[text + str(n) for n, (_, text) in enumerate(ERRORS)]
)
def test_protocol_errors_are_those_of_redis(redis_port: int, data: bytes, text: str) -> None:
    connection = RealConnection(redis_port)
    theirs = connection.send_until_closed(b"*1\r\n$4\r\nPING\r\n" + data)
    connection.close()
    assert (
        LocalServer().connect().send(b"*1\r\n$4\r\nPING\r\n" + data)
        == theirs
        == b"+PONG\r\n-ERR Protocol error: %s\r\n" % text.encode()
    )


INLINE = [
    b"PING\r\n", b"ping hi\n", b'SET k "1"\r\n', b"SET k '7'\nGET k\r\n",
    b'ECHO "a\\x41\\n\\t\\"b"\r\n', b"ECHO 'it\\'s'\r\n", b"\r\n\r\nPING\r\n",
    b'ECHO ""\r\n', b"*0\r\n*-1\r\nPING\r\n", b"ECHO a\x0bb\x0cc\r\n", b"  PING  \r\n",
    b"*1\r\n$4\r\nPINGxxPING\r\n", b"ECHO \xff\xa0\r\n",
    b"+PING\r\n", b"#t\r\n", b"ECHO \x0ba\r\n", b"ECHO 'a'\x0bx\r\n", b"PING\r\r\n",
]  # fmt: skip


@pytest.mark.parametrize("data", INLINE)
def test_a_person_at_a_terminal_is_understood_as_redis_understands(
    redis_port: int, data: bytes
) -> None:
    connection = RealConnection(redis_port)
    theirs = connection.send_until_closed(data)
    connection.close()
    assert LocalServer().connect().send(data) == theirs


def test_the_remaining_time_is_told_as_in_redis(real: RealConnection) -> None:
    local = LocalServer().connect()
    for words in (
        [b"SET", b"k", b"1", b"PX", b"100600"],
        [b"SET", b"l", b"1", b"EXAT", b"%d" % (time.time() + 50)],
    ):
        local.command(*words)
        real.command(*words)
    for words in ([b"TTL", b"k"], [b"EXPIRETIME", b"l"], [b"PEXPIRETIME", b"l"]):
        assert local.command(*words) == real.command(*words)
    assert abs(int(local.command(b"PTTL", b"k")[1:]) - int(real.command(b"PTTL", b"k")[1:])) < 400
