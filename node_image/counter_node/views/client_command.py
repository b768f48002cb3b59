"""CLIENT INFO, LIST and KILL: the connections of this node, in Redis's words. Clients neither see
nor end those of the admin port: the operator's."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from counter_node.counters.replies import OK, Verbatim
from counter_node.resp.actions import Refusal
from counter_node.resp.arguments import SYNTAX, integer
from counter_node.resp.session import Session
from counter_node.users.access import Access

Test = Callable[[Session], bool]
PIECE: Final = 200
"""Connections whose lines are made in one slice: some 2 ms."""


class Connections(Protocol):
    @property
    def now_s(self) -> Callable[[], float]: ...

    def sessions(self) -> list[Session]: ...

    def kill(self, wanted: Test, asking: Session) -> int: ...


class Connected(Protocol):
    """What is read of the node, and whom CLIENT KILL asks."""

    access: Access

    @property
    def clients(self) -> Connections: ...


_TYPES: Final = {"normal": True, "master": False, "slave": False, "replica": False, "pubsub": False}
"""Kinds of connections that Redis knows; here all are normal."""


def answer(node: Connected, words: list[bytes], session: Session) -> Any:
    """`words`: the whole command. A refusal is the reply. Of LIST, steps that end with it."""
    try:
        return {b"INFO": _info, b"LIST": _list, b"KILL": _kill}[words[1].upper()](
            node, words, session
        )
    except Refusal as refusal:
        return refusal.reply


def _info(node: Connected, words: list[bytes], session: Session) -> Any:
    return Verbatim(session.description(node.clients.now_s()).encode("latin-1") + b"\n")


def _list(node: Connected, words: list[bytes], session: Session) -> Generator[None, None, Any]:
    option = words[2].upper() if len(words) > 3 else b""
    wanted: Test
    if option == b"TYPE" and len(words) == 4:
        wanted = _of_type(words[3])
    elif option == b"ID":
        numbers = {integer(word, "ERR Invalid client ID") for word in words[3:]}
        wanted = lambda s: s.number in numbers  # noqa: E731
    elif len(words) == 2:
        wanted = lambda s: True  # noqa: E731
    else:
        raise Refusal(SYNTAX)
    now_s = node.clients.now_s()
    found = sorted(filter(_for(session, wanted), node.clients.sessions()), key=lambda s: s.number)
    pieces = []
    for start in range(0, len(found), PIECE):
        yield
        lines = [s.description(now_s) + "\n" for s in found[start : start + PIECE]]
        pieces.append("".join(lines).encode("latin-1"))
    return Verbatim(b"".join(pieces))


def _of_type(word: bytes) -> Test:
    name = word.decode("latin-1")
    normal = _TYPES.get(name.lower())
    if normal is None:
        raise Refusal(f"ERR Unknown client type '{name}'")
    return lambda s: normal


def _kill(node: Connected, words: list[bytes], session: Session) -> Any:
    if len(words) == 3:  # the old form: an address
        return (
            OK
            if node.clients.kill(_for(session, _at(words[2], "peer")), session)
            else Refusal("ERR No such client").reply
        )
    tests: list[Test] = []
    skip_me = True
    for name, value in _options(words[2:]):
        if name == b"SKIPME":
            if value.upper() not in (b"YES", b"NO"):
                raise Refusal(SYNTAX)
            skip_me = value.upper() == b"YES"
        else:
            tests.append(_test(node, name, value))
    wanted = _for(session, lambda s: all(test(s) for test in tests))
    return node.clients.kill(lambda s: not (skip_me and s is session) and wanted(s), session)


def _for(session: Session, wanted: Test) -> Test:
    return lambda s: s.admin <= session.admin and wanted(s)


def _options(words: list[bytes]) -> list[tuple[bytes, bytes]]:
    if len(words) % 2:
        raise Refusal(SYNTAX)
    return [(name.upper(), value) for name, value in zip(words[::2], words[1::2], strict=True)]


def _test(node: Connected, name: bytes, value: bytes) -> Test:
    if name == b"ID":
        wrong = "ERR client-id should be greater than 0"
        number = integer(value, wrong)
        if number < 1:
            raise Refusal(wrong)
        return lambda s: s.number == number
    if name == b"ADDR":
        return _at(value, "peer")
    if name == b"LADDR":
        return _at(value, "local")
    if name == b"TYPE":
        return _of_type(value)
    if name == b"USER":
        user = value.decode("latin-1")
        if user not in node.access.acl.users:
            raise Refusal(f"ERR No such user '{user}'")
        return lambda s: s.user_name == user
    if name == b"MAXAGE":
        age_s, now_s = (
            integer(value, "ERR maxage is not an integer or out of range"),
            node.clients.now_s(),
        )
        if age_s < 1:
            raise Refusal("ERR maxage should be greater than 0")
        return lambda s: now_s - s.born_s >= age_s
    raise Refusal(SYNTAX)


def _at(word: bytes, which: str) -> Test:
    address = word.decode("latin-1")
    return lambda s: getattr(s, which) == address
