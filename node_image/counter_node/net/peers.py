"""Links between nodes. Each node dials every other member (links.py) and sends on that connection
only; what it receives comes on connections that others dialled, here.

A node is known by its id, never by its address: names are resolved at every connect, a node of
another cluster is refused, and so is a dialler that expects another id at this address (the disk
was replaced) or whose id was removed. With TLS both sides must show a certificate of the cluster
with the name that the greeting or the configuration gives (security/tls.py): a stranger gets no
further than the handshake, and a node cannot take another's place. Until it has greeted, a dialler
may send one small frame and only for a while; of too many that do not greet, the oldest goes. A
snapshot comes in pieces, each sent when the one before was answered, so that heartbeats never wait
behind more than one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from counter_node.logs import log
from counter_node.net.frames import (
    DECODER,
    HELLO_DECODER,
    MAX_FRAME_BYTES,
    MAX_HELLO_BYTES,
    SIGN_OF_LIFE,
    FrameError,
    Frames,
    Hello,
    Welcome,
    frame,
)
from counter_node.net.links import Link, LinkOwner, watch
from counter_node.raft.types import NodeId
from counter_node.replica.peer_messages import PeerMessage
from counter_node.security.tls import Tls

MAX_UNGREETED = 64
MAX_OF_ONE = 4
"""Connections that one member may have to this node: the newest, beside those that are not known to
be dead."""


class Owner(LinkOwner, Protocol):
    """What the links need from the node."""

    def peer_hello(self, hello: Hello) -> Welcome: ...

    def peer_messages(self, sender: NodeId, messages: list[PeerMessage]) -> None: ...


class Inbound(asyncio.Protocol):
    """A connection that another node dialled: its messages come in here."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._owner = peers.owner
        self._connections = peers.callers_open
        self._frames = Frames(MAX_HELLO_BYTES)
        self._deadline: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._used = False
        self.sender: NodeId = 0
        self.level = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        watch(transport, self._owner.settings)
        self._connections[self] = None
        self._deadline = asyncio.get_running_loop().call_later(
            self._owner.settings.handshake_ms / 1000, self.cut, "peer_silent"
        )
        ungreeted = [c for c in self._connections if not c.sender]
        if len(ungreeted) > MAX_UNGREETED:
            ungreeted[0].cut("peer_crowded")

    def data_received(self, data: bytes) -> None:
        messages: list[PeerMessage] = []
        try:
            for payload in self._frames.feed(data):
                if self.sender:
                    self._in_use()
                    found = DECODER.decode(payload)
                    messages += found
                    if not found and self._transport is not None:
                        self._transport.write(SIGN_OF_LIFE)
                else:
                    self._greet(HELLO_DECODER.decode(payload))
        except (FrameError, msgspec.DecodeError) as error:
            log.warning("peer link closed: %s", error, extra={"peer": f"{self.sender:016x}"})
            self.cut("peer_frame")
        if messages:  # of all frames that came at once: they share a turn, and a write to the disk
            self._owner.peer_messages(self.sender, messages)

    def _in_use(self) -> None:
        """What this sender dialled before is not used any more, though this end may not hear of it
        for long."""
        if self._used:
            return
        self._used = True
        for other in list(self._connections):
            if other is self:
                break
            if other.sender == self.sender:
                other.sender = 0  # the sender is not lost
                self._connections.pop(other, None)
                other.close()

    def cut(self, reason: str) -> None:
        """Counts no more from here on: when many come in one turn, each makes another one go. Once:
        its deadline may pass, and more of it be read, before the end of it is heard of."""
        if self not in self._connections:
            return
        self._owner.refusals.add(reason)
        self._connections.pop(self, None)
        self.close()

    def _greet(self, hello: Hello) -> None:
        assert self._transport is not None
        tls = self._peers.tls
        if tls is not None and not tls.knows(
            self._transport.get_extra_info("peercert"), hello.name
        ):
            self._owner.refusals.add("peer_identity")
            welcome = Welcome(
                f"the certificate is not that of node {hello.name!r} of cluster {tls.cluster_id}"
            )
        else:
            welcome = self._owner.peer_hello(hello)
        self._transport.write(frame(msgspec.structs.replace(welcome, answers=True)))
        if welcome.reason:
            self._transport.close()
        else:
            self.sender, self.level = hello.node_id, hello.level
            same = [c for c in self._connections if c.sender == self.sender]
            if len(same) > MAX_OF_ONE:
                same[0].cut("peer_crowded")
            self._frames.limit = MAX_FRAME_BYTES
            if self._deadline is not None:
                self._deadline.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
        if self.sender and self.sender not in self._peers.callers():
            self._owner.peer_lost(self.sender)


class Peers:
    """All links of a node."""

    def __init__(self, owner: Owner, me: Callable[[NodeId], Hello], tls: Tls | None = None) -> None:
        self.owner = owner
        self.tls = tls
        self._me = me
        self._links: dict[NodeId, Link] = {}
        self.callers_open: dict[Inbound, None] = {}  # oldest first

    def inbound(self) -> Inbound:
        return Inbound(self)

    def tick(self) -> None:
        for link in self._links.values():
            link.tick()

    def connected(self) -> dict[NodeId, bool]:
        return {n: link.connected for n, link in self._links.items()}

    def ensure(self, node: NodeId, name: str, peer_address: str) -> None:
        link = self._links.get(node)
        if link is not None and (link.name, link.address) == (name, peer_address):
            return
        if link is not None:
            link.close()
        self._links[node] = Link(self.owner, self._me(node), node, name, peer_address, self.tls)

    def callers(self) -> set[NodeId]:
        """Nodes whose connection to us is open."""
        return {connection.sender for connection in self.callers_open if connection.sender}

    def levels(self) -> dict[NodeId, int]:
        """What those know whose connection to us is open."""
        return {
            connection.sender: connection.level
            for connection in self.callers_open
            if connection.sender
        }

    def keep_only(self, nodes: set[NodeId]) -> None:
        """Apart from the links to those who dialled us: a leader that this node's configuration
        does not know yet must get its answers."""
        for node in (
            self._links.keys() - nodes - {connection.sender for connection in self.callers_open}
        ):
            self._links.pop(node).close()

    def link(self, node: NodeId) -> Link | None:
        return self._links.get(node)

    async def close(self) -> None:
        for link in self._links.values():
            link.close()
        self._links.clear()
        for connection in list(self.callers_open):
            connection.close()
