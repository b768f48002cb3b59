"""From a command's words to an action: the command is found in the connection's table, its words
are counted, the user's rights are asked, and then its handler takes it or the transaction queues
it.

`handle` gives exactly one action for each command, and never raises: whatever is wrong with the
words becomes the error reply. So does `begin`, but what is long comes from it as `Slow`, in slices;
until that is done no further command of the connection may be begun.
"""

from __future__ import annotations

from typing import Final

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure
from counter_node.resp import spellings
from counter_node.resp.actions import Action, Again, NotYet, Refusal, Reply, Slow, Steps, Write
from counter_node.resp.arguments import MAX_KEY_BYTES
from counter_node.resp.cluster import redirection
from counter_node.resp.commands import ADMIN_TABLE, TABLE
from counter_node.resp.session import Access, Command, Session, fits
from counter_node.resp.transactions import enqueue, in_slices, refused, unknown

AGAIN = Again()
MANY_WORDS: Final = 2_000
_INCR: Final = frozenset(spellings.INCR)


def new_session(number: int, peer: str, local: str, *, admin: bool) -> Session:
    return Session(number, peer, local, ADMIN_TABLE if admin else TABLE, admin=admin)


def handle(session: Session, words: list[bytes]) -> Action | Again:
    """At once, however long it takes."""
    found = begin(session, words)
    return found.finish() if isinstance(found, Slow) else found


def begin(session: Session, words: list[bytes]) -> Action | Again | Slow:
    command = session.commands.get(words[0]) or session.commands.get(words[0].upper())
    if command is None:
        return refused(session, unknown(words))
    count = len(words)
    if not fits(command.arity, count):
        return _miscounted(session, command)
    session.last_command = command.name
    if session.guarded and session.access is not None:
        if (too_fast := session.access.too_fast(session, command)) is not None:
            return refused(session, too_fast)
        if count > MANY_WORDS and (command.has_keys or command.inner_at):
            return Slow(_judged(session, session.access, command, words))
        if (forbidden := session.access.refusal(session, command, words)) is not None:
            return refused(session, forbidden)
    return _admitted(session, command, words)


def _judged(session: Session, access: Access, command: Command, words: list[bytes]) -> Steps:
    if (forbidden := (yield from access.judge(session, command, words))) is not None:
        return refused(session, forbidden)
    found = _admitted(session, command, words)
    assert not isinstance(found, Again), "a login is short"
    return (yield from in_slices(found))


def _admitted(session: Session, command: Command, words: list[bytes]) -> Action | Again | Slow:
    if (
        session.cluster is not None
        and (elsewhere := redirection(session, command, words)) is not None
    ):
        return refused(session, elsewhere)
    payer = (
        session.user_name.encode() if session.pays else None
    )  # who it is now: a login in the transaction changes that
    try:
        if session.queue is None or command.at_once:
            action = command.take(session, words)
            return action if payer is None else _paid(action, payer)
        return enqueue(session, command, words)
    except Refusal as refusal:
        return Reply(refusal.reply)
    except NotYet:
        return AGAIN


def increments(session: Session, commands: list[list[bytes]]) -> list[Op] | None:
    """The operations of a pipeline of nothing but INCR, without a call for each; None for all
    others, which go through `handle`."""
    if set(map(len, commands)) != {2} or not session.unrestricted or session.admin:
        return None
    if session.cluster is not None and not session.cluster.leads():
        return None
    names, keys = zip(*commands, strict=True)
    if not _INCR.issuperset(names) or max(map(len, keys)) > MAX_KEY_BYTES:
        return None
    session.last_command = "incr"
    return list(keys)


def _miscounted(session: Session, command: Command) -> Action:
    text = f"wrong number of arguments for '{command.name}' command"
    if command.name == "exec":
        session.queue = None
        return Reply(Failure(f"EXECABORT Transaction discarded because of: {text}".encode()))
    return refused(session, Failure(f"ERR {text}".encode()))


def _paid(action: Action | Slow, payer: bytes) -> Action | Slow:
    """What makes counters says for whom."""
    if isinstance(action, Slow):
        return Slow(_paid_steps(action, payer))
    if type(action) is Write and o.makes(action.op):
        action.op = o.as_user(payer, action.op)
    return action


def _paid_steps(slow: Slow, payer: bytes) -> Steps:
    found = _paid((yield from in_slices(slow)), payer)
    assert not isinstance(found, Slow)
    return found
