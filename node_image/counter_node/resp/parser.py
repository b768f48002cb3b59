"""Bytes of a client to commands, each a list of byte strings. Exactly what Redis accepts and
refuses, at the speed of hiredis.

There are three ways through here, which agree on everything (the tests feed all):

    alone    a single command of two words in the one spelling that clients use, compared piece by
             piece: half the time of hiredis
    fast     hiredis, for what clients really send: whole commands, each an array of bulk strings
    careful  Redis's own rules, one header after the other: inline commands, commands that arrive in
             pieces, and whatever looks odd

1. The fast way is taken only from the beginning of a command on, and only for data in which hiredis
   cannot go wrong: it reserves 8 GB of addresses as soon as it reads `*1000000000`, and takes
   `+PING` or `(1` in an array for a bulk string.
2. What a piece of data leaves unfinished goes the careful way, which remembers how far it came: a
   command costs the same however it is cut.
3. Commands that were complete before a protocol error are answered before the connection ends.
"""

from __future__ import annotations

import re
from itertools import chain, takewhile
from typing import Final

import hiredis

from counter_node.resp.limits import MAX_ARGUMENTS, MAX_LINE_BYTES, MAX_REQUEST_BYTES

_MORE = object()
_join = b"".join
_long_header = re.compile(rb"\*\d{5}").search
_ODD_SIGNS = b"+(=,~>|"
_odd = re.compile(rb"\n[%b]" % _ODD_SIGNS).search
_MARK, _MARK_READ = b",1.25\r\n", 1.25
"""Fed after the data, and read back only if the data ended between two commands: hiredis itself
does not tell."""
_ALONE_BYTES: Final = 128
_SIZES = [b"$%d" % size for size in range(_ALONE_BYTES)]
_HEX = frozenset(b"0123456789abcdefABCDEF")
_ESCAPES = {ord("n"): 10, ord("r"): 13, ord("t"): 9, ord("b"): 8, ord("a"): 7}


class ProtocolError(Exception):
    """What the client sent is no request; the connection ends. `commands` are the good ones that
    came before it."""

    def __init__(self, text: str, commands: list[list[bytes]]) -> None:
        super().__init__(f"ERR Protocol error: {text}")
        self.commands = commands


_REDIS_ARGUMENTS: Final = (1 << 31) - 1
_REDIS_WORD_BYTES: Final = 512 << 20
"""What Redis refuses as well."""


class _Bad(Exception):
    """The text of a protocol error."""


class Parser:
    def __init__(self) -> None:
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        self._buffer = bytearray()  # what the careful way has not used yet
        self._words: list[bytes] = []  # of the command that is not complete
        self._missing = 0  # how many words it still lacks
        self._size = -1  # of its next word, once known
        self._used = 0  # bytes of it that left the buffer

    @property
    def unfinished(self) -> int:
        """Bytes of a command that is not complete."""
        return self._used + len(self._buffer)

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The commands that are complete now. Raises ProtocolError."""
        commands: list[list[bytes]] = []
        if not self._missing and not self._buffer and data[:1] == b"*":
            if len(data) < _ALONE_BYTES:
                parts = data.split(b"\r\n")
                if (
                    len(parts) == 6
                    and parts[0] == b"*2"
                    and parts[1] == _SIZES[len(parts[2])]
                    and parts[3] == _SIZES[len(parts[4])]
                    and not parts[5]
                ):
                    return [[parts[2], parts[4]]]
            if _plain(data):
                done, used = self._fast(data, commands)
                if done:
                    return commands
                data = data[used:]
        self._buffer += data
        self._careful(commands)
        return commands

    def _fast(self, data: bytes, commands: list[list[bytes]]) -> tuple[bool, int]:
        """Appends to `commands`. True if that was all; else how many bytes of `data` are used
        up."""
        reader = self._reader
        gets, add = reader.gets, commands.append
        try:
            reader.feed(data)
            reader.feed(_MARK)
            while type(command := gets()) is list:
                add(command)
            _join(chain.from_iterable(commands))  # raises TypeError unless all are bytes
            if command == _MARK_READ and gets() is _MORE:
                if _has_sign(data) and not _ended(data, commands):
                    commands.clear()
                    return False, 0
                if [] in commands:
                    commands[:] = filter(None, commands)
                return True, len(data)
        except (TypeError, hiredis.ProtocolError):
            pass
        self._reader = hiredis.Reader(notEnoughData=_MORE)
        whole = list(takewhile(_all_bytes, commands))
        commands[:], used = _within(whole, len(data))
        if _has_sign(data) and not _ended(data[:used], whole):
            commands.clear()
            used = 0
        return False, used

    # --- the careful way --------------------------------------------------------------------------

    def _careful(self, commands: list[list[bytes]]) -> None:
        try:
            while self._buffer:
                before = len(self._buffer)
                command = self._next()
                if command is None:
                    break
                self._used = 0
                if command:
                    commands.append(command)
                assert len(self._buffer) < before or command
            if self._used + len(self._buffer) > MAX_REQUEST_BYTES:
                raise _Bad(f"request over {MAX_REQUEST_BYTES} bytes; send several commands")
        except _Bad as error:
            raise ProtocolError(str(error), commands) from None

    def _next(self) -> list[bytes] | None:
        """A command, an empty one (nothing to answer), or None: more bytes are needed."""
        if self._missing:
            return self._array()
        if self._buffer[0] != ord("*"):
            return self._line()
        count = self._header("invalid multibulk length", "too big mbulk count string")
        if count is None:
            return None
        if count > MAX_ARGUMENTS:
            raise _Bad(
                _beyond(
                    "invalid multibulk length", count, _REDIS_ARGUMENTS, f"{MAX_ARGUMENTS} words"
                )
            )
        self._words, self._missing = [], max(0, count)
        return self._array() if count > 0 else []

    def _array(self) -> list[bytes] | None:
        buffer, at = self._buffer, 0
        try:
            while self._missing:
                if self._size < 0:
                    found = self._bulk_header(at)
                    if found is None:
                        return None
                    self._size, at = found
                end = at + self._size
                if len(buffer) < end + 2:
                    return None
                self._words.append(bytes(buffer[at:end]))
                at = end + 2
                self._missing -= 1
                self._size = -1
        finally:
            del buffer[:at]
            self._used += at
        words, self._words = self._words, []
        return words

    def _bulk_header(self, at: int) -> tuple[int, int] | None:
        """Size of the next word, and where it begins."""
        buffer = self._buffer
        if at < len(buffer) and buffer[at] != ord("$"):
            raise _Bad(f"expected '$', got '{chr(buffer[at])}'")
        end = buffer.find(b"\r", at)
        if end < 0 or end + 2 > len(buffer):
            if end < 0 and len(buffer) - at > MAX_LINE_BYTES:
                raise _Bad("too big bulk count string")
            return None
        size = _integer(bytes(buffer[at + 1 : end]))
        if size is None or not 0 <= size <= MAX_REQUEST_BYTES:
            raise _Bad(
                _beyond(
                    "invalid bulk length",
                    size or 0,
                    _REDIS_WORD_BYTES,
                    f"{MAX_REQUEST_BYTES} bytes",
                )
            )
        if self._used + at + size > MAX_REQUEST_BYTES:
            raise _Bad(f"request over {MAX_REQUEST_BYTES} bytes; send several commands")
        return size, end + 2

    def _header(self, wrong: str, too_long: str) -> int | None:
        """The number in the buffer's first line, which is used up."""
        buffer = self._buffer
        end = buffer.find(b"\r")
        if end < 0 or end + 2 > len(buffer):
            if end < 0 and len(buffer) > MAX_LINE_BYTES:
                raise _Bad(too_long)
            return None
        number = _integer(bytes(buffer[1:end]))
        if number is None:
            raise _Bad(wrong)
        del buffer[: end + 2]
        self._used += end + 2
        return number

    def _line(self) -> list[bytes] | None:
        """An inline command: a person at the other end."""
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > MAX_LINE_BYTES:
                raise _Bad("too big inline request")
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        return split_line(line)


def _plain(data: bytes) -> bool:
    """Whether hiredis may have it: no array header of five digits or more, and nothing that it
    would take for a bulk string. (A word that looks like one of these only makes its neighbours
    take the careful way.)"""
    if _long_header(data) is not None or len(data) > MAX_REQUEST_BYTES:
        return False
    if len(data) > 256 and not _has_sign(data):
        return True  # cheaper for many commands
    return _odd(data) is None


def _has_sign(data: bytes) -> bool:
    return any(sign in data for sign in _ODD_SIGNS)


def _ended(data: bytes, commands: list[list[bytes]]) -> bool:
    """Whether a line ends after each word. Nobody looks at these two bytes, hiredis neither; but
    with others there what follows begins a line that `_odd` does not see."""
    at, most = 0, len(data)
    for command in commands:
        at += 3 + len(str(len(command)))
        for word in command:
            end = at + 3 + len(str(len(word))) + len(word)
            at = end + 2
            if at <= most and data[end:at] != b"\r\n":
                return False
    return True


def _all_bytes(command: list[bytes]) -> bool:
    return all(type(word) is bytes for word in command)


def _within(commands: list[list[bytes]], length: int) -> tuple[list[list[bytes]], int]:
    """Those that end within `length` bytes (the last may have swallowed the mark), without empty
    ones, and where they end. hiredis accepts numbers in one spelling only, so their length on the
    wire is known."""
    found: list[list[bytes]] = []
    used = 0
    for command in commands:
        end = (
            used
            + 3
            + len(str(len(command)))
            + sum([5 + len(str(len(word))) + len(word) for word in command])
        )
        if end > length:
            break
        used = end
        if command:
            found.append(command)
    return found, used


def _beyond(text: str, number: int, redis_limit: int, limit: str) -> str:
    """Redis's own words, and the limit where Redis has a larger one."""
    return (
        f"{text}: {number}; at most {limit} in a command, send several"
        if 0 < number <= redis_limit
        else text
    )


def _integer(text: bytes) -> int | None:
    """As Redis reads it: a sign only if negative, no zeros in front."""
    digits = text.removeprefix(b"-")
    if not digits.isdigit() or len(digits) > 19 or (digits[:1] == b"0" and text != b"0"):
        return None
    return int(text)


def split_line(line: bytes) -> list[bytes]:
    """Words of an inline command; "…" may hold escapes, '…' only \\'. Raises _Bad for quotes that
    do not fit."""
    words: list[bytes] = []
    line = line.split(b"\0")[0]
    at, length = 0, len(line)
    while True:
        while at < length and line[at : at + 1].isspace():
            at += 1
        if at == length:
            return words
        word = bytearray()
        while at < length and line[at] not in b" \t\r\n":
            quote = line[at]
            if quote in b"\"'":
                at = _quoted(line, at + 1, quote, word)
                if at < length and not line[at : at + 1].isspace():
                    raise _Bad("unbalanced quotes in request")
                break
            word.append(quote)
            at += 1
        words.append(bytes(word))


def _quoted(line: bytes, at: int, quote: int, word: bytearray) -> int:
    """Adds to `word` what stands between quotes; returns where it ends."""
    length = len(line)
    while at < length:
        byte = line[at]
        if byte == quote:
            return at + 1
        following = line[at + 1] if at + 1 < length else -1
        if byte == ord("\\") and quote == ord('"') and following >= 0:
            if (
                following == ord("x")
                and len(line) > at + 3
                and line[at + 2] in _HEX
                and line[at + 3] in _HEX
            ):
                word.append(int(line[at + 2 : at + 4], 16))
                at += 4
                continue
            word.append(_ESCAPES.get(following, following))
            at += 2
        elif byte == ord("\\") and following == quote:
            word.append(quote)
            at += 2
        else:
            word.append(byte)
            at += 1
    raise _Bad("unbalanced quotes in request")
