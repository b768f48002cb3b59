"""Rolling upgrades: what may stand in the replicated log.

    The log holds nothing that a member cannot apply.

A node that meets an operation it does not know could only stop (it would differ from the others if
it went on), so in the middle of a roll the newer nodes must not use what the older ones lack. etcd
has a cluster version for this; here it is a number, the level:

1. Every operation and every body of an entry belongs to the level that brought it. Their meaning
   never changes afterwards.
2. Every node says in its greeting (net/peers.py) which level it knows, its `LEVEL`.
3. The cluster's level is part of the replicated state. Only an entry raises it, and the leader
   proposes that entry only while every member, learners included, is connected and has said that it
   knows as much. It never sinks.
4. A gateway takes a command of a higher level than the cluster's for an error, in words, and puts
   nothing into the log. What it puts there is sound although it may be behind: the level that it
   has seen is committed.
5. Who is too old for the cluster's level (a new member, or one that was set back) is refused by the
   others' greeting, and does not start from a snapshot or log of that level: it says what to
   upgrade.
"""

from __future__ import annotations

from typing import Final

from counter_node.counters import ops
from counter_node.counters.batches import Op
from counter_node.counters.replies import Failure

LEVEL: Final = 5
"""What this version knows. 1: the operations up to `ops.EXEC_IF`. 2: the entry `batches.Limits`. 3:
`ops.TIMES`. 4: log time is a stopwatch (log_time.py), with `batches.Jump` and `Calendar`;
histories, with `batches.Begin`; what is due goes in slices (state.py), `batches.Bytes`,
`ops.IDMP_OF`; users have limits, `batches.UserLimits`, `ops.AS`; listings within patterns,
`ops.WITHIN`. 5: scripts by version 1 of the engine (scripts.py), `ops.EVAL`, `SCRIPT_*` and
`TIME`; what a script may call and how its words are read (resp/called.py) is part of it."""

LIMITS_LEVEL: Final = 2
TIMES_LEVEL: Final = 3
TIME_LEVEL: Final = 4
HISTORY_LEVEL: Final = 4
SLICES_LEVEL: Final = 4
BYTES_LEVEL: Final = 4
OWNERS_LEVEL: Final = 4
USERS_LEVEL: Final = 4
SCRIPTS_LEVEL: Final = 5

OPCODES: dict[int, int] = {
    ops.TIMES: TIMES_LEVEL,
    ops.IDMP_OF: OWNERS_LEVEL,
    ops.AS: USERS_LEVEL,
    ops.WITHIN: USERS_LEVEL,
    ops.EVAL: SCRIPTS_LEVEL,
    ops.SCRIPT_LOAD: SCRIPTS_LEVEL,
    ops.SCRIPT_FLUSH: SCRIPTS_LEVEL,
    ops.SCRIPT_EXISTS: SCRIPTS_LEVEL,
    ops.TIME: SCRIPTS_LEVEL,
}
"""The level of each operation that came after level 1; a test sees to it that none is forgotten."""


def level_of(op: Op) -> int:
    if type(op) is bytes:
        return 1
    return max([OPCODES.get(op[0], 1), *map(level_of, ops.inside(op) or ())])


def lowered(op: Op, level: int) -> Op:
    """The operation as a cluster of that level knows it, where a newer one only adds to its
    meaning: a producer, and a counter, belongs to nobody."""
    if level < USERS_LEVEL and type(op) is list and op[0] == ops.AS:
        return op[2]
    if level < OWNERS_LEVEL and type(op) is list and op[0] == ops.IDMP_OF:
        return [ops.IDMP, *op[2:]]
    return op


def too_new(op: Op, level: int) -> Failure | None:
    """Why this operation may not go into the log of a cluster of this level, if so."""
    needed = level_of(op)
    if needed <= level:
        return None
    text = (
        b"ERR not before every node of the cluster is upgraded: the command needs level %d "
        b"and the cluster is at %d; it was not executed"
    )
    return Failure(text % (needed, level))
