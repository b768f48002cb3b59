"""EVAL and its relatives in the log: a script runs as one operation, on every replica.

    [EVAL, flags, text or SHA-1, keys, arguments, rights]

1. A script is executed whole, or nothing of it is: an error that it raises, a command that fails by
   `redis.call`, and a limit put everything back (tables.py, `roll_back`). A script that *returns*
   an error has ended well, as in Redis: what it did stays.
2. What its commands do follows from their words: `operation` makes an operation of them, by the
   rules of the level, with the rights that the user had when the script was sent. Whoever owns the
   machine gives that function; without it no script can be in the log.
3. The engine's budgets (script/limits.py) bound one script. A command costs steps of it as well, by
   what it names (`_price`), so that commands are bounded by the same number. The
   scripts of one transaction together may use `TRANSACTION_STEPS`, and may have
   `TRANSACTION_TOKENS` words and signs, each script counted once. All are part of the level.
4. Compiling depends on what this process compiled before, so it is charged to slices alone: a
   script that is not compiled yet is compiled in a slice of its own (execution.py).
5. An exception of the engine is one fixed error, on every replica. If memory ends, the node ends:
   whether it does is another on each replica, and an answer would part them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from counter_node.compiled import compiled as compiled_module
from counter_node.counters import effects, weights, within
from counter_node.counters import ops as o
from counter_node.counters.batches import Op
from counter_node.counters.compiling import LIMITS, compiled, is_compiled
from counter_node.counters.replies import OK, Failure, Simple
from counter_node.counters.script_replies import from_script, to_script
from counter_node.counters.script_table import ScriptTable, sha_of
from counter_node.counters.state import State
from counter_node.script.engine import Script
from counter_node.script.errors import FaultError, ScriptError

_fast = compiled_module("commands")
READ_ONLY, BY_SHA = 1, 2
"""Flags of EVAL."""
TRANSACTION_STEPS: Final = 100_000
TRANSACTION_TOKENS: Final = 6_000
TRANSACTION_REPLY_BYTES: Final = 1 << 20
MOST_ERROR_BYTES: Final = 4_096
PATTERN_PRICE: Final = 14
"""Steps for a byte of a pattern, which every replica compiles."""
STEPS_OF_WORK: Final = 7
"""Steps of the engine that take as long as one unit of work (Machine.spent)."""
PRICE, PRICE_OF_CHANGE = 8, 24
"""Steps that a command costs for each unit of its weight, and for each counter that the script had
not changed before."""
WHOLE_PRICE: Final = 5_000
"""Of what may concern every counter."""
NAMES_PER_STEP: Final = 4

NOSCRIPT = Failure(b"NOSCRIPT No matching script. Please use EVAL.")
TOO_MUCH = Failure(
    b"ERR the scripts of one transaction use more than %d steps; nothing of this one was done"
    % TRANSACTION_STEPS
)
TOO_MANY_BYTES = Failure(
    b"ERR the scripts of one transaction have more than %d bytes in their replies; nothing of this"
    b" one was done" % TRANSACTION_REPLY_BYTES
)
TOO_LARGE = Failure(
    b"ERR script_source_bytes is %d: the script has more; it was not loaded"
    % LIMITS.script_source_bytes
)
TOO_LONG = Failure(
    b"ERR the scripts of one transaction have more than %d words and signs; nothing of this one"
    b" was done" % TRANSACTION_TOKENS
)


class Call(NamedTuple):
    """Who calls a command: what `operation` needs to know beside its words."""

    rights: bytes | None
    """Packed by the gateway; None: everything is allowed."""
    read_only: bool
    number: int
    """Another one for each command of a run, and the same on every replica."""


Operation = Callable[[list[bytes], Call], Op | Failure]
"""A command's words → its operation, or the error that it has."""


def no_operation(words: list[bytes], call: Call) -> Op | Failure:
    raise AssertionError("a script is in the log, and this machine was made without commands")


def _converted(reply: Any) -> Any:
    """Raises FaultError for whatever it does not know."""
    if _fast is not None and _fast.plain(reply):
        return reply
    try:
        return from_script(reply)
    except MemoryError:
        raise
    except Exception:
        raise FaultError from None


class Scripts:
    def __init__(self, state: State, execute: Callable[[Op], Any]) -> None:
        self.table = ScriptTable()
        self.operation: Operation = no_operation
        self.state, self.execute = state, execute
        # Of the operation of the log that is being executed.
        self._steps = self._tokens = self._reply_bytes = 0
        self._shas: set[bytes] = set()
        self._spent = 0

    # --- one operation of the log -----------------------------------------------------------------

    def to_script(self, reply: Any) -> Any:
        """For the compiled twin of `_commands`."""
        return to_script(reply)

    def begin(self) -> None:
        """An operation begins, which may hold several scripts."""
        if self._steps or self._tokens:
            self._steps = self._tokens = self._reply_bytes = 0
            self._shas = set()

    def settle(self) -> int:
        """Work of scripts since it was asked last (Machine.spent)."""
        spent, self._spent = self._spent, 0
        return spent // STEPS_OF_WORK

    def is_cold(self, op: Op) -> bool:
        """Whether something must be compiled before this operation is executed."""
        if type(op) is list and op[0] == o.EVAL:
            return (source := self._source(op)) is not None and not is_compiled(source)
        return any(self.is_cold(part) for part in o.parts(op) if o.code_of(part) == o.EVAL)

    def warm(self, op: Op) -> None:
        """Compiles the script of an EVAL."""
        if (source := self._source(op)) is not None:
            compiled(source)

    def _source(self, op: Op) -> bytes | None:
        return self.table.source(op[2]) if op[1] & BY_SHA else op[2]

    # --- EVAL -------------------------------------------------------------------------------------

    def run(self, op: Op) -> Any:
        _, flags, _, keys, arguments, rights = op
        source = self._source(op)
        if source is None:
            return NOSCRIPT
        script = compiled(source)
        if isinstance(script, Failure):
            return script
        if not self.table.called(script.sha) and not self._heavy(len(source)):
            self.table.keep(script.sha, source)
        if (refused := self._too_much(script)) is not None:
            return refused
        read_only = bool(flags & READ_ONLY) or "no-writes" in script.flags
        self.state.begin_undo()
        try:
            found = script.run(keys, arguments, self._commands(script, rights, read_only))
            reply = _converted(found)
        except ScriptError as error:
            self.state.roll_back()
            reply = Failure(error.text[:MOST_ERROR_BYTES])
        else:
            self.state.keep()
        steps = script.steps
        self._steps += steps
        self._spent += steps
        self._reply_bytes += script.reply_bytes
        return reply

    def _too_much(self, script: Script) -> Failure | None:
        if script.sha not in self._shas:
            self._shas.add(script.sha)
            self._tokens += script.tokens
        if self._tokens > TRANSACTION_TOKENS:
            return TOO_LONG
        if self._reply_bytes > TRANSACTION_REPLY_BYTES:
            return TOO_MANY_BYTES
        return TOO_MUCH if self._steps > TRANSACTION_STEPS else None

    def _commands(
        self, script: Script, rights: bytes | None, read_only: bool
    ) -> Callable[[list[bytes], int], Any]:
        """What executes the commands of a run. Raises ScriptError when a budget is spent."""
        if _fast is not None:
            found: Callable[[list[bytes], int], Any] = _fast.Commands(
                self, script.engine_run.budget, rights, read_only
            ).execute
            return found
        assert self.state.undo is not None
        number, before = 0, self.state.undo.before

        def command(words: list[bytes], protocol: int) -> Any:
            nonlocal number
            number += 1
            call = Call(rights, read_only, self.state.time_ms * LIMITS.script_commands + number)
            op = self.operation(words, call)
            if type(op) is Failure:
                return to_script(op)
            script.charge(self.price(op))
            changed = len(before)
            reply = self.execute(op)
            script.charge(PRICE_OF_CHANGE * (len(before) - changed))
            return to_script(reply)

        return command

    def price(self, op: Op) -> int:
        if type(op) is bytes:
            return PRICE
        code = op[0]
        if code in (o.DEL, o.EXISTS, o.MGET):
            return PRICE * (1 + len(op[1]))
        if code == o.MSET:
            return PRICE * (1 + len(op[1]))
        if code == o.FLUSH:
            return WHOLE_PRICE
        if code == o.SCAN:
            names = min(int(op[2]), len(self.state.values)) // NAMES_PER_STEP
            return 2 * PRICE + names + PATTERN_PRICE * len(op[3] or b"")
        if code == o.KEYS:
            names = min(len(self.state.values) // NAMES_PER_STEP, WHOLE_PRICE)
            return 2 * PRICE + names + PATTERN_PRICE * len(op[1])
        if code == o.WITHIN:
            names = min(within.cost(op, self.state) // NAMES_PER_STEP, WHOLE_PRICE)
            return names + self.price(op[-1])
        return 2 * PRICE

    # --- SCRIPT -----------------------------------------------------------------------------------

    def load(self, op: Op) -> Any:
        """[SCRIPT_LOAD, text]: the gateway has compiled it."""
        source = op[1]
        if len(source) > LIMITS.script_source_bytes:
            return TOO_LARGE
        if sha_of(source) not in self.table and self._heavy(len(source)):
            return effects.too_heavy(self.state)
        return self.table.load(source)

    def flush(self, op: Op) -> Simple:
        """[SCRIPT_FLUSH]"""
        self.table.flush()
        return OK

    def exists(self, op: Op) -> list[int]:
        """[SCRIPT_EXISTS, SHA-1s]"""
        return [int(sha in self.table) for sha in op[1]]

    def _heavy(self, source_bytes: int) -> bool:
        state = self.state
        return bool(state.max_bytes) and state.heavy(weights.SCRIPT + 2 * source_bytes)
