"""The life of a node: its ports open, it serves, and it ends politely."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Protocol

from counter_node import __version__, memory
from counter_node.logs import log
from counter_node.net.clients import ClientServer
from counter_node.net.descriptors import Shares
from counter_node.net.http import Pages
from counter_node.net.peers import Peers
from counter_node.node.clock import Clock
from counter_node.node.disk_worker import DiskWorker
from counter_node.node.snapshot_sender import SnapshotSender
from counter_node.raft.types import NONE
from counter_node.security.listener import Factory, Listener
from counter_node.security.refusals import Refusals
from counter_node.storage import Storage
from counter_node.views.status import Paged, pages, role_of


class Living(Paged, Protocol):
    """What starting and stopping need of the node."""

    clients: ClientServer
    refusals: Refusals
    shares: Shares
    memory_bytes: int
    fatal: asyncio.Future[None]
    worker: DiskWorker
    sender: SnapshotSender
    storage: Storage
    tasks: set[asyncio.Task[Any]]

    @property
    def peers(self) -> Peers: ...

    def max_bytes(self) -> int: ...

    def wake(self) -> None: ...


class Life:
    def __init__(self, node: Living, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self._node, self._loop, self._clock = node, loop, clock
        self._listeners: list[Listener] = []

    async def start(self) -> None:
        node = self._node
        s = node.settings
        await self._listen(node.peers.inbound, s.peer_port, members=True)
        await self._listen(node.clients.client, s.resp_port, backlog=1024)
        await self._listen(node.clients.administrator, s.admin_port, members=True)
        await self._listen(
            Pages(pages(node), node.clients.turns, node.refusals, node.shares.http).connection,
            s.http_port,
        )
        if s.cluster_port:
            await self._listen(node.clients.cluster_client, s.cluster_port, backlog=1024)
        if node.tls is None and s.acl_file:
            log.warning(
                "passwords guard the clients' ports only: without TLS the admin and peer ports "
                "obey whoever reaches them"
            )
        clients, state = node.clients.holdings.limit, node.max_bytes()
        if (
            node.memory_bytes
            and (wanted := memory.needs(node.memory_bytes, clients, state)) > node.memory_bytes
        ):
            text = (
                "the memory of %d bytes may not be enough: clients (%d), state (%d) and what "
                "goes with them come to %d"
            )
            log.warning(text, node.memory_bytes, clients, state, wanted)
        node.started = True
        self._clock.begin()
        node.wake()
        log.info(
            "node started",
            extra={
                "node_id": f"{node.id:016x}",
                "role": role_of(node.replica),
                "version": __version__,
            },
        )

    async def _listen(
        self, factory: Factory, port: int, *, members: bool = False, backlog: int = 100
    ) -> None:
        """`members`: with TLS only for those who have a certificate of this cluster."""
        node = self._node

        def context() -> ssl.SSLContext | None:
            if node.tls is None:
                return None
            return node.tls.current.members if members else node.tls.current.clients

        s = node.settings
        listener = Listener(
            factory,
            context,
            node.refusals,
            max_handshakes=node.shares.handshakes,
            handshake_s=s.handshake_ms / 1000,
            turns=None if members else node.clients.turns,
        )
        await listener.listen(s.bind, port, backlog)
        self._listeners.append(listener)

    async def run_until(self, stop: asyncio.Event) -> None:
        """Serves until `stop` is set, then ends politely. Raises the error that ended the node
        before its time."""
        node = self._node
        ends: list[asyncio.Future[Any]] = [self._loop.create_task(stop.wait()), node.fatal]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if node.fatal.done():
            node.fatal.result()
        await self.stop()

    async def stop(self) -> None:
        """SIGTERM: hand leadership over, answer what is in flight, then end; bounded by
        `shutdown_ms`."""
        node = self._node
        node.stopping = True
        log.info("stopping")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(node.settings.shutdown_ms / 1000):
                await self._hand_over()
                node.clients.stop_reading()
                while not (
                    (node.replica.gateway.nobody_waits and not node.replica.applying.reads_wait)
                    or node.failed
                ):
                    await asyncio.sleep(0.01)
        node.clients.close()
        for listener in self._listeners:
            listener.close()
        self._clock.stop()
        for task in node.tasks:
            task.cancel()
        if node.cache is not None:
            await node.cache.stop()
        await node.peers.close()
        self._clock.keep_last_note()
        node.worker.close()
        node.sender.close()
        node.storage.close()
        node.access.file.close()
        log.info("stopped")

    async def _hand_over(self) -> None:
        node = self._node
        leadership = node.replica.raft.leadership
        if leadership is None or len(node.replica.raft.voters) < 2:
            return
        with contextlib.suppress(Exception):
            leadership.transfer(NONE)
            node.wake()
        end = self._loop.time() + 2 * node.settings.election_ticks * node.settings.tick_ms / 1000
        while node.replica.is_leader and self._loop.time() < end:
            await asyncio.sleep(0.01)
