"""The same script in a real redis-server and in the engine: the bytes of both replies.

The commands of the engine's script go to another database of the same server, so that both find the
same state and get the same answers."""

from __future__ import annotations

import re
from typing import Any

from counter_node.script.engine import Engine
from counter_node.script.errors import ScriptError
from counter_node.script.replies import (
    BigNumber,
    Double,
    Failure,
    Map,
    Pairs,
    Set,
    Status,
    Verbatim,
)

from tests.support.unit.redis_connection import RealConnection

_ADDRESS = re.compile(rb"(table|function|userdata): (0x[0-9a-f]+|\(nil\)|builtin: [0-9a-f]+)")


class Oracle:
    def __init__(self, port: int, engine: Engine | None = None) -> None:
        self.engine = engine or Engine()
        self._scripts, self._commands = RealConnection(port), RealConnection(port)
        self._commands.command(b"select", b"1")

    def close(self) -> None:
        self._scripts.close()
        self._commands.close()

    def both(
        self, source: bytes, keys: list[bytes] | None = None, arguments: list[bytes] | None = None
    ) -> tuple[bytes, bytes]:
        """Redis's reply and the engine's."""
        return (
            self.of_redis(source, keys or [], arguments or []),
            self.of_engine(source, keys or [], arguments or []),
        )

    def forget(self) -> None:
        self._commands.command(b"flushall")

    def of_redis(self, source: bytes, keys: list[bytes], arguments: list[bytes]) -> bytes:
        words = [b"eval", source, b"%d" % len(keys), *keys, *arguments]
        return alike(self._scripts.command(*words))

    def of_engine(self, source: bytes, keys: list[bytes], arguments: list[bytes]) -> bytes:
        try:
            reply = self.engine.compile(source).run(keys, arguments, self.command)
        except ScriptError as error:
            return alike(encoded(Failure(error.text)))
        return alike(encoded(reply))

    def command(self, words: list[bytes], protocol: int) -> Any:
        """Redis's words for a script that calls a command wrongly are others than for a client."""
        if words[0].lower() in (b"eval", b"evalsha", b"multi", b"select", b"subscribe", b"hello"):
            return Failure(b"ERR This Redis command is not allowed from script")
        if protocol == 3:
            self._commands.command(b"hello", b"3")
        reply, _ = decoded(self._commands.command(*words))
        if protocol == 3:
            self._commands.command(b"hello", b"2")
        if isinstance(reply, Failure):
            if reply.startswith(b"ERR unknown command"):
                return Failure(b"ERR Unknown Redis command called from script")
            if reply.startswith(b"ERR wrong number of arguments"):
                return Failure(b"ERR Wrong number of args calling Redis command from script")
        return reply


def alike(reply: bytes) -> bytes:
    """Without what differs from machine to machine: addresses, and the sign of what is no number
    (of a bulk string the length, too)."""
    found = _ADDRESS.sub(rb"\1: ADDRESS", reply)
    found = found.replace(b"-nan", b"nan")
    return re.sub(rb"\$\d+\r\n", b"$\r\n", found)


def encoded(reply: Any) -> bytes:
    """As Redis sends it to a client of RESP2."""
    kind = type(reply)
    if reply is None:
        return b"$-1\r\n"
    if kind is int or kind is bool:
        return b":%d\r\n" % int(reply)
    if kind is Failure:
        return b"-%s\r\n" % bytes(reply)
    if kind is Status:
        return b"+%s\r\n" % bytes(reply)
    if kind is Double:
        return encoded(b"%.17g" % float(reply))
    if kind in (bytes, BigNumber, Verbatim):
        text = bytes(reply)[4:] if kind is Verbatim else bytes(reply)
        return b"$%d\r\n%s\r\n" % (len(text), text)
    assert kind in (list, Pairs, Set), kind
    return b"*%d\r\n%s" % (len(reply), b"".join(map(encoded, reply)))


def decoded(data: bytes, at: int = 0) -> tuple[Any, int]:
    """One reply of RESP2 or RESP3, and where it ends."""
    end = data.index(b"\r\n", at)
    kind, text, at = data[at : at + 1], data[at + 1 : end], end + 2
    if kind in b"+-:_#,(":
        scalars: dict[bytes, Any] = {
            b"+": Status, b"-": Failure, b":": int, b"_": lambda _: None,
            b"#": lambda word: word == b"t", b",": Double, b"(": BigNumber,
        }  # fmt: skip
        return scalars[kind](text), at
    size = int(text)
    if size < 0:
        return None, at
    if kind in b"$=":
        found = data[at : at + size]
        return (Verbatim(found) if kind == b"=" else found), at + size + 2
    elements: list[Any] = []
    for _ in range(size * (2 if kind == b"%" else 1)):
        each, at = decoded(data, at)
        elements.append(each)
    if kind == b"%":
        return Map(zip(elements[::2], elements[1::2], strict=True)), at
    return (Set(elements) if kind == b"~" else elements), at
