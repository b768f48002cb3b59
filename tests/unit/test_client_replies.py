"""What a connection writes to its socket, and what it gives back when it ends. With and without the
compiled lane (`COUNTER_PURE=1`)."""

from __future__ import annotations

import gc
import socket
import weakref
from typing import Any

import pytest
from counter_node.counters.replies import Failure
from counter_node.fast.lanes import COMPILED
from counter_node.resp.encode import encode

from tests.support.unit.made_up_node import MadeUpNode, request, run


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
