"""The same commands to a real redis-server and to this one: the bytes of the replies are the same.

Where they are not, on purpose, the reference page of the commands says so. The generator
(random_commands.py) keeps away from these: values that are no integers, and commands that Redis 7.0
does not have."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local import LocalServer
from tests.support.redis_server import RedisServer
from tests.support.unit.fresh_seed import FRESH
from tests.support.unit.protocol_errors import ERRORS
from tests.support.unit.random_commands import MAX, Chance
from tests.support.unit.redis_connection import RealConnection

SEEDS = [1, 2, 3, 4, 5, 6, FRESH]
COMMANDS_PER_SEED = int(os.environ.get("DIFFERENTIAL_COMMANDS", "1500"))


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
            and words[0].upper() in (b"KEYS", b"SCAN", b"HELLO", b"COMMAND", b"DBSIZE")
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


def test_the_remaining_time_is_answered_as_in_redis(real: RealConnection) -> None:
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
