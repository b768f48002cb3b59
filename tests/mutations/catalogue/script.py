"""Breakages of the engine for scripts: what is not counted, what differs from machine to machine,
what stays from one run to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from counter_node.script import library_base, numbers
from counter_node.script.errors import ScriptError
from counter_node.script.limits import Budget
from counter_node.script.run import Run
from counter_node.script.values import FALSE

from tests.mutations.breakage import Patch, mutation

_TESTS = ("tests/unit/script/test_script.py", "tests/unit/script/test_limits.py")


@mutation("a script makes as many bytes as it likes", tests=_TESTS)
def script_bytes_not_charged(patch: Patch) -> None:
    patch(Budget, "make", lambda self, size: None)


@mutation("a script's commands are not counted", tests=_TESTS)
def script_commands_not_charged(patch: Patch) -> None:
    patch(Budget, "command", lambda self: None)


@mutation("functions of a script wait for each other without end", tests=_TESTS)
def script_depth_not_charged(patch: Patch) -> None:
    patch(Budget, "enter", lambda self: None)


@mutation("a budget is not whole again in the next run", tests=_TESTS)
def script_budget_not_reset(patch: Patch) -> None:
    original = Run.begin

    def begin(self: Run, command: Any) -> None:
        commands = self.budget.commands
        original(self, command)
        self.budget.commands = commands

    patch(Run, "begin", begin)


@mutation("pcall catches a limit", tests=_TESTS)
def script_limit_caught(patch: Patch) -> None:
    original = library_base.Functions.pcall

    def pcall(self: Any, line: int | None, *arguments: Any) -> Any:
        try:
            return original(self, line, *arguments)
        except ScriptError as error:
            return FALSE, error.text

    patch(library_base.Functions, "pcall", pcall)


@mutation("pairs walks in another order", tests=_TESTS)
def script_pairs_in_another_order(patch: Patch) -> None:
    original = library_base.Functions.each_pair

    def each_pair(self: Any, of: Any, line: int) -> Iterator[tuple[Any, Any]]:
        yield from reversed(list(original(self, of, line)))

    patch(library_base.Functions, "each_pair", each_pair)


@mutation("a table's text is its address", tests=_TESTS)
def script_address_printed(patch: Patch) -> None:
    original = Run.text_of

    def text_of(self: Run, value: Any) -> bytes:
        kind, colon, _ = original(self, value).partition(b": ")
        return kind + colon + b"0x%x" % id(value) if colon else kind

    patch(Run, "text_of", text_of)


@mutation("what a run printed and set stays for the next", tests=_TESTS)
def script_run_not_ended(patch: Patch) -> None:
    patch(Run, "end", lambda self: None)


@mutation("a large number loses its last digits on the way to a command", tests=_TESTS)
def script_argument_rounded(patch: Patch) -> None:
    patch(numbers, "argument", numbers.show)
