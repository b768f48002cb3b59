"""What a script can end with, apart from its reply.

`LuaError` is an error inside the language: `pcall` catches it. The others end the whole script and
nothing catches them: a limit that a script could swallow would be none. Each holds the text of the
error reply, as its code, a space and words."""

from __future__ import annotations

from typing import Any

CHUNK = b"user_script"


class LuaError(Exception):
    """Raised by `error`, by a wrong operand or by a command. `value` is a value of Lua; `line` is
    where it happened, None when no line of the script called."""

    def __init__(self, value: Any, line: int | None) -> None:
        super().__init__(value)
        self.value, self.line = value, line


class ScriptError(Exception):
    """The script has no reply, and its effects are to be taken back."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self.text = text.replace(b"\r", b" ").replace(b"\n", b" ")


class CompileError(ScriptError):
    """The text is no program."""

    def __init__(self, line: int, words: str) -> None:
        text = f"ERR Error compiling script (new function): user_script:{line}: {words}"
        super().__init__(text.encode("latin-1", "replace"))
        self.line = line


class ShebangError(ScriptError):
    """The first line, `#!lua …`, is none."""

    def __init__(self, words: str) -> None:
        super().__init__(f"ERR {words}".encode("latin-1", "replace"))


class UnsupportedError(CompileError):
    """A program of Lua that this engine does not run."""

    def __init__(self, line: int, word: str, reason: str) -> None:
        super().__init__(line, f"'{word}' is not supported: {reason}")
        self.word = word


class LimitError(ScriptError):
    """A budget is spent. `setting` is its name."""

    def __init__(self, setting: str, most: int, unit: str, also: str = "") -> None:
        words = f"ERR {setting} is {most}: the script needs more {unit} than that"
        super().__init__((words + (also or "; nothing of it was done")).encode())
        self.setting, self.most = setting, most


class FaultError(ScriptError):
    """The engine failed. One text, whatever the cause, so that replicas do not differ."""

    def __init__(self) -> None:
        super().__init__(b"ERR the script engine failed; nothing of the script was done")


def at(line: int | None, words: bytes) -> LuaError:
    """An error with its position before it, as luaL_error makes it."""
    return LuaError(words if line is None else b"%s:%d: %s" % (CHUNK, line, words), line)
