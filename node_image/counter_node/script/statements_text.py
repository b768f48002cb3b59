"""Statements and functions as Python text (expressions: values_text.py).

Each block begins with a charge for all that is in it, but for the blocks inside it: an endless loop
pays for every round. A variable of Lua is one of Python with a name of its own; where a function
keeps a variable of a loop's round, the variable is a list of one element, and the function is made
by another that is given this list. A function that calls others counts itself among those that
wait; the text `B.depth` is that of Budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from counter_node.script import syntax
from counter_node.script.syntax import Expr, Stat, Variable
from counter_node.script.values_text import ANY, NUMBER, ValuesText


class StatementsText(ValuesText):
    def __init__(self) -> None:
        super().__init__()
        self._functions = 0

    def program(self, chunk: syntax.Function) -> str:
        """A Python module with the function `chunk`."""
        self.frame = chunk.frame
        self.out.emit("def chunk(KEYS, ARGV):")
        self.out.indent += 1
        self.out.emit("va = ()")
        self._block(chunk.body, indent=False)
        self.out.emit("return ()")
        return self.out.text()

    def _block(self, body: list[Stat], more: int = 0, indent: bool = True) -> None:
        """`more` are steps of every round of a loop and every call of a function. Only these ask
        whether the budget is spent: what is in no loop ends anyway."""
        out = self.out
        if indent:
            out.deeper(body[0].line if body else 0)
        outer, out.weight = out.weight, more
        out.emit("")
        place = len(out.lines) - 1
        if more:
            out.emit("if B.steps < 0: B.out_of_steps()")
        for statement in body:
            out.weight += 1
            _WRITERS[type(statement)](self, statement)
        out.lines[place] = (out.lines[place][0], f"B.steps -= {max(out.weight, 1)}")
        out.weight = outer
        if indent:
            out.indent -= 1

    # Variables

    def _declare(self, variable: Variable, text: str) -> None:
        self.out.emit(f"v{variable.number} = [{text}]" if variable.boxed else
                      f"v{variable.number} = {text}")  # fmt: skip

    def _box(self, variables: list[Variable]) -> None:
        for each in variables:
            if each.boxed:
                self.out.emit(f"v{each.number} = [v{each.number}]")

    def _values(self, values: list[Expr], count: int) -> list[str] | str:
        """A text for each of so many variables, or one for a tuple of all."""
        if values and self.is_multiple(values[-1]) and len(values) <= count and count > 1:
            return f"adjusted(({self.several(values)},), {count})"
        texts = [self.value(each) for each in values]
        return texts + ["None"] * (count - len(texts))

    def _local_statement(self, statement: syntax.LocalStat) -> None:
        variables = statement.variables
        texts = self._values(statement.values, len(variables))
        if isinstance(texts, list) and len(texts) == 1:
            self._declare(variables[0], texts[0])
            return
        names = [f"v{each.number}" for each in variables]
        if isinstance(texts, list):
            names += ["_"] * (len(texts) - len(names))
            texts = ", ".join(texts)
        self.out.emit(f"{', '.join(names)} = {texts}")
        self._box(variables)

    def _local_function(self, statement: syntax.LocalFunction) -> None:
        variable = statement.variable
        self._declare(variable, "None")
        self.out.emit(f"{self.variable(variable)} = {self.function(statement.function)}")

    def _assign(self, statement: syntax.Assign) -> None:
        targets = statement.targets
        if len(targets) == 1 and len(statement.values) == 1:
            target = targets[0]
            place = self._place(target, hold=False)
            self._set(target, place, self.value(statement.values[0]))
            return
        places = [self._place(target, hold=True) for target in targets]
        texts = self._values(statement.values, len(targets))
        names = [self.out.temporary() for _ in targets]
        if isinstance(texts, list):
            left = names + ["_"] * (len(texts) - len(names))
            self.out.emit(f"{', '.join(left)} = {', '.join(texts)}")
        else:
            self.out.emit(f"{', '.join(names)} = {texts}")
        for target, place, name in reversed(list(zip(targets, places, names, strict=True))):
            self._set(target, place, name)

    def _place(self, target: Expr, hold: bool) -> tuple[str, str]:
        """Table and key of an index, worked out before the values are."""
        if not isinstance(target, syntax.Index):
            return "", ""
        table, key = self.value(target.table), self.value(target.key)
        if not hold:
            return table, key
        names = self.out.temporary(), self.out.temporary()
        self.out.emit(f"{names[0]}, {names[1]} = {table}, {key}")
        return names

    def _set(self, target: Expr, place: tuple[str, str], text: str) -> None:
        if isinstance(target, syntax.Local):
            self.out.emit(f"{self.variable(target.variable)} = {text}")
        elif isinstance(target, syntax.Index):
            info = self._info(target.line, target.table)
            self.out.emit(f"set_index({place[0]}, {place[1]}, {text}, {info})")
        else:
            self.out.emit(f"no_change({text}, {target.line})")

    # Calls and returns

    def _call_statement(self, statement: syntax.CallStat) -> None:
        self.out.emit(self.call(statement.call))

    def _return(self, statement: syntax.Return) -> None:
        values = statement.values
        if not values:
            self.out.emit("return ()")
        elif len(values) > 1:
            text = f"({self.several(values)},)"
            multiple = self.is_multiple(values[-1])
            self.out.emit(f"return packed({text})" if multiple else f"return {text}")
        elif isinstance(values[0], syntax.Dots):
            self.out.emit("return packed(va)")
        elif isinstance(values[0], syntax.Call | syntax.Method):
            self.out.emit(f"return {self.call(values[0])}")
        else:
            self.out.emit(f"return {self.value(values[0])}")

    def _break(self, _: syntax.Break) -> None:
        self.out.emit("break")

    # Blocks

    def _do(self, statement: syntax.Do) -> None:
        self._block(statement.body, indent=False)

    def _condition(self, expression: Expr) -> tuple[str, list[tuple[int, str]], int]:
        """Its text, the definitions of functions in it, and its steps."""
        mark, weight = len(self.out.lines), self.out.weight
        text = self.condition(expression)
        return text, self.out.cut(mark), self.out.weight - weight

    def _if(self, statement: syntax.If) -> None:
        indent, word = self.out.indent, "if"
        for condition, body in statement.clauses:
            text, before, _ = self._condition(condition)
            if before and word == "elif":
                self.out.emit("else:")
                self.out.deeper(condition.line)
                word = "if"
                self.out.again(before, 1)
            else:
                self.out.again(before, 0)
            self.out.emit(f"{word} {text}:")
            self._block(body)
            word = "elif"
        if statement.otherwise:
            self.out.emit("else:")
            self._block(statement.otherwise)
        self.out.indent = indent

    def _while(self, statement: syntax.While) -> None:
        text, before, steps = self._condition(statement.condition)
        if not before:
            self.out.emit(f"while {text}:")
        else:
            self.out.emit("while True:")
            self.out.again(before, 1)
            self.out.emit(f" if not {text}: break")
        self._block(statement.body, more=steps + 1)

    def _repeat(self, statement: syntax.Repeat) -> None:
        self.out.emit("while True:")
        self._block(statement.body, more=5)
        self.out.deeper(statement.line)
        if not (statement.body and isinstance(statement.body[-1], syntax.Return | syntax.Break)):
            self.out.emit(f"if {self.condition(statement.condition)}: break")
        self.out.indent -= 1

    def _numeric_for(self, statement: syntax.NumericFor) -> None:
        names = [self.out.temporary() for _ in range(3)]
        bounds: list[Expr] = [*statement.bounds]
        for name, what, bound in zip(
            names, (b"initial value", b"limit", b"step"), bounds, strict=False
        ):
            text, kind = self.typed(bound)
            if kind is not NUMBER:
                value = text if kind is ANY else self.value(bound)
                text = f"for_bound({value}, {what!r}, {statement.line})"
            self.out.emit(f"{name} = {text}")
        at, limit, step = names
        if len(bounds) == 2:
            self.out.emit(f"{step} = 1.0")
            self.out.emit(f"while {at} <= {limit}:")
        else:
            self.out.emit(f"while ({at} <= {limit} if {step} > 0 else {limit} <= {at}):")
        self.out.deeper(statement.line)
        self._declare(statement.variable, at)
        self._block(statement.body, more=3, indent=False)
        self.out.emit(f"{at} += {step}")
        self.out.indent -= 1

    def _generic_for(self, statement: syntax.GenericFor) -> None:
        variables = statement.variables
        walker = self._walker(statement.values)
        if walker and len(variables) <= 2:
            names = [f"v{each.number}" for each in variables] + ["_"] * (2 - len(variables))
            self.out.emit(f"for {', '.join(names)} in {walker}:")
            self.out.deeper(statement.line)
            self._box(variables)
            self._block(statement.body, more=3, indent=False)
            self.out.indent -= 1
            return
        function, state, control = (self.out.temporary() for _ in range(3))
        texts = self._values(statement.values, 3)
        text = texts if isinstance(texts, str) else ", ".join(texts[:3])
        self.out.emit(f"{function}, {state}, {control} = {text}")
        self.out.emit("while True:")
        self.out.deeper(statement.line)
        call = f"callee({function}, ({statement.line}, b''))({state}, {control})"
        names = [f"v{each.number}" for each in variables]
        self.out.emit(f"{', '.join(names)}, = adjusted(many({call}), {len(names)})")
        self.out.emit(f"if {names[0]} is None: break")
        self.out.emit(f"{control} = {names[0]}")
        self._box(variables)
        self._block(statement.body, more=6, indent=False)
        self.out.indent -= 1

    def _walker(self, values: list[Expr]) -> str:
        """Python's iterator for `pairs(t)` and `ipairs(t)`."""
        if len(values) != 1 or not isinstance(call := values[0], syntax.Call):
            return ""
        function = call.function
        if not isinstance(function, syntax.Global) or function.name not in ("pairs", "ipairs"):
            return ""
        if len(call.arguments) != 1 or self.is_multiple(call.arguments[0]):
            return ""
        walker = "each_pair" if function.name == "pairs" else "each_item"
        return f"{walker}({self.value(call.arguments[0])}, {call.line})"

    # Functions

    def function(self, function: syntax.Function) -> str:
        self._functions += 1
        name = f"f{self._functions}"
        out, frame = self.out, function.frame
        boxes = [f"v{each.number}" for each in _sorted(frame.free) if each.boxed]
        if boxes:
            out.emit(f"def m{name}({', '.join(boxes)}):")
            out.deeper(function.line)
        parameters = [f"v{each.number}=None" for each in function.parameters]
        rest = "*va" if frame.vararg else "*_"
        out.emit(f"def {name}({', '.join([*parameters, rest])}):")
        out.deeper(function.line)
        changed = [f"v{each.number}" for each in _sorted(frame.assigns) if not each.boxed]
        if changed:
            out.emit(f"nonlocal {', '.join(changed)}")
        self._body(function)
        out.indent -= 1
        if boxes:
            out.emit(f"return {name}")
            out.indent -= 1
            out.emit(f"{name} = m{name}({', '.join(boxes)})")
        return name

    def _body(self, function: syntax.Function) -> None:
        out = self.out
        outer, self.frame = self.frame, function.frame
        if self.frame.arg is not None:
            self._declare(self.frame.arg, "arguments_table(va)")
        if self.frame.calls:
            out.emit("B.enter()")
            out.emit("try:")
            self._block(function.body, more=3)
            out.emit(" return ()")
            out.emit("finally: B.depth += 1")
        else:
            self._block(function.body, more=3, indent=False)
            out.emit("return ()")
        self.frame = outer


def _sorted(variables: set[Variable]) -> list[Variable]:
    return sorted(variables, key=lambda each: each.number)


_WRITERS: Final[dict[type, Callable[[StatementsText, Any], None]]] = {
    syntax.LocalStat: StatementsText._local_statement,
    syntax.LocalFunction: StatementsText._local_function,
    syntax.Assign: StatementsText._assign,
    syntax.CallStat: StatementsText._call_statement,
    syntax.Return: StatementsText._return,
    syntax.Break: StatementsText._break,
    syntax.Do: StatementsText._do,
    syntax.If: StatementsText._if,
    syntax.While: StatementsText._while,
    syntax.Repeat: StatementsText._repeat,
    syntax.NumericFor: StatementsText._numeric_for,
    syntax.GenericFor: StatementsText._generic_for,
}
