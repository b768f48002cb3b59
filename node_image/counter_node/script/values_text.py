"""Expressions as Python text (statements: statements_text.py).

`typed` gives a text and what is known of its value: NUMBER and STRING need no check, CONDITION is a
truth of Python that is not made a boolean of Lua yet, ANY is any single value. Where both operands
are numbers the operation is Python's own; else it is a function of operations.py, which gets the
line and the names that an error needs."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final

from counter_node.script import syntax
from counter_node.script.errors import CompileError, UnsupportedError
from counter_node.script.library import LIBRARY, UNSUPPORTED, Entry
from counter_node.script.limits import NESTING
from counter_node.script.syntax import Expr
from counter_node.script.values import FALSE, TRUE
from counter_node.script.writer import Writer

NUMBER, STRING, CONDITION, ANY = "number", "string", "condition", "any"
Typed = tuple[str, str]

_ARITHMETIC: Final = {
    "+": "add", "-": "subtract", "*": "multiply", "/": "over", "%": "remainder", "^": "raised",
}  # fmt: skip
_COMPARISON: Final = {"<": "less", "<=": "at_most", ">": "more", ">=": "at_least"}


class ValuesText(ABC):
    def __init__(self) -> None:
        self.out = Writer()
        self.frame = syntax.Frame(None)
        self._depth = 0

    @abstractmethod
    def function(self, function: syntax.Function) -> str:
        """Writes the function's definition and returns its name."""

    def value(self, expression: Expr) -> str:
        text, kind = self.typed(expression)
        return f"(T if {text} else F)" if kind is CONDITION else text

    def typed(self, expression: Expr) -> Typed:
        self.out.weight += 1
        self._depth += 1
        if self._depth > NESTING:
            words = f"chunk has too many syntax levels: more than {NESTING} operators in a row"
            raise CompileError(expression.line, words)
        found = _WRITERS[type(expression)](self, expression)
        self._depth -= 1
        return found

    def condition(self, expression: Expr) -> str:
        """Whether the value is neither nil nor false, for Python's `if`."""
        if isinstance(expression, syntax.Const):
            return str(expression.value is not None and expression.value is not FALSE)
        if isinstance(expression, syntax.Paren):
            return self.condition(expression.inner)
        if isinstance(expression, syntax.Chain) and expression.sign != "..":
            self.out.weight += 1
            parts = [self.condition(part) for part in expression.parts]
            return f"({f' {expression.sign} '.join(parts)})"
        text, kind = self.typed(expression)
        if kind is CONDITION:
            return text
        if isinstance(expression, syntax.Local):
            return f"({text} is not None and {text} is not F)"
        held = self.out.temporary()
        return f"(({held} := {text}) is not None and {held} is not F)"

    def is_multiple(self, expression: Expr) -> bool:
        if isinstance(expression, syntax.Call):
            entry = self._entry(expression.function)
            return entry is None or not entry.single
        return isinstance(expression, syntax.Method | syntax.Dots)

    def multiple(self, expression: Expr) -> str:
        """A tuple of all values of a call or of `...`."""
        if isinstance(expression, syntax.Dots):
            self.out.weight += 1
            return "many(va)"
        return f"many({self.call(expression)})"

    def several(self, expressions: list[Expr]) -> str:
        """The values of a list, for the inside of a call, a list or a tuple."""
        parts = [self.value(each) for each in expressions[:-1]]
        if expressions:
            last = expressions[-1]
            parts.append("*" + self.multiple(last) if self.is_multiple(last) else self.value(last))
        return ", ".join(parts)

    def call(self, expression: Expr) -> str:
        """A call whose result may be a tuple."""
        self.out.weight += 2
        line = expression.line
        if isinstance(expression, syntax.Method):
            self.out.weight += 6
            if isinstance(expression.table, syntax.Local):
                found = held = self.value(expression.table)
            else:
                held = self.out.temporary()
                found = f"({held} := {self.value(expression.table)})"
            name = expression.name.encode()
            member = f"field({found}, {name!r}, {self._info(line, expression.table)})"
            info = repr((-line, b"method '%s'" % name))
            arguments = ", ".join(filter(None, [held, self.several(expression.arguments)]))
            return f"callee({member}, {info})({arguments})"
        assert isinstance(expression, syntax.Call)
        target = expression.function
        entry = self._entry(target)
        arguments = self.several(expression.arguments)
        if entry is not None:
            return f"{entry.symbol}({', '.join(filter(None, [str(line), arguments]))})"
        if isinstance(target, syntax.Local) and target.variable.function:
            variable = target.variable
            if not variable.changed:
                return f"{self.variable(variable)}({arguments})"
        self.out.weight += 2
        return f"callee({self.value(target)}, {self._info(line, target)})({arguments})"

    def variable(self, variable: syntax.Variable) -> str:
        return f"v{variable.number}[0]" if variable.boxed else f"v{variable.number}"

    def name_of(self, expression: Expr) -> bytes:
        """What an error calls a value: as Lua 5.1 does."""
        if isinstance(expression, syntax.Local):
            variable = expression.variable
            kind = "local" if variable.frame is self.frame else "upvalue"
            return f"{kind} '{variable.name}'".encode()
        if isinstance(expression, syntax.Global):
            return f"global '{expression.name}'".encode()
        if isinstance(expression, syntax.Index):
            key = expression.key.value if isinstance(expression.key, syntax.Const) else None
            return b"field '%s'" % (key if isinstance(key, bytes) else b"?")
        if isinstance(expression, syntax.Paren):
            return self.name_of(expression.inner)
        if isinstance(expression, syntax.Chain) and isinstance(expression.parts[0], syntax.Const):
            # Lua leaves out a constant that decides nothing, so that the other is seen by name.
            true = self.condition(expression.parts[0]) == "True"
            if len(expression.parts) == 2 and expression.sign == ("and" if true else "or"):
                return self.name_of(expression.parts[1])
        return b""

    def _info(self, line: int, *expressions: Expr) -> str:
        return repr((line, *map(self.name_of, expressions)))

    # One for each kind of expression

    def _const(self, expression: syntax.Const) -> Typed:
        value = expression.value
        if value is None:
            return "None", ANY
        if isinstance(value, float):
            return (repr(value) if math.isfinite(value) else "INFINITY"), NUMBER
        if isinstance(value, bytes):
            return repr(value), STRING
        return ("T" if value is TRUE else "F"), ANY

    def _dots(self, _: syntax.Dots) -> Typed:
        return "(va[0] if va else None)", ANY

    def _local(self, expression: syntax.Local) -> Typed:
        return self.variable(expression.variable), ANY

    def _global(self, expression: syntax.Global) -> Typed:
        name = expression.name
        if name in ("KEYS", "ARGV"):
            return name, ANY
        self._refuse(name, expression.line)
        if (entry := LIBRARY.get(name)) is not None:
            return entry.value_symbol, ANY
        return f"no_global({name.encode()!r}, {expression.line})", ANY

    def _refuse(self, name: str, line: int) -> None:
        if name in UNSUPPORTED:
            raise UnsupportedError(line, name, UNSUPPORTED[name])

    def _entry(self, expression: Expr) -> Entry | None:
        """The function of the library that an expression names."""
        name = self._library_name(expression)
        entry = LIBRARY.get(name) if name else None
        return entry if entry is not None and entry.symbol else None

    def _library_name(self, expression: Expr) -> str:
        if isinstance(expression, syntax.Global):
            self._refuse(expression.name, expression.line)
            return expression.name
        if (
            isinstance(expression, syntax.Index)
            and isinstance(expression.table, syntax.Global)
            and isinstance(expression.key, syntax.Const)
            and isinstance(expression.key.value, bytes)
        ):
            name = f"{expression.table.name}.{expression.key.value.decode('latin-1')}"
            self._refuse(name, expression.line)
            return name
        return ""

    def _index(self, expression: syntax.Index) -> Typed:
        name = self._library_name(expression)
        if name and (entry := LIBRARY.get(name)) is not None:
            return entry.value_symbol, NUMBER if entry.number else ANY
        table = self.value(expression.table)
        info = self._info(expression.line, expression.table)
        if isinstance(expression.key, syntax.Const):
            key = expression.key.value
            if isinstance(key, bytes):
                return f"field({table}, {key!r}, {info})", ANY
            if isinstance(key, float) and 1 <= key < 2**31 and key == int(key):
                return f"item({table}, {int(key) - 1}, {info})", ANY
        return f"index({table}, {self.value(expression.key)}, {info})", ANY

    def _call(self, expression: syntax.Call | syntax.Method) -> Typed:
        text = self.call(expression)
        entry = self._entry(expression.function) if isinstance(expression, syntax.Call) else None
        if entry is not None and entry.single:
            return text, NUMBER if entry.number else ANY
        held = self.out.temporary()
        return f"({held} if ({held} := {text}).__class__ is not tuple else first({held}))", ANY

    def _function(self, expression: syntax.Function) -> Typed:
        return self.function(expression), ANY

    def _binary(self, expression: syntax.Binary) -> Typed:
        sign, line = expression.sign, expression.line
        if sign in ("==", "~="):
            return self._equality(expression), CONDITION
        left, left_kind = self._operand(expression.left)
        right, right_kind = self._operand(expression.right)
        numbers = left_kind is NUMBER and right_kind is NUMBER
        if sign in _COMPARISON:
            if numbers:
                return f"({left} {sign} {right})", CONDITION
            return f"{_COMPARISON[sign]}({left}, {right}, {line})", CONDITION
        if numbers and sign in "+-*":
            return f"({left} {sign} {right})", NUMBER
        info = self._info(line, expression.left, expression.right)
        return f"{_ARITHMETIC[sign]}({left}, {right}, {info})", NUMBER

    def _operand(self, expression: Expr) -> Typed:
        text, kind = self.typed(expression)
        return (f"(T if {text} else F)", ANY) if kind is CONDITION else (text, kind)

    def _equality(self, expression: syntax.Binary) -> str:
        not_ = "not " if expression.sign == "~=" else ""
        sides = (expression.left, expression.right)
        left, right = (self._operand(side) for side in sides)
        known = any(kind is NUMBER for _, kind in (left, right)) or any(
            isinstance(side, syntax.Const) for side in sides
        )
        if known:
            return f"({left[0]} {'!=' if not_ else '=='} {right[0]})"
        return f"({not_}equal({left[0]}, {right[0]}))"

    def _chain(self, expression: syntax.Chain) -> Typed:
        if expression.sign == "..":
            parts = [self.value(part) for part in expression.parts]
            self.out.weight += len(parts)
            info = self._info(expression.line, *expression.parts)
            return f"concatenate(({', '.join(parts)},), {info})", STRING
        if self._depth + len(expression.parts) > NESTING:
            words = f"chunk has too many syntax levels: more than {NESTING} operators in a row"
            raise CompileError(expression.line, words)
        ends = "is None or {0} is F" if expression.sign == "and" else "is not None and {0} is not F"
        text = ""
        for part in expression.parts[:-1]:
            held = self.out.temporary()
            text += f"({held} if ({held} := {self.value(part)}) {ends.format(held)} else "
        return text + self.value(expression.parts[-1]) + ")" * (len(expression.parts) - 1), ANY

    def _unary(self, expression: syntax.Unary) -> Typed:
        if expression.sign == "not":
            return f"(not {self.condition(expression.operand)})", CONDITION
        text, kind = self._operand(expression.operand)
        info = self._info(expression.line, expression.operand)
        if expression.sign == "#":
            return f"length({text}, {info})", NUMBER
        return (f"(-{text})" if kind is NUMBER else f"negative({text}, {info})"), NUMBER

    def _paren(self, expression: syntax.Paren) -> Typed:
        return self.typed(expression.inner)

    def _constructor(self, expression: syntax.Constructor) -> Typed:
        items = expression.items
        self.out.weight += len(items)
        if not items:
            return "new_table()", ANY
        if all(key is None for key, _ in items):
            return f"new_list([{self.several([value for _, value in items])}])", ANY
        named = [key for key, _ in items if isinstance(key, syntax.Const)]
        if len(named) == len(items) and all(isinstance(key.value, bytes) for key in named):
            pairs = [f"{key.value!r}: {self.value(value)}"
                     for key, (_, value) in zip(named, items, strict=True)]  # fmt: skip
            return f"new_record({{{', '.join(pairs)}}})", ANY
        last_key, last = items[-1]
        spread = last_key is None and self.is_multiple(last)
        parts = [
            f"({self.value(key) if key is not None else 'LISTED'}, {self.value(value)}), "
            for key, value in (items[:-1] if spread else items)
        ]
        rest = self.multiple(last) if spread else "()"
        return f"new_mixed(({''.join(parts)}), {rest}, {expression.line})", ANY


_WRITERS: Final[dict[type, Callable[[ValuesText, Any], Typed]]] = {
    syntax.Const: ValuesText._const,
    syntax.Dots: ValuesText._dots,
    syntax.Local: ValuesText._local,
    syntax.Global: ValuesText._global,
    syntax.Index: ValuesText._index,
    syntax.Call: ValuesText._call,
    syntax.Method: ValuesText._call,
    syntax.Function: ValuesText._function,
    syntax.Binary: ValuesText._binary,
    syntax.Chain: ValuesText._chain,
    syntax.Unary: ValuesText._unary,
    syntax.Paren: ValuesText._paren,
    syntax.Constructor: ValuesText._constructor,
}
