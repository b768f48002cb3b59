"""Breakages of scripts in the log: what is not taken back, what differs between replicas, what is
not bounded, what a snapshot forgets. (Those of the engine: script.py.)"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from counter_node.counters import compiling, scripts
from counter_node.counters.accounts import Accounts
from counter_node.counters.machine import Machine
from counter_node.counters.script_table import ScriptTable
from counter_node.counters.scripts import Scripts
from counter_node.counters.tables import Tables
from counter_node.replica import bundles
from counter_node.resp import called
from counter_node.script.engine import Script
from counter_node.script.limits import Budget

from tests.mutations.breakage import Patch, mutation

_UNDO = ("tests/unit/counters/test_undo.py",)
_SCRIPTS = ("tests/unit/counters/test_scripts.py",)
_CALLED = ("tests/unit/resp/test_called.py",)


@mutation("a script that fails keeps what it did", quick=True)
def script_not_rolled_back(patch: Patch) -> None:
    patch(Tables, "roll_back", Tables.keep)


@mutation("a script that fails puts back values and forgets deadlines", tests=_UNDO)
def script_deadlines_not_rolled_back(patch: Patch) -> None:
    original = Tables._restore

    def restore(self: Tables, key: bytes, value: Any, deadline: Any, *rest: Any) -> None:
        original(self, key, value, None, *rest)

    patch(Tables, "_restore", restore)


@mutation("a script that fails gives its user what belonged to others", tests=_UNDO)
def script_owners_not_rolled_back(patch: Patch) -> None:
    original = Tables._restore

    def restore(self: Tables, key: bytes, *rest: Any) -> None:
        original(self, key, *rest[:-1], None)

    patch(Tables, "_restore", restore)


@mutation("a FLUSHALL of a script that fails stays", tests=_UNDO)
def script_flush_not_rolled_back(patch: Patch) -> None:
    patch(Tables, "_put_back", lambda self, aside: None)


@mutation("a script that fails breaks watches", tests=_UNDO)
def script_watches_stay_broken(patch: Patch) -> None:
    original = Tables.begin_undo

    def begin_undo(self: Tables) -> None:
        original(self)
        self.watches.newly_broken = None

    patch(Tables, "begin_undo", begin_undo)


@mutation("an account closes while a script may still be taken back", tests=_UNDO)
def script_accounts_not_held(patch: Patch) -> None:
    patch(Accounts, "hold", lambda self: None)


@mutation("a script is ended by a clock", quick=True)
def script_ended_by_time(patch: Patch) -> None:
    original = Script.run

    def run(self: Script, keys: Any, arguments: Any, command: Any) -> Any:
        def until_it_is_late(words: list[bytes], protocol: int) -> Any:
            if time.perf_counter_ns() % 7 == 0:
                self.engine_run.budget.out_of_steps()
            return command(words, protocol)

        return original(self, keys, arguments, until_it_is_late)

    patch(Script, "run", run)


@mutation("a snapshot without its scripts", tests=_SCRIPTS)
def scripts_not_in_the_snapshot(patch: Patch) -> None:
    patch(ScriptTable, "dump", lambda self: [[], []])


@mutation("scripts of EVAL go in the order in which they came", tests=_SCRIPTS)
def scripts_of_eval_in_their_order(patch: Patch) -> None:
    patch(ScriptTable, "called", lambda self, sha: sha in self)


@mutation("scripts of EVAL are kept without end", tests=_SCRIPTS)
def scripts_without_end(patch: Patch) -> None:
    def keep(self: ScriptTable, sha: bytes, source: bytes) -> None:
        self._sent_bytes += len(source)
        self._sent[sha] = source

    patch(ScriptTable, "keep", keep)


@mutation("commands of a script cost nothing", tests=_SCRIPTS)
def script_commands_for_nothing(patch: Patch) -> None:
    patch(Scripts, "price", lambda self, op: 0)


@mutation("a transaction may have as many scripts as it likes", tests=_SCRIPTS)
def scripts_of_a_transaction_unbounded(patch: Patch) -> None:
    patch(Scripts, "_too_much", lambda self, script: None)


@mutation("what compiling takes is in the slice of the run", tests=_SCRIPTS)
def script_compiled_in_its_slice(patch: Patch) -> None:
    patch(Scripts, "is_cold", lambda self, op: False)


@mutation("what a script did is not charged to its slice", tests=_SCRIPTS)
def script_not_settled(patch: Patch) -> None:
    patch(Scripts, "settle", lambda self: 0)


@mutation("a reply depends on what this process compiled before", tests=_SCRIPTS)
def script_compiling_charged(patch: Patch) -> None:
    original = Scripts._too_much

    def too_much(self: Scripts, script: Any) -> Any:
        return original(self, script) if len(compiling._found) != 1 else scripts.TOO_LONG

    patch(Scripts, "_too_much", too_much)


@mutation("scripts below their level", tests=_SCRIPTS)
def scripts_below_their_level(patch: Patch) -> None:
    from counter_node.counters import levels, ops

    patch(levels, "OPCODES", {**levels.OPCODES, ops.EVAL: 1})


@mutation("a received snapshot's machine cannot read the commands of scripts")
def scripts_without_words_after_a_snapshot(patch: Patch) -> None:
    original = Machine.inherit

    def inherit(self: Machine, old: Machine) -> None:
        before = self.operation
        original(self, old)
        self.operation = before

    patch(Machine, "inherit", inherit)


@mutation("a script may do what its user may not", tests=_CALLED)
def script_without_rights(patch: Patch) -> None:
    patch(called, "_forbidden", lambda *_: None)


@mutation("a read-only script writes", tests=("tests/unit/resp/test_scripts_same_as_redis.py",))
def script_read_only_writes(patch: Patch) -> None:
    original: Callable[..., Any] = called.operation

    def operation(words: list[bytes], call: scripts.Call) -> Any:
        return original(words, call._replace(read_only=False))

    patch(called, "operation", operation)
    patch(Scripts, "operation", property(lambda self: operation, lambda self, _: None))


@mutation("the commands of a script are read in another way than the level says", tests=_CALLED)
def script_words_of_another_level(patch: Patch) -> None:
    patch(called, "WRONG_COUNT", called.UNKNOWN)


_BOUNDED = "tests/unit/resp/test_scripts_bounded.py"


@mutation(
    "a text in a reply counts for nothing",
    tests=(f"{_BOUNDED}::test_a_text_counts_as_often_as_it_is_in_the_reply",),
)
def replies_uncounted(patch: Patch) -> None:
    patch(Budget, "answer", lambda self, size: None)


@mutation(
    "the replies of one transaction's scripts are not bounded together",
    tests=(f"{_BOUNDED}::test_the_replies_of_one_transaction_are_bounded_together",),
)
def replies_unbounded_together(patch: Patch) -> None:
    patch(scripts, "TRANSACTION_REPLY_BYTES", 1 << 40)


@mutation(
    "any number of scripts is one batch",
    tests=(f"{_BOUNDED}::test_so_many_scripts_and_no_more_are_in_one_batch",),
)
def many_scripts_in_a_batch(patch: Patch) -> None:
    patch(bundles, "MOST_SCRIPTS", 1 << 40)
