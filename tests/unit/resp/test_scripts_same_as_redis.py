"""Scripts to a real redis-server (7.0 or later) and to this one: the bytes of the replies are the
same, in both protocols.

Where a script fails, Redis keeps what it did before and we do not, so both are emptied after that.
Only the error is compared. Scripts without commands: tests/unit/script/test_same_as_redis.py."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.local import LocalServer
from tests.support.redis_server import RedisServer
from tests.support.unit.fresh_seed import FRESH
from tests.support.unit.redis_connection import RealConnection

SEEDS = [1, 2, 3, FRESH]
SCRIPTS_PER_SEED = int(os.environ.get("DIFFERENTIAL_SCRIPTS", "400"))
KEYS = [b"a", b"b", b"c", b"{t}1", b"\\0\\255"]
SHA = b"e0e1f9fabfc9d4800c877a703b823ac0578ff8db"


class Both:
    def __init__(self, port: int) -> None:
        self.real, self.ours = RealConnection(port), LocalServer().connect()
        self.forget()

    def forget(self) -> None:
        for connection in (self.real, self.ours):
            connection.command(b"FLUSHALL")
            connection.command(b"SCRIPT", b"FLUSH")

    def same(self, *words: bytes) -> bytes:
        expected, found = self.real.command(*words), self.ours.command(*words)
        assert found == expected, words
        return found


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory: Path = tmp_path_factory.mktemp("redis")
    with RedisServer(directory) as server:
        yield server.port


@pytest.fixture
def both(port: int) -> Iterator[Both]:
    found = Both(port)
    yield found
    found.real.close()


def call(chance: random.Random) -> bytes:
    key, other = chance.choice(KEYS), chance.choice(KEYS)
    number = chance.choice(["1", "-5", "100", "'9223372036854775807'", "'x'", "1.5", "''", "2^53"])
    words = chance.choice([
        "'incr', {k}", "'INCRBY', {k}, {n}", "'decrby', {k}, {n}", "'get', {k}", "'set', {k}, 7",
        "'set', {k}, 8, 'NX'", "'set', {k}, 9, 'ex', 1000, 'GET'", "'set', {k}, 9, 'nope'",
        "'del', {k}, {o}", "'exists', {k}, {o}, {k}", "'mget', {k}, {o}, 'none'", "'ttl', {k}",
        "'expire', {k}, 500", "'persist', {k}", "'mset', {k}, 1, {o}, 2", "'mset', {k}",
        "'getdel', {k}", "'getex', {k}, 'EX', 77", "'type', {k}", "'strlen', {k}", "'dbsize'",
        "'ping'", "'echo', {n}", "'select', 0", "'setnx', {k}, 3", "'msetnx', {k}, 3, {o}, 4",
        "'nope', 1", "'get'", "'eval', 'x', 0", "'multi'", "'auth', 'x'", "'setex', {k}, 0, 1",
        "'setex', {k}, 50, 1", "'getset', {k}, 6", "'flushall'", "'expire', {k}, 'x'", "'time', 1",
    ])  # fmt: skip
    return words.format(k=f"'{key.decode()}'", o=f"'{other.decode()}'", n=number).encode()


def script(chance: random.Random) -> bytes:
    lines = [b"local r = {}"]
    for number in range(chance.randrange(1, 9)):
        kind = b"call" if chance.random() < 0.1 else b"pcall"
        value = b"redis.%s(%s)" % (kind, call(chance))
        shown = chance.choice([
            b"%s", b"type(%s)", b"(%s or 'none')", b"(%s == false)",
        ]) % value  # fmt: skip
        lines.append(b"r[%d] = %s" % (number + 1, shown))
    if chance.random() < 0.2:
        lines.insert(1, b"redis.setresp(3)")
    lines.append(chance.choice([b"return r", b"return r", b"return r[2]", b"return r[1]", b""]))
    return b"\n".join(lines)


@pytest.mark.parametrize("protocol", [2, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_generated_scripts_answer_as_in_redis(both: Both, seed: int, protocol: int) -> None:
    chance, failed = random.Random(f"{seed} {protocol}"), 0
    for connection in (both.real, both.ours):
        connection.command(b"HELLO", b"%d" % protocol)
    for _ in range(SCRIPTS_PER_SEED):
        if both.same(b"EVAL", script(chance), b"0").startswith(b"-"):
            failed += 1
            both.forget()
        both.same(b"MGET", *(k.replace(b"\\0", b"\0").replace(b"\\255", b"\xff") for k in KEYS))
    assert failed < SCRIPTS_PER_SEED / 2, "most scripts are to end well"


@pytest.mark.parametrize(
    "line",
    ["EVAL", "EVAL return_1", "EVAL return_1 x", "EVAL return_1 -1", "EVAL return_1 1",
    "EVAL return_1 99999999999999999999", "EVAL return_{KEYS[1],ARGV[1],#KEYS,#ARGV} 1 a b c",
    f"EVALSHA {SHA.decode()} 0", "EVALSHA short 0", f"EVALSHA {SHA.decode().upper()} 0",
    f"EVALSHA {SHA.decode()} 1", "EVALSHA", f"EVALSHA_RO {SHA.decode()} 0",
    "EVAL_RO return_redis.call('get','a') 1 a", "EVAL_RO return_redis.call('incr','a') 1 a",
    "EVAL_RO return_redis.pcall('set','a',1) 1 a", "EVAL not_lua 0", "EVAL return_( 0",
    "SCRIPT", "SCRIPT LOAD", "SCRIPT LOAD not_lua", "SCRIPT LOAD return_1", "SCRIPT EXISTS",
    "SCRIPT EXISTS x y", "SCRIPT FLUSH", "SCRIPT FLUSH SYNC", "SCRIPT FLUSH ASYNC",
    "SCRIPT FLUSH NOW", "SCRIPT KILL", "SCRIPT NOPE",
    "EVAL #!lua_flags=no-writes\nreturn_redis.call('incr','a') 0",
    "EVAL #!lua_flags=nope\nreturn_1 0", "EVAL #!lua\nreturn_redis.call('incr','a') 1 a"],
)  # fmt: skip
def test_words_and_errors_are_those_of_redis(both: Both, line: str) -> None:
    words = [w if w[:7] in ("EVAL_RO", "EVALSHA") else w.replace("_", " ") for w in line.split(" ")]
    both.same(*(word.encode() for word in words))


def test_evalsha_finds_what_eval_and_load_brought(both: Both) -> None:
    sha = both.same(b"SCRIPT", b"LOAD", b"return redis.call('incrby', KEYS[1], ARGV[1])")[5:45]
    both.same(b"EVALSHA", sha, b"1", b"k", b"5")
    both.same(b"EVALSHA", sha.upper(), b"1", b"k", b"5")
    both.same(b"EVALSHA_RO", sha, b"1", b"k", b"5")
    both.same(b"EVAL", b"return 1", b"0")
    both.same(b"EVALSHA", SHA, b"0")
    both.same(b"SCRIPT", b"EXISTS", sha, SHA, sha.upper())
    both.same(b"SCRIPT", b"FLUSH")
    both.same(b"EVALSHA", SHA, b"0")


def test_in_a_transaction_and_a_pipeline(both: Both) -> None:
    count = (b"EVAL", b"return redis.call('incr', KEYS[1])", b"1", b"k")
    for words in (
        (b"MULTI",), count, (b"EVAL", b"not lua", b"0"), (b"EVALSHA", SHA, b"0"),
        (b"SCRIPT", b"LOAD", b"return 1"), (b"EVALSHA", SHA, b"0"), count, (b"EXEC",),
        (b"MULTI",), (b"EVAL",), count, (b"EXEC",), (b"GET", b"k"),
        (b"WATCH", b"k"), (*count,), (b"MULTI",), count, (b"EXEC",), (b"GET", b"k"),
        (b"WATCH", b"k"), (b"EVAL_RO", b"return redis.call('get', 'k')", b"0"), (b"MULTI",),
        count, (b"EXEC",), (b"GET", b"k"),
    ):  # fmt: skip
        both.same(*words)


def test_what_an_error_of_an_unknown_command_says_is_short(both: Both) -> None:
    """A library that reads the error met its own script in it."""
    error = both.same(b"NOPE", b"x" * 5_000, b"y" * 5_000)
    assert len(error) < 250
    error = both.same(b"EVAL", b"return redis.call('nope', '%s')" % (b"x" * 500), b"0")
    assert b"xxx" not in error


def test_what_is_ours_alone(port: int) -> None:
    """A failed script leaves nothing; Redis keeps what it did before."""
    both = Both(port)
    text = b"redis.call('incr', 'k') return redis.call('nope')"
    both.same(b"EVAL", text, b"0")
    assert both.real.command(b"GET", b"k") == b"$1\r\n1\r\n"
    assert both.ours.command(b"GET", b"k") == b"$-1\r\n"
    both.real.close()


def test_scripts_in_a_connection_of_resp3(both: Both) -> None:
    kinds = (
        b"return {true, false, {double=1.5}, {map={a=1}}, {set={b=true}}, {big_number='9'},"
        b" {verbatim_string={format='txt', string='hi'}}, {err='E x'}, {ok='O'}, 3.9, 'text'}"
    )
    for protocol in (b"3", b"2"):
        for connection in (both.real, both.ours):
            connection.command(b"HELLO", protocol)
        for text in (kinds, b"redis.setresp(3) " + kinds, b"return false", b"return true",
                     b"redis.setresp(3) return false", b"redis.setresp(3) return true",
                     b"redis.setresp(3) return redis.call('mget', 'x', 'y')",
                     b"return {map={[1.2]=5, [1.7]=5, [1]=5}}", b"return {set={[2.2]=1, [2.7]=1}}",
                     b"return {map={[{1, 'a'}]={map={[{}]=2}}}}"):  # fmt: skip
            both.same(b"EVAL", text, b"0")
