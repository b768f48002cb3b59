"""What a server says of itself to tools: COMMAND, CONFIG and what they send to begin with."""

from __future__ import annotations

from counter_node.counters.replies import OK, Failure, Simple
from counter_node.resp.commands import BY_NAME

from tests.support.unit.line_client import Client


def test_command_describes_the_table(client: Client) -> None:
    names = client("COMMAND LIST")
    assert (
        client("COMMAND COUNT")
        == len(names)
        == len([c for c in BY_NAME.values() if not c.admin_only])
    )
    reply = client("COMMAND INFO incr nothing MSET")
    assert reply[0][:6] == [
        b"incr",
        2,
        [Simple("write"), Simple("denyoom"), Simple("fast")],
        1,
        1,
        1,
    ]
    assert reply[1] is None
    assert reply[2][8][0][b"find_keys"] == {
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
        reply = client(f"COMMAND INFO {name.decode()}")[0]
        assert (reply[1], *reply[3:6]) == facts, name


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
