"""The values of Lua, as Python has them here:

    nil       None                      string    bytes
    boolean   TRUE, FALSE               table     Table
    number    float, always             function  a Python function, or a Builtin

Booleans are objects of our own, as Python's True equals 1.0 and would be the same key of a table.
With them `==` is Lua's equality for every pair of values, and a dict is a table's hash.

A function returns one value, or a tuple when there are none or several: no value of Lua is a tuple.

A table has a list for the keys 1, 2, 3 … and a dict for the others. The dict keeps the order of
insertion: `pairs` gives the list first and then the keys as they came, on every replica. A key that
is set to nil stays in the dict with None, so that a table may be emptied while it is walked.
Invariants: the last element of the list is not None, and the key after it is in the dict with None
or not at all. `Table` is here in Python, and compiled (`fast/scripts.pyx`) where
counter_node/compiled.py says so."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

from counter_node.compiled import compiled


class Bool:
    __slots__ = ("text",)

    def __init__(self, text: bytes) -> None:
        self.text = text


TRUE: Final = Bool(b"true")
FALSE: Final = Bool(b"false")


class Null:
    """cjson.null, the one value of the type userdata."""

    __slots__ = ()


NULL: Final = Null()


class Builtin:
    """A function of the library as a value: `call(line, *args)`."""

    __slots__ = ("call", "name")

    def __init__(self, name: str, call: Callable[..., Any]) -> None:
        self.name, self.call = name, call


class PureTable:
    __slots__ = ("arr", "map", "order")

    def __init__(self, arr: list[Any], of: dict[Any, Any]) -> None:
        self.arr, self.map = arr, of
        self.order: tuple[list[Any], dict[Any, int]] | None = None
        """The dict's keys and the place of each, for `next`."""

    def get(self, key: Any) -> Any:
        if key.__class__ is float:
            arr = self.arr
            if 1.0 <= key <= len(arr) and (place := int(key)) == key:
                return arr[place - 1]
        return self.map.get(key)

    def trim(self) -> None:
        arr = self.arr
        while arr and arr[-1] is None:
            arr.pop()

    def gather(self) -> None:
        """Keys that follow the list move into it."""
        arr, of = self.arr, self.map
        while (value := of.get(float(len(arr) + 1))) is not None:
            of[float(len(arr) + 1)] = None
            arr.append(value)


if TYPE_CHECKING:
    Table = PureTable
else:
    _fast = compiled("scripts")
    Table = PureTable if _fast is None else _fast.Table


class Library(Table):
    """A table of the engine: scripts read it only."""

    __slots__ = ()


_TYPES: Final = {
    type(None): b"nil",
    Bool: b"boolean",
    float: b"number",
    bytes: b"string",
    Table: b"table",
    Library: b"table",
    FunctionType: b"function",
    Builtin: b"function",
    Null: b"userdata",
}


def type_name(value: Any) -> bytes:
    return _TYPES[value.__class__]


def is_table(value: Any) -> bool:
    return value.__class__ is Table or value.__class__ is Library


def is_function(value: Any) -> bool:
    return value.__class__ is FunctionType or value.__class__ is Builtin


def first(result: Any) -> Any:
    """The value of a call where one is wanted."""
    if result.__class__ is tuple:
        return result[0] if result else None
    return result


def many(result: Any) -> tuple[Any, ...]:
    """All values of a call."""
    return result if result.__class__ is tuple else (result,)


def packed(values: tuple[Any, ...]) -> Any:
    """What a function returns for these values."""
    return values[0] if len(values) == 1 else values
