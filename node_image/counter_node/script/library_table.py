"""The functions of `table`. Sorting is Python's own, which keeps the order of equal elements; a
comparison that contradicts itself gives some order, the same on every replica."""

from __future__ import annotations

from functools import cmp_to_key
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, error, given, string, table, whole, wrong_type
from counter_node.script.errors import LuaError
from counter_node.script.library_base import called
from counter_node.script.run import Run
from counter_node.script.values import FALSE, Table, is_function, type_name

FUNCTIONS: Final = {
    "concat": "one", "foreach": "any", "foreachi": "any", "getn": "number", "insert": "any",
    "maxn": "number", "remove": "any", "sort": "any",
}  # fmt: skip
CONSTANTS: Final[dict[str, Any]] = {}


class Functions:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._budget = run.budget

    def _changeable(self, line: int | None, name: str, of: Any) -> Table:
        found = table(line, 1, name, of)
        if type(found) is not Table:
            raise error(line, b"Attempt to modify a readonly table")
        return found

    def getn(self, line: int | None, of: Any = MISSING, *_: Any) -> float:
        return float(len(table(line, 1, "getn", of).arr))

    def maxn(self, line: int | None, of: Any = MISSING, *_: Any) -> float:
        found = table(line, 1, "maxn", of)
        self._budget.work(len(found.map))
        keys = [
            key for key, value in found.map.items() if key.__class__ is float and value is not None
        ]
        return max([float(len(found.arr)), *keys])

    def insert(self, line: int | None, of: Any = MISSING, *rest: Any) -> Any:
        found = self._changeable(line, "insert", of)
        size = len(found.arr)
        if len(rest) not in (1, 2):
            raise error(line, b"wrong number of arguments to 'insert'")
        place = size + 1 if len(rest) == 1 else whole(line, 2, "insert", rest[0])
        value = rest[-1]
        if not 1 <= place <= size + 1 or value is None or place == size + 1:
            # Between nothing: it is set, with what lies behind moved up one by one where it is.
            for at in range(size, place - 1, -1):
                self._budget.work(1)
                self._set(found, at + 1, found.get(float(at)), line)
            self._set(found, place, value, line)
            return ()
        self._budget.work((size - place) // 32)
        self._budget.make(16)
        found.arr.insert(place - 1, value)
        found.map.pop(float(size + 1), None)
        found.gather()
        return ()

    def _set(self, of: Table, place: int, value: Any, line: int | None) -> None:
        self._run.operations.set_index(of, float(place), value, (abs(line or 0),))

    def remove(self, line: int | None, of: Any = MISSING, place: Any = None, *_: Any) -> Any:
        found = self._changeable(line, "remove", of)
        size = len(found.arr)
        at = whole(line, 2, "remove", place, size)
        if not 1 <= at <= size:
            return ()
        self._budget.work((size - at) // 32)
        value = found.arr.pop(at - 1)
        found.trim()
        return value

    def concat(
        self,
        line: int | None,
        of: Any = MISSING,
        between: Any = None,
        begin: Any = None,
        end: Any = None,
        *_: Any,
    ) -> bytes:
        found = table(line, 1, "concat", of)
        separator = b"" if between is None else string(line, 2, "concat", between)
        low = whole(line, 3, "concat", begin, 1)
        high = whole(line, 4, "concat", end, len(found.arr))
        parts: list[bytes] = []
        size = 0
        for place in range(low, high + 1):
            self._budget.work(3)
            value = found.get(float(place))
            if value.__class__ is float:
                value = numbers.show(value)
            elif value.__class__ is not bytes:
                words = b"invalid value (%s) at index %d in table for 'concat'"
                raise error(line, words % (type_name(value), place))
            parts.append(value)
            size += len(value) + len(separator)
        self._budget.make(size + 48)
        return separator.join(parts)

    def sort(self, line: int | None, of: Any = MISSING, before: Any = None, *_: Any) -> Any:
        found = self._changeable(line, "sort", of)
        if before is not None and not is_function(before):
            raise wrong_type(line, 2, "sort", b"function", before)
        self._budget.work(len(found.arr) // 4)
        self._budget.make(16 * len(found.arr))

        def compare(a: Any, b: Any) -> int:
            if self._is_before(a, b, before, line):
                return -1
            return 1 if self._is_before(b, a, before, line) else 0

        found.arr = sorted(found.arr, key=cmp_to_key(compare))
        found.trim()
        return ()

    def _is_before(self, a: Any, b: Any, before: Any, line: int | None) -> bool:
        self._budget.work(2)
        if before is not None:
            result = called(before, line, a, b)
            return result is not None and result is not FALSE
        try:
            return self._run.operations.less(a, b, 0)
        except LuaError as wrong:
            # Lua gives no position here, as a function of the library compared.
            words = wrong.value.partition(b": ")[2]
            raise LuaError(words, None if line is None else abs(line)) from None

    def foreach(self, line: int | None, of: Any = MISSING, function: Any = MISSING, *_: Any) -> Any:
        found = table(line, 1, "foreach", of)
        for place, value in enumerate(list(found.arr), 1):
            if value is not None and (result := self._each(line, function, place, value)):
                return result[0]
        for key in list(found.map):
            value = found.map[key]
            if value is not None and (result := self._each(line, function, key, value)):
                return result[0]
        return ()

    def foreachi(
        self, line: int | None, of: Any = MISSING, function: Any = MISSING, *_: Any
    ) -> Any:
        found = table(line, 1, "foreachi", of)
        for place in range(1, len(found.arr) + 1):
            if result := self._each(line, function, place, found.get(float(place))):
                return result[0]
        return ()

    def _each(self, line: int | None, function: Any, key: Any, value: Any) -> tuple[Any, ...]:
        """A result that is not nil ends the walk."""
        self._budget.work(6)
        if not is_function(function):
            raise wrong_type(line, 2, "foreach", b"function", function)
        key = float(key) if type(key) is int else key
        result = given(called(function, line, key, value))
        return () if result is None else (result,)
