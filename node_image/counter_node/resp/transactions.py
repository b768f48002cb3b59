"""Transactions: MULTI, EXEC, WATCH, and what IDMP wraps.

1. MULTI queues until EXEC makes one operation of the queue, so a transaction is one entry of the
   log: all of it or nothing, and nothing in between. As in Redis, what is refused before it is
   queued (an unknown command, a wrong number of words) spoils the transaction. A command that fails
   when it is executed does not: its error is one of EXEC's replies.
2. `IDMP producer sequence EXEC` makes a transaction that may be sent again.
3. A long transaction is taken apart in slices.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.replies import OK, Failure, Simple, pack, unpack
from counter_node.counters.watches import name_of
from counter_node.resp.actions import (
    Action,
    NodeQuestion,
    NotYet,
    Read,
    Refusal,
    Reply,
    Slow,
    Steps,
    Write,
)
from counter_node.resp.session import QUEUED_BYTES, Command, Session, fits

THROTTLED = Failure(
    b"ERR too many wrong passwords; a login in a transaction does not wait for its turn"
)
QUEUED = Reply(Simple("QUEUED"))
MAX_QUEUED: Final = 10_000
MAX_QUEUED_BYTES: Final = 4 << 20
MAX_SCANNED: Final = 100_000
"""Keys that all commands of a transaction look at together: nobody sees a part of it, so everybody
waits for the whole on every replica."""
MANY_BYTES: Final = 2_000
AT_ONCE: Final = 250
"""Commands of a transaction that are taken apart in one slice: 2 ms."""
MAX_WATCHED: Final = 1_000
"""Keys of one WATCH."""
ABORTED = Failure(b"EXECABORT Transaction discarded because of previous errors.")


def refused(session: Session, failure: Failure) -> Action:
    """Refused before it is queued or executed."""
    session.spoilt = True  # of no meaning outside MULTI, which resets it
    return Reply(failure)


def enqueue(session: Session, command: Command, words: list[bytes]) -> Action:
    assert session.queue is not None
    size = sum(map(len, words))
    if len(session.queue) >= MAX_QUEUED:
        return refused(session, Failure(b"ERR transaction of more than %d commands" % MAX_QUEUED))
    if session.queued_bytes + size > MAX_QUEUED_BYTES:
        return refused(
            session, Failure(b"ERR transaction of more than %d bytes" % MAX_QUEUED_BYTES)
        )
    if command.precheck is not None:
        try:
            command.precheck(words)
        except Refusal as refusal:
            return refused(session, refusal.reply)
    session.queue.append((command, words))
    session.queued_bytes += size
    return QUEUED


def multi(session: Session) -> Action:
    if session.queue is not None:
        raise Refusal("ERR MULTI calls can not be nested")
    session.queue, session.spoilt, session.queued_bytes = [], False, 0
    return Reply(OK)


def execute(session: Session) -> Read | Write | Reply | Slow:
    if session.queue is None:
        raise Refusal("ERR EXEC without MULTI")
    if session.spoilt:
        session.queue = None
        return unwatched(session, ABORTED)
    held = session.queued_bytes + QUEUED_BYTES * len(session.queue)
    steps = Slow(_executed(session, session.queue, held))
    ask = any(not command.has_keys for command, _ in session.queue)  # perhaps of the node
    if ask or len(session.queue) > AT_ONCE or session.queued_bytes > MANY_BYTES:
        return steps
    action = steps.finish()
    assert isinstance(action, Read | Write | Reply)
    return action


def _executed(session: Session, queue: list[tuple[Command, list[bytes]]], held: int) -> Steps:
    session.queue, session.executing_bytes = None, held
    session.executing_watch, session.watching = (
        session.watching,
        0,
    )  # an UNWATCH among them changes nothing
    ops, too_much = yield from _operations(session, queue)
    watching, session.executing_bytes, session.executing_watch = session.executing_watch, 0, 0
    if too_much is not None:
        session.watching = watching
        return unwatched(session, too_much)
    if watching:
        return Write([o.EXEC_IF, session.watch, ops], held)
    if all(o.code_of(op) == o.CONSTANT for op in ops):
        return Reply([unpack(op[1]) for op in ops])
    whole: Op = [o.MULTI, ops]
    return Write(whole, held) if o.is_write(whole) else Read(whole, held)


def watch(session: Session, keys: list[bytes]) -> Action:
    if session.queue is not None:
        raise Refusal("ERR WATCH inside MULTI is not allowed")
    if len(keys) > MAX_WATCHED:
        raise Refusal(f"ERR WATCH of {len(keys)} keys; at most {MAX_WATCHED}")
    if not session.watching:
        session.watch = name_of(session.user_name.encode(), session.watch_name)
    session.watching += len(keys)
    return Write([o.WATCH, session.watch, keys])


def unwatch(session: Session) -> Action:
    return unwatched(session, OK)


def lost(session: Session) -> Write | Reply:
    """The connection has ended, perhaps in the middle of a transaction that is taken apart."""
    session.watching += session.executing_watch
    return unwatched(session, OK)


def unwatched(session: Session, reply: Any) -> Write | Reply:
    """The watch ends, if there is one; the reply is the same."""
    if not session.watching:
        return Reply(reply)
    session.watching = 0
    return Write([o.UNWATCH, session.watch, pack(reply)])


def _operations(
    session: Session, queue: list[tuple[Command, list[bytes]]]
) -> Generator[None, None, tuple[list[Op], Failure | None]]:
    """Those of a transaction, or why it is too much: what every replica would have to do for
    it, and nobody sees in part, is bounded."""
    ops: list[Op] = []
    constants = work = 0
    keys = session.count_keys()
    for command, words in queue:
        op = yield from _operation(session, command, words)
        ops.append(op)
        if len(ops) % AT_ONCE == 0:
            yield
        if o.code_of(op) == o.CONSTANT:
            constants += len(op[1])
        else:
            work += o.scanned(op, keys)
        if constants > MAX_QUEUED_BYTES:
            return [], Failure(
                b"ERR transaction whose answers about the node have more than %d bytes; ask "
                b"them outside of it" % MAX_QUEUED_BYTES
            )
        if work > MAX_SCANNED:
            return [], Failure(
                b"ERR transaction that looks at more than %d keys; ask KEYS, SCAN and MGET "
                b"outside of it" % MAX_SCANNED
            )
    return ops, None


def _operation(session: Session, command: Command, words: list[bytes]) -> Generator[None, None, Op]:
    """A command of a transaction. What the connection or the node answers by itself is answered
    now, and takes its place as a constant."""
    if (
        session.guarded
        and session.access is not None
        and (forbidden := (yield from session.access.judge(session, command, words))) is not None
    ):
        return [o.CONSTANT, pack(forbidden)]  # the right was taken away since it was queued
    try:
        action = yield from in_slices(command.take(session, words))
    except Refusal as refusal:
        return [o.CONSTANT, pack(refusal.reply)]
    except NotYet:
        return [o.CONSTANT, pack(THROTTLED)]
    if isinstance(action, Read | Write):
        return action.op
    if isinstance(action, Reply):
        return [o.CONSTANT, pack(action.value)]
    if isinstance(action, NodeQuestion) and session.ask is not None:
        answer = session.ask(action)
        yield  # dear: of thousands of connections, say
        return [o.CONSTANT, pack(answer)]
    return [
        o.CONSTANT,
        pack(Failure(f"ERR '{command.name}' is not allowed in a transaction".encode())),
    ]


def discard(session: Session) -> Action:
    if session.queue is None:
        raise Refusal("ERR DISCARD without MULTI")
    session.queue = None
    return unwatched(session, OK)


def once(session: Session, words: list[bytes]) -> Read | Write | Reply | Slow:
    """The command inside IDMP: one that writes, or EXEC. Raises Refusal for what could not be
    executed at all."""
    command = session.commands.get(words[0].upper())
    if command is None:
        raise Refusal(unknown(words))
    if command.name == "exec" and len(words) == 1:
        return execute(session)
    if session.queue is not None:
        session.spoilt = True
        raise Refusal("ERR IDMP in a transaction must end it: IDMP producer sequence EXEC")
    if command.inner_at or not ("write" in command.flags or "may_replicate" in command.flags):
        raise Refusal("ERR IDMP takes one command that writes")
    if not fits(command.arity, len(words)):
        raise Refusal(f"ERR wrong number of arguments for '{command.name}' command")
    try:
        action = command.take(session, words)
    except Refusal as refusal:
        return Reply(refusal.reply)
    assert isinstance(action, Read | Write | Reply | Slow)
    return action


def in_slices(found: Action | Slow) -> Steps:
    """Raises Refusal, as a command does that is taken apart at once."""
    return (yield from found.steps) if isinstance(found, Slow) else found


def unknown(words: list[bytes]) -> Failure:
    given = b""
    for word in words[1:]:
        if len(given) >= 128:
            break
        given += b"'%s' " % word.split(b"\0")[0][: 128 - len(given)]
    return Failure(
        b"ERR unknown command '%s', with args beginning with: %s"
        % (words[0].split(b"\0")[0][:128], given)
    )
