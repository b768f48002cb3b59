"""Replies to bytes, in the version of the protocol that the connection speaks (2 unless HELLO asked
for 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from counter_node.counters.replies import (
    OK,
    BigNumber,
    Double,
    Failure,
    Fixed,
    Formatted,
    Listing,
    NoList,
    ResultMap,
    ResultSet,
    Set,
    Simple,
    Status,
    Verbatim,
)  # fmt: skip

_INTEGER: Final = b":%d\r\n"
_OK = b"+OK\r\n"
PIECE: Final = 1_000
"""Replies, or elements of one, that are made into bytes at once: half a millisecond."""
_LISTS: Final = frozenset({list, Listing})


def encode_many(replies: Sequence[Any], protocol: int) -> bytes:
    if len(replies) == 1:
        return encode(replies[0], protocol)
    if len(replies) > 3 and set(map(type, replies)) == {int}:  # a pipeline of increments
        return (_INTEGER * len(replies)) % tuple(replies)
    return b"".join([encode(reply, protocol) for reply in replies])


def are_long(replies: Sequence[Any]) -> bool:
    """Whether to make them into bytes takes more than a piece."""
    if len(replies) > PIECE:
        return True
    return not _LISTS.isdisjoint(map(type, replies)) and _size(list(replies)) > PIECE


def in_pieces(replies: Sequence[Any], protocol: int) -> Iterator[bytes]:
    """What `encode_many` gives, a piece at a time. Lists within lists, as of a transaction, are
    parted as well."""
    few: list[Any] = []
    size = 0
    for reply in replies:
        one = _size(reply)
        if few and size + one > PIECE:
            yield encode_many(few, protocol)
            few, size = [], 0
        if one <= PIECE:
            few.append(reply)
            size += one
        elif type(reply) is Listing:
            yield b"*%d\r\n" % reply.count
            yield from reply.parts
        else:
            yield b"*%d\r\n" % len(reply)
            yield from in_pieces(reply, protocol)
    if few:
        yield encode_many(few, protocol)


def _size(reply: Any) -> int:
    """Elements at all depths. It stops to count when these are more than a piece."""
    if type(reply) is Listing:
        return PIECE + 1
    if type(reply) is not list:
        return 1
    count = 1 + len(reply)
    for inner in reply if count <= PIECE else ():
        if type(inner) in _LISTS and (count := count + _size(inner)) > PIECE:
            break
    return count


def encode(reply: Any, protocol: int) -> bytes:
    if type(reply) is int:
        return _INTEGER % reply
    if reply is OK:
        return _OK
    return _ENCODERS[type(reply)](reply, protocol)


def _bulk(reply: bytes, _: int) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(reply), reply)


def _verbatim(reply: Verbatim, protocol: int) -> bytes:
    return b"=%d\r\ntxt:%s\r\n" % (len(reply) + 4, reply) if protocol == 3 else _bulk(reply, 0)


def _text(reply: str, _: int) -> bytes:
    return _bulk(reply.encode(), 0)


def _null(_: None, protocol: int) -> bytes:
    return b"_\r\n" if protocol == 3 else b"$-1\r\n"


def _no_list(_: NoList, protocol: int) -> bytes:
    return b"_\r\n" if protocol == 3 else b"*-1\r\n"


def _failure(reply: Failure, _: int) -> bytes:
    return b"-%s\r\n" % bytes(reply).replace(b"\r", b" ").replace(b"\n", b" ")


def _simple(reply: Simple, _: int) -> bytes:
    return b"+%s\r\n" % reply.encode()


def _status(reply: Status, _: int) -> bytes:
    return b"+%s\r\n" % reply


def _bool(reply: bool, protocol: int) -> bytes:
    return (b"#t\r\n" if reply else b"#f\r\n") if protocol == 3 else b":%d\r\n" % reply


def _double(reply: Double, protocol: int) -> bytes:
    text = b"%.17g" % reply
    return b",%s\r\n" % text if protocol == 3 else _bulk(text, 0)


def _big_number(reply: BigNumber, protocol: int) -> bytes:
    return b"(%s\r\n" % reply if protocol == 3 else _bulk(reply, 0)


def _formatted(reply: Formatted, protocol: int) -> bytes:
    return b"=%d\r\n%s\r\n" % (len(reply), reply) if protocol == 3 else _bulk(reply[4:], 0)


def _list(reply: list[Any], protocol: int) -> bytes:
    return b"*%d\r\n%s" % (len(reply), encode_many(reply, protocol))


def _listing(reply: Listing, _: int) -> bytes:
    return b"".join([b"*%d\r\n" % reply.count, *reply.parts])


def _fixed(reply: Fixed, protocol: int) -> bytes:
    found = reply.encoded.get(protocol)
    if found is None:
        found = reply.encoded[protocol] = encode(reply.value, protocol)
    return found


def _set(reply: Set, protocol: int) -> bytes:
    return b"%s%d\r\n%s" % (
        b"~" if protocol == 3 else b"*",
        len(reply),
        encode_many(reply, protocol),
    )


def _map(reply: dict[Any, Any], protocol: int) -> bytes:
    return _pairs([x for pair in reply.items() for x in pair], protocol)


def _pairs(reply: list[Any], protocol: int) -> bytes:
    text = encode_many(reply, protocol)
    if protocol == 3:
        return b"%%%d\r\n%s" % (len(reply) // 2, text)
    return b"*%d\r\n%s" % (len(reply), text)


_ENCODERS: dict[type, Callable[[Any, int], bytes]] = {
    bytes: _bulk,
    Verbatim: _verbatim,
    str: _text,
    type(None): _null,
    NoList: _no_list,
    Failure: _failure,
    Simple: _simple,
    list: _list,
    Listing: _listing,
    Fixed: _fixed,
    Set: _set,
    ResultSet: _set,
    Status: _status,
    bool: _bool,
    Double: _double,
    BigNumber: _big_number,
    Formatted: _formatted,
    dict: _map,
    ResultMap: _pairs,
}
