"""Connections with and without the compiled lane (`COUNTER_PURE=1`): whatever way commands go, each
connection gets its replies in order, and its commands take effect in order. A made-up node answers
bundles when, and in whatever order, the test wants."""

from __future__ import annotations

import gc
import importlib.util
import itertools
import os
import socket
import weakref
from pathlib import Path
from typing import Any

import pytest
from counter_node.counters import increments
from counter_node.counters import ops as o
from counter_node.counters.replies import Failure
from counter_node.fast.lanes import COMPILED
from counter_node.net.writing import FLUSH_PIECES
from counter_node.resp.commands import CATALOGUE
from counter_node.resp.encode import PIECE, encode
from counter_node.resp.pipeline import SLOW, Pipeline
from counter_node.security.acl import Acl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.unit.made_up_node import MadeUpNode, request, run

LOADING = Failure(b"LOADING not now")


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


def test_nothing_is_read_while_what_was_read_before_waits_for_its_slice() -> None:
    """It would overtake that in the lane."""

    def inside() -> None:
        node = MadeUpNode(max_pipeline=500)
        connection, wire = node.connect()
        connection._commands = 512  # as after some slices of cheap commands
        connection.data_received(request(b"INCRBY", b"k:1", b"5") * 700)
        assert len(node.bundles[0][2]) == 512
        _, token, ops = node.bundles.pop()
        node.clients.deliver([(token, [1] * len(ops))])
        assert (wire.written.count(b":1"), wire.reading) == (512, False)
        node.clients.turns._round()
        assert wire.reading
        connection.data_received(request(b"INCR", b"k:2"))
        node.turn()
        while node.bundles:
            node.answer()
        assert wire.written == b":1\r\n" * 700 + b":2\r\n"

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


def test_a_connection_that_ended_gets_nothing() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        other, other_wire = node.connect()
        connection.data_received(request(b"INCR", b"k:1"))
        other.data_received(request(b"INCR", b"k:2"))
        node.turn()
        connection.connection_lost(None)
        while node.bundles:
            node.answer()
        assert (wire.written, other_wire.written) == (b"", b":2\r\n")

    run(inside)


def test_what_a_socket_does_not_take_goes_through_the_transport_and_all_that_follows_it() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        here, there = socket.socketpair()
        here.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        here.setblocking(False)
        connection.wire.unencrypted(here.fileno())
        written: list[bytes] = []

        def keep(data: bytes) -> None:
            written.append(data)
            wire.unsent += len(data)

        wire.write = keep  # type: ignore[method-assign]
        values = [b"%d" % number * 100 for number in range(200)]
        for value in values:
            connection.data_received(request(b"GET", b"k:1"))
            node.turn()
            node.answer(reply=value)
        there.setblocking(False)
        at_once = there.recv(1 << 20) if COMPILED else b""
        assert at_once + b"".join(written) == b"".join(
            b"$%d\r\n%s\r\n" % (len(value), value) for value in values
        )
        assert at_once or not COMPILED
        assert written
        wire.closing = True
        connection.data_received(request(b"GET", b"k:1"))
        node.turn()
        before = len(written)
        node.answer(reply=b"late")
        assert len(written) == before
        here.close()
        there.close()

    run(inside)


def test_lists_of_connections_know_what_went_through_the_lane() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, _ = node.connect()
        connection.data_received(request(b"GET", b"k:1"))
        (session,) = node.clients.sessions()
        assert (session.last_command, session.last_bytes) == ("get", len(request(b"GET", b"k:1")))

    run(inside)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"*2\r\n$3\r\nGET\r\n",
        request(b"GET", b"k:1") * 5,
        b"*1\r\n$5\r\nMULTI\r\n" + request(b"GET", b"k:1"),
    ],
)
def test_what_a_connection_held_is_given_back_when_it_is_lost_and_not_when_the_collector_comes(
    sent: bytes,
) -> None:
    """With TLS that is more than half a MiB: a node that had cut a thousand connections of
    strangers held as many more."""

    def inside() -> None:
        node = MadeUpNode()
        gc.collect()
        gc.disable()
        try:
            connection, wire = node.connect()
            connection.data_received(sent)
            gone = weakref.ref(wire)
            connection.connection_lost(None)
            node.turn()
            for bundle in list(node.bundles):
                node.clients.deliver([(bundle[1], [0] * len(bundle[2]))])
            node.bundles.clear()
            del connection, wire
            assert gone() is None
        finally:
            gc.enable()

    run(inside)


@pytest.mark.parametrize(
    "reply",
    [
        0,
        9,
        10,
        9_999,
        10_000,
        -1,
        -10,
        2**63 - 1,
        -(2**63),
        b"",
        b"7",
        b"x" * 5000,
        None,
        Failure(b"ERR no"),
        [1, b"2"],
    ],
)
def test_every_reply_is_written_as_the_encoder_writes_it(reply: Any) -> None:
    def inside() -> None:
        for count in (1, 3):
            node = MadeUpNode()
            connection, wire = node.connect()
            connection.data_received(request(b"GET", b"k:1") * count)
            node.turn()
            _, token, ops = node.bundles.pop()
            node.clients.deliver([(token, [reply] * len(ops))])
            assert wire.written == encode(reply, 2) * count

    run(inside)


KINDS = ("INCR", "GET", "incr", "INCRBY", "PING", "STRLEN")


def _command(kind: str, key: bytes) -> bytes:
    if kind == "PING":
        return request(b"ECHO", b"%d" % int(key.rpartition(b":")[2]))
    return request(kind.encode(), key, *([b"5"] if kind == "INCRBY" else []))


def _expected(kind: str, number: int) -> bytes:
    if kind in ("INCR", "incr", "INCRBY"):
        return b":%d\r\n" % number
    return b"$%d\r\n%d\r\n" % (len(str(number)), number)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_mixture_in_any_pieces_is_answered_and_takes_effect_in_order(
    data: st.DataObject,
) -> None:
    def inside() -> None:
        node = MadeUpNode()
        clients = [node.connect() for _ in range(2)]
        unsent: list[bytes] = [b"", b""]
        expected: list[list[bytes]] = [[], []]
        keyed: list[list[bytes]] = [[], []]
        for step in range(data.draw(st.integers(1, 25))):
            who = data.draw(st.integers(0, 1))
            match data.draw(st.sampled_from(["send", "send", "send", "turn", "answer"])):
                case "send":
                    for _ in range(data.draw(st.integers(1, 3))):
                        kind, number = (
                            data.draw(st.sampled_from(KINDS)),
                            len(expected[who]) + 1000 * step,
                        )
                        key = b"k%d:%d" % (who, number)
                        unsent[who] += _command(kind, key)
                        expected[who].append(_expected(kind, number))
                        if kind != "PING":
                            keyed[who].append(key)
                    cut = data.draw(st.sampled_from([0, 0, 0, 1, 9, 20]))
                    piece, unsent[who] = (
                        unsent[who][: len(unsent[who]) - cut],
                        unsent[who][len(unsent[who]) - cut :],
                    )
                    if piece:
                        clients[who][0].data_received(piece)
                case "turn":
                    node.turn()
                case "answer" if node.bundles:
                    # writes among themselves are answered in order, reads at any time
                    first_write = next(
                        (n for n, bundle in enumerate(node.bundles) if bundle[0] == "write"), None
                    )
                    reads = [n for n, bundle in enumerate(node.bundles) if bundle[0] == "read"][:1]
                    node.answer(
                        data.draw(
                            st.sampled_from(
                                [*reads, *([] if first_write is None else [first_write])]
                            )
                        )
                    )
        for who, (connection, _) in enumerate(clients):
            if unsent[who]:
                connection.data_received(unsent[who])
        node.turn()
        while node.bundles:
            node.answer()
            node.turn()
        for who, (_, wire) in enumerate(clients):
            assert wire.written == b"".join(expected[who])
            assert [key for key in node.executed if key.startswith(b"k%d:" % who)] == keyed[who]

    run(inside)


def test_what_waits_behind_a_read_counts_as_unanswered() -> None:
    """Nothing of it was in the count, so one connection could make the node hold whatever it sent,
    and one batch of it all."""

    def test() -> None:
        node = MadeUpNode(max_pipeline=10)
        connection, wire = node.connect()
        connection.data_received(request(b"EXISTS", b"r:0"))
        connection.data_received(
            b"".join(request(b"INCRBY", b"w:%d" % n, b"1") for n in range(1, 9))
        )
        assert wire.reading
        connection.data_received(
            b"".join(request(b"INCRBY", b"w:%d" % n, b"1") for n in range(9, 12))
        )
        assert not wire.reading
        node.answer(reply=1)
        assert not wire.reading, "it is only now that they are sent"
        while node.bundles:
            node.answer()
        assert wire.reading
        assert wire.written == b":1\r\n" + b"".join(b":%d\r\n" % n for n in range(1, 12))

    run(test)


@pytest.mark.parametrize("behind_a_read", [False, True])
def test_unanswered_bytes_of_one_connection_are_bounded(behind_a_read: bool) -> None:
    def test() -> None:
        node = MadeUpNode(max_pipeline_bytes=10_000)
        connection, wire = node.connect()
        if behind_a_read:
            connection.data_received(request(b"EXISTS", b"r:0"))
        for n in range(1, 5):
            assert (
                wire.reading or behind_a_read
            )  # what comes behind what waits is not even taken apart
            connection.data_received(
                b"".join(request(b"INCRBY", b"w" * 250 + b":%d" % n, b"1") for _ in range(10))
            )
        assert not wire.reading
        if behind_a_read:
            node.answer(reply=0)
        while node.bundles:
            assert not wire.reading or len(node.bundles) < 3
            node.answer()
        assert wire.reading
        assert connection.pipeline.held_bytes == 0

    run(test)


def test_nothing_overtakes_a_command_that_is_taken_apart_in_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And others are served meanwhile. An answer that is written in pieces is not overtaken
    either."""
    monkeypatch.setattr("counter_node.net.connection.monotonic", lambda: 1.0)
    monkeypatch.setattr("counter_node.net.turns.monotonic", lambda: 1.0)
    monkeypatch.setattr("counter_node.net.connection.SLICE_S", 0)
    monkeypatch.setattr("counter_node.net.turns.SLICE_S", 0)
    monkeypatch.setattr("counter_node.net.writing.FLUSH_BYTES", 1)
    monkeypatch.setattr("counter_node.net.writing.WRITE_BYTES", 1)
    monkeypatch.setattr("counter_node.resp.encode.PIECE", 100)
    names = [b"m:%d" % n for n in range(3_000)]

    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        other, other_wire = node.connect()
        long = request(b"MSET", *(word for name in names for word in (name, b"1"))) + request(
            b"MGET", *names
        )
        for start in range(0, len(long), 8_192):
            connection.data_received(long[start : start + 8_192])
        connection.data_received(request(b"INCR", b"k:5"))
        assert not wire.reading, "what comes later waits"
        other.data_received(request(b"INCR", b"k:6"))
        node.turn()
        node.answer(next(n for n, bundle in enumerate(node.bundles) if bundle[2] == [b"k:6"]))
        assert other_wire.written == b":6\r\n"
        assert connection.pipeline.state == SLOW
        assert not connection.let_go(1e9)
        rounds = 0
        while not any(b"k:5" in ops for _, _, ops in node.bundles):
            node.clients.turns._round()
            rounds += 1
        assert rounds > 3
        told = {o.MSET: "OK", o.MGET: [b"1"] * len(names), b"k:5": 7}
        while node.bundles:
            _, token, ops = node.bundles.pop(0)
            node.clients.deliver(
                [(token, [told[op if isinstance(op, bytes) else op[0]] for op in ops])]
            )
        assert connection.pipeline.replies.unanswered, "so that the lane takes nothing"
        assert not connection.let_go(1e9)
        while connection.pipeline.replies.ready:
            node.clients.turns._round()
        assert wire.written == b"$2\r\nOK\r\n" + b"*3000\r\n" + b"$1\r\n1\r\n" * 3_000 + b":7\r\n"
        assert (connection.pipeline.replies.unanswered, wire.reading) == (0, True)

    run(inside)


def test_a_client_that_goes_in_the_middle_of_a_long_command_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, _ = node.connect()
        connection.data_received(request(b"WATCH", b"w:1"))
        node.bundles.clear()
        queue = request(b"MULTI") + request(b"INCR", b"k:1") * 2_000
        connection.data_received(queue)
        while connection.pipeline.unbegun:
            node.clients.turns._round()
        monkeypatch.setattr("counter_node.net.connection.SLICE_S", -1)
        connection.data_received(request(b"EXEC"))
        assert connection.pipeline.state == SLOW
        assert node.clients.holdings.total > 0
        connection.connection_lost(None)
        assert node.clients.holdings.total == 0
        assert [op[0] for _, _, ops in node.bundles for op in ops] == [o.UNWATCH]

    run(inside)


def test_a_command_of_many_words_is_taken_apart_in_slices_before_it_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is read at once is many pieces, and none of them is a command: the clock is looked at
    all the same."""
    clock = itertools.count(1.0)  # each look a second later
    monkeypatch.setattr("counter_node.net.connection.monotonic", lambda: next(clock))
    monkeypatch.setattr("counter_node.net.turns.monotonic", lambda: next(clock))
    pieces: list[int] = []
    take_apart = Pipeline._take_apart
    monkeypatch.setattr(
        Pipeline, "_take_apart", lambda self: (pieces.append(1), take_apart(self))[1]
    )

    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        pieces.clear()
        names = [b"k:%030d" % n for n in range(20_000)]
        wanted = request(b"EXISTS", *names)
        slices = []
        for at in range(0, len(wanted), 256 << 10):
            connection.data_received(wanted[at : at + (256 << 10)])
            for _ in range(100):
                slices.append(len(pieces))
                pieces.clear()
                if wire.reading:
                    break
                node.clients.turns._round()
        for _ in range(100):
            node.clients.turns._round()
        assert sum(slices) > 20
        assert max(slices) == 1
        assert [op for _, _, ops in node.bundles for op in ops] == [[o.EXISTS, names]]

    run(inside)


def test_a_long_answer_is_made_into_bytes_a_few_thousand_values_at_a_time() -> None:
    def inside() -> None:
        node = MadeUpNode()
        connection, wire = node.connect()
        names = [b"k:%d" % n for n in range(30_000)]
        connection.data_received(request(b"MGET", *names))
        for _ in range(200):
            node.clients.turns._round()
        (_, token, _), node.bundles = node.bundles[0], []
        before, most = 0, 0
        node.clients.deliver([(token, [[b"7"] * len(names)])])
        for _ in range(200):
            most, before = max(most, len(wire.written) - before), len(wire.written)
            node.clients.turns._round()
        assert wire.written == encode([b"7"] * len(names), 2)
        assert most <= (FLUSH_PIECES + 1) * PIECE * len(b"$1\r\n7\r\n") + 10

    run(inside)
