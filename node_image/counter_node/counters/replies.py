"""What a command answers: int, bytes, None, list, dict, or one of these. Encoded for the client by
resp/encode.py."""

from __future__ import annotations

from typing import Any

import msgspec


class Failure(bytes):
    """An error reply: its code, a space, its text."""


class Verbatim(bytes):
    """Text for people, which RESP3 tells apart from other strings. In the state it is a string like
    others."""


class Simple(str):
    """A status reply such as OK."""

    __slots__ = ()


class Set(list[Any]):
    """A list that RESP3 calls a set."""


class ResultSet(Set):
    """The same, of a script: kept as one (`pack`)."""


class ResultMap(list[Any]):
    """Of a script: key, value, key, value …, which RESP3 calls a map."""


class Status(bytes):
    """A status reply of a script, whatever its bytes."""


class Double(float):
    """RESP3 tells it apart from a string."""


class BigNumber(bytes):
    """Digits, which RESP3 tells apart from a string."""


class Formatted(bytes):
    """Text for people of a script: its format (three letters), a colon, the text."""


class Listing:
    """A long list of strings, its elements as the protocol has them (listing.py). It is the answer
    of one command alone, never kept or nested."""

    __slots__ = ("count", "parts")

    def __init__(self, count: int, parts: list[bytes]) -> None:
        self.count, self.parts = count, parts


class Fixed:
    """A large reply that is the same every time: its bytes are made once for each version of the
    protocol."""

    __slots__ = ("encoded", "value")

    def __init__(self, value: Any) -> None:
        self.value = value
        self.encoded: dict[int, bytes] = {}


class NoList:
    """Null where a list was to be expected, which RESP2 tells apart from other nulls: EXEC did
    nothing."""

    __slots__ = ()


OK = Simple("OK")
NO_LIST = NoList()
_FAILURE, _SIMPLE, _LIST, _MAP, _NO_LIST = 1, 2, 3, 4, 5
_SET, _STATUS, _BIG_NUMBER, _FORMATTED, _DOUBLE, _PAIRS = 6, 7, 8, 9, 10, 11
_OF_SCRIPTS: dict[type, int] = {Status: _STATUS, BigNumber: _BIG_NUMBER, Formatted: _FORMATTED}
_BY_TAG = {tag: kind for kind, tag in _OF_SCRIPTS.items()}


def pack(reply: Any) -> bytes:
    """For replies that are kept in the state (producers.py)."""
    return msgspec.msgpack.encode(_tagged(reply))


def larger_than(reply: Any, most: int) -> bool:
    """Whether a reply would be longer than that when it is packed, as far as elements at all depths
    and their texts tell. It stops to count there, and makes nothing."""
    count, left = 0, [reply]
    while left and count <= most:
        inner = left.pop()
        if isinstance(inner, bytes | list):
            count += len(inner)
        elif isinstance(inner, dict):
            count += 2 * len(inner)
        if count <= most and isinstance(inner, list):
            left += inner
        elif count <= most and isinstance(inner, dict):
            left += [*inner, *inner.values()]
    return count > most


def unpack(packed: bytes) -> Any:
    return _untagged(msgspec.msgpack.decode(packed))


def _tagged(reply: Any) -> Any:
    kind = type(reply)
    if kind is Failure:
        return [_FAILURE, bytes(reply)]
    if kind is Verbatim:
        return bytes(reply)
    if kind is Simple:
        return [_SIMPLE, str(reply)]
    if kind is Fixed:
        return _tagged(reply.value)
    if (tag := _OF_SCRIPTS.get(kind)) is not None:
        return [tag, bytes(reply)]
    if kind is Double:
        return [_DOUBLE, float(reply)]
    if kind is ResultSet:
        return [_SET, [_tagged(r) for r in reply]]
    if kind is ResultMap:
        return [_PAIRS, [_tagged(r) for r in reply]]
    if isinstance(reply, list):
        return [_LIST, [_tagged(r) for r in reply]]
    if kind is NoList:
        return [_NO_LIST, None]
    if kind is dict:
        return [_MAP, [_tagged(x) for pair in reply.items() for x in pair]]
    return reply


def _untagged(value: Any) -> Any:
    if type(value) is not list:
        return value
    tag, content = value
    if tag == _FAILURE:
        return Failure(content)
    if tag == _SIMPLE:
        return Simple(content)
    if tag == _NO_LIST:
        return NO_LIST
    if (kind := _BY_TAG.get(tag)) is not None:
        return kind(content)
    if tag == _DOUBLE:
        return Double(content)
    if tag == _SET:
        return ResultSet(map(_untagged, content))
    if tag == _MAP:
        parts = [_untagged(v) for v in content]
        return dict(zip(parts[::2], parts[1::2], strict=True))
    if tag == _PAIRS:
        return ResultMap(map(_untagged, content))
    return [_untagged(v) for v in content]
