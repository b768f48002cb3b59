"""The lane that nothing takes: what the node expects of a lane, in Python. The rules are in
__init__.py."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from counter_node.resp.session import Session

COMPILED = False
UNREAD_BYTES = 64 << 10
"""With less than this unread a connection is not weighed for it."""


class SyncerType(Protocol):
    """Waits for one fdatasync at a time, beside the interpreter."""

    done_fd: int
    """A descriptor that becomes readable when the sync is done."""

    def start(self, descriptor: int) -> None: ...

    def result(self) -> int:
        """errno of the sync, 0 when it went well."""

    def close(self) -> None:
        """Waits for the sync under way."""


Syncer: Callable[[], SyncerType] | None = None


class Owner(Protocol):
    """A connection, as its lane and its wire know it."""

    def receive(self, data: bytes) -> None:
        """The ordinary way."""

    def adopt(self, count: int, write: bool) -> Any:
        """A place among what went the ordinary way."""

    def answered(self, pending: Any, replies: list[Any]) -> None:
        """The replies for such a place."""

    def encoded(self, replies: list[Any]) -> bytes:
        """In the version of the protocol that it speaks. Errors are counted."""

    def pause(self, reason: str) -> None:
        """Reading."""

    def resume(self, reason: str) -> None: ...

    def cut(self) -> None:
        """Ends, as the client does not read its replies."""

    def weigh(self) -> None:
        """What it holds has changed, as the client does not read."""


class LaneBatch:
    """Commands of many connections that go to the gateway, and come back, as one bundle."""

    write: bool
    born_s: float


class Lane:
    """Of one server: the batches of this turn."""

    def __init__(
        self,
        submit_write: Callable[[Any, list[Any]], None],
        submit_read: Callable[[Any, list[Any]], None],
        wake: Callable[[], None],
        turn: Callable[[], None],
        max_pipeline: int,
    ) -> None:
        """`wake`: a turn is due. `turn`: now."""
        self.commands = 0
        """Taken so far."""
        self.held = 0
        """Bytes of commands that are not answered."""
        self.alone = False
        """One command was all that was answered last: who sends next is likely to be the only one
        again, and its turn begins at once."""

    def submit(self) -> None:
        """Gives what was taken to the gateway; at the beginning of each turn."""

    def answer(self, batch: LaneBatch, replies: list[Any]) -> list[Any]:
        """Writes the replies; returns the connections that left the lane meanwhile, which must be
        flushed."""
        raise NotImplementedError


class Wire:
    """Where one connection's replies are written to."""

    def __init__(self, owner: Owner, max_unread_bytes: int) -> None:
        self.transport: asyncio.Transport | None = None
        self._owner: Owner | None = owner
        self._max_unread_bytes = max_unread_bytes

    def unencrypted(self, descriptor: int) -> None:
        """What is written to the transport goes to this socket as it is."""

    def lost(self) -> None:
        self.transport = self._owner = None

    def write(self, data: bytes) -> bool:
        """False when the connection has ended, or ends now because the client does not read."""
        transport, owner = self.transport, self._owner
        if transport is None or owner is None or transport.is_closing():
            return False
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: closed, although `connection_lost` has not been called yet
            return False
        unread = transport.get_write_buffer_size()
        if unread > UNREAD_BYTES:
            if unread > self._max_unread_bytes:
                owner.cut()
                return False
            owner.weigh()
        return True


class LaneEntry:
    """Where one connection's bytes go first."""

    def __init__(self, lane: Lane | None, owner: Owner, wire: Wire) -> None:
        """Without a lane (other ports than that of clients) everything goes the ordinary way."""
        self.open = False
        """The lane may take what comes (resp/pipeline.py: `Pipeline.plain`)."""
        self.writes = 0
        """Commands of this connection that write and are in the lane."""
        self._owner: Owner | None = owner

    def data_received(self, data: bytes) -> None:
        if self._owner is not None:
            self._owner.receive(data)

    def lost(self) -> None:
        """The connection is gone."""
        self._owner = None

    def inform(self, session: Session) -> None:
        """Of what the connection sent last, for whoever lists connections."""
