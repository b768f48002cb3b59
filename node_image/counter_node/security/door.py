"""The door of a port. Plain: the protocol gets the connection as it is. With TLS: only after the handshake.

The handshake is done here and not by the server of the event loop, because that one neither counts nor bounds what has not shaken hands yet:

1. A handshake that is not done after `handshake_s` ends. Slow ones cost nobody else anything.
2. When more than `max_handshakes` are under way, the oldest ends: an honest one takes milliseconds, so it is hardly ever the oldest.
3. The newest certificates are used for each (security/tls.py).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from counter_node.security.refusals import Refusals

Factory = Callable[[], asyncio.Protocol]


class Door:
    """`context` gives the newest TLS context, or None for plain text."""

    def __init__(
        self, factory: Factory, context: Callable[[], ssl.SSLContext | None], refusals: Refusals, *, max_handshakes: int, handshake_s: float
    ) -> None:
        self.factory, self.context, self.refusals = factory, context, refusals
        self.max_handshakes, self.handshake_s = max_handshakes, handshake_s
        self.shaking: dict[_Handshake, None] = {}  # oldest first
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int, backlog: int = 100) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._opened, host, port, backlog=backlog)

    def _opened(self) -> asyncio.Protocol:
        context = self.context()
        return self.factory() if context is None else _Handshake(self, context)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for handshake in list(self.shaking):
            handshake.give_up("")


class _Handshake(asyncio.Protocol):
    """A connection from its first byte until it has shown that it speaks TLS."""

    def __init__(self, door: Door, context: ssl.SSLContext) -> None:
        self._door, self._context = door, context
        self._transport: asyncio.Transport | None = None
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._transport = transport
        transport.pause_reading()
        shaking = self._door.shaking
        shaking[self] = None
        if len(shaking) > self._door.max_handshakes:
            next(iter(shaking)).give_up("tls_handshake_crowded")
        self._task = asyncio.get_running_loop().create_task(self._shake(transport))

    async def _shake(self, transport: asyncio.Transport) -> None:
        early = _Early()
        door = self._door
        try:
            async with asyncio.timeout(door.handshake_s):
                secured = await asyncio.get_running_loop().start_tls(
                    transport, early, self._context, server_side=True, ssl_handshake_timeout=door.handshake_s + 1
                )
        except TimeoutError:
            self.give_up("tls_handshake_slow")
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            self.give_up("tls_handshake")
        else:
            door.shaking.pop(self, None)
            if secured is not None:
                early.hand_over(secured, door.factory())

    def give_up(self, reason: str) -> None:
        """Empty reason: the port closes."""
        if self not in self._door.shaking:
            return
        del self._door.shaking[self]
        if reason:
            self._door.refusals.add(reason)
        if self._transport is not None:
            self._transport.abort()
        if self._task is not None and self._task is not asyncio.current_task():
            self._task.cancel()


class _Early(asyncio.Protocol):
    """Holds what a client sent right behind its handshake, until the protocol that it is for has the connection."""

    def __init__(self) -> None:
        self._data: list[bytes] = []
        self._ended = False
        self._lost: list[Exception | None] = []

    def data_received(self, data: bytes) -> None:
        self._data.append(data)

    def eof_received(self) -> bool:
        self._ended = True
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.append(exc)

    def hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        for data in self._data:
            protocol.data_received(data)
        if self._lost:
            protocol.connection_lost(self._lost[0])
        elif self._ended:
            transport.close()
