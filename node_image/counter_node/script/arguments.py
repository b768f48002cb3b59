"""What functions of the library ask of their arguments, with the errors of Lua 5.1.

A line below 0 is that of a method's call, where arguments are counted without the first."""

from __future__ import annotations

from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.errors import CHUNK, LuaError
from counter_node.script.values import Library, Table, type_name


class _Missing:
    """No argument at all, which Lua tells apart from nil in some places."""

    __slots__ = ()


MISSING: Final = _Missing()


def error(line: int | None, words: bytes) -> LuaError:
    if line is None:
        return LuaError(words, None)
    return LuaError(b"%s:%d: %s" % (CHUNK, abs(line), words), abs(line))


def bad(line: int | None, number: int, function: str, words: bytes) -> LuaError:
    if line is not None and line < 0:
        number -= 1
        if not number:
            return error(line, b"calling '%s' on bad self (%s)" % (function.encode(), words))
    return error(line, b"bad argument #%d to '%s' (%s)" % (number, function.encode(), words))


def wrong_type(line: int | None, number: int, function: str, wanted: bytes, value: Any) -> LuaError:
    got = b"no value" if value is MISSING else type_name(value)
    return bad(line, number, function, b"%s expected, got %s" % (wanted, got))


def string(line: int | None, number: int, function: str, value: Any) -> bytes:
    if value.__class__ is bytes:
        return value
    if value.__class__ is float:
        return numbers.show(value)
    raise wrong_type(line, number, function, b"string", value)


def number(line: int | None, place: int, function: str, value: Any) -> float:
    if value.__class__ is float:
        return value
    if value.__class__ is bytes and (read := numbers.read(value)) is not None:
        return read
    raise wrong_type(line, place, function, b"number", value)


def whole(
    line: int | None, place: int, function: str, value: Any, default: int | None = None
) -> int:
    """As luaL_checkinteger, which cuts a fraction off; `default` where nothing or nil is given."""
    if default is not None and (value is None or value is MISSING):
        return default
    return numbers.to_int64(number(line, place, function, value))


def table(line: int | None, place: int, function: str, value: Any) -> Table:
    if value.__class__ is Table or value.__class__ is Library:
        return value
    raise wrong_type(line, place, function, b"table", value)


def given(value: Any) -> Any:
    """nil for an argument that is not there."""
    return None if value is MISSING else value
