"""Client connections. What a connection promises, whatever is pipelined on it:

1. Replies come in the order of the commands.
2. Commands take effect in that order. A read goes its own cheap way (ReadIndex) only while no write of its connection is unanswered, else it
   travels with the batch; a write waits while reads of its connection are unanswered. A bundle that arrives together and holds a write goes the
   batch's way whole.
3. A connection that does not read its replies, or sends more than `max_pipeline` commands ahead, is not read from any more; past
   `max_reply_bytes` it is cut.
4. It is never closed with a write in flight, except by the client itself or by rule 3.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from counter_node.counters.replies import Failure
from counter_node.resp.parser import Parser, ProtocolError
from counter_node.resp.session import Read, Session, Write

if TYPE_CHECKING:
    pass

READ_AGAIN_AT = 0.5
"""A connection that was stopped for its pipeline is read again when this share of it is left."""


class Slot:
    """The place of one command's reply in its connection's order."""

    __slots__ = ("connection", "done", "reply", "write")

    def __init__(self, connection: ClientConnection, *, write: bool) -> None:
        self.connection = connection
        self.write = write
        self.done = False
        self.reply: Any = None


class ClientConnection(asyncio.Protocol):
    def __init__(self, server: ClientServer, *, admin: bool) -> None:
        self._server = server
        self._node = server.node
        self._admin = admin
        self._parser = Parser()
        self._slots: deque[Slot] = deque()
        self._held: deque[list[bytes]] = deque()  # commands that must wait for reads before them
        self._writes = 0  # unanswered, in the gateway's batches
        self._reads = 0  # unanswered, by ReadIndex
        self._closing = False
        self._paused = False
        self._out: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.session: Session | None = None

    # --- asyncio ------------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        number = self._server.joined(self)
        if number is None:
            transport.write(b"-ERR max number of clients reached\r\n")
            transport.close()
            return
        self.session = Session(number, f"{peer[0]}:{peer[1]}", f"{local[0]}:{local[1]}", admin=self._admin)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._slots.clear()
        self._held.clear()
        self._server.left(self)

    def data_received(self, data: bytes) -> None:
        if self._closing or self.session is None:
            return
        try:
            commands = self._parser.feed(data)
        except ProtocolError as error:
            self._take(error.commands)
            self._answer_at_once(Failure(str(error).encode()))
            self._close_when_answered()
            return
        self._take(commands)
        self._flush()

    def pause_writing(self) -> None:
        self._pause()

    def resume_writing(self) -> None:
        self._resume()

    # --- commands -----------------------------------------------------------------------------------------------------------

    def _take(self, commands: list[list[bytes]]) -> None:
        if self._held:
            self._held.extend(commands)
            return
        assert self.session is not None
        self._server.commands += len(commands)
        actions = [self.session.handle(command) for command in commands]
        together = self._writes > 0 or (len(actions) > 1 and any(isinstance(a, Write) for a in actions))
        for position, action in enumerate(actions):
            if isinstance(action, Write) and self._reads:
                raise AssertionError("unreachable")
            self._act(action, together=together)
            if self._closing:
                del position
                return
        if len(self._slots) > self._server.max_pipeline:
            self._pause()

    def _act(self, action: Any, *, together: bool) -> None:
        replica = self._node.replica
        if isinstance(action, Write) or (isinstance(action, Read) and together):
            self._writes += 1
            replica.submit_write(self._slot(write=True), action.op)
        elif isinstance(action, Read):
            self._reads += 1
            replica.submit_read(self._slot(write=False), action.op)

    def _slot(self, *, write: bool) -> Slot:
        slot = Slot(self, write=write)
        self._slots.append(slot)
        return slot
