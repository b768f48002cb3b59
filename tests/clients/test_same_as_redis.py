"""The same words to a node and to a real Redis of this machine: the same replies, on the wire, in
both protocols.

Commands newer than that Redis (INCREX, SET … IFEQ) and what is deliberately other (a value must be
an integer, WATCH) are tested elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.devcluster import DevCluster
from tests.support.raw import Wire
from tests.support.redis_server import RedisServer

FAR = "99999999999"  # a moment in the year 5138, in seconds
FAR_MS = FAR + "000"
MOST, LEAST = str(2**63 - 1), str(-(2**63))

SESSIONS: dict[str, list[str]] = {
    "counting": [
        "INCR k",
        "INCRBY k 41",
        "DECR k",
        "DECRBY k 50",
        "GET k",
        "DECRBY k -9",
        "TYPE k",
        "EXISTS k k none",
        "DEL k none",
        "GET k",
    ],
    "scripts": [
        "EVAL return(redis.call('INCR',KEYS[1])) 1 k",
        "EVAL return{KEYS[1],ARGV[1],redis.call('GET','k'),redis.call('GET','none')} 1 a b",
        "EVAL return(redis.pcall('SET',KEYS[1],'x','NOPE')) 1 k",
        "EVAL return(redis.call('nope')) 0",
        "EVAL return(1 0",
        "EVAL return(1) x",
        "EVAL return(1) 2 k",
        "EVAL_RO return(redis.call('GET','k')) 0",
        "EVAL_RO return(redis.call('INCR','k')) 0",
        "SCRIPT LOAD return(redis.call('INCRBY',KEYS[1],ARGV[1]))",
        "EVALSHA 0123456789012345678901234567890123456789 0",
        "MULTI",
        "EVAL return(redis.call('INCR',KEYS[1])) 1 k",
        "EVAL return(redis.call('nope')) 0",
        "EXEC",
        "SCRIPT EXISTS 0123456789012345678901234567890123456789",
        "SCRIPT FLUSH",
        "DEL k",
    ],
    "limits": [
        f"SET k {MOST}",
        "INCR k",
        "GET k",
        f"SET k {LEAST}",
        "DECR k",
        f"DECRBY k {LEAST}",
        f"INCRBY k {MOST}",
        f"INCRBY k 1{MOST}",
        "INCRBY k 1.5",
    ],
    "setting": [
        "SET k 1",
        "SET k 2 NX",
        "SET k 2 XX",
        "SET n 2 XX",
        "SET k 3 GET",
        "SET n 4 GET",
        "GETSET k 5",
        "GETDEL k",
        "GETDEL k",
        "SETNX k 1",
        "SETNX k 2",
    ],
    "set refused": [
        "SET k",
        "SET k 1 NX XX",
        "SET k 1 EX",
        "SET k 1 EX 0",
        "SET k 1 EX -1",
        "SET k 1 EX x",
        "SET k 1 EX 1 PX 1",
        "SET k 1 NOPE",
        "GET k",
    ],
    "several": [
        "MSET a 1 b 2",
        "MGET a b c",
        "MSET a 1 b",
        "MSETNX a 5 d 6",
        "MGET a d",
        "MSETNX e 5 f 6",
        "MGET e f",
        "DBSIZE",
        "UNLINK a b",
        "DBSIZE",
    ],
    "expiry": [
        *(
            "SET k 1 EX 100",
            "TTL k",
            "PERSIST k",
            "PERSIST k",
            "TTL k",
            "TTL none",
            "PTTL none",
            "EXPIRE none 5",
            f"EXPIREAT k {FAR}",
            "EXPIRETIME k",
        ),
        *(
            f"PEXPIREAT k {FAR_MS}",
            "PEXPIRETIME k",
            "SET k 2 KEEPTTL",
            "EXPIRETIME k",
            "INCR k",
            "EXPIRETIME k",
            "SET k 1",
            "EXPIRETIME k",
        ),
        *(
            "EXPIRE k 100 NX",
            "EXPIRE k 200 NX",
            "EXPIRE k 50 GT",
            "EXPIRE k 50 LT",
            "TTL k",
            "EXPIRE k 1 NX GT",
            "EXPIRE k x",
            "EXPIRE k 0",
            "EXISTS k",
        ),
        *(
            "SETEX k 100 5",
            "TTL k",
            "SETEX k 0 5",
            "PSETEX k 100000 5",
            "GETEX k PERSIST",
            "TTL k",
            "GETEX k EX 100",
            "TTL k",
            "GETEX none",
        ),
    ],
    "transactions": [
        *(
            "MULTI",
            "INCR k",
            "GET k",
            "EXEC",
            "MULTI",
            "INCR k",
            "DISCARD",
            "GET k",
            "EXEC",
            "DISCARD",
            "MULTI",
            "MULTI",
            "EXEC",
        ),
        *(
            "MULTI",
            "INCR",
            "INCR k",
            "EXEC",
            "GET k",
            f"SET m {MOST}",
            "MULTI",
            "INCR m",
            "INCR k",
            "EXEC",
            "MULTI",
            "EXEC",
            "MULTI",
            "NOSUCH",
            "EXEC",
        ),
    ],
    "mistakes": [
        "NOSUCH a b",
        "INCR",
        "INCR a b",
        "GET",
        "MGET",
        "DEL",
        "EXPIRE k",
        "INCRBY k",
        "INCRBY k ''",
        "GETEX k NOPE",
        "SELECT x",
        "SELECT 0",
        "ECHO hi",
        "PING hi",
    ],
    "scanning": [
        # While it is empty: what Redis finds behind such a cursor depends on the seed of its hash.
        *("SCAN 18446744073709551615", "SCAN 18446744073709551616", "SCAN -1"),
        "MSET aa 1 ab 2",
        "KEYS a?",
        "KEYS *b",
        "KEYS [^a]*",
        "SCAN 0 COUNT 100 MATCH ab",
        "SCAN x",
        *("WAIT 0 x", "WAIT 0 -1", "WAIT x 0", "CLIENT TRACKINGINFO"),
        "SCAN 0 COUNT 0",
        "TYPE none",
        "FLUSHDB",
        "KEYS *",
    ],
    "connection": [
        "PING",
        "PING a b",
        "ECHO",
        "CLIENT GETNAME",
        "CLIENT SETNAME me",
        "CLIENT GETNAME",
        "CLIENT NOSUCH",
        "SELECT 99",
        "RESET",
        "CLIENT GETNAME",
    ],
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DevCluster]:
    """A cluster of its own: the tests count all keys and remove them."""
    with DevCluster(tmp_path_factory.mktemp("nodes"), 3, "--tick-ms", "50") as running:
        yield running


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as running:
        yield running


def _still(reply: object) -> object:
    """The seconds left until FAR depend on when one asks, and two servers are asked one after the
    other; EXPIRETIME compares the moment."""
    if isinstance(reply, list):
        return [_still(part) for part in reply]
    return "seconds left" if isinstance(reply, int) and 10**10 < reply < int(FAR) else reply


def replies(port: int, resp: int, session: list[str]) -> list[object]:
    with Wire(port, resp) as wire:
        wire("FLUSHALL")
        answers = [
            wire(*(("" if word == "''" else word) for word in line.split())) for line in session
        ]
    return [
        sorted(reply) if line.startswith("KEYS") else _still(reply)
        for line, reply in zip(session, answers, strict=True)
    ]


@pytest.mark.parametrize("resp", [2, 3])
@pytest.mark.parametrize("name", SESSIONS)
def test_replies_are_those_of_redis(
    cluster: DevCluster, beside: RedisServer, node: int, resp: int, name: str
) -> None:
    session = SESSIONS[name]
    ours, theirs = (
        replies(cluster.resp_port(node), resp, session),
        replies(beside.port, resp, session),
    )
    differences = [
        f"{line}: {a!r}, Redis: {b!r}"
        for line, a, b in zip(session, ours, theirs, strict=True)
        if a != b
    ]
    assert not differences, "\n".join(differences)


names = st.sampled_from(["a", "b", "c"])
numbers = st.one_of(st.integers(-5, 5), st.sampled_from([int(MOST), int(LEAST)])).map(str)
commands = st.one_of(
    st.tuples(
        st.sampled_from(
            [
                "INCR",
                "DECR",
                "GET",
                "DEL",
                "EXISTS",
                "PERSIST",
                "TTL",
                "GETDEL",
                "EXPIRETIME",
                "TYPE",
            ]
        ),
        names,
    ),
    st.tuples(st.sampled_from(["INCRBY", "DECRBY", "SET", "GETSET", "SETNX"]), names, numbers),
    st.tuples(st.just("SET"), names, numbers, st.sampled_from(["NX", "XX", "GET", "KEEPTTL"])),
    st.tuples(st.sampled_from(["MSET", "MSETNX"]), names, numbers, names, numbers),
    st.tuples(st.just("EXPIREAT"), names, st.just(FAR), st.sampled_from(["NX", "XX", "GT", "LT"])),
    st.tuples(st.sampled_from(["MULTI", "EXEC", "DISCARD", "DBSIZE"])),
)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(session=st.lists(commands.map(" ".join), min_size=1, max_size=25))
def test_whatever_is_said_the_replies_are_those_of_redis(
    cluster: DevCluster, beside: RedisServer, session: list[str]
) -> None:
    session = [*session, "DISCARD", "MGET a b c"]
    assert replies(cluster.resp_port(1), 2, session) == replies(beside.port, 2, session)


def test_what_is_deliberately_other_says_so(cluster: DevCluster, node: int, key: str) -> None:
    with Wire(cluster.resp_port(node)) as wire:
        assert wire("SET", key, "word") == ("error", "ERR value is not an integer or out of range")
        assert wire("LPUSH", key, "1")[0] == "error"


def test_commands_newer_than_the_redis_beside(cluster: DevCluster, node: int, key: str) -> None:
    with Wire(cluster.resp_port(node)) as wire:
        assert wire("INCREX", key, "BYINT", 5, "UBOUND", 8) == [5, 5]
        assert wire("INCREX", key, "BYINT", 5, "UBOUND", 8) == [5, 0]
        assert wire("INCREX", key, "BYINT", 5, "UBOUND", 8, "SATURATE") == [8, 3]
        assert wire("INCREX", key, "BYINT", 1, "EX", 100, "ENX") == [9, 1]
        assert 98 <= wire("TTL", key) <= 100
        assert wire("SET", key, 1, "IFEQ", 2) is None
        assert wire("SET", key, 1, "IFEQ", 9) == "OK"


def test_the_redis_beside_is_new_enough(beside: RedisServer) -> None:
    with redis.Redis(host="127.0.0.1", port=beside.port) as client:
        version = str(client.info("server")["redis_version"])
    assert int(version.split(".")[0]) >= 7, (
        f"redis-server is {version}; at least 7.0 is compared with"
    )
