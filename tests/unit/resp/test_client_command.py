"""CLIENT INFO, LIST and KILL, over the connections of a node that are given by their sessions."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from counter_node.counters.replies import OK, Failure, Verbatim
from counter_node.resp.actions import NodeQuestion, Reply, Slow
from counter_node.resp.commands import CATALOGUE
from counter_node.resp.dispatch import begin, new_session
from counter_node.resp.session import Session
from counter_node.security.acl import Acl
from counter_node.security.refusals import Refusals
from counter_node.users.access import Access
from counter_node.views import client_command


class Connections:
    """What the answers ask of a server, over real sessions."""

    def __init__(self) -> None:
        self.all = [
            new_session(n, f"10.0.0.{n}:5000", "10.0.0.9:6379", admin=False) for n in (1, 2, 3)
        ]
        for session in self.all:
            session.born_s = session.number * 100.0
        self.access = Access(None, CATALOGUE, Refusals())
        self.access.file.acl = Acl(
            "user default on nopass ~* +@all\nuser app on nopass ~* +@all\nuser idle on nopass\n",
            CATALOGUE,
        )
        self.all[2].user = self.access.acl.users["app"]

    def now_s(self) -> float:
        return 350.0

    def sessions(self) -> list[Session]:
        return self.all

    def kill(self, wanted: Callable[[Session], bool], asking: Session) -> int:
        before = len(self.all)
        self.all = [s for s in self.all if not wanted(s)]
        return before - len(self.all)

    def __call__(self, line: str) -> Any:
        """As the connection 2."""
        asking = next(s for s in self.all if s.number == 2)
        asking.ask = lambda question: self.ask(question, asking)
        action = begin(asking, line.encode().split())
        action = action.finish() if isinstance(action, Slow) else action
        if isinstance(action, NodeQuestion):
            return self.ask(action, asking)
        assert isinstance(action, Reply)
        return action.value

    def ask(self, question: NodeQuestion, asking: Session) -> Any:
        node: Any = SimpleNamespace(clients=self, access=self.access)
        return client_command.answer(node, question.args, asking)

    def numbers(self) -> list[int]:
        return [s.number for s in self.all]


@pytest.fixture
def client() -> Connections:
    return Connections()


def test_a_line_has_the_fields_of_redis_in_its_order(client: Connections) -> None:
    reply = client("CLIENT INFO")
    assert type(reply) is Verbatim
    names = [field.partition("=")[0] for field in reply.decode().split()]
    assert " ".join(names) == (
        "id addr laddr fd name age idle flags db sub psub ssub multi watch qbuf qbuf-free "
        "argv-mem multi-mem rbs rbp obl oll omem tot-mem "
        "events cmd user redir resp lib-name lib-ver"
    )
    assert reply.startswith(b"id=2 addr=10.0.0.2:5000 laddr=10.0.0.9:6379 fd=-1 name= age=150 ")


@pytest.mark.parametrize(
    ("line", "ids"),
    [
        ("CLIENT LIST", b"123"),
        ("CLIENT LIST ID 3 1 7", b"13"),
        ("CLIENT LIST TYPE normal", b"123"),
        ("CLIENT LIST TYPE pubsub", b""),
    ],
)
def test_list_tells_the_connections_that_are_asked_for(
    client: Connections, line: str, ids: bytes
) -> None:
    assert b"".join(reply[3:4] for reply in client(line).splitlines()) == ids


@pytest.mark.parametrize(
    ("line", "reply", "left"),
    [("CLIENT KILL 10.0.0.1:5000", OK, [2, 3]), ("CLIENT KILL 10.0.0.2:5000", OK, [1, 3]),
     ("CLIENT KILL ADDR 10.0.0.3:5000", 1, [1, 2]), ("CLIENT KILL ID 9", 0, [1, 2, 3]),
     ("CLIENT KILL ID 2", 0, [1, 2, 3]),
     ("CLIENT KILL ID 2 SKIPME no", 1, [1, 3]), ("CLIENT KILL SKIPME yes", 2, [2]),
     ("CLIENT KILL SKIPME no", 3, []),
     ("CLIENT KILL MAXAGE 100", 1, [2, 3]), ("CLIENT KILL LADDR 10.0.0.9:6379 ID 1", 1, [2, 3]),
     ("CLIENT KILL USER default", 1, [2, 3]),
     ("CLIENT KILL USER app", 1, [1, 2]), ("CLIENT KILL USER idle", 0, [1, 2, 3]), ("CLIENT KILL "
         "USER default SKIPME no", 2, [3]),
     ("CLIENT KILL TYPE replica", 0, [1, 2, 3])],
)  # fmt: skip
def test_kill_ends_what_meets_every_filter_and_oneself_only_on_request(
    client: Connections, line: str, reply: Any, left: list[int]
) -> None:
    assert client(line) == reply
    assert client.numbers() == left


@pytest.mark.parametrize(
    ("line", "error"),
    [("CLIENT KILL 1.2.3.4:5", "No such client"), ("CLIENT KILL ID 10 x", "syntax error"),
    ("CLIENT KILL FOO 1", "syntax error"),
     ("CLIENT KILL ID 0", "client-id should be greater than 0"), ("CLIENT KILL ID x",
     "client-id should be greater than 0"),
     ("CLIENT KILL TYPE x", "Unknown client type 'x'"), ("CLIENT KILL USER x", "No such user 'x'"),
     ("CLIENT KILL SKIPME maybe", "syntax error"), ("CLIENT KILL MAXAGE x", "maxage is not an "
         "integer or out of range"),
     ("CLIENT KILL MAXAGE 0", "maxage should be greater than 0"), ("CLIENT LIST x", "syntax error"),
     ("CLIENT LIST TYPE x", "Unknown client type 'x'"), ("CLIENT LIST ID x", "Invalid client ID")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused_in_the_words_of_redis(
    client: Connections, line: str, error: str
) -> None:
    assert client(line) == Failure(b"ERR " + error.encode())
    assert client.numbers() == [1, 2, 3]


def test_clients_neither_see_nor_end_connections_of_the_admin_port(client: Connections) -> None:
    client.all.append(new_session(4, "10.0.0.4:5000", "10.0.0.9:7001", admin=True))
    assert b"id=4" not in client("CLIENT LIST")
    assert client("CLIENT LIST ID 4") == b""
    for line, killed in (
        ("CLIENT KILL ID 4", 0),
        ("CLIENT KILL 10.0.0.4:5000", Failure(b"ERR No such client")),
        ("CLIENT KILL TYPE normal", 2),
    ):
        assert client(line) == killed
    assert client.numbers() == [2, 4]
    client.all[0].admin = True
    assert b"id=4" in client("CLIENT LIST"), "the operator sees all"
    assert client("CLIENT KILL ID 4") == 1


@pytest.mark.parametrize("words", [b"CLIENT LIST", b"EXEC"])
def test_thousands_are_listed_in_slices(client: Connections, words: bytes) -> None:
    """10,000 connections at once would take 85 ms."""
    asking = client.all[1]
    client.all += [new_session(n, "10.0.1.1:5000", "", admin=False) for n in range(4, 2_000)]
    asking.ask = lambda question: client.ask(question, asking)
    if words == b"EXEC":
        begin(asking, [b"MULTI"])
        begin(asking, [b"CLIENT", b"LIST"])
    action, slices = begin(asking, words.split()), 0
    assert isinstance(action, Slow)
    while (reply := action.step()) is None:
        slices += 1
    assert slices >= len(client.all) // 250
    assert isinstance(reply, Reply)
    listed = reply.value[0] if words == b"EXEC" else reply.value
    assert [line.split()[0] for line in listed.splitlines()] == [
        b"id=%d" % session.number for session in client.all
    ]
