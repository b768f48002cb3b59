"""Links between nodes: the moment when a connection is gone and nobody has noticed yet, and
strangers who come in crowds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop
from counter_node.net.frames import FULL_FRAME_BYTES, Hello, Welcome, frame, frames
from counter_node.net.links import MAX_DIALS, Link
from counter_node.net.peers import MAX_UNGREETED, Peers
from counter_node.net.pulse import Pulse
from counter_node.raft.messages import Append, Heartbeat
from counter_node.raft.types import Entry, EntryKind
from counter_node.replica.peer_messages import PeerMessage
from counter_node.security.refusals import Refusals
from counter_node.settings import Settings


class Owner:
    def __init__(self) -> None:
        self.up = asyncio.Event()
        self.settings = Settings(cluster_id="c", data_dir="")
        self.refusals = Refusals()
        self.received: list[tuple[int, list[PeerMessage]]] = []
        self.ups = 0
        self.lost: list[int] = []

    def peer_hello(self, hello: Hello) -> Welcome:
        return Welcome()

    def peer_messages(self, sender: int, messages: list[PeerMessage]) -> None:
        self.received.append((sender, messages))

    def peer_lost(self, node: int) -> None:
        self.lost.append(node)

    def peer_up(self, node: int) -> None:
        self.ups += 1
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
    """A transport whose end is signalled later, as the event loop's is."""

    aborted = False

    def write(self, data: bytes) -> None: ...

    def get_extra_info(self, name: str) -> None: ...

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


class Mute(asyncio.Protocol):
    """A proxy's face: passes bytes on, or lets them lie without a word, as dropped packets would
    look."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.muted = False
        self.queues: list[asyncio.Task[None]] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.port)
        broken = asyncio.Event()

        async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(1 << 16):
                    if self.muted or broken.is_set():
                        broken.set()  # what is missing in the middle never comes
                        continue
                    target.write(data)
                target.close()

        await asyncio.gather(carry(reader, back), carry(there, writer))


async def _until(condition: Callable[[], bool], each: Callable[[], None]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            each()
            await asyncio.sleep(0.01)


async def _a_silent_cut() -> None:
    here, there = Owner(), Owner()
    hello = Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2")
    peers, loop = Peers(there, lambda _: hello), asyncio.get_running_loop()
    server = await loop.create_server(peers.inbound, "127.0.0.1", 0)
    mute = Mute(server.sockets[0].getsockname()[1])
    proxy = await asyncio.start_server(mute.serve, "127.0.0.1", 0)
    link = Link(here, hello, 2, "two", f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}", None)
    beat = frame([Heartbeat(1, 0, 0)])

    def send() -> None:
        link.tick()
        link.send(beat)

    await _until(lambda: len(there.received) > 20, send)
    assert (here.ups, here.lost, there.lost) == (1, [], []), "whom it hears it does not dial again"
    mute.muted = True
    await _until(lambda: len(link._dials) == MAX_DIALS, send)
    assert (here.ups, here.lost) == (1, []), "the old one stays until a new one is welcomed"
    mute.muted, before = False, len(there.received)
    await _until(lambda: len(there.received) > before, send)
    await _until(lambda: len(peers.callers_open) == 1, send)
    assert here.ups > 1
    assert (here.lost, there.lost) == ([], []), "that a connection was replaced is no loss"
    link.close()
    server.close()
    proxy.close()
    await peers.close()


def test_a_link_that_hears_nothing_is_dialled_again_beside_the_old_one() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_a_silent_cut())


async def _several_dials_at_once() -> tuple[int, int, bool]:
    here, there = Owner(), Owner()
    hello = Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2")
    peers, loop = Peers(there, lambda _: hello), asyncio.get_running_loop()
    server = await loop.create_server(peers.inbound, "127.0.0.1", 0)
    link = Link(here, hello, 2, "two", f"127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    await _until(lambda: link.connected, lambda: None)
    await asyncio.gather(*(link._try() for _ in range(3)))
    beat = frame([Heartbeat(1, 0, 0)])
    await _until(lambda: len(peers.callers_open) == 1, lambda: link.send(beat) and None)
    found = here.ups, len(there.lost), link.connected
    link.close()
    server.close()
    await peers.close()
    return found


def test_of_several_dials_under_way_the_first_that_is_welcomed_is_kept() -> None:
    """Found with dropped packets: each of four dials that came through at once replaced the one
    before, and lost what that was given."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_several_dials_at_once()) == (2, 0, True)


async def _options(port_of: str) -> list[int]:
    owner, loop = Owner(), asyncio.get_running_loop()
    me = Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2")
    peers = Peers(owner, lambda _: me)
    server = await loop.create_server(peers.inbound, "127.0.0.1", 0)
    link = Link(owner, me, 2, "two", f"127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    await _until(lambda: bool(peers.callers()) and link.connected, lambda: None)
    connection = (
        next(iter(peers.callers_open))._transport
        if port_of == "inbound"
        else link._connection.transport
    )  # type: ignore[union-attr]
    assert connection is not None
    found = connection.get_extra_info("socket")
    values = [found.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)]
    values += [
        found.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE)
    ]
    link.close()
    server.close()
    await peers.close()
    return values


@pytest.mark.parametrize("port_of", ["inbound", "outbound"])
def test_tcp_gives_a_connection_up_that_nobody_acknowledges(port_of: str) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_options(port_of)) == [1, 3_000, 1]


def test_a_member_of_an_older_version_gets_no_signs_of_life_and_is_not_dialled_beside() -> None:
    pulse = Pulse(10)
    pulse.welcomed(answers=False)
    assert {pulse.tick() for _ in range(1_000)} == {(False, False)}


def test_a_silent_link_asks_first_and_dials_then_twice_in_an_election_timeout() -> None:
    pulse = Pulse(10)
    pulse.welcomed(answers=True)
    beats = [pulse.tick() for _ in range(30)]
    assert [n for n, beat in enumerate(beats, 1) if beat.dial] == [10, 15, 20, 25, 30]
    assert [n for n, beat in enumerate(beats, 1) if beat.ask][:2] == [4, 8]
    pulse.heard()
    assert not pulse.silent
