"""Bytes of a client to commands, each a list of byte strings.

hiredis parses arrays, which is what clients send. A connection that begins with anything else speaks inline commands (a person with netcat) and
is parsed here,
slowly and carefully, for as long as it lives. Before hiredis sees a header that announces an absurd size it is refused: hiredis would reserve
the memory.
"""

from __future__ import annotations

import re
import shlex
from typing import Final

import hiredis

MAX_REQUEST_BYTES: Final = 4 << 20
MAX_ARGUMENTS: Final = 1 << 16
_BIG_HEADER = re.compile(rb"(?:^|\n)([*$])(\d{5,})")
_HEADER_BYTES = 24


class ProtocolError(Exception):
    """What the client sent is no request; the connection ends. `commands` are the good ones that came before it."""

    def __init__(self, text: str, commands: list[list[bytes]]) -> None:
        super().__init__(f"ERR Protocol error: {text}")
        self.commands = commands


class Parser:
    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._inline: bytearray | None = None
        self._fresh = True  # nothing was fed yet
        self._tail = b""  # the end of the last piece, where a header may have been cut in two
        self._pending = 0  # bytes fed since the last complete command

    def feed(self, data: bytes) -> list[list[bytes]]:
        """The commands that are complete now. Raises ProtocolError."""
        if self._fresh and data:
            self._fresh = False
            if data[:1] != b"*":
                self._inline = bytearray()
        if self._inline is not None:
            return self._feed_inline(data)
        self._check_headers(data)
        reader = self._reader
        reader.feed(data)
        commands: list[list[bytes]] = []
        try:
            while (command := reader.gets()) is not False:
                if type(command) is not list or not all(type(word) is bytes for word in command):
                    raise ProtocolError("expected an array of bulk strings", commands)
                if command:
                    commands.append(command)
        except hiredis.ProtocolError as error:
            raise ProtocolError(str(error), commands) from None
        self._count(len(data), commands)
        return commands

    def _count(self, fed: int, commands: list[list[bytes]]) -> None:
        self._pending = fed if commands else self._pending + fed
        if self._pending > MAX_REQUEST_BYTES and (not commands or self._pending > 16 * MAX_REQUEST_BYTES):
            raise ProtocolError(f"request over {MAX_REQUEST_BYTES} bytes", commands)

    def _check_headers(self, data: bytes) -> None:
        seen = self._tail + data
        self._tail = seen[-_HEADER_BYTES:]
        for match in _BIG_HEADER.finditer(seen):
            size = int(match[2])
            if match[1] == b"*" and size > MAX_ARGUMENTS:
                raise ProtocolError("invalid multibulk length", [])
            if match[1] == b"$" and size > MAX_REQUEST_BYTES:
                raise ProtocolError("invalid bulk length", [])

    # --- a person's connection ----------------------------------------------------------------------------------------------

    def _feed_inline(self, data: bytes) -> list[list[bytes]]:
        buffer = self._inline
        assert buffer is not None
        buffer += data
        commands: list[list[bytes]] = []
        while buffer:
            found = self._array(buffer, commands) if buffer[:1] == b"*" else self._line(buffer, commands)
            if found is None:
                break
            command, used = found
            del buffer[:used]
            if command:
                commands.append(command)
        if len(buffer) > MAX_REQUEST_BYTES:
            raise ProtocolError(f"request over {MAX_REQUEST_BYTES} bytes", commands)
        return commands

    @staticmethod
    def _line(buffer: bytearray, commands: list[list[bytes]]) -> tuple[list[bytes], int] | None:
        end = buffer.find(b"\n")
        if end < 0:
            if len(buffer) > 1 << 16:
                raise ProtocolError("too big inline request", commands)
            return None
        try:
            words = shlex.split(bytes(buffer[:end]).rstrip(b"\r").decode("latin-1"))
        except ValueError:
            raise ProtocolError("unbalanced quotes in request", commands) from None
        return [word.encode("latin-1") for word in words], end + 1

    @staticmethod
    def _array(buffer: bytearray, commands: list[list[bytes]]) -> tuple[list[bytes], int] | None:
        def number(start: int, most: int, what: str) -> tuple[int, int] | None:
            end = buffer.find(b"\r\n", start)
            if end < 0:
                return None
            text = bytes(buffer[start + 1 : end])
            if not text.isdigit() or int(text) > most:
                raise ProtocolError(what, commands)
            return int(text), end + 2

        head = number(0, MAX_ARGUMENTS, "invalid multibulk length")
        if head is None:
            return None
        count, at = head
        words: list[bytes] = []
        for _ in range(count):
            if at < len(buffer) and buffer[at : at + 1] != b"$":
                raise ProtocolError(f"expected '$', got '{chr(buffer[at])}'", commands)
            size = number(at, MAX_REQUEST_BYTES, "invalid bulk length")
            if size is None or len(buffer) < size[1] + size[0] + 2:
                return None
            words.append(bytes(buffer[size[1] : size[1] + size[0]]))
            at = size[1] + size[0] + 2
        return words, at
