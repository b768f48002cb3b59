"""Compiles scripts and runs them.

One engine serves one caller: a run is over before the next begins, and a script cannot run another.
`Script.run` gives a reply, or raises a ScriptError; then the caller takes back all that the
script's commands did. It raises nothing else, whatever the text and whatever the commands answer:
where Python fails, the error is one fixed text. MemoryError alone goes through: whether memory
ends differs between machines, and an answer that differs would part replicas.

The same source, keys, arguments and replies of commands give the same result and the same commands
on every machine. VERSION says by which rules; a change that any script could notice is another
version, and belongs to a level of the cluster."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from counter_node.compiled import compiled
from counter_node.script import library, numbers, operations
from counter_node.script.errors import FaultError, LimitError, LuaError, ScriptError, ShebangError
from counter_node.script.lexer import tokens
from counter_node.script.limits import Limits
from counter_node.script.parser import Parser
from counter_node.script.replies import to_reply
from counter_node.script.run import Command, Run
from counter_node.script.statements_text import StatementsText
from counter_node.script.values import (
    FALSE,
    TRUE,
    Builtin,
    Library,
    Table,
    first,
    is_table,
    packed,
)

VERSION: Final = 1
_fast = compiled("scripts")
Reply = Callable[[Any, int], Any]
"""What a script returned → its reply."""


class Script:
    """A compiled script of one engine."""

    __slots__ = ("_chunk", "_reply", "engine_run", "flags", "sha", "tokens")

    def __init__(
        self, run: Run, reply: Reply, chunk: Any, sha: bytes, flags: frozenset[str], tokens: int
    ) -> None:
        self.engine_run, self._chunk, self.sha, self.flags = run, chunk, sha, flags
        self._reply, self.tokens = reply, tokens
        """Words and signs of its source, by which compiling it can be charged."""

    def charge(self, steps: int) -> None:
        """Of the run that goes on: for what a command costs. Raises LimitError."""
        self.engine_run.budget.work(steps)

    @property
    def steps(self) -> int:
        """Of the last run."""
        budget = self.engine_run.budget
        return budget.limits.script_steps - max(0, budget.steps)

    @property
    def reply_bytes(self) -> int:
        """Of the last run."""
        return self.engine_run.budget.reply_bytes

    def run(self, keys: Sequence[bytes], arguments: Sequence[bytes], command: Command) -> Any:
        run = self.engine_run
        run.begin(command)
        try:
            result = self._chunk(Table(list(keys), {}), Table(list(arguments), {}))
            return self._reply(first(result), 0)
        except LuaError as error:
            raise ScriptError(self._words(error)) from None
        except (ScriptError, MemoryError):
            raise
        except Exception:
            raise FaultError from None
        finally:
            run.end()

    def _words(self, error: LuaError) -> bytes:
        """The error as Redis reports it: its text, the script and the line."""
        value = error.value
        found = value.get(b"err") if is_table(value) else None
        if found.__class__ is bytes or found.__class__ is float:
            text = found if isinstance(found, bytes) else numbers.show(found)
        elif value.__class__ is bytes:
            text = b"ERR " + value
        elif value.__class__ is float:
            text = b"ERR " + numbers.show(value)
        else:
            text = b"ERR " + self.engine_run.text_of(value)
        if error.line:
            text += b" script: %s, on @user_script:%d." % (self.sha, error.line)
        return text


class Engine:
    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._run = Run(self.limits)
        self._names = _names(self._run)
        self._reply: Reply = partial(to_reply, self._run)
        if _fast is not None:
            shortcuts = _fast.Shortcuts(self._run, self._names)
            self._names.update(shortcuts.names())
            self._reply = shortcuts.reply

    def compile(self, source: bytes) -> Script:
        """Raises CompileError, UnsupportedError (which names the word), or LimitError."""
        try:
            body, flags = _flags(source)
            words = tokens(body, self.limits)
            text = StatementsText().program(Parser(words).chunk())
            if len(text) > self.limits.script_code_bytes:
                raise LimitError(
                    "script_code_bytes",
                    self.limits.script_code_bytes,
                    "bytes of compiled program",
                    "; it was not compiled",
                )
            names = dict(self._names)
            exec(compile(text, "<script>", "exec", dont_inherit=True), names)
        except (ScriptError, MemoryError):
            raise
        except Exception:
            raise FaultError from None
        sha = hashlib.sha1(source, usedforsecurity=False).hexdigest().encode()
        return Script(self._run, self._reply, names["chunk"], sha, flags, len(words))


_FLAGS: Final = frozenset(
    {"no-writes", "allow-oom", "allow-stale", "no-cluster", "allow-cross-slot-keys"}
)


def _flags(source: bytes) -> tuple[bytes, frozenset[str]]:
    """A first line `#!lua flags=…`. The source without it has its other lines where they were."""
    if source[:2] != b"#!":
        return source, frozenset()
    line, _, _ = source.partition(b"\n")
    if len(line) == len(source):
        raise ShebangError("Invalid script shebang")
    words = line[2:].decode("latin-1").split()
    if not words or words[0] != "lua":
        engine = words[0] if words else ""
        raise ShebangError(f"Unexpected engine in script shebang: {engine}")
    flags: set[str] = set()
    for word in words[1:]:
        name, _, value = word.partition("=")
        if name != "flags":
            raise ShebangError(f"Unknown lua shebang option: {word}")
        flags |= {flag for flag in value.split(",") if flag}
    if unknown := sorted(flags - _FLAGS):
        raise ShebangError(f"Unexpected flag in script shebang: {unknown[0]}")
    return source[len(line) :], frozenset(flags)


def _names(run: Run) -> dict[str, Any]:
    """Everything that a compiled script may name: nothing else of Python is there."""
    ops = run.operations
    names: dict[str, Any] = {
        "__builtins__": {}, "B": run.budget, "T": TRUE, "F": FALSE, "INFINITY": numbers.INFINITE,
        "LISTED": operations.LISTED, "first": first, "packed": packed, "tuple": tuple,
        "arguments_table": lambda values: _arguments(ops, values),
    }  # fmt: skip
    for name in ("callee", "no_global", "no_change", "adjusted"):
        names[name] = getattr(operations, name)
    for name in ("field", "item", "index", "set_index", "equal", "less", "at_most", "more",
                 "at_least", "raised", "add", "subtract", "multiply", "over", "remainder",
                 "negative", "for_bound",
                 "length", "concatenate", "many", "new_table", "new_list", "new_record",
                 "new_mixed"):  # fmt: skip
        names[name] = getattr(ops, name)
    for table, modules in library.TABLES.items():
        of: dict[Any, Any] = {}
        for module in modules:
            _fill(names, of, f"{table}_" if table else "", module, run)
        if table:
            names[f"k_{table}"] = Library([], of)
        if table == "string":
            ops.string_methods = of
    return names


def _fill(names: dict[str, Any], of: dict[Any, Any], prefix: str, module: Any, run: Run) -> None:
    functions = module.Functions(run)
    for name in module.FUNCTIONS:
        call = getattr(functions, "assert_" if name == "assert" else name)
        of[name.encode()] = Builtin(name, call)
        names[f"c_{prefix}{name}"], names[f"k_{prefix}{name}"] = call, of[name.encode()]
    for name, value in module.CONSTANTS.items():
        of[name.encode()] = names[f"k_{prefix}{name}"] = value
    if hasattr(functions, "each_pair"):
        names["each_pair"], names["each_item"] = functions.each_pair, functions.each_item


def _arguments(ops: operations.Operations, values: tuple[Any, ...]) -> Table:
    table = ops.new_list(list(values))
    table.map[b"n"] = float(len(values))
    return table
