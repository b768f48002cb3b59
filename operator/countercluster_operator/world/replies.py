"""Reads one reply of a node (RESP2) within bounds. Pure: bytes go in, a value or Hostile comes out;
imports no I/O.

A node runs an image that a tenant may have chosen. Nothing that it says is believed beyond what
an honest node needs: a reply is at most `MAX_BYTES` long, is one line or one bulk string, and an
array is refused at its header, so that there is no depth and no number of parts to bound. The
JSON inside is an object of bounded depth (`document`); statuses.py judges its fields.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

MAX_BYTES: Final = 64 << 10
"""Of one reply: a status of seven members takes a few KiB."""
MAX_LINE: Final = 4 << 10
"""Of an error, a simple string, a number or a header."""
MAX_DEPTH: Final = 64
"""Of the JSON of a status; an honest one has 4."""
_LENGTH = re.compile(rb"(?:-1|\d{1,7})\Z")
_NUMBER = re.compile(rb"-?\d{1,19}\Z")


def words(text: str, most: int = 300) -> str:
    """What can be shown of what a node says: one printable line of bounded length."""
    return "".join(c if c.isprintable() else "?" for c in text[:most])


class Hostile(ValueError):
    """What a node said is beyond bounds, or is no reply; the message says which bound."""


REMOVED: Final = "REMOVED"
"""The code of an error: this id was removed, and never comes back."""
OLDER: Final = (("was removed and is never reused", REMOVED),)
"""Words of errors that had no code of their own before, and their codes: nodes of an older version
answer so during a roll."""
_CODE = re.compile(r"[A-Z]{2,32}(?= |\Z)")


class Refusal(Exception):
    """A node answered with an error. `code` is its first word; the message is the node's own, one
    line of bounded length. Whoever decides by it, decides by the code."""

    def __init__(self, text: str) -> None:
        found = _CODE.match(text)
        older = next((code for words_, code in OLDER if words_ in text), "ERR")
        self.code = found[0] if found is not None and found[0] != "ERR" else older
        super().__init__(words(text.removeprefix("ERR ")))


def command(*names: str) -> bytes:
    parts = [name.encode() for name in names]
    return b"*%d\r\n" % len(parts) + b"".join(
        b"$%d\r\n%s\r\n" % (len(part), part) for part in parts
    )


class Reply:
    """One reply, as its bytes arrive."""

    def __init__(self, most: int = MAX_BYTES) -> None:
        self._most, self._kept = most, bytearray()
        self._bulk: tuple[int, int] | None = None  # where it begins and where it ends
        self.value: bytes | int | None = None

    def feed(self, chunk: bytes) -> bool:
        """True when the reply is whole: `value` has it. Raises Hostile, and Refusal for an
        error."""
        self._kept += chunk
        if len(self._kept) > self._most + MAX_LINE:
            raise Hostile(f"its reply is longer than {self._most} bytes")
        if self._bulk is None:
            end = self._kept.find(b"\r\n", 0, MAX_LINE)
            if end >= 0:
                return self._line(bytes(self._kept[:end]))
            if len(self._kept) >= MAX_LINE:
                raise Hostile(f"the first line of its reply is longer than {MAX_LINE} bytes")
            return False
        return self._whole()

    def _line(self, line: bytes) -> bool:
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise Refusal(rest.decode(errors="replace"))
        if kind == b"+":
            self.value = rest
            return True
        if kind == b":" and _NUMBER.match(rest):
            self.value = int(rest)
            return True
        if kind == b"$" and _LENGTH.match(rest):
            return self._header(len(line) + 2, int(rest))
        raise Hostile(f"its reply begins with {line[:20]!r}: neither a line nor a bulk string")

    def _header(self, start: int, length: int) -> bool:
        if length < 0:
            return True
        if length > self._most:
            raise Hostile(f"its reply is {length} bytes long; at most {self._most}")
        self._bulk = (start, start + length)
        return self._whole()

    def _whole(self) -> bool:
        assert self._bulk is not None
        start, end = self._bulk
        if len(self._kept) < end + 2:
            return False
        if self._kept[end : end + 2] != b"\r\n":
            raise Hostile("its bulk string does not end where it said")
        self.value = bytes(self._kept[start:end])
        return True


def document(text: bytes) -> dict[str, Any]:
    """The JSON object in a reply. Raises Hostile. The depth is counted first, as the parser
    recurses. Brackets inside strings count as well: to leave them out takes a parser, and an honest
    status does not come near the bound."""
    depth = deepest = 0
    for bracket in re.findall(rb"[\[\]{}]", text):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise Hostile(f"its status is {deepest} levels deep; at most {MAX_DEPTH}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Hostile(f"its status is no JSON: {str(error)[:100]}") from None
    if not isinstance(found, dict):
        raise Hostile("its status is no object")
    return found
