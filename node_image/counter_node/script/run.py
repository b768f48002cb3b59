"""What the library knows of the run that goes on: its budget, the way to commands, and what was
printed of tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from counter_node.script.limits import Budget, Limits
from counter_node.script.operations import Operations
from counter_node.script.values import Bool, type_name

Command = Callable[[list[bytes], int], Any]
"""Executes a command, given the version of the protocol that its reply is for (2 or 3); the reply
is of the kinds that replies.py names. Errors are replies too; only a ScriptError may be raised,
when a budget is spent."""


def no_commands(words: list[bytes], protocol: int) -> Any:
    raise AssertionError("no script runs")


class Run:
    def __init__(self, limits: Limits) -> None:
        self.budget = Budget(limits)
        self.operations = Operations(self.budget)
        self.command: Command = no_commands
        self.protocol = 2
        self._printed: dict[Any, int] = {}

    def begin(self, command: Command) -> None:
        self.budget.reset()
        self.command, self.protocol = command, 2

    def end(self) -> None:
        self.command = no_commands
        self._printed = {}

    def text_of(self, value: Any) -> bytes:
        """As `tostring`, of what is neither a number nor a string. Instead of an address a table
        has a number: the first that is printed 1, and so on."""
        if value is None:
            return b"nil"
        if value.__class__ is Bool:
            return value.text
        self.budget.make(128)
        number = self._printed.setdefault(value, len(self._printed) + 1)
        return b"%s: 0x%08x" % (type_name(value), number)
