"""`cjson.decode`, by the rules of lua-cjson 2.1 as Redis has it, its errors included. It takes more
than JSON: numbers as C reads them, with zeros before them, in hexadecimal, infinite."""

from __future__ import annotations

import re
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import error
from counter_node.script.errors import LimitError, LuaError
from counter_node.script.limits import ENTRY_BYTES, TABLE_BYTES
from counter_node.script.run import Run
from counter_node.script.values import FALSE, NULL, TRUE, Table

_SPACE: Final = re.compile(rb"[ \t\n\r]*")
_NUMBER: Final = re.compile(
    rb"[+-]?(?:0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)(?:[pP][+-]?[0-9]+)?"
    rb"|(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?i:inf(?:inity)?|nan))"
)
_HEX: Final = re.compile(rb"[0-9a-fA-F]{4}")
_PLAIN: Final = re.compile(rb'[^"\\\x00]*')
_ESCAPES: Final = {
    b'"': b'"', b"\\": b"\\", b"/": b"/", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r",
    b"t": b"\t",
}  # fmt: skip
_WORDS: Final = (
    (b"true", TRUE, "T_BOOLEAN"), (b"false", FALSE, "T_BOOLEAN"), (b"null", NULL, "T_NULL"),
)  # fmt: skip
_VALUES: Final = frozenset({"T_STRING", "T_NUMBER", "T_BOOLEAN", "T_NULL"})
_SIGNS: Final = {
    b"{": "T_OBJ_BEGIN", b"}": "T_OBJ_END", b"[": "T_ARR_BEGIN", b"]": "T_ARR_END",
    b",": "T_COMMA", b":": "T_COLON",
}  # fmt: skip


class Reader:
    def __init__(self, run: Run, line: int | None, text: bytes) -> None:
        self._run, self._line, self._text = run, line, text
        self._kind = ""
        self._value: Any = None
        self._begin = self._at = 0
        self._inside = 0

    def whole(self) -> Any:
        if len(self._text) >= 2 and 0 in self._text[:2]:
            raise error(self._line, b"JSON parser does not support UTF-16 or UTF-32")
        self._next()
        value = self._read()
        self._next()
        if self._kind != "T_END":
            raise self._wrong("the end")
        return value

    def _wrong(self, wanted: str) -> LuaError:
        words = f"Expected {wanted} but found {self._kind} at character {self._begin + 1}"
        return error(self._line, words.encode())

    def _read(self) -> Any:
        """The value that begins with the present token."""
        if self._kind in _VALUES:
            return self._value
        if self._kind not in ("T_OBJ_BEGIN", "T_ARR_BEGIN"):
            raise self._wrong("value")
        self._inside += 1
        most = self._run.budget.limits.script_depth
        if self._inside > most:
            raise LimitError("script_depth", most, "lists inside each other in JSON")
        self._run.budget.make(TABLE_BYTES)
        table = Table([], {})
        if self._kind == "T_ARR_BEGIN":
            self._list(table)
        else:
            self._object(table)
        self._inside -= 1
        return table

    def _list(self, table: Table) -> None:
        self._next()
        if self._kind == "T_ARR_END":
            return
        while True:
            self._run.budget.make(16)
            table.arr.append(self._read())
            self._next()
            if self._kind == "T_ARR_END":
                return
            if self._kind != "T_COMMA":
                raise self._wrong("comma or array end")
            self._next()

    def _object(self, table: Table) -> None:
        self._next()
        if self._kind == "T_OBJ_END":
            return
        while True:
            if self._kind != "T_STRING":
                raise self._wrong("object key string")
            key = self._value
            self._next()
            if self._kind != "T_COLON":
                raise self._wrong("colon")
            self._next()
            self._run.budget.make(ENTRY_BYTES)
            table.map[key] = self._read()
            self._next()
            if self._kind == "T_OBJ_END":
                return
            if self._kind != "T_COMMA":
                raise self._wrong("comma or object end")
            self._next()

    def _next(self) -> None:
        """The next token: its kind, its value and where it begins."""
        self._run.budget.work(6)
        text = self._text
        space = _SPACE.match(text, self._at)
        assert space is not None
        self._run.budget.work((space.end() - self._at) // 64)
        self._begin = at = space.end()
        self._value = None
        sign = text[at : at + 1]
        if sign in _SIGNS:
            self._kind, self._at = _SIGNS[sign], at + 1
        elif not sign or sign == b"\0":
            self._kind, self._at = "T_END", at
        elif sign == b'"':
            self._string(at + 1)
        else:
            self._word(at)

    def _word(self, at: int) -> None:
        for word, value, kind in _WORDS:
            if self._text.startswith(word, at):
                self._kind, self._value, self._at = kind, value, at + len(word)
                return
        found = _NUMBER.match(self._text, at)
        if found is None or self._text[at] == 46:
            self._kind = f"invalid {'number' if self._text[at] in b'+-' else 'token'}"
            return
        self._run.budget.work(len(found[0]) // 16)
        self._kind, self._value, self._at = "T_NUMBER", numbers.read(found[0]), found.end()

    def _string(self, at: int) -> None:
        parts: list[bytes] = []
        text = self._text
        while True:
            plain = _PLAIN.match(text, at)
            assert plain is not None
            self._run.budget.work(8 + len(plain[0]) // 64)
            self._run.budget.make(len(plain[0]) + 48)
            parts.append(plain[0])
            at = plain.end()
            sign = text[at : at + 1]
            if sign == b'"':
                self._kind, self._value, self._at = "T_STRING", b"".join(parts), at + 1
                return
            if sign != b"\\":
                self._kind, self._begin = "unexpected end of string", at
                return
            code = text[at + 1 : at + 2]
            if code == b"u":
                found = self._unicode(at)
                if found is None:
                    self._kind, self._begin = "invalid unicode escape code", at
                    return
                parts.append(found[0])
                at = found[1]
            elif code in _ESCAPES and code:
                parts.append(_ESCAPES[code])
                at += 2
            else:
                self._kind, self._begin = "invalid escape code", at
                return

    def _unicode(self, at: int) -> tuple[bytes, int] | None:
        """One `\\u0000` or a pair of them, as UTF-8."""
        first = self._hex(at)
        if first is None or 0xDC00 <= first <= 0xDFFF:
            return None
        if not 0xD800 <= first <= 0xDBFF:
            return chr(first).encode(), at + 6
        second = self._hex(at + 6)
        if second is None or not 0xDC00 <= second <= 0xDFFF:
            return None
        return chr(0x10000 + ((first & 0x3FF) << 10) + (second & 0x3FF)).encode(), at + 12

    def _hex(self, at: int) -> int | None:
        digits = self._text[at + 2 : at + 6]
        if self._text[at : at + 2] != b"\\u" or _HEX.fullmatch(digits) is None:
            return None
        return int(digits, 16)
