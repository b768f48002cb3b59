"""The connection that this node dials to another member, and keeps: what it sends goes out here.
Only the answer to the greeting and signs of life come back.

1. What cannot be sent at once is dropped; Raft sends again.
2. A link that is silent is dialled again beside the old one (pulse.py); what is sent first on the
   new one closes the old one at the other end.
3. TCP gives a connection up whose bytes are not acknowledged for some election timeouts.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Protocol, cast

import msgspec

from counter_node.logs import log
from counter_node.net.frames import (
    MAX_WELCOME_BYTES,
    SIGN_OF_LIFE,
    WELCOME_DECODER,
    FrameError,
    Frames,
    Hello,
    Welcome,
    frame,
)
from counter_node.net.pulse import Pulse
from counter_node.raft.types import NodeId
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.settings import Settings, SettingsError, address

MAX_BUFFERED_BYTES = 64 << 20
CONNECT_S = 2.0
FIRST_PAUSE_S, LAST_PAUSE_S = 0.05, 1.0
MAX_DIALS = 4
"""Under way at once beside a silent connection, or none: where packets are dropped each takes
`CONNECT_S` to fail, and with the usual election timeout a new one still begins every half of it."""
GIVEN_UP_AFTER = 3
"""Election timeouts until TCP gives up what is not acknowledged."""


class LinkOwner(Protocol):
    """What a link needs from the node."""

    settings: Settings
    refusals: Refusals

    def peer_lost(self, node: NodeId) -> None: ...

    def peer_up(self, node: NodeId) -> None: ...

    def peer_refused(self, node: NodeId, welcome: Welcome) -> None: ...


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
                    self._welcome.set_result(WELCOME_DECODER.decode(payload))
        except (FrameError, msgspec.DecodeError) as error:
            if not self._welcome.done():
                self._welcome.set_exception(
                    ConnectionError(f"the peer's greeting makes no sense: {error}")
                )
            elif self.transport is not None:
                self.transport.abort()

    def write(self, data: bytes) -> bool:
        """False when the connection is closed already, although `connection_lost` has not been
        called yet."""
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
        self,
        owner: LinkOwner,
        me: Hello,
        node: NodeId,
        name: str,
        peer_address: str,
        tls: Tls | None,
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
            log.info("a silent link was dialled again", extra={"peer": f"{self.node:016x}"})
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
