"""`cjson.encode`, by the rules of lua-cjson 2.1 as Redis has it; reading_json.py decodes."""

from __future__ import annotations

import re
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, error, string
from counter_node.script.errors import LimitError
from counter_node.script.reading_json import Reader
from counter_node.script.run import Run
from counter_node.script.values import FALSE, NULL, TRUE, Table, is_table, type_name

FUNCTIONS: Final = {"encode": "one", "decode": "one"}
CONSTANTS: Final[dict[str, Any]] = {"null": NULL, "_NAME": b"cjson", "_VERSION": b"2.1.0"}
_ESCAPED: Final = {
    **{code: b"\\u%04x" % code for code in (*range(32), 127)},
    8: b"\\b", 9: b"\\t", 10: b"\\n", 12: b"\\f", 13: b"\\r", 34: b'\\"', 47: b"\\/",
    92: b"\\\\",
}  # fmt: skip
_TO_ESCAPE: Final = re.compile(rb'[\x00-\x1f"/\\\x7f]')
_SPARSE_FACTOR, _SPARSE_FROM = 2, 10
"""A list with more than so many times its elements is refused, from that size on."""


class Functions:
    def __init__(self, run: Run) -> None:
        self._run = run

    def encode(self, line: int | None, value: Any = MISSING, *more: Any) -> bytes:
        if value is MISSING or more:
            words = b"bad argument #1 to 'encode' (expected 1 argument)"
            raise error(line, words)
        parts: list[bytes] = []
        self._write(line, value, parts, 1)
        return b"".join(parts)

    def decode(self, line: int | None, text: Any = MISSING, *more: Any) -> Any:
        if more:
            raise error(line, b"bad argument #1 to 'decode' (expected 1 argument)")
        return Reader(self._run, line, string(line, 1, "decode", text)).whole()

    def _write(self, line: int | None, value: Any, parts: list[bytes], inside: int) -> None:
        self._run.budget.work(4)
        if value.__class__ is bytes:
            parts.append(self._quoted(value))
        elif value.__class__ is float:
            if not -numbers.INFINITE < value < numbers.INFINITE:
                raise self._refused(line, b"number", b"must not be NaN or Inf")
            self._run.budget.make(32)
            parts.append(numbers.show(value))
        elif value is TRUE or value is FALSE:
            parts.append(value.text)
        elif value is None or value is NULL:
            parts.append(b"null")
        elif is_table(value):
            if inside > self._run.budget.limits.script_depth:
                most = self._run.budget.limits.script_depth
                raise LimitError("script_depth", most, "tables inside each other in JSON")
            self._table(line, value, parts, inside)
        else:
            raise self._refused(line, type_name(value), b"type not supported")

    @staticmethod
    def _refused(line: int | None, kind: bytes, words: bytes) -> Exception:
        return error(line, b"Cannot serialise %s: %s" % (kind, words))

    def _quoted(self, text: bytes) -> bytes:
        self._run.budget.work(len(text) // 64)
        self._run.budget.make(len(text) + 48)
        if _TO_ESCAPE.search(text) is None:
            return b'"%s"' % text
        self._run.budget.work(2 * len(text))
        self._run.budget.make(5 * len(text))
        return b'"%s"' % _TO_ESCAPE.sub(lambda found: _ESCAPED[found[0][0]], text)

    def _table(self, line: int | None, of: Table, parts: list[bytes], inside: int) -> None:
        size = self._list_size(line, of)
        if size > 0:
            parts.append(b"[")
            for place in range(1, size + 1):
                self._write(line, of.get(float(place)), parts, inside + 1)
                parts.append(b"," if place < size else b"]")
            return
        parts.append(b"{")
        pairs: list[tuple[Any, Any]] = [(float(n), v) for n, v in enumerate(of.arr, 1)]
        pairs += of.map.items()
        self._run.budget.work(len(pairs))
        comma = b""
        for key, value in pairs:
            if value is None:
                continue
            parts.append(comma)
            comma = b","
            if key.__class__ is bytes:
                parts.append(self._quoted(key) + b":")
            elif key.__class__ is float:
                parts.append(b'"%s":' % numbers.show(key))
            else:
                raise self._refused(line, type_name(key), b"table key must be a number or string")
            self._write(line, value, parts, inside + 1)
        parts.append(b"}")

    def _list_size(self, line: int | None, of: Table) -> int:
        """The largest key, where all keys are whole and above 0; else 0."""
        self._run.budget.work((len(of.arr) + len(of.map)) // 4)
        largest, count = len(of.arr), len(of.arr) - of.arr.count(None)
        for key, value in of.map.items():
            if value is None:
                continue
            if key.__class__ is not float or key < 1 or key != key // 1 or key > 2**53:
                return 0
            largest, count = max(largest, int(key)), count + 1
        if largest > count * _SPARSE_FACTOR and largest > _SPARSE_FROM:
            raise self._refused(line, b"table", b"excessively sparse array")
        return largest
