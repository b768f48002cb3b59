"""Links between nodes. Each node dials every other member and sends on that connection only; what
it receives comes on connections that others dialled.

    dialler:  Hello(cluster, me, you, my addresses)      →
              ←  Welcome()  or  Refusal(reason), then the end
    dialler:  frame, frame, …                              each = length, CRC-32C, one MessagePack
              list of messages

A node is known by its id, never by its address: names are looked up at every connect, a node of
another cluster is refused, and so is a dialler that expects another id at this address (the disk
was replaced) or whose id was removed. What cannot be sent at once is dropped; Raft sends again.
With TLS both sides must show a certificate of the cluster with the name that the greeting or the
configuration gives (security/tls.py): a stranger gets no further than the handshake, and a node
cannot take another's place. Until it has greeted, a dialler may send one small frame and only for a
while; of too many that do not greet, the oldest goes. A link that is silent is dialled anew beside
the old one (pulse.py); what is sent first on the new one closes the old one at the other end.
Besides, TCP gives a connection up whose bytes are not acknowledged for some election timeouts. A
snapshot comes in pieces, each sent when the one before was answered, so that heartbeats never wait
behind more than one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Protocol, cast

import msgspec
from crc32c import crc32c

from counter_node.logs import log
from counter_node.net.pulse import Pulse
from counter_node.raft.types import NodeId, Removal
from counter_node.replica.peer_messages import PeerMessage
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.settings import Settings, SettingsError, address

HEADER = struct.Struct("<II")  # length, CRC-32C of the payload
MAX_FRAME_BYTES = 256 << 20
"""Taken from a member. Version 0.1.0 sent up to 64 MiB and put no limit on an entry: what is in an
old log must still be sent. Of this version, one entry is at most 16 MiB."""
FULL_FRAME_BYTES = 16 << 20
"""Messages of one turn share a frame until it is so long."""
MAX_BUFFERED_BYTES = 64 << 20
CONNECT_S = 2.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0
REMOVED = "removed"
MAX_HELLO_BYTES = 4 << 10
MAX_WELCOME_BYTES = 64 << 10
MAX_UNGREETED = 64
MAX_DIALS = 4
"""Under way at once beside a silent connection, or none: where packets are dropped each takes
`CONNECT_S` to fail, and with the usual election timeout a new one still begins every half of it."""
GIVEN_UP_AFTER = 3
"""Election timeouts until TCP gives up what is not acknowledged."""
MAX_OF_ONE = 4
"""Connections that one member may have to this node: the newest, beside those that are not known to
be dead."""


class Hello(msgspec.Struct, array_like=True, frozen=True):
    cluster_id: str
    node_id: NodeId
    expects: NodeId
    name: str
    peer: str
    resp: str
    version: int = 1
    level: int = 1  # what this node knows (counters/levels.py)


class Welcome(msgspec.Struct, array_like=True, frozen=True):
    """Empty reason: welcome. Else why the dialler is refused. A dialler that was removed is told
    the decision, and the histories that led to the one in which it stands: raft/removal.py holds
    that against what the dialler knows."""

    reason: str = ""
    removal: Removal | None = None
    histories: tuple[str, ...] = ()
    answers: bool = False  # an empty frame is answered by one; not by version 0.1.0


_encoder = msgspec.msgpack.Encoder()
_frames = msgspec.msgpack.Decoder(list[PeerMessage])
_hello = msgspec.msgpack.Decoder(Hello)
_welcome = msgspec.msgpack.Decoder(Welcome)


class Owner(Protocol):
    """What the links need from the node."""

    settings: Settings
    refusals: Refusals

    def peer_hello(self, hello: Hello) -> Welcome: ...

    def peer_messages(self, sender: NodeId, messages: list[PeerMessage]) -> None: ...

    def peer_lost(self, node: NodeId) -> None: ...

    def peer_up(self, node: NodeId) -> None: ...

    def peer_refused(self, node: NodeId, welcome: Welcome) -> None: ...


def frame(value: object) -> bytes:
    payload = _encoder.encode(value)
    return HEADER.pack(len(payload), crc32c(payload)) + payload


SIGN_OF_LIFE = frame([])


def watch(transport: asyncio.Transport, settings: Settings) -> None:
    """Lets the kernel notice that nobody is there, where it can."""
    found = transport.get_extra_info("socket")
    if found is None:
        return
    limit_ms = GIVEN_UP_AFTER * settings.election_ticks * settings.tick_ms
    seconds = max(1, limit_ms // 3_000)
    with contextlib.suppress(OSError):
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, seconds),
            (socket.TCP_KEEPINTVL, seconds),
            (socket.TCP_KEEPCNT, 3),
            (socket.TCP_USER_TIMEOUT, max(1_000, limit_ms)),
        ):
            found.setsockopt(socket.IPPROTO_TCP, option, value)


def frames(messages: list[PeerMessage]) -> list[bytes]:
    """In one frame if they fit, else each by itself."""
    whole = frame(messages)
    if len(whole) <= FULL_FRAME_BYTES or len(messages) == 1:
        return [whole]
    return [frame([message]) for message in messages]


class FrameError(Exception):
    pass


class Frames:
    """Cuts a stream of bytes into payloads. Raises FrameError on a length over the limit or a wrong
    checksum."""

    def __init__(self, limit: int = MAX_FRAME_BYTES) -> None:
        self.limit = limit
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        buffer = self._buffer
        if not buffer and len(data) >= HEADER.size:
            length, crc = HEADER.unpack_from(data)
            if (
                length == len(data) - HEADER.size <= self.limit
                and crc32c(payload := data[HEADER.size :]) == crc
            ):
                return [payload]  # one whole frame, as nearly always
        buffer += data
        found: list[bytes] = []
        start = 0
        while len(buffer) - start >= HEADER.size:
            length, crc = HEADER.unpack_from(buffer, start)
            if length > self.limit:
                raise FrameError(f"frame of {length} bytes; at most {self.limit}")
            end = start + HEADER.size + length
            if len(buffer) < end:
                break
            payload = bytes(buffer[start + HEADER.size : end])
            if crc32c(payload) != crc:
                raise FrameError("checksum of a frame does not match")
            found.append(payload)
            start = end
        if start:
            del buffer[:start]
        return found


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
                    found = _frames.decode(payload)
                    messages += found
                    if not found and self._transport is not None:
                        self._transport.write(SIGN_OF_LIFE)
                else:
                    self._greet(_hello.decode(payload))
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


class Outbound(asyncio.Protocol):
    """The dialled connection: messages go out here; the answer to the Hello comes back, and signs
    of life."""

    def __init__(self, welcome: asyncio.Future[Welcome], settings: Settings | None = None) -> None:
        """`settings`: for a connection that is kept."""
        self._welcome = welcome
        self._settings = settings
        self._frames = Frames(MAX_WELCOME_BYTES)
        self.heard: Callable[[], None] = lambda: None
        self.answers = False  # gives signs of life
        self.transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        if self._settings is not None:
            watch(self.transport, self._settings)

    def data_received(self, data: bytes) -> None:
        self.heard()
        try:
            for payload in self._frames.feed(data):
                if not self._welcome.done():
                    self._welcome.set_result(_welcome.decode(payload))
        except (FrameError, msgspec.DecodeError) as error:
            if not self._welcome.done():
                self._welcome.set_exception(
                    ConnectionError(f"the peer's greeting makes no sense: {error}")
                )
            elif self.transport is not None:
                self.transport.abort()

    def write(self, data: bytes) -> bool:
        """False when the connection is closed already, although `connection_lost` has not been told
        yet."""
        if self.transport is None or self.transport.is_closing():
            return False
        try:
            self.transport.write(data)
        except RuntimeError:  # uvloop: the handle is closed
            return False
        return True

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set()
        if not self._welcome.done():
            self._welcome.set_exception(exc or ConnectionError("closed during the greeting"))


class Link:
    """Keeps one connection to one member: dials, greets, dials again; beside the old one while that
    is silent."""

    def __init__(
        self, owner: Owner, me: Hello, node: NodeId, name: str, peer_address: str, tls: Tls | None
    ) -> None:
        self.node = node
        self.name = name
        self._tls = tls
        self.address = peer_address
        self._owner = owner
        self._hello = me
        self._connection: Outbound | None = None
        self._pulse = Pulse(owner.settings.election_ticks)
        self._dials: set[asyncio.Task[None]] = set()
        self._used = 0  # connections so far
        self._task = asyncio.get_running_loop().create_task(self._keep())

    @property
    def connected(self) -> bool:
        return self._connection is not None

    @property
    def reached(self) -> bool:
        """Something was heard on it within an election timeout. (An older member says nothing by
        itself.)"""
        return self.connected and not self._pulse.silent

    async def _keep(self) -> None:
        pause = FIRST_PAUSE_S
        while True:
            if self._connection is None:
                await self._try()
            if self._connection is not None:
                pause = FIRST_PAUSE_S
                await self._until_lost()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_PAUSE_S)

    async def _try(self) -> None:
        """Dials once. Of several dials under way the first that is welcomed is used: a second one
        would only lose what the first was given meanwhile."""
        used = self._used
        try:
            connection = await self._dial()
        except (OSError, TimeoutError, SettingsError) as error:
            log.debug(
                "peer not reached: %s",
                error,
                extra={"peer": f"{self.node:016x}", "address": self.address},
            )
        else:
            if connection is None:
                return
            if self._connection is not None and self._used != used and not self._pulse.silent:
                connection.abort()
            else:
                self._use(connection)

    def tick(self) -> None:
        beat = self._pulse.tick()
        if beat.ask and self._connection is not None:
            self._connection.write(SIGN_OF_LIFE)
        if beat.dial and len(self._dials) < MAX_DIALS:
            dial = asyncio.get_running_loop().create_task(self._try())
            self._dials.add(dial)
            dial.add_done_callback(self._dials.discard)

    async def _dial(self) -> Outbound | None:
        host, port = address(self.address)
        loop = asyncio.get_running_loop()
        welcome: asyncio.Future[Welcome] = loop.create_future()
        async with asyncio.timeout(CONNECT_S):
            context = None if self._tls is None else self._tls.current.dial
            transport, connection = await loop.create_connection(
                lambda: Outbound(welcome, self._owner.settings),
                host,
                port,
                ssl=context,
                server_hostname=None if context is None else host,
            )
            try:
                if self._tls is not None and not self._tls.knows(
                    transport.get_extra_info("peercert"), self.name
                ):
                    self._owner.refusals.add("peer_identity")
                    raise ConnectionError(
                        f"the certificate at {self.address} is not that of node {self.name!r}"
                    )
                transport.write(frame(self._hello))
                answer = await welcome
            except BaseException:
                transport.abort()
                raise
        if not answer.reason:
            connection.answers = answer.answers
            return connection
        transport.abort()
        self._owner.peer_refused(self.node, answer)
        return None

    def _use(self, connection: Outbound) -> None:
        """From now on, instead of the one before; what that one was given may not have arrived."""
        old, self._connection = self._connection, connection
        self._used += 1
        self._pulse.welcomed(answers=connection.answers)
        connection.heard = self._pulse.heard
        if old is not None:
            log.info("a silent link was dialled anew", extra={"peer": f"{self.node:016x}"})
            old.abort()
        self._owner.peer_up(self.node)

    async def _until_lost(self) -> None:
        """That it was replaced is no loss."""
        try:
            while (connection := self._connection) is not None:
                await connection.lost.wait()
                if connection is self._connection:
                    break
        finally:
            self._connection = None
            self._owner.peer_lost(self.node)

    def send(self, data: bytes) -> bool:
        """A frame. False when nothing was sent: no connection, or the peer does not keep up."""
        connection = self._connection
        if connection is None or connection.transport is None:
            return False
        if connection.transport.get_write_buffer_size() > MAX_BUFFERED_BYTES:
            connection.transport.abort()
            return False
        return connection.write(data)

    def close(self) -> None:
        for task in (self._task, *self._dials):
            task.cancel()
        if self._connection is not None and self._connection.transport is not None:
            self._connection.transport.abort()


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
        """Besides the links to those who dialled us: a leader that this node's configuration does
        not know yet must get its answers."""
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
