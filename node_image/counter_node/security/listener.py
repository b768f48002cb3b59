"""The listener of a port. Plain: the protocol gets the connection as it is. With TLS: only after
the handshake.

Connections are accepted here and not by the server of the event loop, because that one accepts
without end in one turn, and neither counts nor bounds what has not shaken hands:

1. A few connections are accepted in a turn; the descriptors of more than those bounds allow
   (net/descriptors.py) are never taken.
2. A handshake that is not done after `handshake_s` ends. Slow ones cost nobody else anything.
3. When more than `max_handshakes` are under way, the oldest ends: an honest one takes milliseconds,
   so it is hardly ever the oldest.
4. The newest certificates are used for each (security/tls.py).
5. Where everybody may connect TLS is worked off in slices (sliced_tls.py).
6. Without a descriptor nothing is accepted for a moment, and the log says so once in a while.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import cast

from counter_node.logs import log
from counter_node.security.refusals import Refusals
from counter_node.security.sliced_tls import SHUTDOWN_S, Sliced, SlicedTls, Turns

Factory = Callable[[], asyncio.Protocol]
AT_ONCE = 16
"""Connections accepted before others have their turn."""
AT_ONCE_TLS = 2
"""The same where each begins with a handshake, of a millisecond or so: a crowd that comes again
after each cut must not shake hands in one turn of the loop."""
NO_DESCRIPTOR_S = 0.2
"""Pause after the process ran out of descriptors."""
TELL_S = 10.0


class Listener:
    """`context` gives the newest TLS context, or None for plain text; which of the two never
    changes. `turns`: the protocols are `Sliced`, and so is their TLS; None where only members get
    through the handshake."""

    def __init__(
        self,
        factory: Factory,
        context: Callable[[], ssl.SSLContext | None],
        refusals: Refusals,
        *,
        max_handshakes: int,
        handshake_s: float,
        turns: Turns | None = None,
    ) -> None:
        self._factory, self._context, self._refusals = factory, context, refusals
        self._turns = turns
        self._max_handshakes, self._handshake_s = max_handshakes, handshake_s
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._logged_s = -TELL_S
        self._shaking: dict[asyncio.Task[None], None] = {}  # oldest first

    async def listen(self, host: str, port: int, backlog: int = 100) -> None:
        self._socket = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=backlog
        )
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        assert self._socket is not None
        for _ in range(AT_ONCE if self._context() is None else AT_ONCE_TLS):
            try:
                connection, _address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if self._loop.time() - self._logged_s >= TELL_S:
                    self._logged_s = self._loop.time()
                    log.error("no connection can be accepted: %s", error)
                self._loop.remove_reader(self._socket)
                self._loop.call_later(NO_DESCRIPTOR_S, self._accept_again)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context() is None:
                self._loop.create_task(self._open(connection)).add_done_callback(_done)
                continue
            if len(self._shaking) >= self._max_handshakes:
                oldest = next(iter(self._shaking))
                del self._shaking[oldest]
                oldest.cancel()
                self._refusals.add("tls_handshake_crowded")
            self._shaking[self._loop.create_task(self._shake(connection))] = None

    def _accept_again(self) -> None:
        if self._socket is not None:
            self._loop.add_reader(self._socket, self._accept)

    async def _open(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, connection)
        except (OSError, ValueError):  # it went away at once
            connection.close()

    async def _shake(self, connection: socket.socket) -> None:
        context = self._context()
        assert context is not None
        try:
            async with asyncio.timeout(self._handshake_s):
                await self._shaken(connection, context)
        except TimeoutError:
            self._refusals.add("tls_handshake_slow")
            connection.close()
        except (OSError, ValueError):  # ssl.SSLError is an OSError
            self._refusals.add("tls_handshake")
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise
        finally:
            self._shaking.pop(asyncio.current_task(), None)  # type: ignore[arg-type]

    async def _shaken(self, connection: socket.socket, context: ssl.SSLContext) -> None:
        if self._turns is None:
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=context,
                ssl_handshake_timeout=self._handshake_s + 1,
                ssl_shutdown_timeout=SHUTDOWN_S,
            )
            return
        protocol = cast(Sliced, self._factory())
        tls = SlicedTls(protocol, context, self._turns, handshake_s=self._handshake_s + 1)
        try:
            await self._loop.connect_accepted_socket(lambda: tls, connection)
            await tls.shaken
        except BaseException:
            tls.abort()
            raise

    def close(self) -> None:
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for task in list(self._shaking):
            with contextlib.suppress(RuntimeError):
                task.cancel()


def _done(task: asyncio.Task[None]) -> None:
    """Nobody waits for it; the task itself reports what went wrong."""
    if not task.cancelled():
        task.exception()
