"""One connection's protocol state, and the way from a command's words to an action.

MULTI queues until EXEC makes one operation of the queue, so a transaction is one entry of the log: all of it or nothing, and nothing in between.
A command that is refused while it is queued makes EXEC fail, as in Redis.
"""

from __future__ import annotations

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.replies import OK, Failure, Simple, pack
from counter_node.resp.actions import Action, Close, NodeQuestion, Read, Refusal, Reply, Write
from counter_node.resp.commands import TABLE, Command

__all__ = ["Action", "Close", "NodeQuestion", "Read", "Reply", "Session", "Write"]

QUEUED = Reply(Simple("QUEUED"))
MAX_QUEUED = 10_000
_WHILE_QUEUING = frozenset({"exec", "discard", "multi", "reset", "quit", "watch", "unwatch"})


class Session:
    def __init__(self, number: int, peer: str, local: str, *, admin: bool) -> None:
        self.number = number
        self.peer = peer
        self.local = local
        self.admin = admin
        self.protocol = 2
        self.name = b""
        self.library = b""
        self.library_version = b""
        self.last_command = ""
        self.queue: list[Op] | None = None  # None: not in MULTI
        self.spoilt = False  # a queued command was refused

    def handle(self, words: list[bytes]) -> Action:
        command = TABLE.get(words[0]) or TABLE.get(words[0].upper())
        if command is None or command.admin_only > self.admin:
            return self._refused(self._unknown(words))
        count = len(words)
        if count != command.arity and (command.arity > 0 or count < -command.arity):
            return self._refused(Failure(f"ERR wrong number of arguments for '{command.name}' command".encode()))
        self.last_command = command.name
        try:
            action = command.take(self, words)
        except Refusal as refusal:
            return self._refused(refusal.reply)
        if self.queue is None or command.name in _WHILE_QUEUING:
            return action
        return self._queue(command, action)

    def _refused(self, failure: Failure) -> Action:
        if self.queue is not None:
            self.spoilt = True
        return Reply(failure)

    def _unknown(self, words: list[bytes]) -> Failure:
        given = b"".join(b"'%s' " % word[:128] for word in words[1:20])
        return Failure(b"ERR unknown command '%s', with args beginning with: %s" % (words[0][:128], given))

    # --- transactions -------------------------------------------------------------------------------------------------------

    def _queue(self, command: Command, action: Action) -> Action:
        assert self.queue is not None
        if isinstance(action, Read | Write):
            self.queue.append(action.op)
        elif isinstance(action, Reply):
            self.queue.append([o.CONSTANT, pack(action.value)])
        else:
            return self._refused(Failure(f"ERR '{command.name}' is not allowed in a transaction".encode()))
        if len(self.queue) > MAX_QUEUED:
            return self._refused(Failure(b"ERR transaction of more than %d commands" % MAX_QUEUED))
        return QUEUED

    def multi(self) -> Action:
        if self.queue is not None:
            return Reply(Failure(b"ERR MULTI calls can not be nested"))
        self.queue, self.spoilt = [], False
        return Reply(OK)

    def execute(self) -> Action:
        if self.queue is None:
            return Reply(Failure(b"ERR EXEC without MULTI"))
        queue, self.queue = self.queue, None
        if self.spoilt:
            return Reply(Failure(b"EXECABORT Transaction discarded because of previous errors."))
        op: Op = [o.MULTI, queue]
        return Write(op) if o.is_write(op) else Read(op)

    def discard(self) -> Action:
        if self.queue is None:
            return Reply(Failure(b"ERR DISCARD without MULTI"))
        self.queue = None
        return Reply(OK)

    def reset(self) -> Action:
        self.queue, self.protocol, self.name = None, 2, b""
        return Reply(Simple("RESET"))

    def description(self) -> str:
        """The line of CLIENT LIST."""
        return (
            f"id={self.number} addr={self.peer} laddr={self.local} name={self.name.decode('latin-1')} db=0 "
            f"multi={-1 if self.queue is None else len(self.queue)} cmd={self.last_command or 'NULL'} user=default resp={self.protocol} "
            f"lib-name={self.library.decode('latin-1')} lib-ver={self.library_version.decode('latin-1')}"
        )
