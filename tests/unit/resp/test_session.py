"""Commands and their replies, without a socket (dispatch.py, transactions.py)."""

from __future__ import annotations

from typing import Any

import pytest
from counter_node.counters import ops as o
from counter_node.counters.replies import OK, Failure, Simple
from counter_node.resp.actions import Close, NodeQuestion, Read, Reply, Write
from counter_node.resp.commands import BY_NAME
from counter_node.resp.dispatch import handle, new_session
from counter_node.resp.encode import encode
from counter_node.resp.transactions import MAX_QUEUED_BYTES
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.local import LocalConnection, LocalServer
from tests.support.unit.redis_connection import reply_end


class Client:
    """Words as text, for reading."""

    def __init__(self, connection: LocalConnection) -> None:
        self.connection = connection
        self.session = connection.session

    def __call__(self, line: str) -> Any:
        return self.connection.ask(*line.encode("latin-1").split(b" "))


@pytest.fixture
def server() -> LocalServer:
    return LocalServer()


@pytest.fixture
def client(server: LocalServer) -> Client:
    return Client(server.connect())


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


# --- transactions ---------------------------------------------------------------------------------


def test_a_transaction_is_one_operation(client: Client) -> None:
    client("MULTI")
    assert [client("INCR a"), client("GET a"), client("PING")] == [Simple("QUEUED")] * 3
    action = handle(client.session, [b"EXEC"])
    assert isinstance(action, Write)
    assert action.op[0] == o.MULTI
    assert client.connection.server.write(action.op) == [1, b"1", Simple("PONG")]


def test_a_transaction_of_reads_needs_no_entry_and_one_of_neither_nothing_at_all(
    client: Client,
) -> None:
    client("MULTI")
    client("GET a")
    assert isinstance(handle(client.session, [b"EXEC"]), Read)
    client("MULTI")
    client("PING")
    told = handle(client.session, [b"EXEC"])
    assert isinstance(told, Reply)
    assert told.value == [Simple("PONG")]


def test_an_error_in_the_words_of_a_queued_command_is_one_of_the_replies(client: Client) -> None:
    client("MULTI")
    assert client("INCRBY a x") == client("SET a b c") == client("INCR a") == Simple("QUEUED")
    assert client("EXEC") == [
        Failure(b"ERR value is not an integer or out of range"),
        Failure(b"ERR syntax error"),
        1,
    ]


def test_what_the_connection_does_in_a_transaction_it_does_at_exec(client: Client) -> None:
    client("MULTI")
    client("CLIENT SETNAME me")
    assert client.session.name == b""
    client("DISCARD")
    assert client("CLIENT GETNAME") is None
    client("MULTI")
    client("CLIENT SETNAME me")
    client("INCR a")
    client("CLIENT GETNAME")
    assert client("EXEC") == [OK, 1, b"me"]


def test_what_only_the_node_knows_is_asked_at_exec(client: Client) -> None:
    client("MULTI")
    client("ROLE")
    assert client("EXEC") == [Failure(b"ERR 'role' is not allowed in a transaction")]
    client.session.ask = lambda question: [question.name.encode(), 7]
    client("MULTI")
    client("ROLE")
    client("INCR a")
    assert client("EXEC") == [[b"role", 7], 1]


def test_a_transaction_has_a_limit_of_bytes(client: Client) -> None:
    client("MULTI")
    word = b"x" * (MAX_QUEUED_BYTES // 2)
    assert client.connection.ask(b"ECHO", word) == Simple("QUEUED")
    refused = client.connection.ask(b"ECHO", word)
    assert isinstance(refused, Failure)
    assert b"transaction of more than" in refused
    assert client("EXEC") == Failure(b"EXECABORT Transaction discarded because of previous errors.")


# --- requests that may be repeated ----------------------------------------------------------------


def test_a_repeated_request_counts_once(client: Client) -> None:
    assert [client("IDMP p 1 INCR k") for _ in range(3)] == [1, 1, 1]
    assert [client("IDMP p 2 incrby k 10") for _ in range(2)] == [11, 11]
    assert client("GET k") == b"11"
    assert client("IDMP other 1 INCR k") == 12


def test_a_repeated_transaction_counts_once(client: Client) -> None:
    for _ in range(3):
        client("MULTI")
        client("INCRBY from -3")
        client("INCRBY to 3")
        assert client("IDMP p 1 EXEC") == [-3, 3]
    assert client("MGET from to") == [b"-3", b"3"]


def test_a_request_with_an_error_in_its_words_takes_its_sequence(client: Client) -> None:
    """Otherwise a new producer whose first command is wrong could not go on with sequence 2."""
    assert client("IDMP p 1 INCRBY k x") == Failure(b"ERR value is not an integer or out of range")
    assert client("IDMP p 1 INCRBY k 5") == Failure(b"ERR value is not an integer or out of range")
    assert client("IDMP p 2 INCRBY k 5") == 5


IDMP_ERRORS = [
    ("IDMP p 0 INCR k", "ERR sequence is not a positive integer"), ("IDMP p x INCR k",
    "ERR sequence is not a positive integer"),
    ("IDMP p 1 GET k", "ERR IDMP takes one command that writes"), ("IDMP p 1 MULTI",
    "ERR IDMP takes one command that writes"),
    ("IDMP p 1 HELLO 3", "ERR IDMP takes one command that writes"), ("IDMP p 1 IDMP p 2 INCR k",
    "ERR IDMP takes one command that writes"),
    ("IDMP p 1 EXEC", "ERR EXEC without MULTI"), ("IDMP p 1 INCR", "ERR wrong number of "
        "arguments for 'incr' command"),
    ("IDMP p 1 FOO bar", "ERR unknown command 'FOO', with args beginning with: 'bar' "),
    ("IDMP " + "p" * 129 + " 1 INCR k", "ERR producer id of 129 bytes; 1 to 128"), ("IDMP p 1",
    "ERR wrong number of arguments for 'idmp' command"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "text"), IDMP_ERRORS)
def test_what_cannot_be_repeated_is_refused_and_takes_no_sequence(
    client: Client, line: str, text: str
) -> None:
    assert client(line) == Failure(text.encode())
    assert client.session.queue is None
    assert client.session.protocol == 2
    assert client("IDMP p 1 INCR k") == 1


def test_idmp_inside_a_transaction_spoils_it(client: Client) -> None:
    client("MULTI")
    assert client("IDMP p 1 INCR k") == Failure(
        b"ERR IDMP in a transaction must end it: IDMP producer sequence EXEC"
    )
    assert client("EXEC") == Failure(b"EXECABORT Transaction discarded because of previous errors.")


def test_idmp_of_idmp_of_idmp_does_no_harm(client: Client) -> None:
    words = [b"IDMP", b"p", b"1"] * 20_000 + [b"INCR", b"k"]
    assert client.connection.ask(*words) == Failure(b"ERR IDMP takes one command that writes")


# --- the connection -------------------------------------------------------------------------------


def test_hello_tells_and_changes_the_protocol(client: Client) -> None:
    told = client("HELLO 3 AUTH default any SETNAME me")
    assert (told[b"server"], told[b"proto"], told[b"mode"], told[b"modules"]) == (
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


# --- what the server tells about itself -----------------------------------------------------------


def test_command_describes_the_table(client: Client) -> None:
    names = client("COMMAND LIST")
    assert (
        client("COMMAND COUNT")
        == len(names)
        == len([c for c in BY_NAME.values() if not c.admin_only])
    )
    told = client("COMMAND INFO incr nothing MSET")
    assert told[0][:6] == [
        b"incr",
        2,
        [Simple("write"), Simple("denyoom"), Simple("fast")],
        1,
        1,
        1,
    ]
    assert told[1] is None
    assert told[2][8][0][b"find_keys"] == {
        b"type": b"range",
        b"spec": {b"lastkey": -1, b"keystep": 2, b"limit": 0},
    }
    assert len(client("COMMAND")) == len(names)
    assert client("COMMAND DOCS increx")[b"increx"][b"since"] == b"8.8.0"
    assert client("COMMAND LIST FILTERBY PATTERN incr*") == [b"incr", b"incrby", b"increx"]
    assert client("COMMAND GETKEYS MSET a 1 b 2") == [b"a", b"b"]
    assert client("COMMAND GETKEYS PING x") == Failure(b"ERR The command has no key arguments")
    assert client("COMMAND HELP")[0].startswith("COMMAND <subcommand>")


def test_command_says_of_real_commands_what_redis_says(client: Client) -> None:
    """Arity, first, last and step of those that both have; by them clients find the keys."""
    known = {
        b"incr": (2, 1, 1, 1), b"set": (-3, 1, 1, 1), b"mset": (-3, 1, -1, 2), b"del": (-2, 1, -1,
        1), b"mget": (-2, 1, -1, 1),
        b"expire": (-3, 1, 1, 1), b"scan": (-2, 0, 0, 0), b"exec": (1, 0, 0, 0), b"hello": (-1, 0,
        0, 0), b"getex": (-2, 1, 1, 1),
        b"psetex": (4, 1, 1, 1), b"wait": (3, 0, 0, 0),
    }  # fmt: skip
    for name, facts in known.items():
        told = client(f"COMMAND INFO {name.decode()}")[0]
        assert (told[1], *told[3:6]) == facts, name


def test_config_get_answers_what_tools_ask(client: Client) -> None:
    assert client("CONFIG GET save appendonly") == {b"save": b"", b"appendonly": b"yes"}
    assert client("CONFIG GET append*") == {b"appendonly": b"yes", b"appendfsync": b"always"}


def test_config_set_is_refused_in_the_words_of_settings_that_only_a_start_decides(
    client: Client,
) -> None:
    assert b"(possibly related to argument 'maxmemory') - can't set immutable config" in client(
        "CONFIG SET maxmemory 1"
    )
    assert client("CONFIG SET foo 1") == Failure(
        b"ERR Unknown option or number of arguments for CONFIG SET - 'foo'"
    )
    assert client("CONFIG SET maxmemory 1 maxmemory 1").endswith(b"- duplicate parameter")
    assert client("CONFIG SET maxmemory 1 save") == Failure(b"ERR syntax error")


def test_what_tools_send_to_bring_a_server_into_its_first_state(client: Client) -> None:
    assert client("FUNCTION FLUSH") == OK
    assert client("FUNCTION LIST") == []
    assert client("CLIENT TRACKING OFF") == OK
    assert client("CLIENT TRACKING ON").startswith(b"ERR CLIENT TRACKING is not supported")
    assert client("CLIENT TRACKING ON foo") == Failure(b"ERR syntax error")
    assert client("CLIENT CACHING YES").startswith(
        b"ERR CLIENT CACHING can be called only when the client is in tracking mode"
    )
    assert client("CLIENT UNBLOCK 1 ERROR") == 0


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


# --- no transaction is one big thing --------------------------------------------------------------


def test_answers_about_the_node_make_no_transaction_larger_than_an_entry(client: Client) -> None:
    """They stand in the log as constants: 10,000 times COMMAND would be an entry of a gigabyte."""
    client("MULTI")
    for _ in range(900):
        assert client("COMMAND") == Simple("QUEUED")
    client("INCR k")
    refused = client("EXEC")
    assert b"answers about the node have more than 4194304 bytes" in refused
    assert client("GET k") is None
    assert client("INCR k") == 1


@pytest.mark.parametrize(
    "line",
    ["KEYS *", "SCAN 0 COUNT 5000", "MGET " + "k " * 5_000 + "k", "EXISTS " + "k " * 5_000 + "k"],
)
@pytest.mark.parametrize("writes", [False, True])
def test_what_a_transaction_makes_every_replica_look_at_is_bounded(
    client: Client, line: str, writes: bool
) -> None:
    client.session.count_keys = lambda: 1_000_000
    client("MULTI")
    for _ in range(250):
        assert client(line) == Simple("QUEUED")
    if writes:
        client("INCR k")
    assert b"looks at more than 100000 keys" in client("EXEC")
    assert client("GET k") is None
    client("MULTI")
    client("SCAN 0 COUNT 5000")
    client("INCR k")
    assert client("EXEC")[1] == 1


def test_a_refused_transaction_ends_its_watch(client: Client) -> None:
    client.session.count_keys = lambda: 2_000_000
    client("WATCH k")
    client("MULTI")
    client("KEYS *")
    assert b"looks at more" in client("EXEC")
    assert client.session.watching == 0
