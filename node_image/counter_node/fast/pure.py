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

    told: int
    """A descriptor that becomes readable when the sync is done."""

    def start(self, descriptor: int) -> None: ...

    def result(self) -> int:
        """errno of the sync, 0 when it went well."""

    def close(self) -> None:
        """Waits for the sync under way."""


Syncer: Callable[[], SyncerType] | None = None


class Sheaf:
    """Commands of many connections that go to the gateway, and come back, as one bundle."""

    write: bool
    born_s: float


class Lane:
    """Of one server: the sheaves of this turn."""

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

    def answer(self, sheaf: Sheaf, replies: list[Any]) -> list[Any]:
        """Writes the replies; returns the connections that left the lane meanwhile, which must be
        flushed."""
        raise NotImplementedError


class Connection(asyncio.Protocol):
    """What a connection of clients has in common with its lane. Who inherits from it gives it:

    receive(data)                    the ordinary way
    ordinary_slot(count, write)      a place among what went the ordinary way
    answered(slot, replies)          the replies for such a place
    encoded(replies)                 to bytes, in the version that the connection speaks; errors are
                                     counted
    cut()                            ends, as the client does not read its replies
    weigh()                          what it holds changed: its client does not read
    pause(reason), resume(reason)    reading
    """

    def __init__(self, lane: Lane | None, max_reply_bytes: int) -> None:
        """Without a lane (other ports than that of clients) everything goes the ordinary way."""
        self._max_reply_bytes = max_reply_bytes
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None
        self.closed = False
        self.last = False
        """Close when everything is answered."""
        self.silent = True
        """Has not sent one whole command, or not logged in."""
        self.unanswered = 0
        """Commands that went the ordinary way."""
        self.unfinished = 0
        """Bytes of a command that is not complete."""

    def data_received(self, data: bytes) -> None:
        self.receive(data)

    def receive(self, data: bytes) -> None:
        raise NotImplementedError

    def cut(self) -> None:
        raise NotImplementedError

    def weigh(self) -> None:
        raise NotImplementedError

    def write(self, data: bytes) -> bool:
        """False when the connection has ended, or ends now because the client does not read."""
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        try:
            transport.write(data)
        except RuntimeError:  # uvloop: closed, although `connection_lost` has not been told yet
            return False
        unread = transport.get_write_buffer_size()
        if unread > UNREAD_BYTES:
            if unread > self._max_reply_bytes:
                self.cut()
                return False
            self.weigh()
        return True

    def writes_in_lane(self) -> int:
        """Commands of this connection that write and are in the lane."""
        return 0

    def plain(self, descriptor: int) -> None:
        """What is written to the transport goes to this socket as it is: no TLS."""

    def leave_lane(self) -> None:
        """What this connection has in the lane takes its place among what went the ordinary way."""

    def forget_lane(self) -> None:
        """The connection is gone."""

    def tell_session(self) -> None:
        """Tells the session when the connection sent something last, for who lists connections."""
