"""Long commands and long answers of one connection: taken apart and written in slices that nothing
overtakes, and bounded in what waits. With and without the compiled lane (`COUNTER_PURE=1`)."""

from __future__ import annotations

import itertools

import pytest
from counter_node.counters import ops as o
from counter_node.net.writing import FLUSH_PIECES
from counter_node.resp.encode import PIECE, encode
from counter_node.resp.pipeline import SLOW, Pipeline

from tests.support.unit.made_up_node import MadeUpNode, request, run


def test_nothing_is_read_while_what_was_read_before_waits_for_its_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It would overtake that in the lane. The clock stands still: on a busy machine a slice of 512
    commands may be late, and the next one is shorter then."""
    monkeypatch.setattr("counter_node.net.connection.monotonic", lambda: 1.0)

    def inside() -> None:
        node = MadeUpNode(max_pipeline=500)
        connection, wire = node.connect()
        connection._commands = 512  # as after some slices of cheap commands
        connection.data_received(request(b"INCRBY", b"k:1", b"5") * 700)
        assert len(node.bundles[0][2]) == 512
        _, token, ops = node.bundles.pop()
        node.clients.deliver([(token, [1] * len(ops))])
        assert (wire.written.count(b":1"), wire.reading) == (512, False)
        connection._commands = 512  # also where the machine was slow
        node.clients.turns._round()
        assert wire.reading
        connection.data_received(request(b"INCR", b"k:2"))
        node.turn()
        while node.bundles:
            node.answer()
        assert wire.written == b":1\r\n" * 700 + b":2\r\n"

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


def _everything_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time stands still, and a slice ends as soon as it may."""
    for module in ("connection", "turns"):
        monkeypatch.setattr(f"counter_node.net.{module}.monotonic", lambda: 1.0)
        monkeypatch.setattr(f"counter_node.net.{module}.SLICE_S", 0)
    monkeypatch.setattr("counter_node.net.writing.FLUSH_BYTES", 1)
    monkeypatch.setattr("counter_node.net.writing.WRITE_BYTES", 1)
    monkeypatch.setattr("counter_node.resp.encode.PIECE", 100)


def test_nothing_overtakes_a_command_that_is_taken_apart_in_slices(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And others are served meanwhile. An answer that is written in pieces is not overtaken
    either."""
    _everything_in_slices(monkeypatch)
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
        replies = {o.MSET: "OK", o.MGET: [b"1"] * len(names), b"k:5": 7}
        while node.bundles:
            _, token, ops = node.bundles.pop(0)
            node.clients.deliver(
                [(token, [replies[op if isinstance(op, bytes) else op[0]] for op in ops])]
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
    """What is read at once is many pieces, and none of them is a command: the clock is read
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
