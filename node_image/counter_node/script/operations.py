"""What a compiled script calls for an operator, an index or a constructor.

Each takes what its error needs: the line, and the names of the operands as Lua calls them. All that
grows is charged to the budget first."""

from __future__ import annotations

from functools import partial
from types import FunctionType
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.errors import LuaError, at
from counter_node.script.limits import ENTRY_BYTES, TABLE_BYTES, Budget
from counter_node.script.values import Builtin, Library, Table, type_name

Info = tuple[Any, ...]
"""The line, then a name for each operand, empty where it has none."""
LISTED: Final = object()
"""In place of a key: the next number."""
_LONG: Final = 1_024
"""A string from which comparing it costs steps, one for each of so many bytes."""


def wrong(info: Info, place: int, value: Any, doing: bytes) -> LuaError:
    name, kind = info[place] if len(info) > place else b"", type_name(value)
    if name:
        return at(abs(info[0]), b"attempt to %s %s (a %s value)" % (doing, name, kind))
    return at(abs(info[0]), b"attempt to %s a %s value" % (doing, kind))


def callee(function: Any, info: Info) -> Any:
    """What Python can call for a value of Lua."""
    if function.__class__ is FunctionType:
        return function
    if function.__class__ is Builtin:
        return partial(function.call, info[0])
    raise wrong(info, 1, function, b"call")


def no_global(name: bytes, line: int) -> Any:
    raise at(line, b"Script attempted to access nonexistent global variable '%s'" % name)


def no_change(_: Any, line: int) -> Any:
    """Globals and libraries are read only."""
    raise at(line, b"Attempt to modify a readonly table")


def _incomparable(a: Any, b: Any, line: int) -> LuaError:
    left, right = type_name(a), type_name(b)
    if left == right:
        return at(line, b"attempt to compare two %s values" % left)
    return at(line, b"attempt to compare %s with %s" % (left, right))


def adjusted(values: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """So many values: cut, or with nil behind them."""
    if len(values) >= count:
        return values[:count]
    return values + (None,) * (count - len(values))


class Operations:
    """Those that cost more than a step."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self.string_methods: dict[Any, Any] = {}
        """What `("x"):rep(2)` finds; the engine fills it in."""

    def field(self, table: Any, key: bytes, info: Info) -> Any:
        """`table.key`"""
        if table.__class__ is Table:
            return table.map.get(key)
        return self._of_other(table, key, info)

    def item(self, table: Any, place: int, info: Info) -> Any:
        """`table[1]`, counted from 0."""
        if table.__class__ is Table:
            arr = table.arr
            return arr[place] if len(arr) > place else table.map.get(place + 1.0)
        return self._of_other(table, place + 1.0, info)

    def _of_other(self, table: Any, key: Any, info: Info) -> Any:
        if table.__class__ is Library:
            return table.get(key)
        if table.__class__ is bytes:
            return self.string_methods.get(key)
        raise wrong(info, 1, table, b"index")

    def index(self, table: Any, key: Any, info: Info) -> Any:
        if table.__class__ is Table:
            if key.__class__ is float:
                arr = table.arr
                if 1.0 <= key <= len(arr) and (place := int(key)) == key:
                    return arr[place - 1]
            elif key.__class__ is bytes and len(key) > _LONG:
                self._budget.work(len(key) // _LONG)
            return table.map.get(key)
        return self._of_other(table, key, info)

    def set_index(self, table: Any, key: Any, value: Any, info: Info) -> None:
        if table.__class__ is not Table:
            if table.__class__ is Library:
                no_change(None, info[0])
            raise wrong(info, 1, table, b"index")
        if key.__class__ is float:
            self._set_number(table, key, value, info)
            return
        if key is None:
            raise at(info[0], b"table index is nil")
        if key.__class__ is bytes and len(key) > _LONG:
            self._budget.work(len(key) // _LONG)
        of = table.map
        if key not in of:
            if value is None:
                return
            self._budget.make(ENTRY_BYTES)
        of[key] = value

    def _set_number(self, table: Table, key: float, value: Any, info: Info) -> None:
        arr, of = table.arr, table.map
        if 1.0 <= key <= len(arr) and (place := int(key)) == key:
            arr[place - 1] = value
            if value is None and place == len(arr):
                table.trim()
        elif key == len(arr) + 1 and value is not None:
            self._budget.make(16)
            arr.append(value)
            if of:
                of[key] = None
                table.gather()
        elif key != key:
            raise at(info[0], b"table index is NaN")
        elif key in of:
            of[key] = value
        elif value is not None:
            self._budget.make(ENTRY_BYTES)
            of[key] = value

    def equal(self, a: Any, b: Any) -> Any:
        if a.__class__ is bytes and len(a) > _LONG:
            self._budget.work(len(a) // _LONG)
        return a == b

    def less(self, a: Any, b: Any, line: int) -> bool:
        if a.__class__ is float and b.__class__ is float:
            return a < b
        if a.__class__ is bytes and b.__class__ is bytes:
            self._budget.work(len(a) // _LONG)
            return a < b
        raise _incomparable(a, b, line)

    def at_most(self, a: Any, b: Any, line: int) -> bool:
        if a.__class__ is float and b.__class__ is float:
            return a <= b
        if a.__class__ is bytes and b.__class__ is bytes:
            self._budget.work(len(a) // _LONG)
            return a <= b
        raise _incomparable(a, b, line)

    def more(self, a: Any, b: Any, line: int) -> bool:
        return self.less(b, a, line)

    def at_least(self, a: Any, b: Any, line: int) -> bool:
        return self.at_most(b, a, line)

    def _number(self, value: Any) -> float | None:
        if value.__class__ is float:
            return value
        if value.__class__ is not bytes:
            return None
        self._budget.work(3)
        return numbers.read(value)

    def _numbers(self, a: Any, b: Any, info: Info) -> tuple[float, float]:
        """Strings that look like numbers are ones."""
        left, right = self._number(a), self._number(b)
        if left is None:
            raise wrong(info, 1, a, b"perform arithmetic on")
        if right is None:
            raise wrong(info, 2, b, b"perform arithmetic on")
        return left, right

    def add(self, a: Any, b: Any, info: Info) -> Any:
        if a.__class__ is not float or b.__class__ is not float:
            a, b = self._numbers(a, b, info)
        return a + b

    def subtract(self, a: Any, b: Any, info: Info) -> Any:
        if a.__class__ is not float or b.__class__ is not float:
            a, b = self._numbers(a, b, info)
        return a - b

    def multiply(self, a: Any, b: Any, info: Info) -> Any:
        if a.__class__ is not float or b.__class__ is not float:
            a, b = self._numbers(a, b, info)
        return a * b

    def over(self, a: Any, b: Any, info: Info) -> float:
        if a.__class__ is not float or b.__class__ is not float:
            a, b = self._numbers(a, b, info)
        return a / b if b else numbers.divide(a, b)

    def remainder(self, a: Any, b: Any, info: Info) -> float:
        if a.__class__ is not float or b.__class__ is not float:
            a, b = self._numbers(a, b, info)
        return numbers.modulo(a, b)

    def negative(self, a: Any, info: Info) -> Any:
        if a.__class__ is not float:
            a, _ = self._numbers(a, 0.0, info)
        return -a

    def for_bound(self, value: Any, what: bytes, line: int) -> float:
        number = self._number(value)
        if number is None:
            raise at(line, b"'for' %s must be a number" % what)
        return number

    def raised(self, a: Any, b: Any, info: Info) -> float:
        if a.__class__ is not float or b.__class__ is not float:
            a, b = self._numbers(a, b, info)
        self._budget.work(POWER_STEPS if b != 2 else 1)
        return numbers.power(a, b)

    def length(self, value: Any, info: Info) -> float:
        if value.__class__ is Table or value.__class__ is Library:
            return float(len(value.arr))
        if value.__class__ is bytes:
            return float(len(value))
        raise wrong(info, 1, value, b"get length of")

    def concatenate(self, parts: tuple[Any, ...], info: Info) -> bytes:
        texts = [
            part if isinstance(part, bytes) else numbers.show(part)
            for part in parts
            if part.__class__ is bytes or part.__class__ is float
        ]
        if len(texts) != len(parts):
            raise self._not_joined(parts, info)
        size = sum(map(len, texts))
        self._budget.make(size + 48)
        return b"".join(texts)

    @staticmethod
    def _not_joined(parts: tuple[Any, ...], info: Info) -> LuaError:
        """Lua joins from the right, and blames the left of two when both are wrong."""
        fits = [part.__class__ is bytes or part.__class__ is float for part in parts]
        last = len(parts) - 1 - fits[::-1].index(False)
        blamed = last - 1 if last == len(parts) - 1 and not fits[last - 1] else last
        return wrong(info, blamed + 1, parts[blamed], b"concatenate")

    def many(self, result: Any) -> tuple[Any, ...]:
        """All values of a call, to be put into a list or into another call."""
        if result.__class__ is not tuple:
            return (result,)
        if len(result) > 8:
            self._budget.work(len(result) // 8)
        return result

    def new_table(self) -> Table:
        self._budget.make(TABLE_BYTES)
        return Table([], {})

    def new_list(self, values: list[Any]) -> Table:
        self._budget.make(TABLE_BYTES + 16 * len(values))
        table = Table(values, {})
        if values and values[-1] is None:
            table.trim()
        return table

    def new_record(self, of: dict[Any, Any]) -> Table:
        self._budget.make(TABLE_BYTES + ENTRY_BYTES * len(of))
        return Table([], of)

    def new_mixed(
        self, pairs: tuple[tuple[Any, Any], ...], rest: tuple[Any, ...], line: int
    ) -> Table:
        listed = [value for key, value in pairs if key is LISTED]
        self._budget.make(TABLE_BYTES)
        table = Table([], {})
        for key, value in pairs:
            if key is not LISTED:
                self.set_index(table, key, value, (line,))
        placed = [*listed, *rest]
        self._budget.make(16 * len(placed))
        for place, value in enumerate(placed, 1):
            if place <= len(table.arr):
                table.arr[place - 1] = value
            else:
                table.map.pop(float(place), None)
                table.arr.append(value)
        table.trim()
        table.gather()
        return table


POWER_STEPS: Final = 200
"""What a power or a logarithm costs: up to 60 µs."""
