"""Patterns of Lua 5.1: one attempt to match at one place.

Every character that is compared costs a step, so that a pattern that tries all ways ends as any
other loop does. What must go on inside itself, one call for each repetition or capture of the
pattern, is bounded by PARTS."""

from __future__ import annotations

from typing import Final

from counter_node.script.arguments import error
from counter_node.script.limits import Budget

PARTS: Final = 40
"""Repetitions and captures of a pattern that wait for each other."""
_OPEN, _PLACE = -1, -2
_ESC, _STAR, _PLUS, _MINUS, _OPTION = 37, 42, 43, 45, 63
_SET, _SET_END, _NOT, _DOT, _END = 91, 93, 94, 46, 36
MOST_CAPTURES: Final = 32


CLASSES: Final = {
    ord("a"): frozenset(range(65, 91)) | frozenset(range(97, 123)),
    ord("c"): frozenset(range(32)) | {127},
    ord("d"): frozenset(range(48, 58)),
    ord("l"): frozenset(range(97, 123)),
    ord("p"): frozenset(b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"),
    ord("s"): frozenset(b" \t\n\v\f\r"),
    ord("u"): frozenset(range(65, 91)),
    ord("w"): frozenset(range(48, 58)) | frozenset(range(65, 91)) | frozenset(range(97, 123)),
    ord("x"): frozenset(b"0123456789abcdefABCDEF"),
    ord("z"): frozenset((0,)),
}


def _is_of_class(code: int, letter: int) -> bool:
    found = CLASSES.get(letter | 32 if 65 <= letter <= 90 else letter)
    if found is None:
        return code == letter
    return (code in found) != (65 <= letter <= 90)


class Matcher:
    """Of one text and one pattern. After `match` the captures are those of that attempt."""

    def __init__(self, budget: Budget, line: int | None, text: bytes, pattern: bytes) -> None:
        self._budget, self._line = budget, line
        self.text, self.pattern = text, pattern
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self._inside = 0

    def match(self, at: int, part: int) -> int | None:
        """Where the text ends that fits the pattern from `part` on, at `at`."""
        self.starts, self.sizes = [], []
        return self._match(at, part)

    def capture(self, number: int, begin: int, end: int) -> bytes | float:
        """The capture of that number; the whole match where there is none and the first is asked
        for."""
        if number >= len(self.starts):
            if number:
                raise error(self._line, b"invalid capture index")
            self._budget.make(end - begin + 48)
            return self.text[begin:end]
        size = self.sizes[number]
        if size == _OPEN:
            raise error(self._line, b"unfinished capture")
        if size == _PLACE:
            return self.starts[number] + 1.0
        self._budget.make(size + 48)
        return self.text[self.starts[number] : self.starts[number] + size]

    def _match(self, at: int, part: int) -> int | None:
        self._inside += 1
        self._budget.work(2)
        if self._inside > PARTS:
            raise error(self._line, b"pattern too complex")
        try:
            return self._parts(at, part)
        finally:
            self._inside -= 1

    def _parts(self, at: int, part: int) -> int | None:
        pattern, text = self.pattern, self.text
        while part < len(pattern):
            self._budget.work(2)
            code = pattern[part]
            if code == 40:
                return self._begin_capture(at, part + 1)
            if code == 41:
                return self._end_capture(at, part + 1)
            if code == _END and part + 1 == len(pattern):
                return at if at == len(text) else None
            if code == _ESC and part + 1 < len(pattern):
                following = pattern[part + 1]
                if following == 98 or following == 102 or 48 <= following <= 57:
                    found = self._special(at, part + 2, following)
                    if found is None:
                        return None
                    at, part = found
                    continue
            end = self._class_end(part)
            suffix = pattern[end] if end < len(pattern) else 0
            if suffix == _OPTION:
                if self._one(at, part, end):
                    found_end = self._match(at + 1, end + 1)
                    if found_end is not None:
                        return found_end
                part = end + 1
            elif suffix == _STAR:
                return self._longest(at, part, end)
            elif suffix == _PLUS:
                return self._longest(at + 1, part, end) if self._one(at, part, end) else None
            elif suffix == _MINUS:
                return self._shortest(at, part, end)
            elif self._one(at, part, end):
                at, part = at + 1, end
            else:
                return None
        return at

    def _special(self, at: int, part: int, kind: int) -> tuple[int, int] | None:
        """`%b()`, `%f[set]` and `%1`: the place after it in the text and in the pattern."""
        if kind == 98:
            end = self._balanced(at, part)
            return None if end is None else (end, part + 2)
        if kind == 102:
            return self._frontier(at, part)
        end = self._same_again(at, kind)
        return None if end is None else (end, part)

    def _class_end(self, part: int) -> int:
        pattern = self.pattern
        code, part = pattern[part], part + 1
        if code == _ESC:
            if part >= len(pattern):
                raise error(self._line, b"malformed pattern (ends with '%')")
            return part + 1
        if code != _SET:
            return part
        if part < len(pattern) and pattern[part] == _NOT:
            part += 1
        while True:
            self._budget.work(1)
            if part >= len(pattern):
                raise error(self._line, b"malformed pattern (missing ']')")
            code, part = pattern[part], part + 1
            if code == _ESC and part < len(pattern):
                part += 1
            if part < len(pattern) and pattern[part] == _SET_END:
                return part + 1

    def _one(self, at: int, part: int, end: int) -> bool:
        self._budget.work(2)
        if at >= len(self.text):
            return False
        code, wanted = self.text[at], self.pattern[part]
        if wanted == _DOT:
            return True
        if wanted == _ESC:
            return _is_of_class(code, self.pattern[part + 1])
        if wanted == _SET:
            return self._in_set(code, part, end - 1)
        return code == wanted

    def _in_set(self, code: int, part: int, end: int) -> bool:
        """`end` is the place of the set's `]`."""
        pattern, result = self.pattern, True
        if pattern[part + 1] == _NOT:
            part, result = part + 1, False
        part += 1
        while part < end:
            self._budget.work(1)
            if pattern[part] == _ESC:
                part += 1
                if _is_of_class(code, pattern[part]):
                    return result
            elif pattern[part + 1] == _MINUS and part + 2 < end:
                if pattern[part] <= code <= pattern[part + 2]:
                    return result
                part += 2
            elif pattern[part] == code:
                return result
            part += 1
        return not result

    def _longest(self, at: int, part: int, end: int) -> int | None:
        count = 0
        while self._one(at + count, part, end):
            count += 1
        while count >= 0:
            found = self._match(at + count, end + 1)
            if found is not None:
                return found
            count -= 1
        return None

    def _shortest(self, at: int, part: int, end: int) -> int | None:
        while True:
            found = self._match(at, end + 1)
            if found is not None:
                return found
            if not self._one(at, part, end):
                return None
            at += 1

    def _begin_capture(self, at: int, part: int) -> int | None:
        if len(self.starts) >= MOST_CAPTURES:
            raise error(self._line, b"too many captures")
        size = _OPEN
        if part < len(self.pattern) and self.pattern[part] == 41:
            size, part = _PLACE, part + 1
        count = len(self.starts)
        self.starts.append(at)
        self.sizes.append(size)
        found = self._match(at, part)
        if found is None:
            del self.starts[count:], self.sizes[count:]
        return found

    def _end_capture(self, at: int, part: int) -> int | None:
        number = len(self.sizes) - 1
        while number >= 0 and self.sizes[number] != _OPEN:
            number -= 1
        if number < 0:
            raise error(self._line, b"invalid pattern capture")
        self.sizes[number] = at - self.starts[number]
        found = self._match(at, part)
        if found is None:
            self.sizes[number] = _OPEN
        return found

    def _balanced(self, at: int, part: int) -> int | None:
        if part + 1 >= len(self.pattern):
            raise error(self._line, b"unbalanced pattern")
        begin, end = self.pattern[part], self.pattern[part + 1]
        if at >= len(self.text) or self.text[at] != begin:
            return None
        depth = 1
        for place in range(at + 1, len(self.text)):
            self._budget.work(1)
            code = self.text[place]
            if code == end:
                depth -= 1
                if not depth:
                    return place + 1
            elif code == begin:
                depth += 1
        return None

    def _frontier(self, at: int, part: int) -> tuple[int, int] | None:
        if part >= len(self.pattern) or self.pattern[part] != _SET:
            raise error(self._line, b"missing '[' after '%f' in pattern")
        end = self._class_end(part)
        before = self.text[at - 1] if at else 0
        here = self.text[at] if at < len(self.text) else 0
        if self._in_set(before, part, end - 1) or not self._in_set(here, part, end - 1):
            return None
        return at, end

    def _same_again(self, at: int, digit: int) -> int | None:
        number = digit - 49
        if not 0 <= number < len(self.starts) or self.sizes[number] == _OPEN:
            raise error(self._line, b"invalid capture index")
        size = self.sizes[number]
        if size == _PLACE:
            return None  # as in Lua, where a place is longer than any text
        self._budget.work(size // 16)
        begin = self.starts[number]
        same = self.text[begin : begin + size] == self.text[at : at + size]
        return at + size if same else None
