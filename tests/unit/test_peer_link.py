"""Links between nodes: the moment when a connection is gone and nobody has been told yet, and strangers who come in crowds."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import uvloop
from counter_node.net.peers import FULL_FRAME_BYTES, MAX_UNGREETED, Hello, Link, Peers, Welcome, frame, frames
from counter_node.raft.messages import Append, Heartbeat
from counter_node.raft.types import Entry, EntryKind
from counter_node.replica import PeerMessage
from counter_node.security.refusals import Refusals
from counter_node.settings import Settings


class Owner:
    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.settings = Settings(cluster_id="c", data_dir="")
        self.refusals = Refusals()
        self.received: list[tuple[int, list[PeerMessage]]] = []

    def peer_hello(self, hello: Hello) -> Welcome:
        return Welcome()

    def peer_messages(self, sender: int, messages: list[PeerMessage]) -> None:
        self.received.append((sender, messages))

    def peer_lost(self, node: int) -> None: ...

    def peer_up(self, node: int) -> None:
        self.up.set()

    def peer_refused(self, node: int, reason: str) -> None: ...


async def _send_right_after_the_end() -> bool:
    owner, loop = Owner(), asyncio.get_running_loop()
    me = Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2")
    server = await loop.create_server(Peers(owner, lambda _: me).inbound, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(owner, me, 2, "two", f"127.0.0.1:{port}", None)
    async with asyncio.timeout(10):
        await owner.up.wait()
    assert link.send(frame([Heartbeat(1, 0, 0)]))
    connection = link._connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()
    sent = link.send(frame([Heartbeat(1, 0, 0)]))
    link.close()
    server.close()
    with contextlib.suppress(asyncio.CancelledError):
        await link._task
    return sent


def test_sending_on_a_connection_that_just_ended_is_a_loss_not_an_exception() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_send_right_after_the_end()) is False


class Stranger:
    """A transport whose end is told later, as the event loop's is."""

    aborted = False

    def write(self, data: bytes) -> None: ...

    def abort(self) -> None:
        self.aborted = True


async def _a_crowd_in_one_turn(size: int) -> tuple[int, int]:
    owner = Owner()
    peers = Peers(owner, lambda _: Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2"))
    transports = [Stranger() for _ in range(size)]
    for transport in transports:
        peers.inbound().connection_made(cast(asyncio.Transport, transport))
    gone = sum(transport.aborted for transport in transports)
    await peers.close()
    return owner.refusals.counts["peer_crowded"], gone


def test_of_a_crowd_that_comes_in_one_turn_each_one_over_the_limit_makes_another_one_go() -> None:
    counted, gone = asyncio.run(_a_crowd_in_one_turn(MAX_UNGREETED + 20))
    assert (counted, gone) == (20, 20)


async def _frames_at_once(data: bytes) -> Owner:
    owner, transport = Owner(), Stranger()
    peers = Peers(owner, lambda _: Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2"))
    connection = peers.inbound()
    connection.connection_made(cast(asyncio.Transport, transport))
    connection.data_received(frame(Hello("c", 5, 1, "five", "127.0.0.1:3", "127.0.0.1:4")))
    connection.data_received(data)
    await peers.close()
    return owner


def test_frames_that_come_at_once_are_given_on_at_once() -> None:
    """A node that is behind would write and sync for each of them, else."""
    beats = [Heartbeat(1, 0, number) for number in range(3)]
    owner = asyncio.run(_frames_at_once(frame(beats[:1]) + frame(beats[1:])))
    assert owner.received == [(5, beats)]


def test_messages_of_a_turn_that_are_more_than_a_frame_go_singly_and_all_arrive() -> None:
    entry = Entry(2, 1, EntryKind.DATA, b"x" * (FULL_FRAME_BYTES // 3))
    messages: list[PeerMessage] = [Append(1, 1, 1, 1, [entry]) for _ in range(4)]
    assert len(frames(messages[:2])) == 1
    cut = frames(messages)
    assert [len(data) < FULL_FRAME_BYTES for data in cut] == [True] * 4
    assert asyncio.run(_frames_at_once(b"".join(cut))).received == [(5, messages)]


def test_an_entry_of_an_old_log_is_sent_and_taken_though_none_so_large_is_made_any_more() -> None:
    old: list[PeerMessage] = [Append(1, 1, 1, 1, [Entry(2, 1, EntryKind.DATA, bytes(70 << 20))])]
    (data,) = frames(old)
    owner = asyncio.run(_frames_at_once(data))
    assert owner.received == [(5, old)]
