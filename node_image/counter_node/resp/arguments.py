"""Taking the words of a command apart, with Redis's own errors."""

from __future__ import annotations

import re
from typing import Final

from counter_node.counters import ops as o
from counter_node.counters.state import MAX, MIN
from counter_node.resp.actions import Refusal

MAX_KEY_BYTES: Final = 1_024
MAX_PRODUCER_BYTES: Final = 128
LATEST_MS: Final = 1 << 42
"""The time in the log is taken to stay below this; it is the year 2109."""
NOT_AN_INTEGER = "ERR value is not an integer or out of range"
SYNTAX = "ERR syntax error"
_INTEGER = re.compile(rb"-?(?:0|[1-9]\d{0,18})\Z")
_UNITS_MS = {b"EX": 1_000, b"PX": 1, b"EXAT": 1_000, b"PXAT": 1}


def integer(word: bytes, error: str = NOT_AN_INTEGER) -> int:
    """A signed 64-bit integer in Redis's strict spelling: no plus, no blanks, no leading zeros."""
    if not _INTEGER.match(word) or word == b"-0":
        raise Refusal(error)
    value = int(word)
    if not MIN <= value <= MAX:
        raise Refusal(error)
    return value


def key(word: bytes) -> bytes:
    if len(word) > MAX_KEY_BYTES:
        raise Refusal(f"ERR key of {len(word)} bytes; at most {MAX_KEY_BYTES}")
    return word


def keys(words: list[bytes]) -> list[bytes]:
    return [key(word) for word in words]


def expiry(name: str, option: bytes, word: bytes) -> tuple[int, int]:
    """Kind and milliseconds of EX, PX, EXAT, PXAT."""
    value = integer(word)
    kind = o.EX_AT if option.endswith(b"AT") else o.EX_IN
    if value <= 0:
        raise Refusal(f"ERR invalid expire time in '{name}' command")
    return kind, deadline_ms(name, kind, value, _UNITS_MS[option])


def deadline_ms(name: str, kind: int, value: int, unit_ms: int) -> int:
    """Milliseconds such that the deadline, added to the time in the log if it is relative, stays a
    signed 64-bit integer."""
    ms = value * unit_ms
    if not MIN <= ms <= MAX - (LATEST_MS if kind == o.EX_IN else 0):
        raise Refusal(f"ERR invalid expire time in '{name}' command")
    return ms


class Options:
    """Reads option words from left to right; whatever is not expected is a syntax error."""

    def __init__(self, words: list[bytes]) -> None:
        self._words = words
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._words)

    def left(self) -> int:
        return len(self._words) - self._at

    def word(self) -> bytes:
        """The next option, in upper case."""
        return self.value().upper()

    def value(self) -> bytes:
        if self._at >= len(self._words):
            raise Refusal(SYNTAX)
        self._at += 1
        return self._words[self._at - 1]


class Expiry:
    """EX, PX, EXAT, PXAT and one word more (KEEPTTL or PERSIST) among the options of a command: at
    most one of them, though it may be repeated. Their values are checked when all options were
    read, as Redis does."""

    def __init__(self, name: str, default: int, word: bytes, meaning: int) -> None:
        self._name = name
        self._default = default
        self._word, self._meaning = word, meaning
        self._seen = b""
        self._value = b""

    def takes(self, option: bytes, options: Options) -> bool:
        """False when the option is about something else."""
        if option != self._word and option not in _UNITS_MS:
            return False
        if self._seen not in (b"", option):
            raise Refusal(SYNTAX)
        self._seen = option
        if option != self._word:
            self._value = options.value()
        return True

    @property
    def given(self) -> bool:
        return self._seen != b""

    @property
    def relative_or_absolute(self) -> bool:
        return self._seen in _UNITS_MS

    def result(self) -> tuple[int, int]:
        """Kind and milliseconds for the operation."""
        if not self._seen:
            return self._default, 0
        if self._seen == self._word:
            return self._meaning, 0
        return expiry(self._name, self._seen, self._value)
