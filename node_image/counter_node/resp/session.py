"""One connection's protocol state, which handlers change, and what a command is: data alone.

Handlers (keyed.py, serving.py, transactions.py, …) know these and nothing of the table. Its rows
(keyed_commands.py, server_commands.py) name the handlers, commands.py makes the table of the rows,
and dispatch.py finds the command in it.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, NamedTuple, Protocol

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
Keys = tuple[int, int, int]
NO_KEYS: Final[Keys] = (0, 0, 0)
ONE_KEY: Final[Keys] = (1, 1, 1)
ALL_KEYS: Final[Keys] = (1, -1, 1)
PAIRS: Final[Keys] = (1, -1, 2)


class Access(Protocol):
    """Who decides what a connection may do (users/access.py)."""

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


class Subcommand(NamedTuple):
    """One of a container command's: CLIENT SETNAME."""

    arity: int
    """As in COMMAND, counting both words of the name."""
    take: Callable[[Session, list[bytes]], Action | Slow]
    help: str
    """Its arguments, a colon, and what it does."""
    admin: bool = False
    """In the categories of administration, as Redis has it; else in those of its container."""


@dataclasses.dataclass(frozen=True, slots=True)
class Command:
    """A row of the table: everything that the node knows about a command."""

    name: str
    arity: int
    """As in COMMAND: with the name; negative = at least."""
    flags: str
    keys: Keys
    """First, last, step."""
    group: str
    take: Callable[[Session, list[bytes]], Action | Slow]
    """Its handler."""
    _: dataclasses.KW_ONLY
    summary: str
    syntax: str = ""
    since: str = "1.0.0"
    """The version of Redis that brought it."""
    ours: bool = False
    """Redis has no such command."""
    admin_only: bool = False
    """On the admin port alone."""
    before_login: bool = False
    """Executed for whoever connects; no limit of a user counts it."""
    dangerous: bool = False
    """In the category of that name, as in Redis."""
    at_once: bool = False
    """In a transaction it is executed instead of being queued."""
    precheck: Callable[[list[bytes]], None] | None = None
    """Before a transaction queues it. Raises Refusal for what spoils the transaction."""
    subcommands: Mapping[str, Subcommand] = dataclasses.field(default_factory=dict)
    keys_counted_at: int = 0
    """Where the number of its keys stands, which follow; 0: `keys` says which they are."""
    inner_at: int = 0
    """Where the words of another command begin that it executes; 0: there is none."""
    removes_all: bool = False
    """Keys that it does not name."""
    only_reads_keys: bool = False
    """Though it is not `readonly`. WATCH tells when a key changes, and changes none."""
    reveals: bool = False
    """The reply to this write says something of a value."""
    reveals_with: frozenset[bytes] = frozenset()
    """Option words behind the value that make it so."""

    @property
    def only_reads(self) -> bool:
        """What it needs of a key is the right to read it."""
        return "readonly" in self.flags or self.only_reads_keys

    @property
    def has_keys(self) -> bool:
        return bool(self.keys[0] or self.keys_counted_at)

    def answers_with_value(self, words: list[bytes]) -> bool:
        """Whether the answer says something of a value: that needs the right to read it, as in
        Redis."""
        if self.only_reads or self.reveals:
            return True
        return not self.reveals_with.isdisjoint(word.upper() for word in words[3:])

    def keys_in(self, words: list[bytes]) -> list[bytes]:
        """Also of words that are too few: who may execute it is asked first."""
        if self.keys_counted_at:
            number, *rest = words[self.keys_counted_at :] or [b""]
            return rest[: int(number)] if number.isdigit() and len(number) < 8 else []
        first, last, step = self.keys
        return words[first : (len(words) if last < 0 else last + 1) : step] if first else []


def fits(arity: int, count: int) -> bool:
    """Whether a command of `arity` may have so many words."""
    return count == arity or (arity < 0 and count >= -arity)


class Session:
    rights: tuple[User, bytes | None] | None = None
    """Of its user, in scripts (called.py)."""

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
        self.spoilt = False  # a command was refused instead of being queued
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
        """For CLUSTER SHARDS, on every port: the nodes with the port that this one came to."""
        self.reads_here = False  # said READONLY
        self.watching = 0  # keys given to WATCH
        self.born_s = self.active_s = 0.0  # began, and last sent, by the server's clock
        self.last_bytes = 0  # sent then
        self.access: Access | None = None
        """Who decides what this connection may do; without it, on the admin port, it may do
        everything."""
        self.user: User | None = None
        self.login_turn = False  # the next login is judged, whatever was guessed before
        self.login_key = ("", "")  # of the login that waits: address and user
        self.executing_bytes = self.executing_watch = 0  # of a transaction that is taken apart
        self.guarded = False  # every command is to be checked
        self.rights_changed: Callable[[], None] = lambda: None  # called when they have
        self.pays = False  # what its commands make counts for its user
        self.within: list[bytes] | None = None  # patterns: no others' counters are shown
        self.queued_bytes = self._places = 0

    def within_its_patterns(self, listing: Op) -> Op:
        """A listing of names or numbers of counters, as this user may see it."""
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
    def unrestricted(self) -> bool:
        """No command is queued, and none has to be checked."""
        return self.queue is None and not self.guarded

    @property
    def stranger(self) -> bool:
        """Has not logged in where one has to."""
        return self.user is None and self.access is not None

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
