"""A client's connection: its socket's bytes into a pipeline (resp/pipeline.py, which keeps the
order), and the pipeline's bytes out. What a connection promises beside that:

1. What a client sends at once is worked off in slices, in turn with the others (turns.py). It is
   not read from while anything of it is not begun.
2. A connection that does not read its replies, or sends more than `max_pipeline` commands or
   `max_pipeline_bytes` ahead, is not read from any more; past `max_reply_bytes` it is cut. When all
   together hold too much the heaviest is cut (holdings.py).
3. It is never closed with a write in flight, except by the client itself or by rule 2.
4. While the node is not ready for long, connections are let go (unready.py).

Whatever happens to the connection ends with `_settle`: there reading, its turn and its lane are
brought in line with what its pipeline is now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Any, Final, Protocol, cast

from counter_node.counters.replies import Failure
from counter_node.fast.lanes import Lane, LaneEntry, Wire
from counter_node.net.holdings import Holdings
from counter_node.net.logins import Logins
from counter_node.net.served import Served
from counter_node.net.turns import SLICE_S, Turns
from counter_node.net.unready import GRACE_S, Unready
from counter_node.net.writing import ALL, MORE, UNREAD, write_ready
from counter_node.resp.ordered_replies import PendingReplies, Shared
from counter_node.resp.pipeline import IDLE, RECEIVED, STEPS, Pipeline
from counter_node.resp.session import Session
from counter_node.users.access import THROTTLED
from counter_node.views.cluster_view import View

MOST_COMMANDS: Final = 512
"""Begun at most before the clock is read."""
FIRST_COMMANDS: Final = 32
"""The same of a new connection: as nobody knows how dear its commands are. Then twice as many while
they are cheap, and a quarter when they are not."""
LIGHT_BYTES = 1 << 10
"""What is less than this is not weighed again."""
TLS_BYTES = 64 << 10
"""What TLS keeps for a connection, beside twice the most that came at once."""


class Server(Protocol):
    """What a connection needs of the server that it is one of."""

    node: Served
    lane: Lane
    max_reply_bytes: int
    shared: Shared
    now_s: Callable[[], float]
    turns: Turns
    logins: Logins
    holdings: Holdings[ClientConnection]
    unready: Unready
    view: View
    cut: int
    shutting: bool

    def joined(self, connection: ClientConnection) -> int | None: ...

    def left(self, connection: ClientConnection) -> None: ...

    def spoke(self, connection: ClientConnection) -> None: ...

    def session(
        self, connection: ClientConnection, number: int, transport: asyncio.Transport
    ) -> Session: ...

    def spawn(self, work: Any) -> None: ...


class ClientConnection(asyncio.Protocol):
    pipeline: Pipeline[ClientConnection | None]

    def __init__(self, server: Server, *, admin: bool = False, cluster: bool = False) -> None:
        self._server = server
        self._node = server.node
        self.is_admin = admin
        self.in_cluster_mode = cluster
        self.wire = Wire(self, server.max_reply_bytes)
        self.lane = LaneEntry(None if admin or cluster else server.lane, self, self.wire)
        self.data_received = self.lane.data_received  # type: ignore[method-assign]
        self.session: Session | None = None
        self.closed = False
        self._reading = True
        self._spoke = False
        self._queued = False  # waits for its slice
        self._weight = 0  # as it was weighed last
        self._most_at_once = 0
        self._commands = FIRST_COMMANDS
        self.failed_logins = 0

    @property
    def stranger(self) -> bool:
        return self.session is None or self.session.stranger

    # --- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.wire.transport = transport = cast(asyncio.Transport, transport)  # uvloop's
        number = self._server.joined(self)
        if number is None:
            transport.write(b"-ERR max number of clients reached\r\n")
            transport.close()
            return
        tls = self._node.tls
        if (
            self.is_admin
            and tls is not None
            and not tls.administers(transport.get_extra_info("peercert"))
        ):
            self._node.refusals.add("peer_identity")
            transport.abort()
            return
        if tls is None and (socket := transport.get_extra_info("socket")) is not None:
            self.wire.unencrypted(socket.fileno())
        self.session = self._server.session(self, number, transport)
        self.session.rights_changed = self._tell_lane
        self.pipeline = Pipeline(self.session, self._server.shared, self)
        if self._server.shutting:
            self.pause("server")
        self.weigh()

    def connection_lost(self, exc: Exception | None) -> None:
        """What refers back to this connection goes, so that its memory comes back now: the
        collector of garbage runs rarely, and never looks at what was frozen (clock.py). What TLS
        holds for a connection is more than half a MiB."""
        self.closed = True
        if self.session is not None:
            self.pipeline.lost()
            self._submit()
        self._server.holdings.gone(self)
        self._server.left(self)
        self._let_go_of_buffers()

    def _let_go_of_buffers(self) -> None:
        self.lane.lost()
        self.wire.lost()
        del self.data_received
        if self.session is not None:
            self.session.ask = None
            self.session.rights_changed = lambda: None
            self.pipeline.replies.owner = None

    def receive(self, data: bytes) -> None:
        """What the lane did not take."""
        session = self.session
        if self.closed or session is None or self.pipeline.ended:
            return
        size = len(data)
        session.active_s, session.last_bytes = self._server.now_s(), size
        self._most_at_once = max(self._most_at_once, size)
        at_once = not (self._queued or session.stranger or self.pipeline.state is not IDLE)
        self.pipeline.receive(data)
        if at_once:
            self._run(monotonic() + SLICE_S)
        self._settle()
        self.weigh()

    def pause_writing(self) -> None:
        self.pause(UNREAD)

    def resume_writing(self) -> None:
        self.resume(UNREAD)
        if self.session is not None and self.pipeline.replies.ready:
            self._queue()
        self.weigh()

    # --- what its pipeline is now -----------------------------------------------------------------

    def _settle(self) -> None:
        pipeline = self.pipeline
        self.lane.open = pipeline.plain
        unbegun = pipeline.unbegun
        reading = not (unbegun or pipeline.reasons or pipeline.ended)
        if reading is not self._reading:
            self._reading = reading
            transport = self.wire.transport
            if transport is not None and not self.closed and not transport.is_closing():
                if reading:
                    transport.resume_reading()
                else:
                    transport.pause_reading()
        if unbegun and not self._queued and pipeline.state in STEPS:
            self._queue()

    def _tell_lane(self) -> None:
        self.lane.open = self.pipeline.plain

    def _queue(self) -> None:
        """Gets a slice in its turn."""
        if not self._queued and not self.closed:
            self._queued = True
            self._server.turns.wait(self, stranger=self.stranger)

    def pause(self, reason: str) -> None:
        """It is not read from, and what it sent waits."""
        if self.session is not None:
            self.pipeline.reasons.add(reason)
            self._settle()

    def resume(self, reason: str) -> None:
        if self.session is not None:
            self.pipeline.reasons.discard(reason)
            self._settle()

    def end(self) -> None:
        """Close when what was asked so far is answered."""
        if self.session is not None:
            self.pipeline.end()
            self._settle()

    # --- a slice ----------------------------------------------------------------------------------

    def work(self, until_s: float) -> bool:
        """One slice of what was sent. True when there is more to do now."""
        self._queued = False
        if self.closed:
            return False
        self._run(until_s)
        more = not self._queued and self.pipeline.state in STEPS
        self._queued = self._queued or more
        self._settle()
        return more

    def _run(self, until_s: float) -> None:
        pipeline = self.pipeline
        refusal = self._refusal()
        began_s = monotonic()
        while (worked := pipeline.step(self._commands, refusal)) is not None:
            self._submit()
            if not pipeline.unbegun:
                break
            now_s = monotonic()
            if worked is not RECEIVED:  # a piece of a command of many words costs nothing
                self._commands = (
                    max(1, self._commands // 4)
                    if now_s - began_s > SLICE_S
                    else min(MOST_COMMANDS, 2 * self._commands)
                )
                began_s = now_s
            if now_s >= until_s:
                break
        if not (self._spoke or pipeline.silent):
            self._spoke = True
            self._server.spoke(self)
        if pipeline.ended or pipeline.replies.ready:
            self.flush()
        if self._weight or pipeline.replies.bytes > LIGHT_BYTES:
            self.weigh()

    def _submit(self) -> None:
        """What the pipeline wants to be done."""
        pipeline, replica = self.pipeline, self._node.replica
        if pipeline.bundles:
            bundles, pipeline.bundles = pipeline.bundles, []
            for pending, ops, mixed in bundles:
                pending.born_s = monotonic()
                if pending.write:
                    replica.submit_write(pending, ops, mixed=mixed)
                else:
                    replica.submit_read(pending, ops)
            self._node.wake()
        if pipeline.questions:
            questions, pipeline.questions = pipeline.questions, []
            for asked, words in questions:
                self._server.spawn(self._administrate(asked, words))
        if pipeline.login_waits:
            pipeline.login_waits = False
            self._server.logins.wait(self, pipeline.session.login_key)

    async def _administrate(
        self, asked: PendingReplies[ClientConnection | None], words: list[bytes]
    ) -> None:
        self.pipeline.complete(asked, await self._node.admin.execute(words))
        self.flush()

    def _refusal(self) -> Failure | None:
        """What answers every command now, if the node is not ready for long."""
        refusal = self._server.unready.refusal
        return None if refusal is None or self.is_admin or self._redirects else refusal

    @property
    def _redirects(self) -> bool:
        """It sends its clients to another node, which they would not hear of when it ended."""
        return self.in_cluster_mode and self._server.view.elsewhere() is not None

    # --- for its lane -----------------------------------------------------------------------------

    def adopt(self, count: int, write: bool) -> PendingReplies[ClientConnection | None]:
        return self.pipeline.adopt(count, write)

    def encoded(self, replies: list[Any]) -> bytes:
        return self.pipeline.replies.encoded(replies)

    # --- replies ----------------------------------------------------------------------------------

    def answered(
        self, pending: PendingReplies[ClientConnection | None], replies: list[Any]
    ) -> None:
        """From the gateway. The server calls `flush` once for all of a turn."""
        self.pipeline.answered(pending, replies)
        if self.pipeline.bundles:
            self._submit()

    def flush(self, most: int = 0) -> None:
        """Writes what is answered; of much, about `most` bytes now (0: `FLUSH_BYTES`, or
        `FLUSH_PIECES` of a long answer) and the rest in its turn."""
        transport = self.wire.transport
        if self.closed or self.session is None or transport is None or transport.is_closing():
            return
        if UNREAD in (pipeline := self.pipeline).reasons:
            return
        outcome = write_ready(pipeline, self.wire, transport, most)
        if outcome is MORE:
            self._queue()
        elif outcome is ALL:
            if pipeline.ended and pipeline.replies.all_written:
                transport.close()
                return
            pipeline.relax()
        self._settle()

    # --- what it holds ----------------------------------------------------------------------------

    def weigh(self) -> None:
        """What it holds may have changed."""
        transport = self.wire.transport
        if self.session is None or transport is None or self.closed or transport.is_closing():
            return
        held = self.pipeline.held_bytes + transport.get_write_buffer_size()
        if self._node.tls is not None:
            held += TLS_BYTES + 2 * self._most_at_once
        held = held if held >= LIGHT_BYTES else 0
        if abs(held - self._weight) >= LIGHT_BYTES or (not held and self._weight):
            self._weight = held
            self._server.holdings.weigh(self, held, stranger=self.stranger)

    def cut_for_memory(self) -> None:
        """All clients together hold too much, and this one the most."""
        self._node.refusals.add("client_memory")
        self._weight = 0
        self.kill()

    def cut(self) -> None:
        """It does not read its replies."""
        self._server.cut += 1
        self._node.refusals.add("client_unread")
        self.kill()

    # --- a login that waits (logins.py) -----------------------------------------------------------

    def login_turn(self) -> None:
        if self.session is not None:
            self.session.login_turn = True
            self.resume("login")

    def login_refused(self, *, end: bool) -> None:
        """There was no turn in time, or no place (`end`)."""
        if self.closed or not self.pipeline.refuse_login(THROTTLED):
            return
        self.failed_logins += 1
        if end:
            self.end()
            self.flush()
        else:
            self.resume("login")
            self._queue()  # also when nothing but the answer is left

    # --- its end ----------------------------------------------------------------------------------

    def let_go(self, now_s: float) -> bool:
        """Closes the connection if it has no write in flight nor waiting, and is not just being
        refused. Whether it did."""
        if (
            self.is_admin
            or self._redirects
            or self.session is None
            or self.pipeline.writing
            or self.lane.writes
            or now_s - self.session.born_s < GRACE_S
            or self.pipeline.waits  # its client would not know what became of its commands
        ):
            return False
        self.flush()
        self.close()
        return True

    def close(self) -> None:
        if (transport := self.wire.transport) is not None:
            transport.close()

    def kill(self) -> None:
        if (transport := self.wire.transport) is not None:
            transport.abort()
