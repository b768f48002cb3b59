"""What scripts may call, and by whose rights. It is part of the cluster's level: replicas of
different versions read the words of a script's commands, and must make the same of them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from counter_node.counters.levels import LEVEL
from counter_node.counters.scripts import Call
from counter_node.resp import called
from counter_node.resp.called import CALLABLE, operation
from counter_node.resp.commands import CATALOGUE, TABLE
from counter_node.resp.keyed_commands import KEYED
from counter_node.script import library
from counter_node.security.limits import STRICT
from counter_node.security.refusals import Refusals
from counter_node.users.access import Access

from tests.support.local import LocalConnection, LocalServer
from tests.support.redis_server import RedisServer
from tests.support.unit.redis_connection import RealConnection

NAMES = {5: "40ebb5806caab978"}
"""Level → the names that scripts can find: a script asks for one by pcall, and an older member
would answer otherwise. `Call` and the engine do not know the cluster's level yet: whoever adds a
name gives it to them first, so that below its level the name stays unknown."""
DIGESTS = {5: "78ec5b4f79c6668d"}
"""Level → what `corpus` becomes. Where the digest is another one, a script could notice: that is a
new level, whose row comes beside this one, and below which the old way must stay."""


def corpus() -> Iterator[list[bytes]]:
    """Commands with right and wrong words, the same ones each time."""
    chance = random.Random(5)
    words = [
        b"k", b"", b"x" * 1_025, b"1", b"0", b"-1", b"+1", b"01", b"1.5", b"9223372036854775807",
        b"9223372036854775808", b"-9223372036854775808", b"EX", b"px", b"EXAT", b"PXAT", b"NX",
        b"xx", b"GT", b"LT", b"GET", b"KEEPTTL", b"PERSIST", b"IFEQ", b"BYINT", b"LBOUND",
        b"UBOUND", b"SATURATE", b"ENX", b"MATCH", b"COUNT", b"TYPE", b"string", b"*", b"ASYNC",
        b"99999999999999",
    ]  # fmt: skip
    names = [*CALLABLE, "nope", "eval", "multi", "info", "subscribe", "idmp", "wait", "hello"]
    for name in names:
        for _ in range(250):
            count = chance.randrange(7)
            yield [name.encode(), *(chance.choice(words) for _ in range(count))]


def test_what_a_script_s_words_mean_is_that_of_the_level() -> None:
    digest = hashlib.sha256()
    for words in corpus():
        for read_only in (False, True):
            digest.update(repr(operation(list(words), Call(None, read_only, 7))).encode())
    assert digest.hexdigest()[:16] == DIGESTS[LEVEL]


def test_the_names_that_scripts_can_find_are_those_of_the_level() -> None:
    found = sorted(name.decode() for name in called._KNOWN)
    for table, modules in library.TABLES.items():
        found += sorted(f"{table}.{name}" for module in modules for name in module.FUNCTIONS)
    assert hashlib.sha256(" ".join(found).encode()).hexdigest()[:16] == NAMES[LEVEL]


def test_every_command_about_counters_may_be_called() -> None:
    assert set(CALLABLE) == {c.name for c in KEYED if c.name != "idmp"} | {
        "time", "ping", "echo", "select"
    }  # fmt: skip
    assert len(CALLABLE) == len(set(CALLABLE))


@pytest.mark.parametrize("name", sorted({c.name for c in TABLE.values()} - set(CALLABLE)))
def test_a_command_that_only_a_node_or_a_connection_knows_is_refused(name: str) -> None:
    found = operation([name.encode(), b"1", b"2", b"3"], Call(None, False, 1))
    assert found == b"ERR This Redis command is not allowed from script"


# --- rights ---------------------------------------------------------------------------------------

USERS = {
    "all": "~* +@all",
    "reader": "%R~a* ~b* +@read +@scripting",
    "writer": "~a* +@write +@read +eval +eval_ro",
    "some": "~a* +@all -del -@dangerous",
    "noscripts": "~* +@all -@scripting",
    "one": "~a* +eval +incr +evalsha +script|load",
    "none": "~* +get",
}
SCRIPTS = [
    b"return redis.call('incr', KEYS[1])",
    b"return redis.call('get', KEYS[1])",
    b"return redis.call('get', 'b1')",
    b"return redis.call('set', 'c1', 5)",
    b"return redis.call('del', 'a1')",
    b"return redis.pcall('mget', 'a1', 'b1', 'c1')",
    b"return redis.pcall('set', 'a1', 5, 'GET')",
    b"return redis.call('dbsize')",
    b"return redis.call('flushall')",
    b"return redis.call('echo', 'x')",
]


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(directory) as server:
        yield server.port


@pytest.fixture
def ours(tmp_path: Path) -> Callable[[str], LocalConnection]:
    path, server = tmp_path / "users.acl", LocalServer()
    lines = [f"user {name} on >pass {rules}\n" for name, rules in USERS.items()]
    path.write_text("".join(lines))
    access = Access(path, CATALOGUE, Refusals())

    def connect(user: str) -> LocalConnection:
        found = server.connect()
        found.session.access = access
        access.settle(found.session)
        assert found.command(b"AUTH", user.encode(), b"pass") == b"+OK\r\n"
        return found

    return connect


@pytest.mark.parametrize("user", USERS)
def test_rights_in_a_script_are_those_of_its_user_as_in_redis(
    port: int, ours: Callable[[str], LocalConnection], user: str
) -> None:
    admin = RealConnection(port)
    admin.command(b"FLUSHALL")
    admin.command(b"ACL", b"SETUSER", user.encode(), b"reset", b"on", b">pass",
                  *(word.encode() for word in USERS[user].split()))  # fmt: skip
    real, local = RealConnection(port), ours(user)
    assert real.command(b"AUTH", user.encode(), b"pass") == b"+OK\r\n"
    for name in (b"EVAL", b"EVAL_RO"):
        for text in SCRIPTS:
            for key in (b"a1", b"b1", b"c1"):
                words = (name, text, b"1", key)
                assert alike(local.command(*words)) == alike(real.command(*words)), words
    for words in ((b"SCRIPT", b"LOAD", b"return 1"), (b"SCRIPT", b"FLUSH")):
        assert alike(local.command(*words)) == alike(real.command(*words))


def alike(reply: bytes) -> bytes:
    """The words of a refusal are those of Redis 7.2 here; an older one says the same in others."""
    refused = (b"-NOPERM", b"-ERR The user executing the script can't ")
    return b"NOPERM" if any(words in reply for words in refused) else reply


def test_a_right_that_is_taken_away_holds_for_scripts_that_are_sent_afterwards(
    ours: Callable[[str], LocalConnection], tmp_path: Path
) -> None:
    connection = ours("some")
    access = connection.session.access
    assert isinstance(access, Access)
    assert connection.command(b"EVAL", SCRIPTS[0], b"1", b"a1") == b":1\r\n"
    (tmp_path / "users.acl").write_text("user some on >pass ~a* +eval +get\n")
    access.file.read_again()
    access.settle(connection.session)
    assert b"NOPERM ACL failure in script" in connection.command(b"EVAL", SCRIPTS[0], b"1", b"a1")


def test_a_script_lists_what_its_user_may_know(tmp_path: Path) -> None:
    path, server = tmp_path / "users.acl", LocalServer()
    path.write_text(STRICT + "\nuser u on >pass ~mine* +@all\n")
    access = Access(path, CATALOGUE, Refusals())
    other, mine = server.connect(), server.connect()
    mine.session.access = access
    access.settle(mine.session)
    mine.command(b"AUTH", b"u", b"pass")
    other.command(b"MSET", b"mine1", b"1", b"theirs", b"1")
    assert (
        mine.command(b"EVAL", b"return redis.call('keys', '*')", b"0") == b"*1\r\n$5\r\nmine1\r\n"
    )
    assert mine.command(b"EVAL", b"return redis.call('dbsize')", b"0") == b":1\r\n"
    assert b"NOPERM" in mine.command(b"EVAL", b"return redis.call('flushall')", b"0")
