"""Executing commands in slices: those of an entry, and reads.

What a command costs follows from what it names (`weight`), not from a clock, as this room knows
none. Between two commands, and in the middle of one that is heavy by itself (a DEL of 100,000
names, a transaction of thousands), a slice may end, and the loop of the node looks after its peers.
Nobody sees the state of such a moment, but for KEYS, which walks over all counters as SCAN does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

from counter_node.counters import effects, weights, within
from counter_node.counters import ops as o
from counter_node.counters.batches import Op, Outcome
from counter_node.counters.errors import UnknownOperationError
from counter_node.counters.increments import increments
from counter_node.counters.levels import LEVEL, OPCODES
from counter_node.counters.listing import Walk
from counter_node.counters.producer import Place
from counter_node.counters.producers import Producers
from counter_node.counters.replies import NO_LIST
from counter_node.counters.scripts import Scripts
from counter_node.counters.state import MOST_SCANNED, State
from counter_node.counters.within import Search, walk_of

SLICE: Final = 1_000
"""Weight of what is executed in one slice: some 2 ms. New counters take longer, the more there are:
500 of them 15 to 20 at ten million."""
_NAMES: Final = frozenset({o.DEL, o.MGET, o.EXISTS, o.MSET})
_WALKING: Final = frozenset({o.KEYS, o.WITHIN})
"""As reads of their own they may have to walk over all counters."""
_PIECE: Final = 500
PLAIN_WEIGHT: Final = 2
_BUCKET: Final = 20
"""Of a part of the index, which is put in order to find a place in it, however few names are
wanted."""
_RANDOM: Final = 60
"""While many counters are due, up to a thousand names are passed over."""
_SCRIPT_WEIGHT: Final = 12
"""Of the least script. What it takes beyond that is charged when it has run."""
PLAIN: Final = {
    code: effects.EXECUTE[code]
    for code in (
        o.INCRBY,
        o.GET,
        o.SET,
        o.EXPIRE,
        o.TTL,
        o.PERSIST,
        o.INCREX,
        o.GETDEL,
        o.GETEX,
        o.TYPE,
    )
}
"""Each is of level 1, costs `PLAIN_WEIGHT` and looks at one counter: what can be said of these
need not be asked of each."""
Steps = Generator[None, None, Any]


def holds_script(op: Op) -> bool:
    """A script is in it, however it is wrapped."""
    if type(op) is bytes or op[0] in PLAIN:
        return False
    inner = o.inside(op)
    return bool(op[0] == o.EVAL) if inner is None else any(map(holds_script, inner))


def weight(op: Op) -> int:
    """A plain command weighs 1 or 2."""
    if type(op) is bytes:
        return 1
    code = op[0]
    if code in _NAMES:
        return 1 + len(op[1])
    if code == o.MULTI:
        return 1 + sum(map(weight, op[1]))
    if code == o.EXEC_IF:
        return 1 + sum(map(weight, op[2]))
    if code in (o.IDMP, o.IDMP_OF):
        return 3 + weight(op[-1])
    if code == o.AS:
        return 1 + weight(op[2])
    if code == o.SCAN:
        return _BUCKET + int(op[2])
    if code == o.RANDOMKEY:
        return _RANDOM
    if code in _WALKING:
        return MOST_SCANNED // 4
    if code == o.EVAL:
        return _SCRIPT_WEIGHT
    return 1 + len(op[2]) if code == o.WATCH else 2


class Work:
    """Commands that are being executed. `replies`: where they are added; None for a batch of
    another gateway, which nobody here waits for."""

    __slots__ = ("at", "commands", "outcome", "replies", "spent", "steps")

    def __init__(
        self, commands: list[Op], replies: list[Any] | None, outcome: Outcome | None = None
    ) -> None:
        self.commands = commands
        self.replies = replies
        self.outcome = outcome
        self.at = 0
        self.steps: Steps | None = None  # of the command at `at`, which is executed in part
        self.spent = 0  # in the last slice

    def answer(self, reply: Any) -> None:
        if self.replies is not None:
            self.replies.append(reply)
        self.at += 1


class Execution:
    def __init__(self, state: State, producers: Producers) -> None:
        self.state = state
        self.level = self.knows = LEVEL
        self._producers = producers
        self.scripts = Scripts(state, self.execute)
        self._of_scripts = {
            o.SCRIPT_LOAD: self.scripts.load,
            o.SCRIPT_FLUSH: self.scripts.flush,
            o.SCRIPT_EXISTS: self.scripts.exists,
        }

    def allow(self, level: int, what: str) -> None:
        """An operation of a level that the cluster has not reached means that somebody proposed
        what others may not know."""
        if level > self.knows:
            raise UnknownOperationError(
                f"{what} is of level {level} and this version knows {self.knows}; upgrade this node"
            )
        assert level <= self.level, f"{what} is of level {level}, and the cluster at {self.level}"

    def slice(self, work: Work) -> bool:
        """True when all is executed."""
        state, commands = self.state, work.commands
        scripts = self.scripts
        work.spent = SLICE
        if work.steps is not None and not self._step(work):
            return False
        at, end, replies, spent = work.at, len(commands), work.replies, scripts.settle()
        while at < end:
            op = commands[at]
            if type(op) is bytes:
                before, at = at, increments(state, commands, at, replies)
                spent += (at - before) // 4
                if at > before:
                    continue
            elif (plain := PLAIN.get(op[0])) is not None:
                if spent > SLICE - PLAIN_WEIGHT:
                    break
                spent += PLAIN_WEIGHT
                reply = plain(state, op)
                if replies is not None:
                    replies.append(reply)
                at += 1
                continue
            heavy = weight(op)
            if spent and spent + heavy > SLICE:
                break
            spent += heavy
            state.scanned = 0
            scripts.begin()
            work.at = at
            if heavy <= SLICE and not scripts.is_cold(op):
                work.answer(self.execute(op))
            else:
                work.steps = self._steps(op)
                if not self._step(work):
                    return False
            at = work.at
            spent += scripts.settle()
        work.at, work.spent = at, spent
        return at >= end

    def _step(self, work: Work) -> bool:
        """One step of the command that is executed in part. True when it is done."""
        assert work.steps is not None
        try:
            next(work.steps)
        except StopIteration as end:
            work.steps = None
            work.answer(end.value)
            return True
        return False

    def execute(self, op: Op) -> Any:
        """A command at once."""
        state = self.state
        if type(op) is bytes:
            return effects.incrby(state, [o.INCRBY, op, 1])
        code = op[0]
        if code == o.EVAL:
            self.allow(OPCODES[o.EVAL], "a script")
            return self.scripts.run(op)
        if (plain := PLAIN.get(code)) is not None:
            return plain(state, op)
        if code == o.MULTI:
            return [self.execute(inner) for inner in op[1]]
        if code in (o.IDMP, o.IDMP_OF):
            place = self._place(op)
            if type(place) is not Place:
                return place
            return self._keep(place, self.execute(op[3]) if code == o.IDMP else self._as(op))
        if code == o.AS:
            self.allow(OPCODES[o.AS], "a command of a user with a limit")
            return self._as(op)
        if code == o.WITHIN:
            return within.at_once(state, op)
        if code == o.EXEC_IF:
            return [self.execute(inner) for inner in op[2]] if self._unbroken(op[1]) else NO_LIST
        if (script := self._of_scripts.get(code)) is not None:
            if code != o.SCRIPT_EXISTS:  # a read, which may come before the level is reached
                self.allow(OPCODES[code], "a script")
            return script(op)
        execute = effects.EXECUTE.get(code)
        if execute is None:
            raise UnknownOperationError(
                f"operation {code} is not known to this version; upgrade this node"
            )
        if code > o.LAST_OF_LEVEL_1:
            self.allow(OPCODES[code], f"operation {code}")
        return execute(state, op)

    def _as(self, op: Op) -> Any:
        """The command inside, which the account of the user `op[1]` pays for."""
        state = self.state
        state.actor = state.accounts.of(op[1])
        try:
            return self.execute(op[-1])
        finally:
            state.actor = None

    def _steps_as(self, op: Op) -> Steps:
        """Nothing else is executed between its steps."""
        state = self.state
        state.actor = state.accounts.of(op[1])
        try:
            return (yield from self._steps(op[-1]))
        finally:
            state.actor = None

    def _steps(self, op: Op) -> Steps:
        """A heavy command, with a pause after each piece of it. Whatever is refused is refused
        before anything is changed."""
        if type(op) is bytes:
            return self.execute(op)
        code = op[0]
        if code == o.MULTI:
            return (yield from self._all(op[1]))
        if code in (o.IDMP, o.IDMP_OF):
            place = self._place(op)
            if type(place) is not Place:
                return place
            steps = self._steps(op[3]) if code == o.IDMP else self._steps_as(op)
            return self._keep(place, (yield from steps))
        if code == o.AS:
            self.allow(OPCODES[o.AS], "a command of a user with a limit")
            return (yield from self._steps_as(op))
        if code == o.EXEC_IF:
            return (yield from self._all(op[2])) if self._unbroken(op[1]) else NO_LIST
        if code == o.EVAL:
            if self.scripts.is_cold(op):
                self.scripts.warm(op)
                yield
            return self.execute(op)
        if code == o.MSET:
            return (yield from effects.mset(self.state, op))
        if code not in _NAMES:
            return self.execute(op)
        parts = []
        for start in range(0, len(op[1]), _PIECE):
            parts.append(self.execute([code, op[1][start : start + _PIECE]]))
            yield
        return [reply for part in parts for reply in part] if code == o.MGET else sum(parts)

    def _all(self, commands: list[Op]) -> Steps:
        replies = []
        spent = 0
        for inner in commands:
            heavy = weight(inner)
            if spent and spent + heavy > SLICE:
                spent = 0
                yield
            spent += heavy
            slow = heavy > SLICE or self.scripts.is_cold(inner)
            replies.append((yield from self._steps(inner)) if slow else self.execute(inner))
            spent += self.scripts.settle()
        return replies

    def _unbroken(self, watch: bytes) -> bool:
        state = self.state
        if state.backlog:
            for key in state.watches.keys_of(watch):  # what is due is gone, so the watch is broken
                state.fetch(key)
        return state.watches.end(watch)

    def _place(self, op: Op) -> Any:
        """Where the answer is going to be kept, or the answer of an IDMP that is not executed
        now."""
        state, producers = self.state, self._producers
        if op[0] == o.IDMP:
            return producers.place(op[1], op[2], state.running_ms)
        self.allow(OPCODES[o.IDMP_OF], "IDMP with a user")
        _, user, name, sequence, _ = op
        if (
            state.max_bytes
            and not producers.known(user, name)
            and state.heavy(len(name) + weights.PRODUCER)
        ):
            return effects.too_heavy(state)
        return producers.place_of(user, name, sequence, state.running_ms)

    def _keep(self, place: Place, reply: Any) -> Any:
        self._producers.remember(place, reply)
        return reply


class Reading:
    """Reads that are answered in slices. Where `atomic` is true no entry may be applied before the
    next step."""

    def __init__(self, execution: Execution, ops: list[Op]) -> None:
        """Raises ValueError for an operation that would change something."""
        for op in ops:
            if o.is_write(op):
                raise ValueError(f"operation {op[0]} writes; it must go through the log")
        self._execution = execution
        self._ops = ops
        self.replies: list[Any] = []
        walks = any(op[0] in _WALKING for op in ops)
        self._work = Work([] if walks else ops, self.replies)
        self._walk: Walk | Search | None = None
        self._walks = walks
        self.spent = 0

    @property
    def atomic(self) -> bool:
        return self._work.steps is not None

    def step(self) -> bool:
        """True when `replies` has all."""
        if not self._walks:
            done = self._execution.slice(self._work)
            self.spent += self._work.spent
            return done
        return self._step_or_walk()

    def _step_or_walk(self) -> bool:
        state = self._execution.state
        if self._walk is not None:
            self.spent += SLICE
            if not self._walk.step(state):
                return False
            self.replies.append(self._walk.reply())
            self._walk = None
        while len(self.replies) < len(self._ops):
            work = self._work
            if work.steps is None:
                if (walk := walk_of(self._ops[len(self.replies)], state)) is not None:
                    self._walk = walk
                    return False
                self._work = work = Work(self._until_keys(len(self.replies)), [])
            done = self._execution.slice(work)
            self.spent += work.spent
            if not done and work.steps is not None:
                return False
            assert work.replies is not None
            self.replies += work.replies
            work.replies.clear()
            return len(self.replies) == len(self._ops)
        return True

    def _until_keys(self, at: int) -> list[Op]:
        """The reads from there on, up to the next one that may have to walk."""
        end = at + 1
        while end < len(self._ops) and self._ops[end][0] not in _WALKING:
            end += 1
        return self._ops[at:end]
