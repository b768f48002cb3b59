"""The link to another node in the moment when its connection is gone and nobody has been told yet."""

from __future__ import annotations

import asyncio
import contextlib

import uvloop
from counter_node.net.peers import Hello, Inbound, Link
from counter_node.raft.messages import Heartbeat
from counter_node.replica import PeerMessage


class Owner:
    def __init__(self) -> None:
        self.up = asyncio.Event()

    def peer_hello(self, hello: Hello) -> str:
        return ""

    def peer_messages(self, sender: int, messages: list[PeerMessage]) -> None: ...

    def peer_lost(self, node: int) -> None: ...

    def peer_up(self, node: int) -> None:
        self.up.set()

    def peer_refused(self, node: int, reason: str) -> None: ...


async def _send_right_after_the_end() -> bool:
    owner, loop = Owner(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Inbound(owner, set()), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    link = Link(owner, Hello("c", 1, 2, "one", "127.0.0.1:1", "127.0.0.1:2"), 2, f"127.0.0.1:{port}")
    async with asyncio.timeout(10):
        await owner.up.wait()
    assert link.send([Heartbeat(1, 0, 0)])
    connection = link._connection
    assert connection is not None
    assert connection.transport is not None
    connection.transport.abort()
    sent = link.send([Heartbeat(1, 0, 0)])
    link.close()
    server.close()
    with contextlib.suppress(asyncio.CancelledError):
        await link._task
    return sent


def test_sending_on_a_connection_that_just_ended_is_a_loss_not_an_exception() -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(_send_right_after_the_end()) is False
