"""The tree of a program. Names are resolved already: a local is a `Variable`, every other name is a
`Global`."""

from __future__ import annotations

import dataclasses
from typing import Any

from counter_node.script.values import FALSE, TRUE


@dataclasses.dataclass(slots=True, eq=False)
class Frame:
    """A function while it is read, and what it needs of those around it."""

    parent: Frame | None
    vararg: bool = False
    uses_dots: bool = False
    arg: Variable | None = None
    """The table of the further arguments, of functions that do not say `...`."""
    loops: int = 0
    locals: int = 0
    free: set[Variable] = dataclasses.field(default_factory=set)
    """Variables of functions around it that it uses, or that functions inside it use."""
    assigns: set[Variable] = dataclasses.field(default_factory=set)
    """Those of `free` that it sets itself."""
    calls: bool = False


@dataclasses.dataclass(slots=True, eq=False)
class Variable:
    name: str
    number: int
    frame: Frame
    in_loop: bool
    captured: bool = False
    changed: bool = False
    function: bool = False
    """Declared by `local function`: it is one as long as nothing changes it."""

    @property
    def boxed(self) -> bool:
        """Each round of a loop has a variable of its own, which Python's functions have not."""
        return self.captured and self.in_loop


@dataclasses.dataclass(slots=True, eq=False)
class Const:
    value: Any
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Dots:
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Local:
    variable: Variable
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Global:
    name: str
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Index:
    table: Expr
    key: Expr
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Call:
    function: Expr
    arguments: list[Expr]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Method:
    table: Expr
    name: str
    arguments: list[Expr]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Function:
    frame: Frame
    parameters: list[Variable]
    body: list[Stat]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Binary:
    sign: str
    left: Expr
    right: Expr
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Chain:
    """`and`, `or` and `..` of two or more."""

    sign: str
    parts: list[Expr]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Unary:
    sign: str
    operand: Expr
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Paren:
    """Makes one value of a call's."""

    inner: Expr
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Constructor:
    items: list[tuple[Expr | None, Expr]]
    line: int


Expr = (
    Const | Dots | Local | Global | Index | Call | Method | Function | Binary | Chain | Unary
    | Paren | Constructor
)  # fmt: skip


@dataclasses.dataclass(slots=True, eq=False)
class LocalStat:
    variables: list[Variable]
    values: list[Expr]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Assign:
    targets: list[Local | Global | Index]
    values: list[Expr]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class CallStat:
    call: Call | Method
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Do:
    body: list[Stat]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class While:
    condition: Expr
    body: list[Stat]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Repeat:
    body: list[Stat]
    condition: Expr
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class If:
    clauses: list[tuple[Expr, list[Stat]]]
    otherwise: list[Stat]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class NumericFor:
    variable: Variable
    bounds: list[Expr]
    body: list[Stat]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class GenericFor:
    variables: list[Variable]
    values: list[Expr]
    body: list[Stat]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class LocalFunction:
    variable: Variable
    function: Function
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Return:
    values: list[Expr]
    line: int


@dataclasses.dataclass(slots=True, eq=False)
class Break:
    line: int


Stat = (
    LocalStat | Assign | CallStat | Do | While | Repeat | If | NumericFor | GenericFor
    | LocalFunction | Return | Break
)  # fmt: skip

CONSTANTS = {"nil": None, "true": TRUE, "false": FALSE}
