"""Limits of users at work: commands a second, and what a session makes of limits and of strict
patterns. What the file says is in test_limits_file.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from counter_node.counters import ops as o
from counter_node.counters.batches import UserLimits, encode
from counter_node.counters.effects import EXECUTE
from counter_node.counters.replies import Failure
from counter_node.resp.commands import CATALOGUE
from counter_node.resp.dispatch import handle, increments
from counter_node.security.acl import Acl
from counter_node.security.limits import Pace
from counter_node.security.refusals import Refusals
from counter_node.users.access import Access

from tests.support.local import LocalConnection, LocalServer
from tests.support.unit.limited_users import FILE


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# --- commands a second ----------------------------------------------------------------------------


def paced(most: int | None) -> Any:
    acl = Acl(
        FILE + (f"#limits app commands={most}\n" if most else "#limits app keys=1\n"), CATALOGUE
    )
    return acl.users


def test_a_user_gives_as_many_commands_as_its_limit_says_and_others_do_not_pay() -> None:
    clock = Clock()
    pace = Pace(clock)
    users = paced(10)
    pace.settle(users.values())
    replies = [pace.refusal(users["app"]) for _ in range(25)]
    assert replies[:10] == [None] * 10
    assert all(
        bytes(reply or b"").startswith(
            b"ERR user app may give 10 commands a second to this node (limits.comm"
        )
        for reply in replies[10:]
    )
    assert pace.refusal(users["root"]) is None
    clock.now = 0.5
    assert [pace.refusal(users["app"]) is None for _ in range(6)] == [True] * 5 + [False]
    clock.now = 100.0
    assert sum(pace.refusal(users["app"]) is None for _ in range(99)) == 10, (
        "a second's worth at once at most"
    )
    assert (pace.taken, pace.refused) == ({"app": 25}, {"app": 105})


def test_a_limit_that_changes_is_in_force_at_once_and_one_that_stays_goes_on() -> None:
    pace = Pace(Clock())
    for most, passed in ((10, 10), (10, 0), (20, 20), (None, 99), (5, 5)):
        users = paced(most)
        pace.settle(users.values())
        assert sum(pace.refusal(users["app"]) is None for _ in range(99)) == passed
    pace.settle([])
    assert (pace.taken, pace.refused) == ({}, {})


# --- a session ------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path: Path) -> LocalServer:
    server = LocalServer()
    server.path = tmp_path / "users.acl"  # type: ignore[attr-defined]
    return server


def logged_in(server: LocalServer, name: str, more: str) -> LocalConnection:
    """With the limits of the file in force in the state, as the leader puts them."""
    path: Path = server.path  # type: ignore[attr-defined]
    path.write_text(FILE + more)
    access = Access(path, CATALOGUE, Refusals())
    server._append(encode(UserLimits(access.user_limits)))
    client = server.connect()
    client.session.access = access
    access.settle(client.session)
    assert client.ask(b"AUTH", name.encode(), b"x") == "OK"
    return client


def words(client: LocalConnection, line: str) -> Any:
    return client.ask(*line.encode().split())


def test_whatever_makes_a_counter_is_refused_past_the_limit_however_it_comes(
    server: LocalServer,
) -> None:
    client = logged_in(server, "app", "#limits app keys=1\n")
    assert words(client, "INCR app:a") == 1
    for making in (
        "INCR app:b", "DECR app:b", "INCRBY app:b 2", "DECRBY app:b 2", "INCREX app:b BYINT 2",
        "SET app:b 1", "SETNX app:b 1",
        "GETSET app:b 1", "SETEX app:b 9 1", "PSETEX app:b 9 1", "MSET app:a 1 app:b 1",
        "MSETNX app:b 1 app:c 1",
        "IDMP p1 1 INCR app:b", "IDMP p2 1 MSET app:b 1",
    ):  # fmt: skip
        reply = words(client, making)
        assert isinstance(reply, Failure), making
        assert reply.startswith(
            b"OOM user app has 1 counters of its own and may have 1 (limits.keys)"
        ), making
    for line in ("MULTI", "INCR app:b", "INCR app:a"):
        words(client, line)
    replies = words(client, "EXEC")
    assert isinstance(replies[0], Failure)
    assert replies[1] == 2
    words(client, "MULTI")
    words(client, "SET app:b 1")
    assert isinstance(words(client, "IDMP p3 1 EXEC")[0], Failure)
    assert words(client, "WATCH app:a") == "OK"
    words(client, "MULTI")
    words(client, "SET app:b 1")
    assert isinstance(words(client, "EXEC")[0], Failure)
    assert server.machine.values == {b"app:a": 2}
    for fine in (
        "INCR app:a",
        "GET app:a",
        "EXPIRE app:a 100",
        "GETEX app:a EX 50",
        "SET app:a 5",
        "DEL app:a",
        "INCR app:b",
    ):
        assert not isinstance(words(client, fine), Failure), fine


@pytest.mark.parametrize("login", ["AUTH root x", "HELLO 2 AUTH root x", "AUTH default x"])
@pytest.mark.parametrize("end", ["EXEC", "IDMP p 1 EXEC"])
@pytest.mark.parametrize("count", [3, 300])
def test_a_login_within_a_transaction_leaves_the_bill_where_it_was(
    server: LocalServer, login: str, end: str, count: int
) -> None:
    """What was queued before it was made for whoever the connection had become, who may have no
    limit."""
    client = logged_in(server, "app", "user default on nopass ~app:* +@all\n#limits app keys=1\n")
    words(client, "MULTI")
    for n in range(count):
        assert words(client, f"INCR app:{n}") == "QUEUED"
    words(client, login)
    words(client, "INCR app:last")
    replies = words(client, end)
    assert replies[0] == 1
    assert [isinstance(reply, Failure) for reply in replies] == [
        False,
        *[True] * (count - 1),
        False,
        True,
    ]
    assert client.session.user_name in ("root", "default")
    assert list(server.machine.values) == [b"app:0"]
    assert words(client, "INCR app:free") == 1, "from now on it is the other's"
    assert server.machine.accounts()[0][0].keys == 1


def test_a_watch_is_its_users_until_it_ends_whoever_the_connection_becomes(
    server: LocalServer,
) -> None:
    client = logged_in(server, "app", "#limits app keys=5\n")
    words(client, "WATCH app:a")
    words(client, "AUTH root x")
    words(client, "WATCH b")
    assert server.machine.counts()["watches"] == 1
    words(client, "MULTI")
    words(client, "INCR app:a")
    assert words(client, "EXEC") == [1]
    words(client, "WATCH b")
    assert list(server.machine._state.watches._shares) == [b"root"]
    words(client, "UNWATCH")
    assert server.machine.counts()["watches"] == 0


def test_every_command_that_may_make_a_counter_or_an_expiry_is_known_as_such() -> None:
    assert {code for code in EXECUTE if code not in o.READS and code not in o.MAKES} == {
        o.DEL, o.PERSIST, o.FLUSH, o.GETDEL, o.WATCH, o.UNWATCH,
    }  # fmt: skip


def test_commands_a_second_are_counted_once_each_whatever_they_are(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = logged_in(server, "app", "#limits app commands=9\n")
    assert client.session.access is not None
    clock = Clock()
    monkeypatch.setattr(client.session.access, "pace", Pace(clock))
    client.session.access.pace.settle(client.session.access.acl.users.values())
    for line in ("INCR app:a", "GET foreign", "MULTI", "INCR app:a", "GET app:a"):
        words(client, line)
    assert words(client, "EXEC") == [2, b"2"]
    assert [
        words(client, "IDMP p 1 INCR app:a"),
        words(client, "PING"),
        words(client, "COMMAND COUNT") > 9,
    ] == [3, "PONG", True]
    for line in ("PING", "INCR app:a", "MULTI", "COMMAND DOCS", "IDMP p 1 INCR app:a"):
        assert words(client, line).startswith(b"ERR user app may give 9 commands a second")
    assert server.machine.values == {b"app:a": 3}
    assert words(client, "AUTH root x") == "OK", "a connection changes hands all the same"
    assert words(client, "INCR app:a") == 4
    clock.now = 1.0
    assert words(client, "RESET") == "RESET"


def test_without_limits_a_session_makes_what_it_made_before(server: LocalServer) -> None:
    client = logged_in(server, "root", "#limits app keys=1\n")
    assert increments(client.session, [[b"INCR", b"a"]] * 3) is not None
    assert not client.session.guarded
    limited_one = logged_in(server, "app", "#limits app keys=1\n")
    assert increments(limited_one.session, [[b"INCR", b"a"]] * 3) is None
    action = handle(limited_one.session, [b"INCR", b"app:a"])
    assert action.op == o.as_user(b"app", b"app:a")  # type: ignore[union-attr]


@pytest.mark.parametrize("strict", ["", "#strict-patterns\n"])
def test_with_strict_patterns_nothing_is_shown_or_done_beyond_them(
    server: LocalServer, strict: str
) -> None:
    root = logged_in(server, "root", strict)
    for line in ("SET app:1 1", "SET app:2 1", "SET shared 1", "SET foreign 1"):
        words(root, line)
    assert words(root, "DBSIZE") == 4
    client = logged_in(server, "app", strict)
    own = {b"app:1", b"app:2", b"shared"}
    seen = own if strict else own | {b"foreign"}
    assert words(client, "DBSIZE") == len(seen)
    assert set(words(client, "KEYS *")) == seen
    assert set(words(client, "SCAN 0 COUNT 100")[1]) == seen
    assert set(words(client, "SCAN 0 MATCH *1 COUNT 100")[1]) == {b"app:1"}
    assert {words(client, "RANDOMKEY") for _ in range(64)} == seen
    for line in ("MULTI", "DBSIZE", "KEYS *", "INCR app:1"):
        words(client, line)
    replies = words(client, "EXEC")
    assert (replies[0], set(replies[1]), replies[2]) == (len(seen), seen, 2)
    writer = logged_in(server, "seen", strict)
    assert set(words(writer, "KEYS *")) == (set() if strict else seen), (
        "names of what it may only write are not shown"
    )
    for line in ("FLUSHALL", "FLUSHDB", "IDMP p 1 FLUSHALL"):
        reply = words(client, line)
        if strict:
            assert reply.startswith(
                b"NOPERM User app may not remove counters beyond its patterns"
            ), line
    assert bool(server.machine.values) == bool(strict)


def test_the_file_in_force_decides_for_sessions_that_are_there(server: LocalServer) -> None:
    client = logged_in(server, "app", "")
    access = client.session.access
    assert access is not None
    path: Path = server.path  # type: ignore[attr-defined]
    for more, pays, within in (
        ("#limits app keys=1\n#strict-patterns\n", True, [b"app:*", b"shared"]),
        ("#limits app commands=9\n", False, None),
    ):
        path.write_text(FILE + more)
        access._checked = -100.0
        access.refresh(lambda: [client.session])
        assert (client.session.pays, client.session.within) == (pays, within)
        assert access.user_limits == (((b"app", 1, None),) if pays else ())
