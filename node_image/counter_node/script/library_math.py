"""The functions of `math` whose result is the same on every machine: those that IEEE 754 defines,
and exponentials and logarithms worked out by numbers.py."""

from __future__ import annotations

import math
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, number
from counter_node.script.operations import POWER_STEPS
from counter_node.script.run import Run

FUNCTIONS: Final = {
    "abs": "number", "ceil": "number", "exp": "number", "floor": "number", "fmod": "number",
    "frexp": "any", "ldexp": "number", "log": "number", "log10": "number", "max": "number",
    "min": "number", "mod": "number", "modf": "any", "pow": "number", "sqrt": "number",
}  # fmt: skip
CONSTANTS: Final = {"pi": math.pi, "huge": math.inf}


class Functions:
    def __init__(self, run: Run) -> None:
        self._budget = run.budget

    def floor(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        found = number(line, 1, "floor", value)
        return float(math.floor(found)) if math.isfinite(found) and found else found

    def ceil(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        found = number(line, 1, "ceil", value)
        if not math.isfinite(found) or not found:
            return found
        return math.copysign(float(math.ceil(found)), found)

    def abs(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        return abs(number(line, 1, "abs", value))

    def sqrt(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        found = number(line, 1, "sqrt", value)
        return math.sqrt(found) if found >= 0 else math.nan

    def max(self, line: int | None, value: Any = MISSING, *more: Any) -> float:
        found = number(line, 1, "max", value)
        self._budget.work(len(more))
        for place, each in enumerate(more, 2):
            if (other := number(line, place, "max", each)) > found:
                found = other
        return found

    def min(self, line: int | None, value: Any = MISSING, *more: Any) -> float:
        found = number(line, 1, "min", value)
        self._budget.work(len(more))
        for place, each in enumerate(more, 2):
            if (other := number(line, place, "min", each)) < found:
                found = other
        return found

    def fmod(self, line: int | None, value: Any = MISSING, by: Any = MISSING, *_: Any) -> float:
        # C works out the second argument first, so that one's error comes first.
        divisor, found = number(line, 2, "fmod", by), number(line, 1, "fmod", value)
        if not math.isfinite(found) or not divisor or divisor != divisor:
            return math.nan
        return math.fmod(found, divisor)

    mod = fmod

    def modf(self, line: int | None, value: Any = MISSING, *_: Any) -> tuple[float, float]:
        found = number(line, 1, "modf", value)
        fraction, whole = math.modf(found)
        return whole, fraction

    def frexp(self, line: int | None, value: Any = MISSING, *_: Any) -> tuple[float, float]:
        mantissa, exponent = math.frexp(number(line, 1, "frexp", value))
        return mantissa, float(exponent)

    def ldexp(
        self, line: int | None, value: Any = MISSING, exponent: Any = MISSING, *_: Any
    ) -> float:
        places, found = number(line, 2, "ldexp", exponent), number(line, 1, "ldexp", value)
        bounded = int(max(-5_000.0, min(5_000.0, places))) if places == places else 0
        try:
            return math.ldexp(found, bounded)
        except OverflowError:
            return math.copysign(math.inf, found)

    def pow(self, line: int | None, value: Any = MISSING, by: Any = MISSING, *_: Any) -> float:
        self._budget.work(POWER_STEPS)
        exponent = number(line, 2, "pow", by)
        return numbers.power(number(line, 1, "pow", value), exponent)

    def exp(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        self._budget.work(POWER_STEPS)
        return numbers.exponential(number(line, 1, "exp", value))

    def log(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        self._budget.work(POWER_STEPS)
        return numbers.logarithm(number(line, 1, "log", value), ten=False)

    def log10(self, line: int | None, value: Any = MISSING, *_: Any) -> float:
        self._budget.work(POWER_STEPS)
        return numbers.logarithm(number(line, 1, "log10", value), ten=True)
