"""Client connections. What a connection promises, whatever is pipelined on it:

1. Replies come in the order of the commands.
2. Commands take effect in that order. A read goes its own cheap way (ReadIndex) only while no write of its connection is unanswered, else it
   travels with the batch; a write waits while reads of its connection are unanswered. A bundle that arrives together and holds a write goes the
   batch's way whole.
3. A connection that does not read its replies, or sends more than `max_pipeline` commands or `max_pipeline_bytes` ahead, is not read from any more;
   past `max_reply_bytes` it is cut. What waits for the reads before it counts as well.
4. It is never closed with a write in flight, except by the client itself or by rule 3.
5. While the node is not ready for long, connections are let go (unready.py).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure
from counter_node.fast.lanes import Connection, Lane, Sheaf
from counter_node.net.cluster_view import View
from counter_node.net.questions import answer
from counter_node.net.unready import GRACE_S, Unready
from counter_node.resp.actions import Action, NodeQuestion, Read, Reply, Write
from counter_node.resp.cluster import in_cluster_mode
from counter_node.resp.encode import encode_many
from counter_node.resp.parser import Parser, ProtocolError
from counter_node.resp.session import Session

if TYPE_CHECKING:
    from counter_node.node import Node

MAX_UNKNOWN_BYTES = 16 << 10
MAX_UNFINISHED_BYTES = 256 << 20
READ_AGAIN_AT = 0.5
"""A connection that was stopped for its pipeline is read again when this share of it is left."""


class Slot:
    """The place of some replies in their connection's order: of one command, or of a bundle that went to the gateway whole."""

    __slots__ = ("born_s", "connection", "replies", "size", "write")

    def __init__(self, connection: ClientConnection, *, write: bool) -> None:
        self.connection = connection
        self.size = 0  # bytes of the commands, about
        self.write = write
        self.born_s = monotonic()
        self.replies: list[Any] | None = None


class ClientConnection(Connection, asyncio.Protocol):
    def __init__(self, server: ClientServer, *, admin: bool = False, cluster: bool = False) -> None:
        super().__init__(None if admin or cluster else server.lane, server.max_reply_bytes)
        self._server = server
        self._node = server.node
        self._admin = admin
        self._cluster = cluster
        self._parser = Parser()
        self._slots: deque[Slot] = deque()
        self._held: deque[Action] = deque()  # must wait for the reads before them
        self._writes = 0  # bundles unanswered, in the gateway's batches
        self._reads = 0  # bundles unanswered, by ReadIndex
        self._held_bytes = 0
        self._slot_bytes = 0  # of all slots
        self._reasons_to_pause: set[str] = set()

    # --- asyncio ------------------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport = transport
        number = self._server.joined(self)
        if number is None:
            transport.write(b"-ERR max number of clients reached\r\n")
            transport.close()
            return
        tls = self._node.tls
        if self._admin and tls is not None and not tls.belongs(transport.get_extra_info("peercert")):
            self._node.refusals.add("peer_identity")
            transport.abort()
            return
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if tls is None and (socket := transport.get_extra_info("socket")) is not None:
            self.plain(socket.fileno())
        session = Session(number, f"{peer[0]}:{peer[1]}", f"{local[0]}:{local[1]}", admin=self._admin)
        session.born_s = session.active_s = self._server.now_s()
        session.count_keys = lambda: len(self._node.replica.machine.values)
        session.watch_name = b"%s%d" % (self._server.unique, number)
        session.ask = lambda question: self._server.answer(question, session)  # for commands in MULTI
        if not self._admin:
            session.access = self._node.access
            self._node.access.settle(session)
        session.neighbours = self._server.neighbours
        if self._cluster:
            session.cluster = session.neighbours = self._server.view
        self.session = session

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.forget_lane()
        self._slots.clear()
        self._held.clear()
        if self.session is not None and self.session.watching:
            self._act([self.session.unwatch()])
        self._server.unfinished -= self.unfinished
        self.unfinished = 0
        self._server.left(self)

    def receive(self, data: bytes) -> None:
        if self.closed or self.last or self.session is None:
            return
        self.session.active_s, self.session.last_bytes = self._server.now_s(), len(data)
        try:
            commands = self._parser.feed(data)
        except ProtocolError as error:
            self._node.refusals.add("client_protocol")
            self._take(error.commands)
            self._finish(Failure(str(error).encode()))
            commands = []
        if commands and self._server.unready.refusal is not None and not self._admin:
            self._refuse(self._server.unready.refusal, len(commands))
        elif commands:
            self._take(commands)
            if self.silent and (self.session.access is None or self.session.user is not None):
                self._server.spoke(self)
        self._count(len(data))
        if self._parser.unfinished != self.unfinished:
            self._keep_unfinished(self._parser.unfinished)
        if self.last or (self._slots and self._slots[0].replies is not None):
            self.flush()

    def _refuse(self, reply: Failure, count: int) -> None:
        """For each command, and then the end: after what was asked before is answered."""
        slot = self._slot(count, write=False)
        slot.replies = [reply] * count
        self._held.clear()
        self.end()

    def let_go(self, now_s: float) -> bool:
        """Closes the connection if it has no write in flight, and is not just being refused. Whether it did."""
        if self._admin or self.session is None or self._writes or self.writes_in_lane() or now_s - self.session.born_s < GRACE_S:
            return False
        self.flush()
        self.close()
        return True

    def _count(self, size: int) -> None:
        """What came is owed an answer: the bytes stand with the newest slot, or with what is held."""
        if self._held:
            self._held_bytes += size
        elif self._slots:
            self._slots[-1].size += size
            self._slot_bytes += size
        if self._slot_bytes + self._held_bytes > self._server.max_pipeline_bytes:
            self.pause("bytes")

    def _keep_unfinished(self, size: int) -> None:
        """What waits for the rest of a command is bounded for all connections together, and small for who has not logged in."""
        session, server = self.session, self._server
        assert session is not None
        server.unfinished += size - self.unfinished
        self.unfinished = size
        unknown = session.access is not None and session.user is None
        if size > MAX_UNKNOWN_BYTES and (unknown or server.unfinished > MAX_UNFINISHED_BYTES):
            self._node.refusals.add("client_memory")
            self._finish(Failure(b"ERR Protocol error: too much of unfinished commands; log in first, or try again later"))

    def pause_writing(self) -> None:
        self.pause("client does not read")

    def resume_writing(self) -> None:
        self.resume("client does not read")

    # --- commands -----------------------------------------------------------------------------------------------------------

    def _take(self, commands: list[list[bytes]]) -> None:
        session = self.session
        assert session is not None
        self._server.ordinary_commands += len(commands)
        if len(commands) == 1 and not self._held:
            self._act_alone(session.handle(commands[0]))
        elif not (self._held or self._reads) and (keys := session.increments(commands)) is not None:
            self._write(keys, mixed=False)
            self._node.wake()
        else:
            handle = session.handle
            actions = [handle(command) for command in commands]
            if self._held:
                self._held.extend(actions)
            else:
                self._act(actions)
        if self.unanswered + len(self._held) > self._server.max_pipeline:
            self.pause("pipeline")

    def _act_alone(self, action: Action) -> None:
        """`_act` for one, without its loop."""
        if type(action) is Write and not self._reads:
            self._write([action.op], mixed=False)
            self._node.wake()
        elif type(action) is Read and not self._writes:
            self._read([action.op])
            self._node.wake()
        else:
            self._act((action,))

    def _act(self, actions: Sequence[Action]) -> None:
        """In order; from a write that must wait for reads on, everything is held. What goes the same way without a break goes as one bundle."""
        together = self._writes > 0 or (self._reads == 0 and len(actions) > 1 and any(type(a) is Write for a in actions))
        batch: list[Op] = []
        mixed = False
        reads: list[Op] = []
        for position, action in enumerate(actions):
            if isinstance(action, Write) or (together and isinstance(action, Read)):
                if self._reads or reads:
                    self._held.extend(itertools.islice(actions, position, None))
                    break
                mixed = mixed or isinstance(action, Read)
                batch.append(action.op)
                continue
            if isinstance(action, Read):
                reads.append(action.op)
                continue
            if batch:
                self._write(batch, mixed=mixed)
                batch, mixed = [], False
            if reads:
                self._read(reads)
                reads = []
            if isinstance(action, Reply):
                self._answer(action.value)
            elif isinstance(action, NodeQuestion):
                self._ask_node(action)
                if self.last:  # it ended itself
                    break
            else:
                self._finish(action.value)
                break
        if batch:
            self._write(batch, mixed=mixed)
        if reads:
            self._read(reads)
        if self._writes or self._reads:
            self._node.wake()

    def _write(self, ops: list[Op], *, mixed: bool) -> None:
        self._writes += 1
        self._node.replica.submit_write(self._slot(len(ops), write=True), ops, mixed=mixed)

    def _read(self, ops: list[Op]) -> None:
        self._reads += 1
        self._node.replica.submit_read(self._slot(len(ops), write=False), ops)

    def _ask_node(self, question: NodeQuestion) -> None:
        if self._admin and question.name.startswith("raft."):
            slot = self._slot(1, write=False)
            self._server.spawn(self._administrate(slot, question.args))
        else:
            assert self.session is not None
            self._answer(self._server.answer(question, self.session))

    async def _administrate(self, slot: Slot, words: list[bytes]) -> None:
        slot.replies = [await self._node.admin.execute(words)]
        self.flush()

    def _slot(self, count: int, *, write: bool) -> Slot:
        slot = Slot(self, write=write)
        self._slots.append(slot)
        self.unanswered += count
        return slot

    def ordinary_slot(self, count: int, write: bool) -> Slot:
        """For commands that are in the lane."""
        if write:
            self._writes += 1
        else:
            self._reads += 1
        return self._slot(count, write=write)

    def _answer(self, reply: Any) -> None:
        self._slot(1, write=False).replies = [reply]

    def _finish(self, reply: Any) -> None:
        """The last answer of this connection; nothing more is read."""
        self._answer(reply)
        self.end()

    def answered(self, slot: Slot, replies: list[Any]) -> None:
        """From the gateway. The server calls `flush` once for all of a turn."""
        slot.replies = replies
        if slot.write:
            self._writes -= 1
        else:
            self._reads -= 1
            if self._reads == 0 and self._held:
                held, self._held = self._held, deque()
                self._act(held)
                size, self._held_bytes = self._held_bytes, 0
                self._count(size)

    # --- replies ------------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Writes the answered head of the queue, in one piece."""
        slots, transport = self._slots, self.transport
        if self.closed or transport is None or self.session is None or transport.is_closing():
            return
        replies: list[Any] = []
        while slots and (found := slots[0].replies) is not None:
            self._slot_bytes -= slots.popleft().size
            replies += found
        if replies:
            self.unanswered -= len(replies)
            if self._cluster:
                replies = [in_cluster_mode(reply) for reply in replies]
            if not self.write(self.encoded(replies)):
                return
        if self.last and not slots:
            transport.close()
            return
        server = self._server
        if self.unanswered + len(self._held) <= server.max_pipeline * READ_AGAIN_AT:
            self.resume("pipeline")
        if self._slot_bytes + self._held_bytes <= server.max_pipeline_bytes * READ_AGAIN_AT:
            self.resume("bytes")

    def encoded(self, replies: list[Any]) -> bytes:
        assert self.session is not None
        self._server.failed(replies)
        return encode_many(replies, self.session.protocol)

    def cut(self) -> None:
        self._server.cut += 1
        self._node.refusals.add("client_unread")
        self.kill()

    def pause(self, reason: str) -> None:
        if not self._reasons_to_pause and self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()
        self._reasons_to_pause.add(reason)

    def resume(self, reason: str) -> None:
        if reason in self._reasons_to_pause:
            self._reasons_to_pause.remove(reason)
            if not self._reasons_to_pause and self.transport is not None and not self.closed and not self.transport.is_closing():
                self.transport.resume_reading()

    def hold_back(self, hold: bool) -> None:
        """The server has too much gathered, or is shutting down."""
        if hold:
            self.pause("server")
        else:
            self.resume("server")

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def kill(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def end(self) -> None:
        """Close when what was asked so far is answered."""
        self.last = True
        self._held.clear()
        self.pause("closing")


class ClientServer:
    """All client connections of a node, and the limits that they share."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.max_pipeline = node.settings.max_pipeline
        self.max_pipeline_bytes = node.settings.max_pipeline_bytes
        self.max_reply_bytes = node.settings.max_reply_bytes
        self.ordinary_commands = 0
        self.unfinished = 0  # bytes of commands that are not complete
        self.refused = 0
        self.cut = 0
        self.spawn = node.spawn
        self.failed = node.metrics.failed  # counts the errors among replies
        self.neighbours = View(node)
        self.view = View(node, node.settings.cluster_port - node.settings.resp_port)
        self.lane = Lane(
            lambda sheaf, ops: node.replica.submit_write(sheaf, ops),
            lambda sheaf, ops: node.replica.submit_read(sheaf, ops),
            node.wake,
            node.turn_now,
            self.max_pipeline,
        )
        self.now_s = asyncio.get_running_loop().time
        self.unready = Unready(node, node.settings.unready_close_s)
        self.unique = secrets.token_bytes(8)  # of this start of the node
        self._numbers = itertools.count(1)
        self._connections: set[ClientConnection] = set()
        self._silent: dict[ClientConnection, None] = {}  # oldest first
        self._holding = False
        self._shutting = False

    @property
    def count(self) -> int:
        return len(self._connections)

    @property
    def commands(self) -> int:
        return self.ordinary_commands + self.lane.commands

    def client(self) -> ClientConnection:
        return ClientConnection(self)

    def cluster_client(self) -> ClientConnection:
        return ClientConnection(self, cluster=True)

    def administrator(self) -> ClientConnection:
        return ClientConnection(self, admin=True)

    def joined(self, connection: ClientConnection) -> int | None:
        """The connection's number, or None when there are too many. Who has not said a word makes room for who comes: a thousand connections that
        are opened and left, or dribble, shut nobody out."""
        if len(self._connections) >= self.node.settings.max_clients:
            if not self._silent:
                self.refused += 1
                self.node.refusals.add("client_limit")
                return None
            oldest = next(iter(self._silent))
            self.left(oldest)
            oldest.kill()
            self.node.refusals.add("client_silent")
        self._connections.add(connection)
        self._silent[connection] = None
        if self._shutting:
            connection.hold_back(True)
        return next(self._numbers)

    def left(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self._silent.pop(connection, None)

    def spoke(self, connection: ClientConnection) -> None:
        connection.silent = False
        self._silent.pop(connection, None)

    def sessions(self) -> list[Session]:
        for connection in self._connections:
            connection.tell_session()
        return [c.session for c in self._connections if c.session is not None]

    def kill(self, wanted: Callable[[Session], bool], asking: Session) -> int:
        """Ends connections at once; the one that asks for it, when it has its answer."""
        victims = [c for c in self._connections if c.session is not None and wanted(c.session)]
        for connection in victims:
            if connection.session is asking:
                connection.end()
            else:
                connection.kill()
        return len(victims)

    def answer(self, question: NodeQuestion, session: Session) -> Any:
        return answer(self.node, question, session)

    def deliver(self, answers: Sequence[tuple[Slot | Sheaf, list[Any]]]) -> None:
        touched: dict[ClientConnection, None] = {}
        metrics, now = self.node.metrics, monotonic()
        self.lane.alone = len(answers) == 1 and len(answers[0][1]) == 1
        for slot, replies in answers:
            (metrics.writes if slot.write else metrics.reads).add(now - slot.born_s, len(replies))
            if isinstance(slot, Sheaf):
                if left := self.lane.answer(slot, replies):
                    touched.update(dict.fromkeys(left))
                continue
            connection = slot.connection
            connection.answered(slot, replies)
            touched[connection] = None
        for connection in touched:
            connection.flush()

    def tick(self) -> None:
        """Stop reading from everybody while too many commands wait for a leader; let them go while the node is not ready."""
        if self.unready.tick(self.now_s()):
            now_s = self.now_s()
            for connection in list(self._connections):
                if connection.let_go(now_s):
                    self.node.refusals.add("unready")
        gathered = len(self.node.replica.gateway.writes) + len(self.node.replica.gateway.reads)
        hold = gathered > self.node.settings.max_gathered
        if hold != self._holding and not self._shutting:
            self._holding = hold
            for connection in self._connections:
                connection.hold_back(hold)

    def stop_reading(self) -> None:
        self._shutting = True
        self.lane.submit()
        for connection in self._connections:
            connection.hold_back(True)

    def close(self) -> None:
        for connection in list(self._connections):
            connection.flush()
            connection.close()
