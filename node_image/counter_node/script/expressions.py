"""Expressions, names and scopes of the parser (parser.py has the statements)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from counter_node.script import syntax
from counter_node.script.errors import CompileError
from counter_node.script.lexer import END, NAME, NUMBER, SIGN, STRING, Token
from counter_node.script.limits import NESTING
from counter_node.script.syntax import Expr, Frame, Stat, Variable

_PRIORITY: Final = {
    "or": (1, 1), "and": (2, 2),
    "<": (3, 3), ">": (3, 3), "<=": (3, 3), ">=": (3, 3), "~=": (3, 3), "==": (3, 3),
    "..": (5, 5), "+": (6, 6), "-": (6, 6), "*": (7, 7), "/": (7, 7), "%": (7, 7),
    "^": (10, 9),
}  # fmt: skip
"""How tightly each binds to its left and to its right."""
_UNARY: Final = 8
_CHAINED: Final = frozenset({"and", "or", ".."})
_LOCALS, _FREE = 200, 60
"""As in Lua 5.1."""


class Expressions(ABC):
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self.token = tokens[0]
        self.frame = Frame(None)
        self.scopes: list[dict[str, Variable]] = []
        self.nesting = 0
        self._variables = 0
        self._function_scopes: list[dict[str, Variable]] = []

    # Tokens

    def advance(self) -> None:
        if self.token.kind != END:
            self._at += 1
        self.token = self._tokens[self._at]

    def accept(self, sign: str) -> bool:
        if self.token.kind == SIGN and self.token.text == sign:
            self.advance()
            return True
        return False

    def expect(self, sign: str, words: str = "") -> None:
        if not self.accept(sign):
            raise self.unexpected(words or f"'{sign}' expected")

    def close(self, sign: str, opened: str, line: int) -> None:
        if not self.accept(sign):
            where = f" (to close '{opened}' at line {line})" if line != self.token.line else ""
            raise self.unexpected(f"'{sign}' expected{where}")

    def unexpected(self, words: str) -> CompileError:
        return CompileError(self.token.line, f"{words} near '{self.token.text}'")

    def name(self) -> str:
        if self.token.kind != NAME:
            raise self.unexpected("'<name>' expected")
        text = self.token.text
        self.advance()
        return text

    def deeper(self, levels: int = 1) -> None:
        """Deeper in the text. Whoever calls it takes the levels back, but for errors: they end the
        parser."""
        self.nesting += levels
        if self.nesting > NESTING:
            words = f"chunk has too many syntax levels: more than {NESTING} inside each other"
            raise CompileError(self.token.line, words)

    # Names

    def close_scope(self) -> None:
        self.frame.locals -= len(self.scopes.pop())

    def declare(self, name: str) -> Variable:
        self.frame.locals += name not in self.scopes[-1]
        if self.frame.locals > _LOCALS:
            raise CompileError(self.token.line, f"function has more than {_LOCALS} local variables")
        self._variables += 1
        variable = Variable(name, self._variables, self.frame, self.frame.loops > 0)
        self.scopes[-1][name] = variable
        return variable

    def resolve(self, token: Token) -> Expr:
        for scope in reversed(self.scopes):
            if token.text in scope:
                return self._used(scope[token.text], token)
        frame = self.frame
        if token.text == "arg" and frame.vararg and not frame.uses_dots and frame.arg is None:
            frame.arg = self.declare_arg(frame)
            return syntax.Local(frame.arg, token.line)
        return syntax.Global(token.text, token.line)

    def declare_arg(self, frame: Frame) -> Variable:
        self._variables += 1
        variable = Variable("arg", self._variables, frame, in_loop=False)
        self._function_scopes[-1]["arg"] = variable
        frame.locals += 1
        return variable

    def _used(self, variable: Variable, token: Token) -> Expr:
        frame: Frame | None = self.frame
        while frame is not None and frame is not variable.frame:
            variable.captured = True
            frame.free.add(variable)
            if len(frame.free) > _FREE:
                raise CompileError(token.line, f"function has more than {_FREE} upvalues")
            frame = frame.parent
        return syntax.Local(variable, token.line)

    def assigned(self, variable: Variable) -> None:
        variable.changed = True
        if variable.frame is not self.frame:
            self.frame.assigns.add(variable)

    # Expressions

    def expressions(self) -> list[Expr]:
        found = [self.expression()]
        while self.accept(","):
            found.append(self.expression())
        return found

    def expression(self, limit: int = 0) -> Expr:
        self.deeper()
        line = self.token.line
        if self.token.kind == SIGN and self.token.text in ("not", "-", "#"):
            sign = self.token.text
            self.advance()
            left: Expr = syntax.Unary(sign, self.expression(_UNARY), line)
        else:
            left = self._simple()
        while self.token.kind == SIGN and self.token.text in _PRIORITY:
            sign, line = self.token.text, self.token.line
            binds, right = _PRIORITY[sign]
            if binds <= limit:
                break
            self.advance()
            left = _joined(sign, left, self.expression(right), line)
        self.nesting -= 1
        return left

    def _simple(self) -> Expr:
        token = self.token
        if token.kind in (NUMBER, STRING):
            self.advance()
            return syntax.Const(token.value, token.line)
        if token.kind == SIGN:
            if token.text in syntax.CONSTANTS:
                self.advance()
                return syntax.Const(syntax.CONSTANTS[token.text], token.line)
            if token.text == "...":
                if not self.frame.vararg:
                    raise self.unexpected("cannot use '...' outside a vararg function")
                self.advance()
                self.frame.uses_dots = True
                return syntax.Dots(token.line)
            if token.text == "{":
                return self._constructor()
            if self.accept("function"):
                return self.function(token.line)
        return self.suffixed()

    def _primary(self) -> Expr:
        token = self.token
        if token.kind == NAME:
            self.advance()
            return self.resolve(token)
        if self.accept("("):
            inner = self.expression()
            self.close(")", "(", token.line)
            return syntax.Paren(inner, token.line)
        raise self.unexpected("unexpected symbol")

    def suffixed(self) -> Expr:
        found = self._primary()
        while True:
            token = self.token
            if token.kind == STRING or (token.kind == SIGN and token.text in ("(", "{")):
                found = syntax.Call(found, self._arguments(found), token.line)
            elif token.kind != SIGN:
                return found
            elif self.accept("."):
                key = syntax.Const(self.token.text.encode("latin-1"), token.line)
                self.name()
                found = syntax.Index(found, key, token.line)
            elif self.accept("["):
                found = syntax.Index(found, self.expression(), token.line)
                self.expect("]")
            elif self.accept(":"):
                name = self.name()
                found = syntax.Method(found, name, self._arguments(found), token.line)
            else:
                return found

    def _arguments(self, function: Expr) -> list[Expr]:
        self.frame.calls = True
        token = self.token
        if token.kind == STRING:
            self.advance()
            return [syntax.Const(token.value, token.line)]
        if token.kind == SIGN and token.text == "{":
            return [self._constructor()]
        if not self.accept("("):
            raise self.unexpected("function arguments expected")
        if token.line != self._tokens[self._at - 2].line:
            raise CompileError(
                token.line, "ambiguous syntax (function call x new statement) near '('"
            )
        found = [] if self.token.text == ")" and self.token.kind == SIGN else self.expressions()
        self.close(")", "(", token.line)
        return found

    def _constructor(self) -> Expr:
        line = self.token.line
        self.expect("{")
        items: list[tuple[Expr | None, Expr]] = []
        while not (self.token.kind == SIGN and self.token.text == "}"):
            following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
            if self.accept("["):
                key: Expr | None = self.expression()
                self.expect("]")
                self.expect("=")
            elif self.token.kind == NAME and following.kind == SIGN and following.text == "=":
                key = syntax.Const(self.token.text.encode("latin-1"), self.token.line)
                self.advance()
                self.advance()
            else:
                key = None
            items.append((key, self.expression()))
            if not self.accept(",") and not self.accept(";"):
                break
        self.close("}", "{", line)
        return syntax.Constructor(items, line)

    # Functions

    def function(self, line: int, with_self: bool = False) -> syntax.Function:
        """From the parameters to `end`."""
        outer, self.frame = self.frame, Frame(self.frame)
        self.deeper(2)
        self.scopes.append({})
        self._function_scopes.append(self.scopes[-1])
        parameters = [self.declare("self")] if with_self else []
        self.expect("(")
        if not self.accept(")"):
            self._parameters(parameters)
            self.close(")", "(", line)
        body = self.block()
        self.close("end", "function", line)
        self._function_scopes.pop()
        self.close_scope()
        self.nesting -= 2
        frame, self.frame = self.frame, outer
        return syntax.Function(frame, parameters, body, line)

    def _parameters(self, parameters: list[Variable]) -> None:
        while True:
            if self.accept("..."):
                self.frame.vararg = True
                return
            parameters.append(self.declare(self.name()))
            if not self.accept(","):
                return

    @abstractmethod
    def block(self) -> list[Stat]: ...


def _joined(sign: str, left: Expr, right: Expr, line: int) -> Expr:
    """Chains are flat: `a and b and c`, and `a .. b .. c`, which is worked out from the right."""
    if sign not in _CHAINED:
        return syntax.Binary(sign, left, right, line)
    if isinstance(left, syntax.Chain) and left.sign == sign:
        left.parts.append(right)
        return left
    return syntax.Chain(sign, [left, right], line)
