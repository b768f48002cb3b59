"""TLS of a client or of the HTTP port, worked off in slices as what it carries is (net/turns.py).

One record of a few bytes costs as much as one of a thousand, and one that only renews the keys
(KeyUpdate) costs more, needs no login and never reaches the protocol. So what came is not
deciphered as it comes:

1. At most `MOST_BYTES` are read at once. More than `AT_ONCE_BYTES` wait for a turn of their own,
   and the connection is not read from meanwhile. The turn is that of whoever has not logged in,
   or of one who has: strangers get their share of the time together, whatever their records are.
2. A handshake is not sliced: it is a few messages, and the listener bounds how many begin.
3. While its protocol does not want to be read from, as much as that is kept, not more.
4. A connection that is closed has `SHUTDOWN_S` to take leave; then its descriptor is free.

It stands between the loop's transport and the loop's own TLS: uvloop's, or asyncio's where nodes
run on a plain loop."""

from __future__ import annotations

import asyncio
import asyncio.sslproto
import contextvars
import ssl
from typing import Any, Final, Protocol, cast

import uvloop
import uvloop.loop

MOST_BYTES: Final = 8 << 10
AT_ONCE_BYTES: Final = 1 << 10
"""A few commands of an honest client."""
SHUTDOWN_S: Final = 2.0


class Turns(Protocol):
    def wait(self, work: SlicedTls, *, stranger: bool) -> None: ...


class Sliced(Protocol):
    """A protocol whose TLS is sliced."""

    @property
    def stranger(self) -> bool:
        """Nobody has logged in."""


class SlicedTls(asyncio.BufferedProtocol):
    def __init__(
        self,
        protocol: Sliced,
        context: ssl.SSLContext,
        turns: Turns,
        *,
        handshake_s: float,
    ) -> None:
        """`protocol` is an asyncio.Protocol."""
        loop = asyncio.get_running_loop()
        self.shaken: asyncio.Future[None] = loop.create_future()
        """Done with the handshake, or why there was none."""
        self._protocol, self._turns = protocol, turns
        fast = isinstance(loop, uvloop.Loop)
        of_loop: Any = uvloop.loop if fast else asyncio.sslproto
        self._tls: Any = of_loop.SSLProtocol(
            loop,
            protocol,
            context,
            self.shaken,
            server_side=True,
            ssl_handshake_timeout=handshake_s,
            ssl_shutdown_timeout=SHUTDOWN_S,
        )
        contexts = (contextvars.copy_context(),) if fast else ()
        self._inside = self._tls._get_app_transport(*contexts)
        self._inside.set_read_buffer_limits(high=MOST_BYTES)
        self._outside: asyncio.Transport | None = None
        self._waiting = 0  # bytes in the buffer of TLS

    def abort(self) -> None:
        if self._inside is not None:
            self._inside.abort()

    # --- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._outside = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._tls.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        self._deciphered()  # it is read from again before its turn: TLS itself asked for that
        found: memoryview = self._tls.get_buffer(sizehint)[:MOST_BYTES]
        return found

    def buffer_updated(self, nbytes: int) -> None:
        if nbytes <= AT_ONCE_BYTES or not self.shaken.done():
            self._tls.buffer_updated(nbytes)
            return
        assert self._outside is not None
        self._waiting = nbytes
        self._outside.pause_reading()
        self._turns.wait(self, stranger=self._protocol.stranger)

    def eof_received(self) -> bool | None:
        self._deciphered()
        found: bool | None = self._tls.eof_received()
        return found

    def pause_writing(self) -> None:
        self._tls.pause_writing()

    def resume_writing(self) -> None:
        self._tls.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """What refers to TLS goes, so that its memory comes back now."""
        self._tls.connection_lost(exc)
        self._waiting = 0
        self._tls = self._inside = self._outside = None

    # --- a turn -----------------------------------------------------------------------------------

    def work(self, until_s: float) -> bool:
        """What waits is deciphered. There is never more to do: it is read from again first."""
        if self._waiting and self._outside is not None and not self._outside.is_closing():
            self._outside.resume_reading()  # first: TLS may want to pause it
            self._deciphered()
        return False

    def _deciphered(self) -> None:
        waiting, self._waiting = self._waiting, 0
        if waiting:
            self._tls.buffer_updated(waiting)
