"""One connection's protocol state, and the way from a command's words to an action.

1. `handle` gives exactly one action for each command, and never raises: whatever is wrong with the
   words becomes the error reply. So does `begin`, but what is long comes from it as `Slow`, in
   slices; until that is done no further command of the connection may be begun.
2. MULTI queues until EXEC makes one operation of the queue, so a transaction is one entry of the
   log: all of it or nothing, and nothing in between. As in Redis, what is refused at the door (an
   unknown command, a wrong number of words) spoils the transaction; a command that fails when it is
   executed does not, its error is one of EXEC's replies.
3. `IDMP producer sequence EXEC` makes a transaction that may be sent again.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Final

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.replies import OK, Failure, Simple, pack, unpack
from counter_node.counters.watches import name_of
from counter_node.resp.actions import (
    Action,
    Again,
    Close,
    NodeQuestion,
    NotYet,
    Read,
    Refusal,
    Reply,
    Slow,
    Steps,
    Write,
)
from counter_node.resp.arguments import MAX_KEY_BYTES
from counter_node.resp.cluster import ClusterView, redirection
from counter_node.resp.commands import ADMIN_TABLE, TABLE, Command

if TYPE_CHECKING:
    from counter_node.security.access import Access
    from counter_node.security.acl import User

__all__ = ["Action", "Close", "NodeQuestion", "Read", "Reply", "Session", "Write"]

AGAIN = Again()
THROTTLED = Failure(
    b"ERR too many wrong passwords; a login in a transaction does not wait for its turn"
)
QUEUED = Reply(Simple("QUEUED"))
_INCR: Final = frozenset({b"INCR", b"incr"})
MAX_QUEUED: Final = 10_000
MAX_QUEUED_BYTES: Final = 4 << 20
MAX_LOOKED_AT: Final = 100_000
"""Keys that all commands of a transaction look at together: nobody sees a part of it, so everybody
waits for the whole on every replica."""
MANY_WORDS: Final = 2_000
AT_ONCE: Final = 250
"""Commands of a transaction that are taken apart in one slice: 2 ms."""
MAX_WATCHED: Final = 1_000
"""Keys of one WATCH."""
QUEUED_BYTES: Final = 300
"""Of a command in a transaction, beside its words."""
WATCHED_BYTES: Final = 200
"""Of a key of WATCH, with its place in the replicated state."""
ABORTED = Failure(b"EXECABORT Transaction discarded because of previous errors.")


class Session:
    def __init__(self, number: int, peer: str, local: str, *, admin: bool) -> None:
        self.number = number
        self.peer = peer
        self.local = local
        self.admin = admin
        self.commands = ADMIN_TABLE if admin else TABLE
        self.protocol = 2
        self.name = b""
        self.library = b""
        self.library_version = b""
        self.last_command = ""
        self.queue: list[tuple[Command, list[bytes]]] | None = None  # None: not in MULTI
        self.spoilt = False  # a command was refused at the door
        self.ask: Callable[[NodeQuestion], Any] | None = None
        """Answers what only the node knows, for commands in a transaction. Without it they are
        refused there."""
        self.count_keys: Callable[[], int] = lambda: 0
        """How many counters there are, for what a command that looks at all of them costs."""
        self.watch_name = b"%d" % number
        """Names this connection's WATCH in the replicated state, with its user; who serves the
        connection makes it unique."""
        self._watch = b""  # that name of the watch that began last
        self.cluster: ClusterView | None = None
        """Set on connections to the cluster port."""
        self.neighbours: ClusterView | None = None
        """The cluster's nodes with the port that this connection came to; told by CLUSTER SHARDS on
        every port."""
        self.reads_here = False  # said READONLY
        self.watching = 0
        """Keys given to WATCH."""
        self.born_s = self.active_s = 0.0
        """When the connection began and when it last sent something, by the clock of who serves
        it."""
        self.last_bytes = 0
        """How much it sent then."""
        self.access: Access | None = None
        """Who decides what this connection may do; without it, on the admin port, it may do
        everything."""
        self.user: User | None = None
        self.logged_in = ""
        self.login_turn = False  # the next login is judged, whatever was guessed before
        self.login_key = ("", "")  # of the login that waits: address and user
        self.executing_bytes = self.executing_watch = 0  # of a transaction that is taken apart
        self.guarded = False  # every command is to be checked
        self.pays = False  # what its commands make counts for its user
        self.within: list[bytes] | None = None  # patterns: no others' counters are told
        self._queued_bytes = 0
        self._places = 0

    def handle(self, words: list[bytes]) -> Action | Again:
        """At once, however long it takes."""
        found = self.begin(words)
        return found.finish() if isinstance(found, Slow) else found

    def begin(self, words: list[bytes]) -> Action | Again | Slow:
        command = self.commands.get(words[0]) or self.commands.get(words[0].upper())
        if command is None:
            return self._refused(_unknown(words))
        count = len(words)
        if count != command.arity and (command.arity > 0 or count < -command.arity):
            return self._miscounted(command)
        self.last_command = command.name
        if self.guarded and self.access is not None:
            if (too_fast := self.access.too_fast(self, command)) is not None:
                return self._refused(too_fast)
            if count > MANY_WORDS and (command.keys[0] or command.name == "idmp"):
                return Slow(self._judged(self.access, command, words))
            if (forbidden := self.access.refusal(self, command, words)) is not None:
                return self._refused(forbidden)
        return self._admitted(command, words)

    def _judged(self, access: Access, command: Command, words: list[bytes]) -> Steps:
        if (forbidden := (yield from access.judge(self, command, words))) is not None:
            return self._refused(forbidden)
        found = self._admitted(command, words)
        assert not isinstance(found, Again), "a login is short"
        return (yield from _in_slices(found))

    def _admitted(self, command: Command, words: list[bytes]) -> Action | Again | Slow:
        if (
            self.cluster is not None
            and (elsewhere := redirection(self, command, words)) is not None
        ):
            return self._refused(elsewhere)
        payer = (
            self.user_name.encode() if self.pays else None
        )  # who it is now: a login in the transaction changes that
        try:
            if self.queue is None or command.at_once:
                action = command.take(self, words)
                return action if payer is None else _paid(action, payer)
            return self._queue(command, words)
        except Refusal as refusal:
            return Reply(refusal.reply)
        except NotYet:
            return AGAIN

    def increments(self, commands: list[list[bytes]]) -> list[Op] | None:
        """The operations of a pipeline of nothing but INCR, without a call for each; None for all
        others, which go through `handle`."""
        if (
            self.queue is not None
            or self.admin
            or self.guarded
            or (self.cluster is not None and not self.cluster.leads())
        ):
            return None
        if set(map(len, commands)) != {2}:
            return None
        names, keys = zip(*commands, strict=True)
        if not _INCR.issuperset(names) or max(map(len, keys)) > MAX_KEY_BYTES:
            return None
        self.last_command = "incr"
        return list(keys)

    def _refused(self, failure: Failure) -> Action:
        self.spoilt = True  # of no meaning outside MULTI, which resets it
        return Reply(failure)

    def _miscounted(self, command: Command) -> Action:
        text = f"wrong number of arguments for '{command.name}' command"
        if command.name == "exec":
            self.queue = None
            return Reply(Failure(f"EXECABORT Transaction discarded because of: {text}".encode()))
        return self._refused(Failure(f"ERR {text}".encode()))

    def told(self, listing: Op) -> Op:
        """What tells names or numbers of counters, as this user may hear it."""
        return listing if self.within is None else o.within(self.within, listing)

    def next_place(self) -> int:
        """Pseudo-random, for RANDOMKEY: another one for each call."""
        self._places += 1
        return zlib.crc32(b"%d %d" % (self.number, self._places))

    # --- transactions -----------------------------------------------------------------------------

    def _queue(self, command: Command, words: list[bytes]) -> Action:
        assert self.queue is not None
        size = sum(map(len, words))
        if len(self.queue) >= MAX_QUEUED:
            return self._refused(Failure(b"ERR transaction of more than %d commands" % MAX_QUEUED))
        if self._queued_bytes + size > MAX_QUEUED_BYTES:
            return self._refused(
                Failure(b"ERR transaction of more than %d bytes" % MAX_QUEUED_BYTES)
            )
        if command.door is not None:
            try:
                command.door(words)
            except Refusal as refusal:
                return self._refused(refusal.reply)
        self.queue.append((command, words))
        self._queued_bytes += size
        return QUEUED

    def multi(self) -> Action:
        if self.queue is not None:
            raise Refusal("ERR MULTI calls can not be nested")
        self.queue, self.spoilt, self._queued_bytes = [], False, 0
        return Reply(OK)

    def execute(self) -> Read | Write | Reply | Slow:
        if self.queue is None:
            raise Refusal("ERR EXEC without MULTI")
        if self.spoilt:
            self.queue = None
            return self._unwatched(ABORTED)
        held = self._queued_bytes + QUEUED_BYTES * len(self.queue)
        steps = Slow(self._executed(self.queue, held))
        if len(self.queue) > AT_ONCE or self._queued_bytes > MANY_WORDS:
            return steps
        action = steps.finish()
        assert isinstance(action, Read | Write | Reply)
        return action

    def _executed(self, queue: list[tuple[Command, list[bytes]]], held: int) -> Steps:
        self.queue, self.executing_bytes = None, held
        self.executing_watch, self.watching = (
            self.watching,
            0,
        )  # an UNWATCH among them changes nothing
        ops, too_much = yield from self._operations(queue)
        watching, self.executing_bytes, self.executing_watch = self.executing_watch, 0, 0
        if too_much is not None:
            self.watching = watching
            return self._unwatched(too_much)
        if watching:
            return Write([o.EXEC_IF, self._watch, ops], held)
        if all(o.code_of(op) == o.CONSTANT for op in ops):
            return Reply([unpack(op[1]) for op in ops])
        whole: Op = [o.MULTI, ops]
        return Write(whole, held) if o.is_write(whole) else Read(whole, held)

    def watch(self, keys: list[bytes]) -> Action:
        if self.queue is not None:
            raise Refusal("ERR WATCH inside MULTI is not allowed")
        if len(keys) > MAX_WATCHED:
            raise Refusal(f"ERR WATCH of {len(keys)} keys; at most {MAX_WATCHED}")
        if not self.watching:
            self._watch = name_of(self.user_name.encode(), self.watch_name)
        self.watching += len(keys)
        return Write([o.WATCH, self._watch, keys])

    def unwatch(self) -> Action:
        return self._unwatched(OK)

    def lost(self) -> Write | Reply:
        """The connection has ended, perhaps in the middle of a transaction that is taken apart."""
        self.watching += self.executing_watch
        return self._unwatched(OK)

    def _unwatched(self, reply: Any) -> Write | Reply:
        """The watch ends, if there is one; the reply is the same."""
        if not self.watching:
            return Reply(reply)
        self.watching = 0
        return Write([o.UNWATCH, self._watch, pack(reply)])

    def _operations(
        self, queue: list[tuple[Command, list[bytes]]]
    ) -> Generator[None, None, tuple[list[Op], Failure | None]]:
        """Those of a transaction, or why it is too much: what every replica would have to do for
        it, and nobody sees in part, is bounded."""
        ops: list[Op] = []
        constants = work = 0
        keys = self.count_keys()
        for command, words in queue:
            op = yield from self._operation(command, words)
            ops.append(op)
            if len(ops) % AT_ONCE == 0:
                yield
            if o.code_of(op) == o.CONSTANT:
                constants += len(op[1])
            else:
                work += o.looked_at(op, keys)
            if constants > MAX_QUEUED_BYTES:
                return [], Failure(
                    b"ERR transaction whose answers about the node have more than %d bytes; ask "
                    b"them outside of it" % MAX_QUEUED_BYTES
                )
            if work > MAX_LOOKED_AT:
                return [], Failure(
                    b"ERR transaction that looks at more than %d keys; ask KEYS, SCAN and MGET "
                    b"outside of it" % MAX_LOOKED_AT
                )
        return ops, None

    def _operation(self, command: Command, words: list[bytes]) -> Generator[None, None, Op]:
        """A command of a transaction. What the connection or the node answers by itself is answered
        now, and takes its place as a constant."""
        if (
            self.guarded
            and self.access is not None
            and (forbidden := (yield from self.access.judge(self, command, words))) is not None
        ):
            return [o.CONSTANT, pack(forbidden)]  # the right was taken away since it was queued
        try:
            action = yield from _in_slices(command.take(self, words))
        except Refusal as refusal:
            return [o.CONSTANT, pack(refusal.reply)]
        except NotYet:
            return [o.CONSTANT, pack(THROTTLED)]
        if isinstance(action, Read | Write):
            return action.op
        if isinstance(action, Reply):
            return [o.CONSTANT, pack(action.value)]
        if isinstance(action, NodeQuestion) and self.ask is not None:
            return [o.CONSTANT, pack(self.ask(action))]
        return [
            o.CONSTANT,
            pack(Failure(f"ERR '{command.name}' is not allowed in a transaction".encode())),
        ]

    def discard(self) -> Action:
        if self.queue is None:
            raise Refusal("ERR DISCARD without MULTI")
        self.queue = None
        return self._unwatched(OK)

    def once(self, words: list[bytes]) -> Read | Write | Reply | Slow:
        """The command inside IDMP: one that writes, or EXEC. Raises Refusal for what could not be
        executed at all."""
        command = self.commands.get(words[0].upper())
        if command is None:
            raise Refusal(_unknown(words))
        if command.name == "exec" and len(words) == 1:
            return self.execute()
        if self.queue is not None:
            self.spoilt = True
            raise Refusal("ERR IDMP in a transaction must end it: IDMP producer sequence EXEC")
        if "write" not in command.flags or command.name == "idmp":
            raise Refusal("ERR IDMP takes one command that writes")
        count = len(words)
        if count != command.arity and (command.arity > 0 or count < -command.arity):
            raise Refusal(f"ERR wrong number of arguments for '{command.name}' command")
        try:
            action = command.take(self, words)
        except Refusal as refusal:
            return Reply(refusal.reply)
        assert isinstance(action, Read | Write | Reply | Slow)
        return action

    @property
    def held_bytes(self) -> int:
        """About what the transaction and the watches of this connection take."""
        queued = 0 if self.queue is None else self._queued_bytes + QUEUED_BYTES * len(self.queue)
        return (
            queued + WATCHED_BYTES * (self.watching + self.executing_watch) + self.executing_bytes
        )

    # --- the connection ---------------------------------------------------------------------------

    def reset(self) -> Action:
        self.queue, self.protocol, self.name, self.reads_here = None, 2, b"", False
        if self.access is not None:
            self.access.reset(self)
        return self._unwatched(Simple("RESET"))

    @property
    def user_name(self) -> str:
        """Of the connection; `default` also where nobody asks."""
        return self.user.name if self.user is not None else "default"

    def description(self, now_s: float) -> str:
        """The line of CLIENT LIST, with Redis's fields in Redis's order. Sizes of buffers that are
        not counted by connection are 0."""
        flags = "x" if self.queue is not None else "N"
        return (
            f"id={self.number} addr={self.peer} laddr={self.local} fd=-1 "
            f"name={self.name.decode('latin-1')} "
            f"age={int(now_s - self.born_s)} idle={int(now_s - self.active_s)} flags={flags} "
            f"db=0 sub=0 psub=0 ssub=0 "
            f"multi={-1 if self.queue is None else len(self.queue)} watch={self.watching} "
            f"qbuf={self.last_bytes} qbuf-free=0 argv-mem=0 "
            f"multi-mem={self._queued_bytes if self.queue is not None else 0} rbs=0 rbp=0 obl=0 "
            f"oll=0 omem=0 tot-mem=0 events=r "
            f"cmd={self.last_command or 'NULL'} user={self.user_name} redir=-1 "
            f"resp={self.protocol} "
            f"lib-name={self.library.decode('latin-1')} "
            f"lib-ver={self.library_version.decode('latin-1')}"
        )


def _paid(action: Action | Slow, payer: bytes) -> Action | Slow:
    """What makes counters says for whom."""
    if isinstance(action, Slow):
        return Slow(_paid_steps(action, payer))
    if type(action) is Write and o.makes(action.op):
        action.op = o.as_user(payer, action.op)
    return action


def _paid_steps(slow: Slow, payer: bytes) -> Steps:
    found = _paid((yield from _in_slices(slow)), payer)
    assert not isinstance(found, Slow)
    return found


def _in_slices(found: Action | Slow) -> Steps:
    """Raises Refusal, as a command does that is taken apart at once."""
    return (yield from found.steps) if isinstance(found, Slow) else found


def _unknown(words: list[bytes]) -> Failure:
    given = b""
    for word in words[1:]:
        if len(given) >= 128:
            break
        given += b"'%s' " % word.split(b"\0")[0][: 128 - len(given)]
    return Failure(
        b"ERR unknown command '%s', with args beginning with: %s"
        % (words[0].split(b"\0")[0][:128], given)
    )
