"""`string.format`, by the rules of C's printf that Lua 5.1 lets through. Numbers are written by
Python, whose digits are the same everywhere."""

from __future__ import annotations

import re
from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.arguments import MISSING, bad, error, number, string
from counter_node.script.run import Run

_DIRECTIVE: Final = re.compile(rb"%([-+ #0]*)([0-9]*)(\.[0-9]*)?(.?)", re.DOTALL)
_DIRECTIVE_STEPS: Final = 16
_MANY_DIGITS: Final = 150
"""Steps of a number with up to 400 digits: 45 µs."""
_QUOTED: Final = {10: b"\\\n", 13: b"\\r", 0: b"\\000", 34: b'\\"', 92: b"\\\\"}


def formatted(run: Run, line: int | None, pattern: bytes, values: tuple[Any, ...]) -> bytes:
    parts: list[bytes] = []
    at, place = 0, 1
    run.budget.work(len(pattern) // 16)
    run.budget.make(len(pattern) + 48)
    while (sign := pattern.find(b"%", at)) >= 0:
        parts.append(pattern[at:sign])
        if pattern[sign + 1 : sign + 2] == b"%":
            parts.append(b"%")
            at = sign + 2
            continue
        found = _DIRECTIVE.match(pattern, sign)
        assert found is not None
        place += 1
        value = values[place - 2] if place - 2 < len(values) else MISSING
        if value is MISSING:
            raise bad(line, place, "format", b"no value")
        run.budget.work(_DIRECTIVE_STEPS)
        parts.append(_one(run, line, found, place, value))
        at = found.end()
    parts.append(pattern[at:])
    return b"".join(parts)


def _one(run: Run, line: int | None, found: re.Match[bytes], place: int, value: Any) -> bytes:
    flags, width, precision, kind = found.groups()
    if len(flags) > 5:
        raise error(line, b"invalid format (repeated flags)")
    if len(width) > 2 or len(precision or b"") > 3:
        raise error(line, b"invalid format (width or precision too long)")
    precise = -1 if precision is None else int(precision[1:] or b"0")
    if kind in (b"d", b"i"):
        whole = numbers.to_int64(number(line, place, "format", value))
        text = _digits(b"%d" % abs(whole), precise)
        return _padded(_sign(whole < 0, flags), text, flags, width, precise >= 0)
    if kind in (b"u", b"o", b"x", b"X"):
        return _unsigned(numbers.to_int64(number(line, place, "format", value)), found)
    if kind in (b"e", b"E", b"f", b"g", b"G"):
        run.budget.make(512)
        spec = b"%%%s%s%s%s" % (flags, width, precision or b"", kind)
        real = number(line, place, "format", value)
        if precise > 17 or abs(real) > 1e16:
            run.budget.work(_MANY_DIGITS)
        return spec % real
    if kind == b"c":
        code = numbers.to_int64(number(line, place, "format", value)) % 256
        # C ends its text at the first NUL.
        return _padded(b"", bytes([code]), flags.replace(b"0", b""), width, False).split(b"\0")[0]
    if kind == b"q":
        return _quoted(run, string(line, place, "format", value))
    if kind == b"s":
        return _string(run, string(line, place, "format", value), found, precise)
    raise error(line, b"invalid option '%%%s' to 'format'" % kind)


def _digits(text: bytes, precise: int) -> bytes:
    return b"" if precise == 0 and text == b"0" else text.rjust(precise, b"0")


def _sign(negative: bool, flags: bytes) -> bytes:
    if negative:
        return b"-"
    return b"+" if b"+" in flags else b" " if b" " in flags else b""


def _padded(before: bytes, text: bytes, flags: bytes, width: bytes, exact: bool) -> bytes:
    size = int(width or b"0")
    if b"-" in flags:
        return (before + text).ljust(size)
    if b"0" in flags and not exact:
        return before + text.rjust(size - len(before), b"0")
    return (before + text).rjust(size)


def _unsigned(value: int, found: re.Match[bytes]) -> bytes:
    flags, width, precision, kind = found.groups()
    value %= 2**64
    text: bytes = (b"%" + {b"u": b"d"}.get(kind, kind)) % value
    precise = -1 if precision is None else int(precision[1:] or b"0")
    before = b""
    if b"#" in flags and value and kind in (b"x", b"X"):
        before = b"0" + kind
    text = _digits(text, precise)
    if b"#" in flags and kind == b"o" and text[:1] != b"0":
        text = b"0" + text
    return _padded(before, text, flags, width, precision is not None)


def _string(run: Run, text: bytes, found: re.Match[bytes], precise: int) -> bytes:
    flags, width, precision, _ = found.groups()
    run.budget.make(len(text) + 99)
    if precision is None and len(text) >= 100:
        return text
    text = text.partition(b"\0")[0]
    if precise >= 0:
        text = text[:precise]
    return _padded(b"", text, flags.replace(b"0", b""), width, False)


def _quoted(run: Run, text: bytes) -> bytes:
    run.budget.make(4 * len(text) + 2)
    run.budget.work(len(text))
    return b'"' + b"".join([_QUOTED.get(code) or bytes([code]) for code in text]) + b'"'
