"""The functions of `redis`. Nothing here does more than call a command: what a script logs is
dropped, since every replica would log it."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, number
from counter_node.script.errors import LuaError
from counter_node.script.replies import Failure, error_table, to_lua
from counter_node.script.run import Run
from counter_node.script.values import TRUE, Table

VERSION: Final = (7, 0, 15)
"""Of the Redis whose scripts are meant (tests compare with it)."""
FUNCTIONS: Final = {
    "call": "one", "pcall": "one", "error_reply": "one", "status_reply": "one", "log": "any",
    "sha1hex": "one", "setresp": "any", "replicate_commands": "one",
}  # fmt: skip
CONSTANTS: Final[dict[str, Any]] = {
    "LOG_DEBUG": 0.0, "LOG_VERBOSE": 1.0, "LOG_NOTICE": 2.0, "LOG_WARNING": 3.0,
    "REPL_ALL": 3.0, "REPL_AOF": 1.0, "REPL_NONE": 0.0, "REPL_REPLICA": 2.0, "REPL_SLAVE": 2.0,
    "REDIS_VERSION": b"%d.%d.%d" % VERSION,
    "REDIS_VERSION_NUM": float(VERSION[0] << 16 | VERSION[1] << 8 | VERSION[2]),
}  # fmt: skip
_NO_COMMAND: Final = Failure(b"ERR Please specify at least one argument for this redis lib call")
_NO_WORD: Final = Failure(b"ERR Lua redis lib command arguments must be strings or integers")


def failed(line: int | None, reply: Failure) -> LuaError:
    """What `redis.call` raises for an error."""
    return LuaError(error_table(bytes(reply)), None if line is None else abs(line))


class Functions:
    def __init__(self, run: Run) -> None:
        self._run = run

    def call(self, line: int | None, *words: Any) -> Any:
        reply = self._reply(words)
        if reply.__class__ is float:
            return reply
        if reply.__class__ is Failure:
            raise failed(line, reply)
        return to_lua(self._run, reply)

    def pcall(self, line: int | None, *words: Any) -> Any:
        reply = self._reply(words)
        if reply.__class__ is float:
            return reply
        if reply is _NO_COMMAND or reply is _NO_WORD:
            return Table([], {b"err": bytes(reply)})
        return error_table(bytes(reply)) if reply.__class__ is Failure else to_lua(self._run, reply)

    def _reply(self, words: tuple[Any, ...]) -> Any:
        """The command's reply; a number of Lua at once, as that is the commonest."""
        argv: list[bytes] = []
        for word in words:
            if word.__class__ is bytes:
                argv.append(word)
            elif word.__class__ is float:
                argv.append(numbers.argument(word))
            else:
                return _NO_WORD
        if not argv:
            return _NO_COMMAND
        run = self._run
        run.budget.command()
        reply = run.command(argv, run.protocol)
        return float(reply) if reply.__class__ is int else reply

    def error_reply(self, line: int | None, *text: Any) -> Table:
        if len(text) != 1 or text[0].__class__ is not bytes:
            return Table([], {b"err": b"ERR wrong number or type of arguments"})
        words = text[0]
        self._run.budget.make(len(words) + 256)
        if words[:1] == b"-":
            words = words[1:]
            words = words if b" " in words else b"ERR " + words
        elif b" " not in words:
            words = b"ERR " + words
        return Table([], {b"err": words})

    def status_reply(self, line: int | None, *text: Any) -> Table:
        if len(text) != 1 or text[0].__class__ is not bytes:
            return Table([], {b"err": b"ERR wrong number or type of arguments"})
        self._run.budget.make(256)
        return Table([], {b"ok": text[0]})

    def log(self, line: int | None, level: Any = MISSING, *words: Any) -> Any:
        where = None if line is None else abs(line)
        if not words:
            raise LuaError(
                Table([], {b"err": b"ERR redis.log() requires two arguments or more."}), where
            )
        if level.__class__ is not float and numbers_of(level) is None:
            raise LuaError(
                Table([], {b"err": b"ERR First argument must be a number (log level)."}), where
            )
        if not 0 <= number(line, 1, "log", level) <= 3:
            raise LuaError(Table([], {b"err": b"ERR Invalid debug level."}), where)
        return ()

    def sha1hex(self, line: int | None, *text: Any) -> bytes:
        if len(text) != 1:
            raise LuaError(
                Table([], {b"err": b"ERR wrong number of arguments"}),
                None if line is None else abs(line),
            )
        found = numbers.show(text[0]) if text[0].__class__ is float else text[0]
        words = found if found.__class__ is bytes else b""
        self._run.budget.work(10 + len(words) // 64)
        self._run.budget.make(96)
        return hashlib.sha1(words, usedforsecurity=False).hexdigest().encode()

    def setresp(self, line: int | None, *version: Any) -> Any:
        where = None if line is None else abs(line)
        if len(version) != 1:
            words = b"ERR redis.setresp() requires one argument."
            raise LuaError(Table([], {b"err": words}), where)
        if version[0] not in (2.0, 3.0):
            raise LuaError(Table([], {b"err": b"ERR RESP version must be 2 or 3."}), where)
        self._run.protocol = int(version[0])
        return ()

    def replicate_commands(self, line: int | None, *_: Any) -> Any:
        return TRUE


def numbers_of(value: Any) -> float | None:
    return numbers.read(value) if value.__class__ is bytes else None
