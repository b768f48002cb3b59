"""Commands and their replies, without a socket (dispatch.py)."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.counters.replies import OK, Failure, Simple
from counter_node.resp.actions import Close, NodeQuestion, Read, Reply, Write
from counter_node.resp.commands import BY_NAME
from counter_node.resp.dispatch import handle, new_session
from counter_node.resp.encode import encode
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.local import LocalServer
from tests.support.unit.line_client import Client
from tests.support.unit.redis_connection import reply_end

# --- what kind of action --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "kind"),
    [("INCR k", Write), ("get k", Read), ("PING", Reply), ("INFO", NodeQuestion), ("Role",
    NodeQuestion), ("QUIT", Close),
     ("CLIENT LIST", NodeQuestion), ("GETEX k", Read), ("GETEX k EX 5", Write),
      ("FOO", Reply), ("WAIT 0 0", NodeQuestion), ("SCAN 0", Read), ("SCAN 0 TYPE hash", Reply)],
)  # fmt: skip
def test_a_command_becomes_the_kind_of_action_that_answers_it(line: str, kind: type) -> None:
    assert type(handle(new_session(1, "", "", admin=False), line.encode().split())) is kind


def test_raft_commands_exist_on_the_admin_port_only() -> None:
    public, admin = new_session(1, "", "", admin=False), new_session(1, "", "", admin=True)
    refused = handle(public, [b"RAFT.STATUS"])
    assert isinstance(refused, Reply)
    assert refused.value == Failure(
        b"ERR unknown command 'RAFT.STATUS', with args beginning with: "
    )
    asked = handle(admin, [b"raft.status"])
    assert isinstance(asked, NodeQuestion)
    assert asked.name == "raft.status"


@pytest.mark.parametrize(
    "line", ["INCR k", "GET k", "FLUSHALL", "MULTI", "IDMP p 1 INCR k", "KEYS *", "EXPIRE k 1"]
)
def test_counters_are_not_served_on_the_admin_port(line: str) -> None:
    refused = handle(new_session(1, "", "", admin=True), line.encode().split())
    assert isinstance(refused, Reply)
    assert refused.value.startswith(b"ERR unknown command ")


# --- values ---------------------------------------------------------------------------------------


NO_INTEGERS = [
    "SET k abc",
    "SET k 1.5",
    "SET k 01",
    "GETSET k x",
    "SETNX k x",
    "MSET a 1 b x",
    "SETEX k 100 x",
    "SET k 9223372036854775808",
]


@pytest.mark.parametrize("line", NO_INTEGERS)
def test_counters_are_integers(client: Client, line: str) -> None:
    assert client(line) == Failure(b"ERR value is not an integer or out of range")
    assert client("DBSIZE") == 0


def test_keys_have_a_limit_that_the_error_names(client: Client) -> None:
    assert client("INCR " + "k" * 1_024) == 1
    assert client("INCR " + "k" * 1_025) == Failure(b"ERR key of 1025 bytes; at most 1024")


SYNTAX = Failure(b"ERR syntax error")
SETS = [
    ("SET k 5 IFEQ 4", OK, 5), ("SET k 5 IFEQ 3", None, 4), ("SET k 5 IFEQ abc", None, 4),
    ("SET k 5 IFEQ 4 GET", b"4", 5),
    ("SET k 5 IFEQ 3 GET", b"4", 4), ("SET k 5 IFNE 3", OK, 5), ("SET k 5 IFNE 4", None, 4),
    ("SET k 5 IFNE abc", OK, 5),
    ("SET k 5 IFEQ 04", None, 4), ("SET k 5 IFEQ 4 NX", SYNTAX, 4), ("SET k 5 XX IFNE 4", SYNTAX,
    4), ("SET k 5 IFEQ", SYNTAX, 4),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reply", "after"), SETS)
def test_set_compares_as_redis_8_4_does(client: Client, line: str, reply: Any, after: int) -> None:
    client("SET k 4")
    assert client(line) == reply
    assert client("GET k") == b"%d" % after


def test_set_compares_with_what_is_not_there(client: Client) -> None:
    assert client("SET k 1 IFEQ 0") is None
    assert client("SET k 1 IFNE 0") == OK


# Texts of Redis 8.8, from its own tests.
INCREX_ERRORS = [
    ("INCREX k FOO", "syntax error"), ("INCREX k BYINT", "syntax error"), ("INCREX k BYINT 1 "
        "BYINT 2", "syntax error"),
    ("INCREX k EX 10 PX 5000", "syntax error"), ("INCREX k EX 10 PERSIST", "syntax error"),
    ("INCREX k PERSIST ENX", "syntax error"),
    ("INCREX k SATURATE SATURATE", "syntax error"),
    ("INCREX k EX 10 EX 20", "syntax error"), ("INCREX k ENX", "ENX flag requires an expiration"),
    ("INCREX k BYINT 1 ENX", "ENX flag requires an expiration"),
    ("INCREX k BYINT abc", "Increment is not an integer or out of range"), ("INCREX k UBOUND x",
    "UBOUND is not an integer or out of range"),
    ("INCREX k LBOUND 1.5", "LBOUND is not an integer or out of range"), ("INCREX k LBOUND 10 "
        "UBOUND 5", "LBOUND can't be greater than UBOUND"),
    ("INCREX k EX 0", "invalid expire time in 'increx' command"), ("INCREX k PX -1",
    "invalid expire time in 'increx' command"),
    ("INCREX k BYFLOAT 1", "BYFLOAT is not supported; counters are integers"), ("INCREX k NX XX",
    "syntax error"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "text"), INCREX_ERRORS)
def test_increx_refuses_in_the_words_of_redis(client: Client, line: str, text: str) -> None:
    assert client(line) == Failure(f"ERR {text}".encode())
    assert client("EXISTS k") == 0


def test_a_window_of_a_rate_limiter(client: Client) -> None:
    for n in range(1, 4):
        assert client("INCREX k UBOUND 3 EX 60 ENX") == [n, 1]
    client("EXPIRE k 30")
    assert client("INCREX k UBOUND 3 EX 60 ENX") == [3, 0]
    assert client("TTL k") == 30
    assert client("INCREX k BYINT -5 LBOUND 0 SATURATE PERSIST") == [0, -3]
    assert client("TTL k") == -1
    assert client("INCREX k EXAT 1") == [1, 1]
    assert client("EXISTS k") == 0


# --- the connection -------------------------------------------------------------------------------


def test_hello_tells_and_changes_the_protocol(client: Client) -> None:
    reply = client("HELLO 3 AUTH default any SETNAME me")
    assert (reply[b"server"], reply[b"proto"], reply[b"mode"], reply[b"modules"]) == (
        b"redis",
        3,
        b"standalone",
        [],
    )
    assert (client.session.protocol, client.session.name) == (3, b"me")
    assert client.connection.command(b"GET", b"none") == b"_\r\n"
    assert client("HELLO 4") == Failure(b"NOPROTO unsupported protocol version")
    assert client("HELLO 2 AUTH someone else") == Failure(
        b"WRONGPASS invalid username-password pair or user is disabled."
    )
    assert client.session.protocol == 3
    assert client("RESET") == Simple("RESET")
    assert (client.session.protocol, client.session.name) == (2, b"")


def test_what_redis_py_sends_when_it_connects(client: Client) -> None:
    assert client("CLIENT SETINFO LIB-NAME redis-py") == OK
    assert client("CLIENT SETINFO LIB-VER 8.1.0") == OK
    assert client("CLIENT SETINFO foo bar") == Failure(b"ERR Unrecognized option 'foo'")
    assert client("CLIENT MAINT_NOTIFICATIONS ON").startswith(
        b"ERR unknown subcommand 'MAINT_NOTIFICATIONS'"
    )
    assert (
        "cmd=client user=default redir=-1 resp=2 lib-name=redis-py lib-ver=8.1.0"
        in client.session.description(0)
    )


def test_quit_answers_before_it_ends(client: Client) -> None:
    assert client.connection.send(b"PING\r\nQUIT\r\nPING\r\n") == b"+PONG\r\n+OK\r\n"


# --- nothing breaks it ----------------------------------------------------------------------------


NAMES = sorted(name.encode() for name in BY_NAME)
TOKENS = st.one_of(
    st.sampled_from([*NAMES, b"EX", b"PX", b"NX", b"XX", b"GET", b"KEEPTTL", b"IFEQ", b"COUNT",
    b"MATCH", b"BYINT", b"UBOUND", b"LBOUND", b"SATURATE",
                     b"ENX",
                     b"0", b"1", b"-1", b"2", b"3", b"k", b"*", b"SETNAME", b"LIST", b"DOCS",
                     b"FILTERBY", b"9223372036854775807", b"", b"\xff"]),
    st.binary(max_size=4),
)  # fmt: skip


@pytest.fixture(scope="module")
def steady() -> LocalServer:
    return LocalServer(clock_ms=lambda: 1_000)


@settings(max_examples=1_500, deadline=None)
@given(st.lists(st.lists(TOKENS, min_size=1, max_size=7), min_size=1, max_size=8))
def test_whatever_is_sent_each_command_gets_one_whole_reply(
    steady: LocalServer, commands: list[list[bytes]]
) -> None:
    connection = steady.connect()
    for words in commands:
        if connection.closed:
            break
        reply = connection.command(*words)
        assert reply_end(reply) == len(reply), f"{words} → {reply!r}"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_survives_every_number_of_odd_words(name: bytes) -> None:
    for admin in (False, True):
        for count in range(9):
            for word in (b"", b"1", b"x", b"\xff\x00\r\n", b"-9223372036854775808"):
                connection = LocalServer(clock_ms=lambda: 1_000).connect(admin=admin)
                action = handle(connection.session, [name, *[word] * count])
                if isinstance(action, Reply | Close):
                    encode(action.value, 2)
                elif isinstance(action, Read | Write):
                    encode(connection.server.write(action.op), 3)
