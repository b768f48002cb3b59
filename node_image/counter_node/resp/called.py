"""Commands that scripts call: from their words to an operation, at apply, on every replica.

1. What is here is part of the cluster's level (counters/levels.py): the list of commands, how many
   words each takes, how they are read, and the texts of errors. A change that a script could notice
   is another level; a test keeps what is there (tests/unit/resp/test_called.py). `Call` does not
   have the level yet, so nothing newer than level 5 may be called, or be named, here
   (docs/internals/upgrades.md).
2. A command's rights are those that its user had when the script was sent: they come with it,
   packed by `packed_rights`. A command is a bit, by its place in `CALLABLE`, so that order is for
   ever.
3. Time is the log's. What only one node knows (INFO, CLIENT LIST) no script may ask."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Final

import msgspec

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.keyspace import Match, match_of
from counter_node.counters.replies import Failure, pack
from counter_node.counters.scripts import Call
from counter_node.resp.actions import Action, Read, Refusal, Reply, Slow, Write
from counter_node.resp.keyed_commands import KEYED
from counter_node.resp.server_commands import SERVING
from counter_node.resp.session import NO_KEYS, Command, Session, fits

UNKNOWN = Failure(b"ERR Unknown Redis command called from script")
NOT_ALLOWED = Failure(b"ERR This Redis command is not allowed from script")
WRONG_COUNT = Failure(b"ERR Wrong number of args calling Redis command from script")
READ_ONLY = Failure(b"ERR Write commands are not allowed from read-only scripts.")
NO_COMMAND: Final = (
    "NOPERM ACL failure in script: User {} has no permissions to run the '{}' command"
)
NO_KEY = Failure(b"NOPERM ACL failure in script: No permissions to access a key")
NOT_ALL: Final = "NOPERM ACL failure in script: User {} may not remove counters beyond its patterns"


def _time(_: Session, words: list[bytes]) -> Action:
    return Read([o.TIME])


_OTHERS: Final = {c.name: c for c in SERVING if c.name in ("ping", "echo", "select")}
_TIME: Final = Command("time", 1, "fast", NO_KEYS, "server", _time, summary="The time in the log.")
_KEYED: Final = {c.name: c for c in KEYED}
CALLABLE: Final = (
    "incr", "decr", "incrby", "decrby", "increx", "get", "set", "getset", "getdel", "getex",
    "setnx", "setex", "psetex", "mget", "mset", "msetnx", "del", "unlink", "exists", "touch",
    "strlen", "type", "expire", "pexpire", "expireat", "pexpireat", "ttl", "pttl", "expiretime",
    "pexpiretime", "persist", "scan", "keys", "randomkey", "dbsize", "flushdb", "flushall",
    "time", "ping", "echo", "select",
)  # fmt: skip
"""In an order that is for ever; new ones come last, with a level."""
_ROWS: Final[dict[bytes, tuple[Command, int]]] = {
    word: (command, 1 << place)
    for place, name in enumerate(CALLABLE)
    for command in ({**_KEYED, **_OTHERS, "time": _TIME}[name],)
    for word in (name.encode(), name.upper().encode())
}
_KNOWN: Final = frozenset(c.name.encode() for c in (*KEYED, *SERVING)) | {
    b"eval", b"evalsha", b"eval_ro", b"evalsha_ro", b"script"
}  # fmt: skip


class Rights(msgspec.Struct, array_like=True, frozen=True):
    """Of a user who may not do everything."""

    user: str
    commands: int
    """A bit for each, by its place in `CALLABLE`."""
    patterns: tuple[tuple[bytes, bool, bool], ...]
    """Of keys; whether they may be read, and written."""
    within: tuple[bytes, ...] | None
    """What listings tell, where patterns hold for these."""

    def may(self, key: bytes, *, reads: bool, writes: bool) -> bool:
        return bool(_match(self.patterns, reads, writes)(key))


@lru_cache(maxsize=512)
def _match(patterns: tuple[tuple[bytes, bool, bool], ...], reads: bool, writes: bool) -> Match:
    return match_of(tuple(text for text, r, w in patterns if r >= reads and w >= writes))


_decode = msgspec.msgpack.Decoder(Rights).decode


@lru_cache(maxsize=512)
def _rights(packed: bytes) -> Rights:
    return _decode(packed)


def packed_rights(session: Session) -> bytes | None:
    """What the user of this connection may do in a script; None: everything."""
    user = session.user
    if not session.guarded or user is None:
        return None
    if session.rights is None or session.rights[0] is not user:
        bits = sum(1 << place for place, name in enumerate(CALLABLE) if name in user.commands)
        within = None if session.within is None else tuple(session.within)
        if bits == (1 << len(CALLABLE)) - 1 and user.all_keys and within is None:
            session.rights = user, None
        else:
            patterns = tuple((p.text.encode(), p.read, p.write) for p in user.patterns)
            session.rights = user, msgspec.msgpack.encode(Rights(user.name, bits, patterns, within))
    return session.rights[1]


class _Caller(Session):
    """What handlers ask of a session, for the command that is called now."""

    def __init__(self) -> None:
        super().__init__(0, "", "", {}, admin=False)
        self.place = 0

    def next_place(self) -> int:
        return zlib.crc32(b"%d" % self.place)


_caller = _Caller()


def operation(words: list[bytes], call: Call) -> Op | Failure:
    """What a command of a script does (counters/scripts.py). Never raises."""
    found = _ROWS.get(words[0]) or _ROWS.get(words[0].upper())
    if found is None:
        return NOT_ALLOWED if words[0].lower() in _KNOWN else UNKNOWN
    command, bit = found
    if not fits(command.arity, len(words)):
        return WRONG_COUNT
    _caller.place, _caller.within = call.number, None
    if call.rights is not None:
        rights = _rights(call.rights)
        if (forbidden := _forbidden(rights, command, bit, words)) is not None:
            return forbidden
        _caller.within = None if rights.within is None else list(rights.within)
    if call.read_only and "write" in command.flags:
        return READ_ONLY
    try:
        action = command.take(_caller, words)
        if isinstance(action, Slow):
            action = action.finish()
    except Refusal as refusal:
        return refusal.reply
    if isinstance(action, Reply):
        value = action.value
        return value if type(value) is Failure else [o.CONSTANT, pack(value)]
    assert isinstance(action, Read | Write), "no command of a script asks the node"
    return action.op


def _forbidden(rights: Rights, command: Command, bit: int, words: list[bytes]) -> Failure | None:
    if not rights.commands & bit:
        return Failure(NO_COMMAND.format(rights.user, command.name).encode())
    reads, writes = command.answers_with_value(words), not command.only_reads
    keys = command.keys_in(words)
    if not all(rights.may(key, reads=reads, writes=writes) for key in keys):
        return NO_KEY
    if command.removes_all and rights.within is not None:
        return Failure(NOT_ALL.format(rights.user).encode())
    return None
