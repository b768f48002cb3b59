"""Connections with and without the compiled lane (`COUNTER_PURE=1`): whatever way commands go, each
connection gets its replies in order, and its commands take effect in order. A made-up node answers
bundles when, and in whatever order, the test wants."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest
from counter_node.counters import increments
from counter_node.counters.replies import Failure
from counter_node.fast.lanes import COMPILED
from counter_node.resp.commands import CATALOGUE
from counter_node.resp.encode import encode
from counter_node.security.acl import Acl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.made_up_node import SCRIPT_REPLIES, MadeUpNode, request, run

LOADING = Failure(b"LOADING not now")
SHA = b"0123456789abcdefABCDEF0123456789abcdef01"


def test_the_lane_is_compiled_where_it_can_be() -> None:
    """Else every other test here would pass without testing it."""
    spec = importlib.util.spec_from_file_location(
        "compile", Path(__file__).parents[2] / "node_image" / "compile.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    expected = not os.environ.get("COUNTER_PURE") and not module.lack()
    assert (expected, expected) == (COMPILED, increments.COMPILED)


def test_all_connections_of_a_turn_share_one_bundle() -> None:
    def inside() -> None:
        node = MadeUpNode()
        clients = [node.connect() for _ in range(3)]
        for number, (connection, _) in enumerate(clients):
            connection.data_received(
                request(b"INCR", b"k:%d" % number) + request(b"incr", b"k:1%d" % number)
            )
        node.turn()
        assert len(node.bundles) == (1 if COMPILED else 3)
        assert node.clients.commands == 3 + 6
        while node.bundles:
            node.answer()
        assert [wire.written for _, wire in clients] == [
            b":%d\r\n:1%d\r\n" % (n, n) for n in range(3)
        ]

    run(inside)


@pytest.mark.skipif(not COMPILED, reason="only the compiled lane is in a hurry")
def test_the_turn_of_a_client_that_is_alone_begins_at_once() -> None:
    def inside() -> None:
        node = MadeUpNode()
        (first, _), (second, _) = node.connect(), node.connect()
        for turn, (senders, hurried) in enumerate(
            [((first,), 0), ((first,), 1), ((first, second), 2), ((first,), 2), ((first,), 3)]
        ):
            for number, sender in enumerate(senders):
                sender.data_received(request(b"INCR", b"k:%d" % (10 * turn + number)))
            assert node.hurried == hurried, turn
            node.turn()
            taken, node.bundles = node.bundles, []
            node.clients.deliver(
                [(token, [node.execute(op) for op in ops]) for _, token, ops in taken]
            )
        assert node.executed == [b"k:0", b"k:10", b"k:20", b"k:21", b"k:30", b"k:40"]

    run(inside)


def test_what_follows_in_the_ordinary_way_is_answered_after_what_is_in_the_lane() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        connection.data_received(request(b"INCR", b"k:1"))
        connection.data_received(request(b"PING"))
        connection.data_received(request(b"INCRBY", b"k:2", b"5"))
        node.turn()
        assert wire.written == b""
        node.answer()
        assert wire.written == b":1\r\n+PONG\r\n"
        node.answer()
        assert wire.written == b":1\r\n+PONG\r\n:2\r\n"
        assert node.executed == [b"k:1", b"k:2"]

    run(inside)


def test_a_write_that_waits_for_reads_keeps_its_connection_from_being_let_go() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        connection.data_received(request(b"TYPE", b"k:1"))
        connection.data_received(request(b"INCRBY", b"k:2", b"5"))
        later_s = node.clients.now_s() + 100
        assert [kind for kind, _, _ in node.bundles] == ["read"]
        assert not connection.let_go(later_s)
        node.answer()
        assert not connection.let_go(later_s)
        node.answer()
        assert connection.let_go(later_s)
        assert wire.closing

    run(inside)


@pytest.mark.parametrize(("first", "second"), [(b"INCR", b"GET"), (b"GET", b"INCR")])
def test_reads_and_writes_of_a_connection_do_not_overtake_each_other(
    first: bytes, second: bytes
) -> None:
    """They go different ways to the log, so the second must wait, or go with the first."""

    def inside() -> None:
        node = MadeUpNode()
        connection, _ = node.connect()
        connection.data_received(request(first, b"k:1"))
        node.turn()
        connection.data_received(request(second, b"k:2"))
        node.turn()
        if first == b"GET":
            assert [kind for kind, _, _ in node.bundles] == ["read"]
        else:
            assert [kind for kind, _, _ in node.bundles] == ["write", "write"]
        while node.bundles:
            node.answer()
            node.turn()
        assert node.executed == [b"k:1", b"k:2"]

    run(inside)


def test_a_key_that_looks_like_a_command_is_a_key() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        key = request(b"INCR", b"k:1") + b":5"
        whole = request(b"INCR", key)
        at = whole.index(key)
        connection.data_received(whole[:at])
        connection.data_received(whole[at : at + len(key) - 2])
        connection.data_received(whole[at + len(key) - 2 :])
        node.turn()
        node.answer()
        assert wire.written == b":5\r\n"
        assert node.executed == [key]

    run(inside)


def test_a_later_command_that_fails_first_is_answered_second() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        for number in (1, 2):
            connection.data_received(request(b"INCR", b"k:%d" % number))
            node.turn()
        node.answer(which=1, reply=LOADING)
        assert wire.written == b""
        node.answer()
        assert wire.written == b":1\r\n-LOADING not now\r\n"
        assert node.metrics.errors["LOADING"] == 1

    run(inside)


@pytest.mark.parametrize("odd", [
    b"*2\r\n$4\r\nINCR\r\n$03\r\nk:1\r\n",  # not as clients write it
    b"*2\r\n$4\r\nInCr\r\n$3\r\nk:1\r\n",
    b"*2\r\n$4\r\nECHO\r\n$3\r\nk:1\r\n",
    b"*2\r\n$4\r\nINCR\r\n$1025\r\n" + b"k" * 1025 + b"\r\n",
    b"*2\r\n$4\r\nINCR\r\n$-1\r\n",
    b"*2\r\n$4\r\nINCR\r\n$999999999999\r\n",
    b"*3\r\n$4\r\nINCR\r\n$3\r\nk:1\r\n$1\r\nx\r\n",
    request(b"EVALSHA", SHA, b"1"),
    request(b"EVALSHA", SHA[1:], b"0"),
    request(b"EVALSHA", SHA, b"01", b"k:1"),
    request(b"EVALSHA", SHA, b"-1", b"k:1"),
    request(b"EVALSHA", SHA, b"x", b"k:1"),
    request(b"EVALSHA", SHA),
    request(b"EvalSha", SHA, b"1", b"k:1"),
    request(b"EVALSHA", SHA, b"1", b"k" * 1025),
    request(b"EVALSHA", SHA, b"1", *[b"k:1"] * 70),
    request(b"EVALSHA", SHA, b"1", b"k:1")[:-1],
    b"*-4\r\n$7\r\nEVALSHA\r\n",
])  # fmt: skip
def test_what_is_odd_goes_the_ordinary_way_whole(odd: bytes) -> None:
    def inside() -> None:
        for before in (b"", request(b"INCR", b"k:7"), request(b"GET", b"k:7")):
            node = MadeUpNode()
            connection, _ = node.connect()
            commands = node.clients.lane.commands
            connection.data_received(before + odd)
            assert node.clients.lane.commands == commands

    run(inside)


@pytest.mark.skipif(not COMPILED, reason="the lane of pure nodes takes nothing")
@pytest.mark.parametrize("words", [
    [b"EVALSHA", SHA, b"0"],
    [b"evalsha", SHA, b"2", b"k:1", b"k:2"],
    [b"EVALSHA", SHA.upper(), b"1", b"", b"1\r\n", b"", *[b"x"] * 20],
])  # fmt: skip
def test_evalsha_in_the_lane_is_the_operation_of_the_ordinary_way(words: list[bytes]) -> None:
    def inside() -> None:
        found = []
        for taken in (True, False):
            node = MadeUpNode()
            connection, _ = node.connect()
            before = node.clients.lane.commands
            connection.lane.open = taken
            connection.data_received(request(*words) * 2)
            assert node.clients.lane.commands - before == 2 * taken
            node.turn()
            found.append([(kind, ops) for kind, _, ops in node.bundles])
        assert found[0] == found[1]

    run(inside)


def test_a_command_in_pieces_is_one() -> None:
    def inside() -> None:
        whole = request(b"INCR", b"k:5")
        for cut in range(1, len(whole)):
            node = MadeUpNode()
            connection, wire = node.connect()
            connection.data_received(whole + whole[:cut])
            connection.data_received(whole[cut:])
            connection.data_received(whole)
            node.turn()
            while node.bundles:
                node.answer()
            assert wire.written == b":5\r\n" * 3, cut

    run(inside)


def test_transactions_and_restricted_users_stay_out_of_the_lane() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        connection.data_received(request(b"MULTI"))
        connection.data_received(request(b"INCR", b"k:1"))
        assert wire.written == b"+OK\r\n+QUEUED\r\n"
        connection.data_received(request(b"DISCARD"))
        assert connection.session is not None
        before = node.clients.lane.commands
        connection.data_received(request(b"GET", b"k:1"))
        assert node.clients.lane.commands == before + COMPILED
        node.turn()
        node.answer()
        node.access.file.acl = Acl("user default on nopass ~* +get", CATALOGUE)
        node.access.settle(connection.session)  # as when the file of users has changed
        connection.data_received(request(b"GET", b"k:1"))
        assert node.clients.lane.commands == before + COMPILED

    run(inside)


def test_who_sends_too_far_ahead_is_not_read_from_until_half_is_answered() -> None:
    def inside() -> None:
        node = MadeUpNode(max_pipeline=10)
        connection, wire = node.connect()
        connection.data_received(request(b"INCR", b"k:1") * 6)
        node.turn()
        assert wire.reading
        connection.data_received(request(b"INCR", b"k:2") * 5)
        node.turn()
        assert not wire.reading
        node.answer()
        assert wire.reading
        node.answer()
        assert wire.written == b":1\r\n" * 6 + b":2\r\n" * 5

    run(inside)


KINDS = ("INCR", "GET", "incr", "INCRBY", "PING", "STRLEN", "EVALSHA", "evalsha")


def _command(kind: str, key: bytes) -> bytes:
    if kind == "PING":
        return request(b"ECHO", b"%d" % int(key.rpartition(b":")[2]))
    if kind.lower() == "evalsha":
        return request(kind.encode(), SHA, b"1", key, b"60", b"")
    return request(kind.encode(), key, *([b"5"] if kind == "INCRBY" else []))


def _expected(kind: str, number: int) -> bytes:
    if kind in ("INCR", "incr", "INCRBY"):
        return b":%d\r\n" % number
    if kind.lower() == "evalsha":
        return encode(SCRIPT_REPLIES[number % len(SCRIPT_REPLIES)](number), 2)
    return b"$%d\r\n%d\r\n" % (len(str(number)), number)


class Sender:
    """One connection of a mixture: what it sends in pieces, and what must come of it."""

    def __init__(self, node: MadeUpNode, name: bytes) -> None:
        self.connection, self.wire = node.connect()
        self.name = name
        self.unsent = b""
        self.expected: list[bytes] = []
        self.keyed: list[bytes] = []

    def send(self, data: st.DataObject, step: int) -> None:
        """Some commands, the last of them perhaps not whole."""
        for _ in range(data.draw(st.integers(1, 3))):
            kind = data.draw(st.sampled_from(KINDS))
            number = len(self.expected) + 1000 * step
            key = self.name + b":%d" % number
            self.unsent += _command(kind, key)
            self.expected.append(_expected(kind, number))
            if kind != "PING":
                self.keyed.append(key)
        cut = len(self.unsent) - data.draw(st.sampled_from([0, 0, 0, 1, 9, 20]))
        if self.unsent[:cut]:
            self.connection.data_received(self.unsent[:cut])
        self.unsent = self.unsent[cut:]

    def send_the_rest(self) -> None:
        if self.unsent:
            self.connection.data_received(self.unsent)


def _answer_one(node: MadeUpNode, data: st.DataObject) -> None:
    """Writes are answered in their order, reads at any time."""
    kinds = [kind for kind, _, _ in node.bundles]
    first = [kinds.index(kind) for kind in ("read", "write") if kind in kinds]
    node.answer(data.draw(st.sampled_from(first)))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_mixture_in_any_pieces_is_answered_and_takes_effect_in_order(
    data: st.DataObject,
) -> None:
    def inside() -> None:
        node = MadeUpNode()
        senders = [Sender(node, b"k%d" % number) for number in range(2)]
        for step in range(data.draw(st.integers(1, 25))):
            sender = data.draw(st.sampled_from(senders))
            match data.draw(st.sampled_from(["send", "send", "send", "turn", "answer"])):
                case "send":
                    sender.send(data, step)
                case "turn":
                    node.turn()
                case "answer" if node.bundles:
                    _answer_one(node, data)
        for sender in senders:
            sender.send_the_rest()
        node.turn()
        while node.bundles:
            node.answer()
            node.turn()
        for sender in senders:
            assert sender.wire.written == b"".join(sender.expected)
            keys = [key for key in node.executed if key.startswith(sender.name + b":")]
            assert keys == sender.keyed

    run(inside)
