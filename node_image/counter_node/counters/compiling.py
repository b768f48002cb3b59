"""Scripts compiled once for this process: a cache outside of the state, which nobody can notice but
by the time that a call takes. What a script does follows from its text alone (script/).

All state machines of a process share one engine, as a run is over before the next begins. An error
is kept too: a text that is no program is not compiled again and again. MemoryError goes through
(scripts.py, rule 5)."""

from __future__ import annotations

from typing import Final

from counter_node.counters.replies import Failure
from counter_node.script.engine import VERSION, Engine, Script
from counter_node.script.errors import ScriptError

MOST: Final = 1_000
MOST_BYTES: Final = 1 << 20
"""Of texts. Compiled, one takes some 20 times as much."""
_engine = Engine()
_found: dict[bytes, Script | Failure] = {}
_bytes = 0
LIMITS = _engine.limits
ENGINE_VERSION = VERSION


def is_compiled(source: bytes) -> bool:
    """Whether `compiled` takes no time."""
    return source in _found or len(source) > LIMITS.script_source_bytes


def compiled(source: bytes) -> Script | Failure:
    """The script, or why it is none. The first time takes up to 15 ms."""
    global _bytes
    known = _found.get(source)
    if known is not None:
        return known
    found: Script | Failure
    try:
        found = _engine.compile(source)
    except ScriptError as error:
        found = Failure(error.text)
    if len(source) > LIMITS.script_source_bytes:  # refused at a glance, and not worth its room
        return found
    _found[source] = found
    _bytes += len(source)
    while len(_found) > MOST or _bytes > MOST_BYTES:
        oldest = next(iter(_found))
        del _found[oldest]
        _bytes -= len(oldest)
    return found
