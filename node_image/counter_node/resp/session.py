"""One connection's protocol state, and what a command is: data, which handlers change.

Handlers (keyed.py, serving.py, transactions.py, …) know these and nothing of each other's table;
commands.py makes the table of them, and dispatch.py finds the command in it.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, Protocol

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure
from counter_node.resp.actions import Action, NodeQuestion, Slow
from counter_node.resp.topology import ClusterView
from counter_node.security.acl import Acl, Catalogue, User

QUEUED_BYTES: Final = 300
"""Of a command in a transaction, beside its words."""
WATCHED_BYTES: Final = 200
"""Of a key of WATCH, with its place in the replicated state."""
_TELL: Final = frozenset(
    {"incr", "decr", "incrby", "decrby", "increx", "getset", "getdel", "getex"}
)
_TELLING: Final = frozenset({b"GET", b"IFEQ", b"IFNE"})
"""Options of SET."""


class Access(Protocol):
    """Who decides what a connection may do (security/access.py)."""

    catalogue: Catalogue

    @property
    def acl(self) -> Acl: ...

    @property
    def without_password(self) -> bool: ...

    def reset(self, session: Session) -> None: ...

    def log_in(self, session: Session, name: str, password: bytes) -> Failure | None: ...

    def too_fast(self, session: Session, command: Command) -> Failure | None: ...

    def refusal(self, session: Session, command: Command, words: list[bytes]) -> Failure | None: ...

    def judge(
        self, session: Session, command: Command, words: list[bytes]
    ) -> Generator[None, None, Failure | None]: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """`arity` as in COMMAND: with the name; negative = at least. `keys` = (first, last, step).
    `since`: the version of Redis that brought it."""

    name: str
    arity: int
    flags: str
    keys: tuple[int, int, int]
    group: str
    syntax: str
    summary: str
    take: Callable[[Session, list[bytes]], Action | Slow]
    admin_only: bool = False
    at_once: bool = False
    """In a transaction it is executed instead of being queued."""
    door: Callable[[list[bytes]], None] | None = None
    """Raises Refusal for what spoils a transaction."""
    since: str = "1.0.0"

    @property
    def only_reads(self) -> bool:
        """What it needs of a key is the right to read it. WATCH tells when a key changes, and
        changes none."""
        return "readonly" in self.flags or self.name == "watch"

    def tells(self, words: list[bytes]) -> bool:
        """Whether the answer says something of a value: that needs the right to read it, as in
        Redis."""
        if self.only_reads or self.name in _TELL:
            return True
        return self.name == "set" and not _TELLING.isdisjoint(word.upper() for word in words[3:])

    def keys_in(self, words: list[bytes]) -> list[bytes]:
        first, last, step = self.keys
        return words[first : (len(words) if last < 0 else last + 1) : step] if first else []


class Session:
    def __init__(
        self,
        number: int,
        peer: str,
        local: str,
        commands: Mapping[bytes, Command],
        *,
        admin: bool,
    ) -> None:
        """`commands`: those of the port, by name."""
        self.number, self.peer, self.local, self.admin = number, peer, local, admin
        self.commands = commands
        self.protocol = 2
        self.name = b""
        self.library = self.library_version = b""
        self.last_command = self.logged_in = ""
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
        self.watch = b""  # that name of the watch that began last
        self.cluster: ClusterView | None = None  # set on connections to the cluster port
        self.neighbours: ClusterView | None = None
        """The cluster's nodes with the port that this connection came to; told by CLUSTER SHARDS on
        every port."""
        self.reads_here = False  # said READONLY
        self.watching = 0  # keys given to WATCH
        self.born_s = self.active_s = 0.0
        """When the connection began and when it last sent something, by the clock of who serves
        it."""
        self.last_bytes = 0  # sent then
        self.access: Access | None = None
        """Who decides what this connection may do; without it, on the admin port, it may do
        everything."""
        self.user: User | None = None
        self.login_turn = False  # the next login is judged, whatever was guessed before
        self.login_key = ("", "")  # of the login that waits: address and user
        self.executing_bytes = self.executing_watch = 0  # of a transaction that is taken apart
        self.guarded = False  # every command is to be checked
        self.pays = False  # what its commands make counts for its user
        self.within: list[bytes] | None = None  # patterns: no others' counters are told
        self.queued_bytes = 0
        self._places = 0

    def told(self, listing: Op) -> Op:
        """What tells names or numbers of counters, as this user may hear it."""
        return listing if self.within is None else o.within(self.within, listing)

    def next_place(self) -> int:
        """Pseudo-random, for RANDOMKEY: another one for each call."""
        self._places += 1
        return zlib.crc32(b"%d %d" % (self.number, self._places))

    @property
    def held_bytes(self) -> int:
        """About what the transaction and the watches of this connection take."""
        queued = 0 if self.queue is None else self.queued_bytes + QUEUED_BYTES * len(self.queue)
        return (
            queued + WATCHED_BYTES * (self.watching + self.executing_watch) + self.executing_bytes
        )

    def reset(self) -> None:
        """As it was when the connection began; what it watches is not ended by this."""
        self.queue, self.protocol, self.name, self.reads_here = None, 2, b"", False
        if self.access is not None:
            self.access.reset(self)

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
            f"multi-mem={self.queued_bytes if self.queue is not None else 0} rbs=0 rbp=0 obl=0 "
            f"oll=0 omem=0 tot-mem=0 events=r "
            f"cmd={self.last_command or 'NULL'} user={self.user_name} redir=-1 "
            f"resp={self.protocol} "
            f"lib-name={self.library.decode('latin-1')} "
            f"lib-ver={self.library_version.decode('latin-1')}"
        )
