"""The functions of `string` that take a pattern: `find`, `match`, `gmatch`, `gsub`."""

from __future__ import annotations

from types import FunctionType
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, bad, error, string, whole
from counter_node.script.library_base import called
from counter_node.script.library_string import position
from counter_node.script.patterns import Matcher
from counter_node.script.run import Run
from counter_node.script.values import FALSE, Builtin, Table, packed, type_name

FUNCTIONS: Final = {"find": "any", "gmatch": "any", "gfind": "any", "gsub": "any", "match": "any"}
CONSTANTS: Final[dict[str, Any]] = {}
_SPECIAL: Final = frozenset(b"^$*+?.([%-")


class Functions:
    def __init__(self, run: Run) -> None:
        self._run = run
        self._budget = run.budget

    def find(
        self,
        line: int | None,
        text: Any = MISSING,
        pattern: Any = MISSING,
        begin: Any = None,
        plain: Any = None,
        *_: Any,
    ) -> Any:
        return self._find(line, "find", text, pattern, begin, plain)

    def match(
        self,
        line: int | None,
        text: Any = MISSING,
        pattern: Any = MISSING,
        begin: Any = None,
        *_: Any,
    ) -> Any:
        return self._find(line, "match", text, pattern, begin, None)

    def _find(
        self, line: int | None, name: str, text: Any, pattern: Any, begin: Any, plain: Any
    ) -> Any:
        within, wanted = string(line, 1, name, text), string(line, 2, name, pattern)
        at = min(max(position(whole(line, 3, name, begin, 1), len(within)), 1) - 1, len(within))
        finding = name == "find"
        if finding and ((plain is not None and plain is not FALSE) or _SPECIAL.isdisjoint(wanted)):
            return self._plain(within, wanted, at)
        matcher = Matcher(self._budget, line, within, wanted)
        anchored = wanted[:1] == b"^"
        while True:
            end = matcher.match(at, int(anchored))
            if end is not None:
                captures = self._captures(matcher, at, end, not finding)
                return packed((at + 1.0, float(end), *captures) if finding else captures)
            at += 1
            if at > len(within) or anchored:
                return None

    def _plain(self, within: bytes, wanted: bytes, at: int) -> Any:
        self._budget.work((len(within) - at) // 64 + len(wanted) // 64)
        place = _place(self._run, within, wanted, at)
        return None if place < 0 else (place + 1.0, float(place + len(wanted)))

    @staticmethod
    def _captures(matcher: Matcher, at: int, end: int, also_whole: bool) -> tuple[Any, ...]:
        count = len(matcher.starts) or int(also_whole)
        return tuple([matcher.capture(number, at, end) for number in range(count)])

    def gmatch(
        self, line: int | None, text: Any = MISSING, pattern: Any = MISSING, *_: Any
    ) -> Builtin:
        within, wanted = string(line, 1, "gmatch", text), string(line, 2, "gmatch", pattern)
        self._budget.make(256)
        matcher, at = Matcher(self._budget, line, within, wanted), 0

        def following(_: int | None, *__: Any) -> Any:
            nonlocal at
            while at <= len(within):
                self._budget.work(3)
                begin, end = at, matcher.match(at, 0)
                if end is None:
                    at += 1
                    continue
                at = end + 1 if end == begin else end
                return packed(self._captures(matcher, begin, end, True))
            return None

        return Builtin("gmatch_next", following)

    gfind = gmatch

    def gsub(
        self,
        line: int | None,
        text: Any = MISSING,
        pattern: Any = MISSING,
        instead: Any = MISSING,
        most: Any = None,
        *_: Any,
    ) -> Any:
        within, wanted = string(line, 1, "gsub", text), string(line, 2, "gsub", pattern)
        kind = instead.__class__
        if kind not in (bytes, float, Table, FunctionType, Builtin):
            raise bad(line, 3, "gsub", b"string/function/table expected")
        left = whole(line, 4, "gsub", most, len(within) + 1)
        anchored = wanted[:1] == b"^"
        matcher = Matcher(self._budget, line, within, wanted)
        parts: list[bytes] = []
        at = kept = count = 0
        while count < left:
            end = matcher.match(at, int(anchored))
            if end is not None:
                count += 1
                self._budget.work(6)
                parts += within[kept:at], self._instead(line, matcher, at, end, instead)
                self._budget.make(len(parts[-1]) + at - kept + 96)
                kept = end
            if end is not None and end > at:
                at = end
            elif at < len(within):
                at += 1
            else:
                break
            if anchored:
                break
        self._budget.make(len(within) - kept + 48)
        parts.append(within[kept:])
        return b"".join(parts), float(count)

    def _instead(
        self, line: int | None, matcher: Matcher, at: int, end: int, instead: Any
    ) -> bytes:
        if instead.__class__ is bytes or instead.__class__ is float:
            text = instead if isinstance(instead, bytes) else numbers.show(instead)
            return self._filled(matcher, at, end, text)
        if instead.__class__ is Table:
            value = self._run.operations.index(instead, matcher.capture(0, at, end), (line,))
        else:
            value = called(instead, line, *self._captures(matcher, at, end, True))
        if value is None or value is FALSE:
            return matcher.text[at:end]
        if value.__class__ is float:
            return numbers.show(value)
        if value.__class__ is not bytes:
            words = b"invalid replacement value (a %s)" % type_name(value)
            raise error(line, words)
        return value

    def _filled(self, matcher: Matcher, at: int, end: int, text: bytes) -> bytes:
        """`%1` is a capture and `%0` the match; any other character after `%` is itself."""
        if b"%" not in text:
            return text
        self._budget.work(len(text))
        parts: list[bytes] = []
        place = 0
        while place < len(text):
            code = text[place : place + 1]
            if code == b"%":
                place += 1
                code = text[place : place + 1]
                if code == b"0":
                    self._budget.make(end - at)
                    code = matcher.text[at:end]
                elif code.isdigit():
                    found = matcher.capture(int(code) - 1, at, end)
                    code = found if isinstance(found, bytes) else numbers.show(found)
            parts.append(code)
            place += 1
        return b"".join(parts)


def _place(run: Run, within: bytes, wanted: bytes, at: int) -> int:
    """bytes.find, with its worst case charged: it is linear for long texts and long words, and
    compares all with all below that."""
    if len(wanted) > 1:
        run.budget.work(min(len(wanted), 100) * min(len(within) - at, 30_000) // 1_024)
    return within.find(wanted, at)
