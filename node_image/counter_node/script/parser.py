"""Tokens to the tree of statements, with each name resolved to its variable (expressions:
expressions.py). Errors have the line and the word, in the words of Lua 5.1.

Blocks, functions and operators inside each other are counted, far below what Python's own stack and
its compiler bear."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from counter_node.script import syntax
from counter_node.script.errors import CompileError
from counter_node.script.expressions import Expressions
from counter_node.script.lexer import END, SIGN
from counter_node.script.syntax import Expr, Frame, Stat

_LAST = frozenset({"else", "elseif", "end", "until"})
_LOOPS = 15
"""Loops inside each other in one function: Python's compiler takes 20 blocks."""


class Parser(Expressions):
    def chunk(self) -> syntax.Function:
        self.frame = Frame(None, vararg=True, uses_dots=True)
        body = self.block()
        if self.token.kind != END:
            raise self.unexpected("'<eof>' expected")
        return syntax.Function(self.frame, [], body, 1)

    def block(self) -> list[Stat]:
        """Statements up to a word that ends a block, in a scope of their own."""
        self.scopes.append({})
        body = self._statements()
        self.close_scope()
        return body

    def _statements(self) -> list[Stat]:
        self.deeper()
        body: list[Stat] = []
        while not self._at_end():
            if self.token.kind == SIGN and self.token.text in ("return", "break"):
                body.append(self._last_statement())
                break
            body.append(self._statement())
            self.accept(";")
        self.nesting -= 1
        return body

    def _at_end(self) -> bool:
        kind = self.token.kind
        return kind == END or (kind == SIGN and self.token.text in _LAST)

    def _last_statement(self) -> Stat:
        line = self.token.line
        if self.accept("break"):
            if not self.frame.loops:
                raise CompileError(line, f"no loop to break near '{self.token.text}'")
            self.accept(";")
            return syntax.Break(line)
        self.advance()
        values: list[Expr] = []
        if not self._at_end() and not (self.token.kind == SIGN and self.token.text == ";"):
            values = self.expressions()
        self.accept(";")
        if not self._at_end():
            raise self.unexpected("'<eof>' expected" if len(self.scopes) == 1 else "'end' expected")
        return syntax.Return(values, line)

    def _statement(self) -> Stat:
        token = self.token
        if token.kind == SIGN:
            method = _STATEMENTS.get(token.text)
            if method is not None:
                self.advance()
                return method(self, token.line)
        return self._expression_statement()

    def _expression_statement(self) -> Stat:
        line = self.token.line
        target = self.suffixed()
        if isinstance(target, syntax.Call | syntax.Method):
            return syntax.CallStat(target, line)
        targets = [self._assignable(target)]
        while self.accept(","):
            targets.append(self._assignable(self.suffixed()))
            if len(targets) > 50:
                raise CompileError(line, "too many variables in assignment")
        self.expect("=")
        return syntax.Assign(targets, self.expressions(), line)

    def _assignable(self, target: Expr) -> syntax.Local | syntax.Global | syntax.Index:
        if isinstance(target, syntax.Local):
            self.assigned(target.variable)
        elif not isinstance(target, syntax.Global | syntax.Index):
            raise self.unexpected("syntax error")
        return target

    @contextmanager
    def _loop(self, line: int) -> Iterator[None]:
        self.frame.loops += 1
        if self.frame.loops > _LOOPS:
            raise CompileError(line, f"more than {_LOOPS} loops inside each other")
        yield
        self.frame.loops -= 1

    def _do(self, line: int) -> Stat:
        body = self.block()
        self.close("end", "do", line)
        return syntax.Do(body, line)

    def _while(self, line: int) -> Stat:
        with self._loop(line):
            condition = self.expression()
            self.expect("do")
            body = self.block()
        self.close("end", "while", line)
        return syntax.While(condition, body, line)

    def _repeat(self, line: int) -> Stat:
        with self._loop(line):
            self.scopes.append({})
            body = self._statements()
            self.close("until", "repeat", line)
            condition = self.expression()
            self.close_scope()
        return syntax.Repeat(body, condition, line)

    def _if(self, line: int) -> Stat:
        clauses: list[tuple[Expr, list[Stat]]] = []
        otherwise: list[Stat] = []
        while True:
            condition = self.expression()
            self.expect("then")
            clauses.append((condition, self.block()))
            if self.accept("elseif"):
                continue
            if self.accept("else"):
                otherwise = self.block()
            break
        self.close("end", "if", line)
        return syntax.If(clauses, otherwise, line)

    def _for(self, line: int) -> Stat:
        names = [self.name()]
        with self._loop(line):
            if self.accept("="):
                return self._numeric_for(names[0], line)
            while self.accept(","):
                names.append(self.name())
            self.frame.calls = True
            self.expect("in", "'=' or 'in' expected")
            values = self.expressions()
            variables, body = self._for_body(names, line)
            return syntax.GenericFor(variables, values, body, line)

    def _numeric_for(self, name: str, line: int) -> Stat:
        bounds = [self.expression()]
        self.expect(",")
        bounds.append(self.expression())
        if self.accept(","):
            bounds.append(self.expression())
        variables, body = self._for_body([name], line)
        return syntax.NumericFor(variables[0], bounds, body, line)

    def _for_body(self, names: list[str], line: int) -> tuple[list[syntax.Variable], list[Stat]]:
        self.expect("do")
        self.scopes.append({})
        variables = [self.declare(name) for name in names]
        body = self.block()
        self.close_scope()
        self.close("end", "for", line)
        return variables, body

    def _local(self, line: int) -> Stat:
        if self.accept("function"):
            variable = self.declare(self.name())
            variable.function = True
            return syntax.LocalFunction(variable, self.function(line), line)
        names = [self.name()]
        while self.accept(","):
            names.append(self.name())
        values = self.expressions() if self.accept("=") else []
        return syntax.LocalStat([self.declare(name) for name in names], values, line)

    def _function(self, line: int) -> Stat:
        target = self.resolve(self.token)
        self.name()
        method = False
        while self.token.text in (".", ":") and self.token.kind == SIGN and not method:
            method = self.token.text == ":"
            self.advance()
            key = syntax.Const(self.token.text.encode("latin-1"), self.token.line)
            self.name()
            target = syntax.Index(target, key, key.line)
        return syntax.Assign(
            [self._assignable(target)], [self.function(line, with_self=method)], line
        )


_STATEMENTS = {
    "do": Parser._do,
    "while": Parser._while,
    "repeat": Parser._repeat,
    "if": Parser._if,
    "for": Parser._for,
    "local": Parser._local,
    "function": Parser._function,
}
