"""The functions without a table: `tonumber`, `pairs`, `pcall` and the like."""

from __future__ import annotations

from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, bad, error, given, table, whole, wrong_type
from counter_node.script.errors import LuaError
from counter_node.script.operations import callee
from counter_node.script.run import Run
from counter_node.script.values import (
    FALSE,
    TRUE,
    Bool,
    Builtin,
    Table,
    first,
    is_table,
    many,
    packed,
    type_name,
)

FUNCTIONS: Final = {
    "assert": "any", "error": "any", "ipairs": "any", "next": "any", "pairs": "any",
    "pcall": "any", "rawequal": "one", "rawget": "one", "rawset": "one", "select": "any",
    "tonumber": "one", "tostring": "one", "type": "one", "unpack": "any", "xpcall": "any",
}  # fmt: skip
CONSTANTS: Final = {"_VERSION": b"Lua 5.1"}
_UNPACKED: Final = 7_999
"""As many as Lua's stack has room for."""
_CAUGHT: Final = 10
"""Steps of a call that catches errors."""


class Functions:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._budget = run.budget
        self._next = Builtin("next", self.next)
        self._inext = Builtin("ipairs_next", self._following)

    def assert_(self, line: int | None, value: Any = MISSING, *more: Any) -> Any:
        if value is MISSING:
            raise bad(line, 1, "assert", b"value expected")
        if value is not None and value is not FALSE:
            return (value, *more) if more else value
        message = more[0] if more else b"assertion failed!"
        if message.__class__ is not bytes and message.__class__ is not float:
            if message is None:
                message = b"assertion failed!"
            else:
                raise wrong_type(line, 2, "assert", b"string", message)
        text = message if isinstance(message, bytes) else numbers.show(message)
        raise error(line, text)

    def error(self, line: int | None, value: Any = None, level: Any = None, *_: Any) -> Any:
        place = whole(line, 2, "error", level, 1)
        if value.__class__ is float and place > 0:
            value = numbers.show(value)
        if value.__class__ is bytes and place == 1 and line is not None:
            self._budget.make(len(value) + 64)  # the place is put before it
            raise error(line, value)
        raise LuaError(value, None if line is None else abs(line))

    def type(self, line: int | None, value: Any = MISSING, *_: Any) -> bytes:
        if value is MISSING:
            raise bad(line, 1, "type", b"value expected")
        return type_name(value)

    def tostring(self, line: int | None, value: Any = MISSING, *_: Any) -> bytes:
        if value.__class__ is bytes:
            return value
        if value.__class__ is float:
            self._budget.make(64)
            self._budget.work(1)
            return numbers.show(value)
        if value is MISSING:
            raise bad(line, 1, "tostring", b"value expected")
        return self._run.text_of(value)

    def tonumber(self, line: int | None, value: Any = MISSING, base: Any = None, *_: Any) -> Any:
        if base is not None:
            return self._in_base(line, value, base)
        if value.__class__ is float:
            return value
        if value.__class__ is bytes:
            self._budget.work(2)
            return numbers.read(value)
        if value is MISSING:
            raise bad(line, 1, "tonumber", b"value expected")
        return None

    def _in_base(self, line: int | None, value: Any, base: Any) -> Any:
        digits = whole(line, 2, "tonumber", base)
        if digits == 10:
            return self.tonumber(line, value)
        if value.__class__ is float:
            value = numbers.show(value)
        if value.__class__ is not bytes:
            raise wrong_type(line, 1, "tonumber", b"string", value)
        if not 2 <= digits <= 36:
            raise bad(line, 2, "tonumber", b"base out of range")
        self._budget.work(20)
        return numbers.read_in_base(value, digits)

    def select(self, line: int | None, place: Any = MISSING, *values: Any) -> Any:
        if place == b"#":
            return float(len(values))
        number = whole(line, 1, "select", place)
        if number < 0:
            number += len(values) + 1
        if number < 1:
            raise bad(line, 1, "select", b"index out of range")
        return packed(values[number - 1 :])

    def unpack(
        self,
        line: int | None,
        of: Any = MISSING,
        begin: Any = None,
        end: Any = None,
        *_: Any,
    ) -> Any:
        values = table(line, 1, "unpack", of)
        low = whole(line, 2, "unpack", begin, 1)
        high = whole(line, 3, "unpack", end, len(values.arr))
        if high - low >= _UNPACKED:
            raise error(line, b"too many results to unpack")
        if low > high:
            return ()
        self._budget.work((high - low) // 4)
        self._budget.make(8 * (high - low))
        if low == 1 and high == len(values.arr):
            return packed(tuple(values.arr))
        return packed(tuple([values.get(float(place)) for place in range(low, high + 1)]))

    # Walking a table

    def pairs(self, line: int | None, of: Any = MISSING, *_: Any) -> Any:
        return self._next, table(line, 1, "pairs", of), None

    def ipairs(self, line: int | None, of: Any = MISSING, *_: Any) -> Any:
        return self._inext, table(line, 1, "ipairs", of), 0.0

    def _following(self, line: int | None, of: Any, place: Any, *_: Any) -> Any:
        value = table(line, 1, "ipairs", of).get(place + 1.0)
        return () if value is None else (place + 1.0, value)

    def each_pair(self, of: Any, line: int) -> Iterator[tuple[Any, Any]]:
        """`for … in pairs(of)`"""
        walked = table(line, 1, "pairs", of)
        arr, place = walked.arr, 0
        self._budget.work((len(arr) + len(walked.map)) // 2)
        while place < len(arr):
            value, place = arr[place], place + 1
            if value is not None:
                yield float(place), value
        if walked.map:
            for key in list(walked.map):
                if (value := walked.map.get(key)) is not None:
                    yield key, value

    def each_item(self, of: Any, line: int) -> Iterator[tuple[Any, Any]]:
        """`for … in ipairs(of)`"""
        walked, place = table(line, 1, "ipairs", of), 1.0
        while (value := walked.get(place)) is not None:
            yield place, value
            place += 1.0

    def next(self, line: int | None, of: Any = MISSING, key: Any = None, *_: Any) -> Any:
        walked = table(line, 1, "next", of)
        self._budget.work(3)
        arr, place, from_key = walked.arr, 0, 0
        if key.__class__ is float and key >= 1 and key == int(min(key, 2.0**53)):
            place = int(min(key, len(arr)))
            if key > len(arr) and key in walked.map:
                place, from_key = len(arr), self._order(walked)[1][key] + 1
        elif key is not None:
            known = self._order(walked)[1].get(key)
            if known is None:
                raise LuaError(b"invalid key to 'next'", None if line is None else abs(line))
            place, from_key = len(arr), known + 1
        return self._from(walked, place, from_key)

    def _from(self, walked: Table, place: int, from_key: int) -> Any:
        arr = walked.arr
        for at in range(place, len(arr)):
            self._budget.work(at & 1)
            if arr[at] is not None:
                return float(at + 1), arr[at]
        if walked.map:
            keys = self._order(walked)[0]
            for at in range(from_key, len(keys)):
                self._budget.work(at & 1)
                if (value := walked.map[keys[at]]) is not None:
                    return keys[at], value
        return None

    def _order(self, of: Table) -> tuple[list[Any], dict[Any, int]]:
        """Keys never leave the dict: as many as then are the same as then."""
        if of.order is None or len(of.order[0]) != len(of.map):
            self._budget.work(len(of.map))
            keys = list(of.map)
            of.order = keys, {key: place for place, key in enumerate(keys)}
        return of.order

    # Errors that are caught

    def pcall(self, line: int | None, function: Any = MISSING, *arguments: Any) -> Any:
        if function is MISSING:
            raise bad(line, 1, "pcall", b"value expected")
        budget = self._budget
        depth = budget.depth
        budget.work(_CAUGHT)
        budget.enter()
        try:
            result = self._call(function, arguments)
        except LuaError as caught:
            budget.depth = depth
            value = caught.value
            # Redis gives the text of a command's error, where it raises a table.
            if is_table(value) and value.get(b"err").__class__ is bytes:
                value = value.get(b"err")
            return FALSE, value
        budget.depth = depth
        return (TRUE, *result) if result.__class__ is tuple else (TRUE, result)

    def xpcall(
        self, line: int | None, function: Any = None, handler: Any = MISSING, *_: Any
    ) -> Any:
        if handler is MISSING:
            raise bad(line, 2, "xpcall", b"value expected")
        budget = self._budget
        depth = budget.depth
        budget.work(_CAUGHT)
        budget.enter()
        try:
            result = self._call(function, ())
        except LuaError as caught:
            budget.depth = depth
            return (FALSE, *many(self._call(handler, (caught.value,))))
        budget.depth = depth
        return (TRUE, *many(result))

    @staticmethod
    def _call(function: Any, arguments: tuple[Any, ...]) -> Any:
        if function.__class__ is FunctionType:
            return function(*arguments)
        if function.__class__ is Builtin:
            return function.call(None, *arguments)
        raise LuaError(b"attempt to call a %s value" % type_name(function), None)

    # Without metatables these are the operators themselves

    def rawequal(self, line: int | None, a: Any = MISSING, b: Any = MISSING, *_: Any) -> Bool:
        if a is MISSING or b is MISSING:
            raise bad(line, 1 if a is MISSING else 2, "rawequal", b"value expected")
        self._budget.work(len(a) // 1_024 if a.__class__ is bytes else 0)
        return TRUE if a == b else FALSE

    def rawget(self, line: int | None, of: Any = MISSING, key: Any = None, *_: Any) -> Any:
        return self._run.operations.index(table(line, 1, "rawget", of), key, (line,))

    def rawset(
        self,
        line: int | None,
        of: Any = MISSING,
        key: Any = None,
        value: Any = None,
        *_: Any,
    ) -> Any:
        where = abs(line or 0)
        self._run.operations.set_index(table(line, 1, "rawset", of), key, value, (where,))
        return given(of)


def called(function: Any, line: int | None, *arguments: Any) -> Any:
    """One value of a function that the library calls."""
    return first(callee(function, (line or 0, b""))(*arguments))
