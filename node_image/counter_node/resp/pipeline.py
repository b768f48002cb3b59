"""One client's bytes to bundles for the gateway, and replies back to bytes, in order. Without
socket and clock; whoever has them (net/connection.py) drives it:

    receive(data)               bytes that came
    step(most)                  one step with them; then `bundles`, `questions` and `login_waits`
                                say what is to be done
    answered(pending, replies)  what became of a bundle; `complete` for a question
    replies.next_bytes()        while `replies.ready`: bytes for the wire

1. Replies come in the order of the commands.
2. Commands take effect in that order. An operation goes to the gateway by index (ReadIndex), in a
   batch of the log, or is held with all that comes behind it:

       unanswered, or on its way    a read      a write
       ------------------------------------------------
       nothing                      by index    (is itself on its way)
       reads                        by index    is held
       writes                       batch       batch

   A write among what is begun together is on its way for all of it, unless reads are unanswered.
3. What came is in the first of these states that fits, and `step` does what it says:

       state      what there is                   step                 then
       ---------------------------------------------------------------------------------------
       ENDED      the last reply is promised      none                 ENDED
       HELD       a write waits for reads         none                 any, when they are answered
       BLOCKED    a reason not to go on           none                 any, when it is gone
       SLOW       a long command, partly done     a slice of it        SLOW, or any
       READY      commands that are not begun     begins some          any
       BAD        what is no request              its error, the last  ENDED
       RECEIVED   bytes                           takes a piece apart  RECEIVED, BAD, IDLE; or is
                                                                       READY, in the same step
       IDLE       at most a part of a command     none                 RECEIVED, when bytes come

4. Bytes are taken apart when their commands can be begun: a command takes twenty times the room
   of its bytes.
5. Who is more than `max_commands` or `max_bytes` ahead of the replies is blocked until half of
   that is left.
6. `plain` says when the compiled lane (fast/) may take a command instead: it does the work of
   READY and RECEIVED for those that are only INCR or GET.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Generic

from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure
from counter_node.resp.actions import Action, Again, NodeQuestion, Read, Reply, Slow, Write
from counter_node.resp.dispatch import begin, increments
from counter_node.resp.ordered_replies import OrderedReplies, Owner, PendingReplies, Shared
from counter_node.resp.parser import Parser, ProtocolError
from counter_node.resp.session import Session
from counter_node.resp.transactions import lost

MAX_UNKNOWN_BYTES: Final = 16 << 10
PIECE_BYTES, STRANGER_PIECE_BYTES = 32 << 10, 1 << 10
"""Taken apart in one step."""
STRANGER_COMMANDS: Final = 16
"""Begun at most in one step of a stranger."""
GO_ON_AT: Final = 0.5
"""The share of its limits at which a client that was too far ahead goes on."""
ENDED, HELD, BLOCKED, SLOW, READY, BAD, RECEIVED, IDLE = (
    "ENDED", "HELD", "BLOCKED", "SLOW", "READY", "BAD", "RECEIVED", "IDLE",
)  # fmt: skip
STEPS: Final = frozenset({SLOW, READY, BAD, RECEIVED})
"""The states in which there is a step to do."""
TOO_MUCH_UNFINISHED = Failure(
    b"ERR Protocol error: too much of unfinished commands; log in first, or try again later"
)


class Pipeline(Generic[Owner]):
    def __init__(self, session: Session, shared: Shared, owner: Owner) -> None:
        """`owner`: whom the pending replies belong to."""
        self.session, self._shared = session, shared
        self.replies = OrderedReplies(session, shared, owner)
        self.silent = True
        """Has not sent one whole command, or not logged in."""
        self.ended = False
        self.reasons: set[str] = set()
        """Not to go on, and not to read."""
        self.bundles: list[tuple[PendingReplies[Owner], list[Op], bool]] = []
        """To be submitted: the place of the replies, the operations, whether reads are among them
        that go with writes."""
        self.questions: list[tuple[PendingReplies[Owner], list[bytes]]] = []
        """For the administration."""
        self.login_waits = False
        self._parser = Parser()
        self._held: deque[Action] = deque()
        self._held_bytes = 0
        self._writes = self._reads = 0  # bundles that are unanswered
        self._backlog = b""  # what is not taken apart yet
        self._commands: list[list[bytes]] = []  # taken apart, and not begun
        self._slow: Slow | None = None
        self._bad: ProtocolError | None = None
        self._piece_bytes = 0  # of the piece that `_commands` are from, until they have a place

    # --- states -----------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        if self.ended:
            return ENDED
        if self._held:
            return HELD
        if self.reasons:
            return BLOCKED
        if self._slow is not None:
            return SLOW
        if self._commands:
            return READY
        if self._bad is not None:
            return BAD
        return RECEIVED if self._backlog else IDLE

    @property
    def unbegun(self) -> bool:
        """Something was received and is not on its way: what comes later must wait."""
        return bool(self._commands or self._backlog or self._slow or self._bad)

    @property
    def plain(self) -> bool:
        """Whether the lane may take what comes next: nothing is in its way, and the user may do
        everything."""
        return not (
            self.silent
            or self.replies.unanswered
            or self.ended
            or not self.session.unrestricted
            or self._parser.unfinished
            or self.unbegun
        )

    @property
    def writing(self) -> bool:
        return self._writes > 0

    @property
    def waits(self) -> bool:
        """What becomes of a command is not decided, or its answer is written in part."""
        return bool(self._held or self.unbegun or self.replies.in_pieces)

    @property
    def held_bytes(self) -> int:
        """About what this client makes the node hold, the wire's buffers not among it."""
        session = self.session
        held = self._parser.unfinished + len(self._backlog) + self.replies.bytes + self._held_bytes
        if self._slow is not None:
            held += self._piece_bytes
        if session.queue is not None or session.watching or session.executing_bytes:
            held += session.held_bytes
        return held

    # --- bytes in ---------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        self._backlog = self._backlog + data if self._backlog else data

    def step(self, most: int, refusal: Failure | None = None) -> str | None:
        """The last state that it worked in, or None: there is nothing to do now. At most `most`
        commands are begun; or all of them are answered with `refusal`, which is the end."""
        state = self.state
        if state is RECEIVED:
            self._take_apart()
            if self._commands:
                state = READY
        if state is READY:
            self._begin(most, refusal)
        elif state is SLOW:
            self._go_on()
        elif state is BAD:
            self.finish(Failure(str(self._bad).encode()))
        elif state is not RECEIVED:
            return None
        if self.ended:
            self._drop()
        return state

    def _take_apart(self) -> None:
        """A piece of what was received, to the end of a command if one is found, as the parser is
        fast from the beginning of one."""
        most, data = STRANGER_PIECE_BYTES if self.session.stranger else PIECE_BYTES, self._backlog
        if len(data) <= most:
            self._backlog = b""
        else:
            end = data.rfind(b"\r\n*", 0, most) + 2
            end = end if end > 1 else most
            data, self._backlog = data[:end], data[end:]
        try:
            self._commands = self._parser.feed(data)
        except ProtocolError as error:
            self._shared.refused("client_protocol")
            self._commands, self._bad, self._backlog = error.commands, error, b""
        self._piece_bytes += len(data)
        if self._parser.unfinished > MAX_UNKNOWN_BYTES and self.session.stranger:
            self._shared.refused("client_memory")
            self.finish(TOO_MUCH_UNFINISHED)

    def _begin(self, most: int, refusal: Failure | None) -> None:
        if self.session.stranger:
            most = STRANGER_COMMANDS
        commands, self._commands = self._commands, []
        if len(commands) > most:
            commands, self._commands = commands[:most], commands[most:]
        if refusal is not None:
            self.replies.add(len(commands), write=False).replies = [refusal] * len(commands)
            self.end()
            return
        self._shared.commands += len(commands)
        self._execute(commands)
        if self.replies.unanswered + len(self._held) > self._shared.max_commands:
            self.reasons.add("pipeline")
        self._count_piece()
        if self.silent and not self.session.stranger:
            self.silent = False

    def _execute(self, commands: list[list[bytes]]) -> None:
        if not self._reads and (keys := increments(self.session, commands)) is not None:
            self._send(keys, batch=True, mixed=False)
            return
        actions: list[Action] = []
        for number, command in enumerate(commands):
            action = begin(self.session, command)
            if isinstance(action, Again):
                self._commands = commands[number:] + self._commands
                self.login_waits = True
                break
            if isinstance(action, Slow):
                self._slow, self._commands = action, commands[number + 1 :] + self._commands
                break
            actions.append(action)
            if isinstance(action, NodeQuestion):  # dear: of thousands of connections, say
                self._commands = commands[number + 1 :] + self._commands
                break
        self._act(actions)
        if self.login_waits:
            self.reasons.add("login")

    def _go_on(self) -> None:
        assert self._slow is not None
        action = self._slow.step()
        if action is not None:
            self._slow = None
            self._act((action,))
            self._count_piece()

    def _count_piece(self) -> None:
        """Not before the long command has its place."""
        if self._slow is None:
            self._count(self._piece_bytes)
            self._piece_bytes = 0

    def _count(self, size: int) -> None:
        """What came is owed an answer: the bytes stand with the newest place, or with what is
        held."""
        if self._held:
            self._held_bytes += size
        else:
            self.replies.weigh(size)
        if self.replies.bytes + self._held_bytes > self._shared.max_bytes:
            self.reasons.add("bytes")

    # --- commands ---------------------------------------------------------------------------------

    def _act(self, actions: Sequence[Action]) -> None:
        """In order. What goes the same way without a break goes as one bundle."""
        batch = self._writes > 0 or (not self._reads and Write in map(type, actions))
        ops: list[Op] = []
        mixed = False
        held = 0
        for position, action in enumerate(actions):
            if isinstance(action, Read | Write):
                if type(action) is Write:
                    if not batch:
                        self._held.extend(itertools.islice(actions, position, None))
                        break
                else:
                    mixed = batch
                ops.append(action.op)
                held += action.held
                continue
            if ops:
                self._send(ops, batch, mixed)
                ops, mixed = [], False
            if isinstance(action, Reply):
                self._answer(action.value)
            elif isinstance(action, NodeQuestion):
                self._ask(action)
                if self.ended:  # it ended itself
                    break
            else:
                self.finish(action.value)
                break
        if ops:
            self._send(ops, batch, mixed)
        if held:
            self._count(held)

    def _send(self, ops: list[Op], batch: bool, mixed: bool) -> None:
        self.bundles.append((self.adopt(len(ops), batch), ops, mixed))

    def adopt(self, count: int, write: bool) -> PendingReplies[Owner]:
        """A place for the replies to so many commands: of a bundle, or that were in the lane."""
        if write:
            self._writes += 1
        else:
            self._reads += 1
        return self.replies.add(count, write=write)

    def _ask(self, question: NodeQuestion) -> None:
        if self.session.admin and question.name.startswith("raft."):
            self.questions.append((self.replies.add(1, write=False), question.args))
        else:
            assert self.session.ask is not None
            self._answer(self.session.ask(question))

    def _answer(self, reply: Any) -> None:
        self.replies.add(1, write=False).replies = [reply]

    def finish(self, reply: Any) -> None:
        """The last answer; nothing more is read."""
        self._answer(reply)
        self.end()

    def end(self) -> None:
        """What was asked so far is answered, and nothing else."""
        self.ended = True
        self._held.clear()
        self._drop()

    def _drop(self) -> None:
        self._commands, self._backlog, self._slow, self._bad = [], b"", None, None

    def refuse_login(self, reply: Failure) -> bool:
        """The login that waits gets no turn. False: it is gone."""
        if self.ended or not self._commands:
            return False
        del self._commands[0]
        if self._held:
            self._held.append(Reply(reply))
        else:
            self._answer(reply)
        return True

    def lost(self) -> None:
        """The connection is gone: nothing is answered any more, and its WATCH ends."""
        self.ended = True
        self._drop()
        self._held.clear()
        self.replies.clear()
        self._parser = Parser()  # with its buffers
        if isinstance(ends := lost(self.session), Write):
            self._act([ends])

    # --- replies ----------------------------------------------------------------------------------

    def complete(self, pending: PendingReplies[Owner], reply: Any) -> None:
        """The answer to a question."""
        pending.replies = [reply]

    def answered(self, pending: PendingReplies[Owner], replies: list[Any]) -> None:
        """What became of a bundle."""
        pending.replies = replies
        if pending.write:
            self._writes -= 1
            return
        self._reads -= 1
        if self._reads == 0 and self._held:
            held, self._held = self._held, deque()
            self._act(held)
            size, self._held_bytes = self._held_bytes, 0
            self._count(size)

    def relax(self) -> None:
        """After writing: a client that was too far ahead goes on, if it is not any more."""
        if self.reasons:
            if self.replies.unanswered + len(self._held) <= self._shared.max_commands * GO_ON_AT:
                self.reasons.discard("pipeline")
            if self.replies.bytes + self._held_bytes <= self._shared.max_bytes * GO_ON_AT:
                self.reasons.discard("bytes")
