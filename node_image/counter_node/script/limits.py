"""What a script may use. Every limit is a count, so that each replica ends a script at the same
point; none is a time. Something is charged before it is made."""

from __future__ import annotations

import dataclasses

from counter_node.script.errors import LimitError


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The defaults keep a script below 20 ms of the loop on a machine of 2 slow cores;
    docs/internals/scripts.md has the measurements."""

    script_source_bytes: int = 16_384
    script_tokens: int = 1_500
    """Words and signs of the source."""
    script_code_bytes: int = 16_384
    """Of the program that is compiled from it, which is what compiling costs."""
    script_steps: int = 20_000
    script_memory_bytes: int = 1_048_576
    """All that is made in one run, also what is not used any more."""
    script_reply_bytes: int = 262_144
    """Of all texts in its reply, each as often as it is there."""
    script_depth: int = 60
    """Functions of the script that wait for each other."""
    script_commands: int = 1_000


NESTING = 40
"""Blocks, functions and operators inside each other, in the text of a script. No setting: Python's
compiler bounds it."""
SAFE_DEPTH = 100
"""The largest script_depth that Python's own limit of 1,000 frames bears, with room."""
ENTRY_BYTES = 96
"""Charged for a key of a table; 16 for an element of its list."""
TABLE_BYTES = 160


class Budget:
    """What is left of the limits in the run that goes on."""

    __slots__ = ("commands", "depth", "left_bytes", "limits", "reply_bytes", "steps")

    def __init__(self, limits: Limits) -> None:
        if not 1 <= limits.script_depth <= SAFE_DEPTH:
            raise ValueError(f"script_depth is {limits.script_depth}; it must be 1 to {SAFE_DEPTH}")
        self.limits = limits
        self.reset()

    def reset(self) -> None:
        limits = self.limits
        self.steps = limits.script_steps
        self.left_bytes = limits.script_memory_bytes
        self.reply_bytes = 0
        self.depth = limits.script_depth
        self.commands = limits.script_commands

    def work(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            self.out_of_steps()

    def make(self, size: int) -> None:
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise LimitError(
                "script_memory_bytes", self.limits.script_memory_bytes, "bytes of memory"
            )

    def answer(self, size: int) -> None:
        """A text of the reply: the same one may be there many times, and is copied each time."""
        self.reply_bytes += size
        most = self.limits.script_reply_bytes
        if self.reply_bytes > most:
            raise LimitError("script_reply_bytes", most, "bytes in its reply")

    def out_of_steps(self) -> None:
        raise LimitError("script_steps", self.limits.script_steps, "steps")

    def enter(self) -> None:
        """Another function waits. Whoever catches an error puts `depth` back."""
        if self.depth <= 0:
            raise LimitError("script_depth", self.limits.script_depth, "nested calls")
        self.depth -= 1

    def command(self) -> None:
        self.commands -= 1
        if self.commands < 0:
            raise LimitError("script_commands", self.limits.script_commands, "commands")
