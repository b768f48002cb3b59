"""MULTI, EXEC and IDMP: one operation, counted once, bounded (transactions.py)."""

from __future__ import annotations

import pytest
from counter_node.counters import ops as o
from counter_node.counters.replies import OK, Failure, Simple
from counter_node.resp.actions import Read, Reply, Write
from counter_node.resp.dispatch import handle
from counter_node.resp.transactions import MAX_QUEUED_BYTES

from tests.support.unit.line_client import Client


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
    reply = handle(client.session, [b"EXEC"])
    assert isinstance(reply, Reply)
    assert reply.value == [Simple("PONG")]


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
