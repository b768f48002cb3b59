"""EVAL and its relatives, and SCRIPT: words to operations of the log (counters/scripts.py).

1. A text is compiled here first, in a slice of its own: what is no program is refused with its
   line, and puts nothing into the log.
2. Every script goes through the log, EVAL_RO too: it is executed once, in its place among the
   writes, and which scripts are kept for EVALSHA is part of the state.
3. The keys that EVAL names are checked like those of any command that reads and writes them, and
   the commands that the script calls are checked by the rights that go with it (called.py)."""

from __future__ import annotations

from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.compiling import compiled, is_compiled
from counter_node.counters.replies import Failure
from counter_node.counters.script_table import SHA_BYTES
from counter_node.counters.scripts import BY_SHA, NOSCRIPT, READ_ONLY
from counter_node.resp.actions import Action, Read, Refusal, Slow, Steps, Write
from counter_node.resp.arguments import integer
from counter_node.resp.called import packed_rights
from counter_node.resp.session import Session, Subcommand
from counter_node.resp.subcommands import ContainerCommand


def _eval(session: Session, words: list[bytes], flags: int) -> Op:
    count = integer(words[2])
    if count > len(words) - 3:
        raise Refusal("ERR Number of keys can't be greater than number of args")
    if count < 0:
        raise Refusal("ERR Number of keys can't be negative")
    at = 3 + count
    return [o.EVAL, flags, words[1], words[3:at], words[at:], packed_rights(session)]


def _with_source(op: Op, source: bytes) -> Action | Slow:
    """The operation, once its script is known to be one."""
    if is_compiled(source):
        return _checked(op, source)
    return Slow(_compiling(op, source))


def _compiling(op: Op, source: bytes) -> Steps:
    found = _checked(op, source)
    yield
    return found


def _checked(op: Op, source: bytes) -> Action:
    try:
        found = compiled(source)
    except MemoryError:
        raise Refusal("OOM no memory to compile the script; it was not executed") from None
    if isinstance(found, Failure):
        raise Refusal(found)
    return Write(op)


def _by_sha(session: Session, words: list[bytes], flags: int) -> Action:
    op = _eval(session, words, flags | BY_SHA)
    if len(words[1]) != SHA_BYTES:
        raise Refusal(NOSCRIPT)
    op[2] = words[1].lower()
    return Write(op)


def evaluate(session: Session, words: list[bytes]) -> Action | Slow:
    return _with_source(_eval(session, words, 0), words[1])


def evaluate_ro(session: Session, words: list[bytes]) -> Action | Slow:
    return _with_source(_eval(session, words, READ_ONLY), words[1])


def evalsha(session: Session, words: list[bytes]) -> Action:
    return _by_sha(session, words, 0)


def evalsha_ro(session: Session, words: list[bytes]) -> Action:
    return _by_sha(session, words, READ_ONLY)


# --- SCRIPT ---------------------------------------------------------------------------------------


def _load(_: Session, words: list[bytes]) -> Action | Slow:
    return _with_source([o.SCRIPT_LOAD, words[2]], words[2])


def _exists(_: Session, words: list[bytes]) -> Action:
    return Read([o.SCRIPT_EXISTS, [word.lower() for word in words[2:]]])


def _flush(_: Session, words: list[bytes]) -> Action:
    if len(words) > 3 or (len(words) == 3 and words[2].upper() not in (b"ASYNC", b"SYNC")):
        raise Refusal("ERR SCRIPT FLUSH only support SYNC|ASYNC option")
    return Write([o.SCRIPT_FLUSH])


def _kill(_: Session, words: list[bytes]) -> Action:
    raise Refusal("NOTBUSY No scripts in execution right now.")


def _debug(_: Session, words: list[bytes]) -> Action:
    raise Refusal("ERR SCRIPT DEBUG is not supported; a script runs on every replica")


SCRIPT = ContainerCommand(
    "script",
    {
        "DEBUG": Subcommand(3, _debug, "<YES|SYNC|NO>: Refused; there is no debugger."),
        "EXISTS": Subcommand(-3, _exists, "<sha1> [<sha1> ...]: Whether EVALSHA finds them."),
        "FLUSH": Subcommand(-2, _flush, "[ASYNC|SYNC]: Forgets all scripts, of EVAL too."),
        "KILL": Subcommand(2, _kill, ": NOTBUSY; a script that never ends is ended by a count."),
        "LOAD": Subcommand(3, _load, "<script>: Keeps a script for EVALSHA; its SHA-1."),
    },
)
