"""The functions of `string` but for patterns (library_match.py). Strings are bytes; upper and lower
case are ASCII's, whatever the locale of a machine. The whole of a result is charged before it is
made, and what only looks at a string costs a step for 64 bytes."""

from __future__ import annotations

from typing import Any, Final

from counter_node.script.arguments import MISSING, bad, error, string, whole
from counter_node.script.formatting import formatted
from counter_node.script.run import Run
from counter_node.script.values import packed

FUNCTIONS: Final = {
    "byte": "any", "char": "one", "format": "one", "len": "number", "lower": "one", "rep": "one",
    "reverse": "one", "sub": "one", "upper": "one",
}  # fmt: skip
CONSTANTS: Final[dict[str, Any]] = {}
_UPPER: Final = bytes(range(256)).replace(bytes(range(97, 123)), bytes(range(65, 91)))
_LOWER: Final = bytes(range(256)).replace(bytes(range(65, 91)), bytes(range(97, 123)))
_MOST_BYTES: Final = 7_999


def position(place: int, size: int) -> int:
    """A negative place counts from the end."""
    if place < 0:
        place += size + 1
    return max(place, 0)


class Functions:
    def __init__(self, run: Run) -> None:
        self._budget = run.budget
        self._run = run

    def len(self, line: int | None, text: Any = MISSING, *_: Any) -> float:
        return float(len(string(line, 1, "len", text)))

    def sub(
        self,
        line: int | None,
        text: Any = MISSING,
        begin: Any = MISSING,
        end: Any = None,
        *_: Any,
    ) -> bytes:
        whole_text = string(line, 1, "sub", text)
        size = len(whole_text)
        low = max(position(whole(line, 2, "sub", begin), size), 1)
        high = min(position(whole(line, 3, "sub", end, -1), size), size)
        if low > high:
            return b""
        self._budget.make(high - low + 48)
        return whole_text[low - 1 : high]

    def _made(self, line: int | None, name: str, text: Any) -> bytes:
        """The argument of a function whose result is as long."""
        found = string(line, 1, name, text)
        self._budget.make(len(found) + 48)
        self._budget.work(len(found) // 256)
        return found

    def upper(self, line: int | None, text: Any = MISSING, *_: Any) -> bytes:
        return self._made(line, "upper", text).translate(_UPPER)

    def lower(self, line: int | None, text: Any = MISSING, *_: Any) -> bytes:
        return self._made(line, "lower", text).translate(_LOWER)

    def reverse(self, line: int | None, text: Any = MISSING, *_: Any) -> bytes:
        return self._made(line, "reverse", text)[::-1]

    def rep(self, line: int | None, text: Any = MISSING, times: Any = MISSING, *_: Any) -> bytes:
        once = string(line, 1, "rep", text)
        count = max(whole(line, 2, "rep", times), 0)
        self._budget.make(len(once) * count + 48)
        return once * count if once else b""

    def byte(
        self,
        line: int | None,
        text: Any = MISSING,
        begin: Any = None,
        end: Any = None,
        *_: Any,
    ) -> Any:
        found = string(line, 1, "byte", text)
        low = position(whole(line, 2, "byte", begin, 1), len(found))
        high = min(position(whole(line, 3, "byte", end, low), len(found)), len(found))
        low = max(low, 1)
        if low > high:
            return ()
        if high - low >= _MOST_BYTES:
            raise error(line, b"string slice too long")
        self._budget.work((high - low) // 4)
        self._budget.make(32 * (high - low))
        return packed(tuple(map(float, found[low - 1 : high])))

    def char(self, line: int | None, *codes: Any) -> bytes:
        self._budget.work(len(codes))
        self._budget.make(len(codes) + 48)
        found = bytearray()
        for place, code in enumerate(codes, 1):
            number = whole(line, place, "char", code)
            if not 0 <= number <= 255:
                raise bad(line, place, "char", b"invalid value")
            found.append(number)
        return bytes(found)

    def format(self, line: int | None, pattern: Any = MISSING, *values: Any) -> bytes:
        return formatted(self._run, line, string(line, 1, "format", pattern), values)
