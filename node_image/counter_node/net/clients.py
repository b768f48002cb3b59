"""Client connections. What a connection promises, whatever is pipelined on it:

1. Replies come in the order of the commands.
2. Commands take effect in that order. A read goes its own cheap way (ReadIndex) only while no write
   of its connection is unanswered, else it travels with the batch; a write waits while reads of its
   connection are unanswered. A bundle that arrives together and holds a write goes the batch's way
   whole.
3. A connection that does not read its replies, or sends more than `max_pipeline` commands or
   `max_pipeline_bytes` ahead, is not read from any more; past `max_reply_bytes` it is cut. What
   waits for the reads before it counts as well. When all together hold too much the heaviest is cut
   (holdings.py).
4. It is never closed with a write in flight, except by the client itself or by rule 3.
6. What a client sends at once is worked off in slices, in turn with the others (turns.py). What is
   left is kept as bytes, since commands that are taken apart need twenty times the room, and the
   connection is not read from.
5. While the node is not ready for long, connections are let go (unready.py).
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import monotonic
from typing import Any, Final, Protocol, cast

from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure
from counter_node.fast.lanes import Connection, Lane, Sheaf
from counter_node.memory import client_bytes
from counter_node.net.descriptors import ADMIN
from counter_node.net.holdings import Holdings
from counter_node.net.logins import Logins
from counter_node.net.turns import SLICE_S, Turns
from counter_node.net.unready import GRACE_S, Judged, Unready
from counter_node.resp.actions import Action, Again, NodeQuestion, Read, Reply, Slow, Write
from counter_node.resp.cluster import in_cluster_mode
from counter_node.resp.dispatch import begin, increments, new_session
from counter_node.resp.encode import are_long, encode_many, in_pieces
from counter_node.resp.parser import Parser, ProtocolError
from counter_node.resp.session import Session
from counter_node.resp.transactions import lost
from counter_node.security.access import THROTTLED
from counter_node.security.refusals import Refusals
from counter_node.security.tls import Tls
from counter_node.views.cluster_view import Shown, View
from counter_node.views.info import Asked, answer

MAX_UNKNOWN_BYTES = 16 << 10
PIECE_BYTES, STRANGER_PIECE_BYTES = 32 << 10, 1 << 10
"""Taken apart at once."""
CHUNK_COMMANDS, STRANGER_CHUNK_COMMANDS = 512, 16
"""Executed at most before the clock is looked at."""
FIRST_CHUNK: Final = 32
"""Of a connection: as nobody knows how dear its commands are. Then twice as many while they are
cheap, and a quarter when they are not."""
ENCODE_REPLIES, WRITE_BYTES = 32, 64 << 10
FLUSH_BYTES = 256 << 10
"""Made into bytes and written before others have their turn."""
FLUSH_PIECES: Final = 4
"""The same of a long answer: a thousand values each, or more bytes of fewer."""
UNREAD_BYTES = 1 << 20
"""With so much unread no further reply is made into bytes."""
LIGHT_BYTES = 1 << 10
"""What is less than this is not weighed anew."""
TLS_BYTES = 64 << 10
"""What TLS keeps for a connection, beside twice the most that came at once."""
UNREAD: Final = "client does not read"
_BESIDE = ("slice",)
"""Reasons not to read that do not keep what was read from being worked off."""
READ_AGAIN_AT = 0.5
"""A connection that was stopped for its pipeline is read again when this share of it is left."""


class Durations(Protocol):
    def add(self, seconds: float, commands: int = 1) -> None: ...


class CommandMetrics(Protocol):
    @property
    def writes(self) -> Durations: ...

    @property
    def reads(self) -> Durations: ...

    def failed(self, replies: Sequence[Any]) -> None: ...


class Administration(Protocol):
    def execute(self, words: list[bytes]) -> Awaitable[Any]: ...


class Served(Asked, Judged, Shown, Protocol):
    """What connections need of the node that they are served by."""

    memory_bytes: int
    tls: Tls | None
    refusals: Refusals

    @property
    def metrics(self) -> CommandMetrics: ...

    @property
    def admin(self) -> Administration: ...

    def wake(self) -> None:
        """A turn is due."""

    def turn_now(self) -> None: ...

    def spawn(self, work: Any) -> None: ...


class Slot:
    """The place of some replies in their connection's order: of one command, or of a bundle that
    went to the gateway whole."""

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
        self._backlog = b""  # what is not taken apart yet
        self._commands: list[list[bytes]] = []  # taken apart, and not begun
        self._slow: Slow | None = (
            None  # the command that is taken apart in slices; it comes before these
        )
        self._encoding: tuple[Iterator[bytes], int] | None = (
            None  # a long answer, of so many commands, that is written in part
        )
        self._bad: ProtocolError | None = None  # what ends the connection when these are done
        self._queued = False  # waits for its slice
        self._piece_bytes = (
            0  # of the piece that `_commands` are from, until they stand with a slot
        )
        self._weight = 0  # as it was weighed last
        self._most_at_once = 0
        self._chunk = FIRST_CHUNK
        self.failed_logins = 0

    # --- asyncio ----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self.transport = transport
        number = self._server.joined(self)
        if number is None:
            transport.write(b"-ERR max number of clients reached\r\n")
            transport.close()
            return
        tls = self._node.tls
        if (
            self._admin
            and tls is not None
            and not tls.administers(transport.get_extra_info("peercert"))
        ):
            self._node.refusals.add("peer_identity")
            transport.abort()
            return
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if tls is None and (socket := transport.get_extra_info("socket")) is not None:
            self.plain(socket.fileno())
        session = new_session(
            number, f"{peer[0]}:{peer[1]}", f"{local[0]}:{local[1]}", admin=self._admin
        )
        session.born_s = session.active_s = self._server.now_s()
        node, server = self._node, self._server
        session.count_keys = lambda: len(node.replica.machine.values)
        session.watch_name = b"%s%d" % (self._server.unique, number)
        session.ask = lambda question: server.answer(question, session)  # for commands in MULTI
        if not self._admin:
            session.access = self._node.access
            self._node.access.settle(session)
        session.neighbours = self._server.neighbours
        if self._cluster:
            session.cluster = session.neighbours = self._server.view
        self.session = session
        self._weigh()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self.forget_lane()
        self._slots.clear()
        self._held.clear()
        if self.session is not None and isinstance(ends := lost(self.session), Write):
            self._act([ends])
        self._commands, self._backlog, self._slow, self._encoding = [], b"", None, None
        self._server.holdings.gone(self)
        self._server.left(self)
        self._let_go_of_buffers()

    def _let_go_of_buffers(self) -> None:
        """What refers back to this connection goes, so that its memory comes back now: the
        collector of garbage runs seldom, and never looks at what was frozen (clock.py). What TLS
        holds for a connection is more than half a MiB."""
        self.transport = None
        self._parser = Parser()
        if self.session is not None:
            self.session.ask = None

    @property
    def is_admin(self) -> bool:
        return self._admin

    @property
    def _stranger(self) -> bool:
        session = self.session
        return session is not None and session.access is not None and session.user is None

    def receive(self, data: bytes) -> None:
        if self.closed or self.last or self.session is None:
            return
        size = len(data)
        self.session.active_s, self.session.last_bytes = self._server.now_s(), size
        if size > self._most_at_once:
            self._most_at_once = size
        if self._unbegun or self._queued or self._stranger or self._held or not self._may_work():
            self._backlog = self._backlog + data if self._backlog else data
            self.pause("slice")
            self._queue()
        else:
            self._backlog = data
            more = self.work(monotonic() + SLICE_S)
            if (
                self._unbegun
            ):  # whatever it waits for: what is read later must not overtake it in the lane
                self.pause("slice")
            if more:
                self._queue()
        self._weigh()

    @property
    def _unbegun(self) -> bool:
        """Something was read and is not on its way."""
        return bool(self._commands or self._backlog or self._slow)

    @property
    def _answers(self) -> bool:
        """There is something to be written."""
        return self._encoding is not None or bool(
            self._slots and self._slots[0].replies is not None
        )

    def _may_work(self) -> bool:
        reasons = self._reasons_to_pause
        return not reasons or reasons.issubset(_BESIDE)

    def _queue(self) -> None:
        """Gets a slice in its turn."""
        if not self._queued and not self.closed:
            self._queued = True
            self._server.turns.wait(self, stranger=self._stranger)

    def work(self, until_s: float) -> bool:
        """One slice of what was sent. True when there is more to do now."""
        self._queued = False
        began_s = monotonic()
        while not (self.closed or self.last or self._held) and self._may_work():
            if self._slow is not None or self._commands:
                if self._slow is not None:
                    self._go_on(self._slow)
                else:
                    self._begin_chunk()
                if self._unbegun:
                    now_s = monotonic()
                    self._chunk = (
                        max(1, self._chunk // 4)
                        if now_s - began_s > SLICE_S
                        else min(CHUNK_COMMANDS, 2 * self._chunk)
                    )
                    began_s = now_s
                    if now_s >= until_s:
                        break
            elif self._bad is not None:
                self._finish(Failure(str(self._bad).encode()))
            elif self._backlog:
                self._take_apart()
                if (
                    self._backlog and not self._commands and monotonic() >= until_s
                ):  # of one of many words
                    break
            else:
                break
        if self.last or self._answers:
            self.flush()
        if self.closed or self.last:
            self._commands, self._backlog, self._slow = [], b"", None
        elif self._reasons_to_pause and not self._unbegun:
            self.resume("slice")
        if self._weight or self._slot_bytes > LIGHT_BYTES:
            self._weigh()
        return self._unbegun and not self._held and not self._queued and self._may_work()

    def _go_on(self, slow: Slow) -> None:
        """One slice of a long command."""
        action = slow.step()
        if action is not None:
            self._slow = None
            self._act_alone(action)
            self._count_piece()

    def _take_apart(self) -> None:
        """A piece of what was sent, to the end of a command if one is found, as the parser is fast
        from the beginning of one."""
        most, data = STRANGER_PIECE_BYTES if self._stranger else PIECE_BYTES, self._backlog
        if len(data) <= most:
            self._backlog = b""
        else:
            end = data.rfind(b"\r\n*", 0, most) + 2
            end = end if end > 1 else most
            data, self._backlog = data[:end], data[end:]
        try:
            self._commands = self._parser.feed(data)
        except ProtocolError as error:
            self._node.refusals.add("client_protocol")
            self._commands, self._bad, self._backlog = error.commands, error, b""
        self._piece_bytes += len(data)
        if self._parser.unfinished != self.unfinished:
            self._keep_unfinished(self._parser.unfinished)

    def _begin_chunk(self) -> None:
        most = STRANGER_CHUNK_COMMANDS if self._stranger else self._chunk
        commands, self._commands = self._commands, []
        if len(commands) > most:
            commands, self._commands = commands[:most], commands[most:]
        if self._server.unready.refusal is not None and not self._admin and not self._redirects:
            self._refuse(self._server.unready.refusal, len(commands))
            return
        self._take(commands)
        self._count_piece()
        if self.silent and not self._stranger:
            self._server.spoke(self)

    @property
    def _redirects(self) -> bool:
        """It sends its clients to another node, which they would not hear of when it ended."""
        return self._cluster and self._server.view.elsewhere() is not None

    def _count_piece(self) -> None:
        """Not before the long command has its slot."""
        if self._slow is None:
            self._count(self._piece_bytes)
            self._piece_bytes = 0

    def _refuse(self, reply: Failure, count: int) -> None:
        """For each command, and then the end: after what was asked before is answered."""
        slot = self._slot(count, write=False)
        slot.replies = [reply] * count
        self._held.clear()
        self.end()

    def let_go(self, now_s: float) -> bool:
        """Closes the connection if it has no write in flight nor waiting, and is not just being
        refused. Whether it did."""
        if (
            self._admin
            or self._redirects
            or self.session is None
            or self._writes
            or self.writes_in_lane()
            or now_s - self.session.born_s < GRACE_S
        ):
            return False
        if (
            self._held or self._unbegun or self._encoding is not None
        ):  # answered or refused first: its client would not know what became of them
            return False
        self.flush()
        self.close()
        return True

    def _count(self, size: int) -> None:
        """What came is owed an answer: the bytes stand with the newest slot, or with what is
        held."""
        if self._held:
            self._held_bytes += size
        elif self._slots:
            self._slots[-1].size += size
            self._slot_bytes += size
        if self._slot_bytes + self._held_bytes > self._server.max_pipeline_bytes:
            self.pause("bytes")

    def _keep_unfinished(self, size: int) -> None:
        """What waits for the rest of a command is small for who has not logged in, and counts for
        all (holdings.py)."""
        self.unfinished = size
        if size > MAX_UNKNOWN_BYTES and self._stranger:
            self._node.refusals.add("client_memory")
            self._finish(
                Failure(
                    b"ERR Protocol error: too much of unfinished commands; log in first, or try "
                    b"again later"
                )
            )

    def weigh(self) -> None:
        """Something that this connection holds may have changed."""
        self._weigh()

    def _weigh(self) -> None:
        session, transport = self.session, self.transport
        if session is None or transport is None or self.closed or transport.is_closing():
            return
        held = (
            self.unfinished
            + len(self._backlog)
            + self._slot_bytes
            + self._held_bytes
            + transport.get_write_buffer_size()
        )
        if self._slow is not None:
            held += self._piece_bytes
        if session.queue is not None or session.watching or session.executing_bytes:
            held += session.held_bytes
        if self._node.tls is not None:
            held += TLS_BYTES + 2 * self._most_at_once
        if held < LIGHT_BYTES:
            held = 0
        if abs(held - self._weight) >= LIGHT_BYTES or (not held and self._weight):
            self._weight = held
            self._server.holdings.weigh(self, held, stranger=self._stranger)

    # --- a login that waits (logins.py) ---

    def _wait_for_login(self, commands: list[list[bytes]]) -> None:
        assert self.session is not None
        self._commands = commands + self._commands
        self.pause("login")
        self._server.logins.wait(self, self.session.login_key)

    def login_turn(self) -> None:
        if self.session is not None:
            self.session.login_turn = True
            self.resume("login")

    def login_refused(self, *, end: bool) -> None:
        """There was no turn in time, or no place (`end`)."""
        if self.closed or self.last or not self._commands:
            return
        del self._commands[0]
        if self._held:
            self._held.append(Reply(THROTTLED))
        else:
            self._answer(THROTTLED)
        self.failed_logins += 1
        if end:
            self.end()
            self.flush()
        else:
            self.resume("login")
            self._queue()  # also when nothing is left: a slice ends the pause for it

    def pause_writing(self) -> None:
        self.pause(UNREAD)

    def resume_writing(self) -> None:
        self.resume(UNREAD)
        self._weigh()

    # --- commands ---------------------------------------------------------------------------------

    def _take(self, commands: list[list[bytes]]) -> None:
        session = self.session
        assert session is not None
        self._server.ordinary_commands += len(commands)
        if len(commands) == 1:
            action = begin(session, commands[0])
            if isinstance(action, Again):
                self._wait_for_login(commands)
            elif isinstance(action, Slow):
                self._slow = action
            else:
                self._act_alone(action)
        elif not self._reads and (keys := increments(session, commands)) is not None:
            self._write(keys, mixed=False)
            self._node.wake()
        else:
            actions: list[Action] = []
            waits: list[list[bytes]] = []
            for number, command in enumerate(commands):
                action = begin(session, command)
                if isinstance(action, Again):
                    waits = commands[number:]
                    break
                if isinstance(action, Slow):
                    self._slow, self._commands = action, commands[number + 1 :] + self._commands
                    break
                actions.append(action)
            self._act(actions)
            if waits:  # last, as it may be refused at once, which is its answer
                self._wait_for_login(waits)
        if self.unanswered + len(self._held) > self._server.max_pipeline:
            self.pause("pipeline")

    def _act_alone(self, action: Action) -> None:
        """`_act` for one, without its loop."""
        if type(action) is Write and not self._reads:
            self._write([action.op], mixed=False)
            if action.held:
                self._count(action.held)
            self._node.wake()
        elif type(action) is Read and not self._writes:
            self._read([action.op])
            if action.held:
                self._count(action.held)
            self._node.wake()
        else:
            self._act((action,))

    def _act(self, actions: Sequence[Action]) -> None:
        """In order; from a write that must wait for reads on, everything is held. What goes the
        same way without a break goes as one bundle."""
        together = self._writes > 0 or (
            self._reads == 0 and len(actions) > 1 and any(type(a) is Write for a in actions)
        )
        batch: list[Op] = []
        mixed = False
        held = 0
        reads: list[Op] = []
        for position, action in enumerate(actions):
            if isinstance(action, Write) or (together and isinstance(action, Read)):
                if self._reads or reads:
                    self._held.extend(itertools.islice(actions, position, None))
                    break
                mixed = mixed or isinstance(action, Read)
                batch.append(action.op)
                held += action.held
                continue
            if isinstance(action, Read):
                reads.append(action.op)
                held += action.held
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
        if held:
            self._count(held)
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
                if not self._held and self._unbegun:
                    self._queue()

    # --- replies ----------------------------------------------------------------------------------

    def flush(self, most: int = 0) -> None:
        """Writes the answered head of the queue; of much, about `most` bytes now (0: `FLUSH_BYTES`,
        or `FLUSH_PIECES` of a long answer) and the rest in its turn."""
        slots, transport = self._slots, self.transport
        if (
            self.closed
            or transport is None
            or self.session is None
            or transport.is_closing()
            or UNREAD in self._reasons_to_pause
        ):
            return
        parts: list[bytes] = []
        size = written = pieces = 0
        while self._answers:
            if written >= (most or FLUSH_BYTES):
                self._queue()
                return
            part = self._next_replies()
            parts.append(part)
            size += len(part)
            pieces += self._encoding is not None
            late = not most and pieces >= FLUSH_PIECES  # small values take long for their bytes
            if size >= WRITE_BYTES or late:
                if not self.write(b"".join(parts)):
                    return
                written += size
                parts, size = [], 0
                if UNREAD in self._reasons_to_pause:
                    return  # the rest when the client has read
                if (late and self._answers) or transport.get_write_buffer_size() > UNREAD_BYTES:
                    self._queue()
                    return
        if parts and not self.write(parts[0] if len(parts) == 1 else b"".join(parts)):
            return
        if self.last and not slots:  # and so nothing is written in part
            transport.close()
            return
        server = self._server
        if self.unanswered + len(self._held) <= server.max_pipeline * READ_AGAIN_AT:
            self.resume("pipeline")
        if self._slot_bytes + self._held_bytes <= server.max_pipeline_bytes * READ_AGAIN_AT:
            self.resume("bytes")

    def _next_replies(self) -> bytes:
        """Of the answered slots at the head: all of one, or of several small ones; of a long one a
        piece."""
        if self._encoding is not None:
            pieces, count = self._encoding
            if (piece := next(pieces, None)) is not None:
                return piece
            self._encoding = None
            self.unanswered -= count
            return b""
        slots, replies = self._slots, list[Any]()
        while (
            slots
            and (found := slots[0].replies) is not None
            and (not replies or len(replies) + len(found) <= ENCODE_REPLIES)
        ):
            self._slot_bytes -= slots.popleft().size
            replies += found
        if self._cluster:
            replies = [in_cluster_mode(reply) for reply in replies]
        if are_long(replies):
            assert self.session is not None
            self._server.failed(replies)
            self._encoding = (
                in_pieces(replies, self.session.protocol),
                len(replies),
            )  # unanswered until it is written, for the lane's sake
            return b""
        self.unanswered -= len(replies)
        return self.encoded(replies)

    def encoded(self, replies: list[Any]) -> bytes:
        assert self.session is not None
        self._server.failed(replies)
        return encode_many(replies, self.session.protocol)

    def cut_for_memory(self) -> None:
        """All clients together hold too much, and this one the most."""
        self._node.refusals.add("client_memory")
        self._weight = 0
        self.kill()

    def cut(self) -> None:
        self._server.cut += 1
        self._node.refusals.add("client_unread")
        self.kill()

    def pause(self, reason: str) -> None:
        if (
            not self._reasons_to_pause
            and self.transport is not None
            and not self.transport.is_closing()
        ):
            self.transport.pause_reading()
        self._reasons_to_pause.add(reason)

    def resume(self, reason: str) -> None:
        if reason in self._reasons_to_pause:
            self._reasons_to_pause.remove(reason)
            if (self._unbegun or self._answers) and self._may_work():
                self._queue()
            if (
                not self._reasons_to_pause
                and self.transport is not None
                and not self.closed
                and not self.transport.is_closing()
            ):
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

    def __init__(self, node: Served, most: int) -> None:
        """`most`: connections to the clients' ports."""
        self.node, self.most = node, most
        self.max_pipeline = node.settings.max_pipeline
        self.max_pipeline_bytes = node.settings.max_pipeline_bytes
        self.max_reply_bytes = node.settings.max_reply_bytes
        self.ordinary_commands = 0
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
        loop = asyncio.get_running_loop()
        self.turns = Turns(loop)
        self.logins = Logins(loop, node.access.throttle)
        self.holdings = Holdings[ClientConnection](
            client_bytes(node.settings.client_bytes, node.memory_bytes),
            ClientConnection.cut_for_memory,
        )
        self.unready = Unready(node, node.settings.unready_close_s)
        self.unique = secrets.token_hex(8).encode() + b"-"  # of this start of the node
        self._numbers = itertools.count(1)
        self._connections: set[ClientConnection] = set()
        self._silent: dict[ClientConnection, None] = {}  # oldest first
        self._admins: dict[ClientConnection, None] = {}  # oldest first
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
        """The connection's number, or None when there are too many. Who has not said a word makes
        room for who comes: a thousand connections that are opened and left, or dribble, shut nobody
        out."""
        if connection.is_admin:
            return self._joined_admin(connection)
        if len(self._connections) - len(self._admins) >= self.most:
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

    def _joined_admin(self, connection: ClientConnection) -> int:
        """The operator is not shut out by clients, nor by whoever opens connections here and leaves
        them."""
        if len(self._admins) >= ADMIN:
            oldest = next(iter(self._admins))
            self.left(oldest)
            oldest.kill()
            self.node.refusals.add("admin_limit")
        self._admins[connection] = None
        self._connections.add(connection)
        return next(self._numbers)

    def left(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self._admins.pop(connection, None)
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
        """Stop reading from everybody while too many commands wait for a leader; let them go while
        the node is not ready."""
        self.view.look()
        if self.unready.tick(self.now_s()):
            now_s = self.now_s()
            for connection in list(self._connections):
                if connection.let_go(now_s):
                    self.node.refusals.add("unready")
        for connection in self.holdings.heaviest():
            connection.weigh()
        gathered = self.node.replica.gateway.gathered
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
            connection.flush(most=1 << 62)
            connection.close()
