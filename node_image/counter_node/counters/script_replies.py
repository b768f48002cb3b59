"""Replies of commands as the engine takes them (script/replies.py), and its replies as commands
have them (replies.py)."""

from __future__ import annotations

from typing import Any, Final

from counter_node.counters import replies
from counter_node.script import replies as of_script


def to_script(reply: Any) -> Any:
    kind = type(reply)
    if kind is int or kind is bytes or reply is None:
        return reply
    if kind is list:
        return [to_script(each) for each in reply]
    if kind is replies.Simple:
        return of_script.Status(reply.encode())
    if kind is replies.Failure:
        return of_script.Failure(reply)
    raise AssertionError(f"no command of a script answers a {kind}")


def from_script(reply: Any) -> Any:
    kind = type(reply)
    if kind is int or kind is bytes or reply is None or kind is bool:
        return reply
    if kind is list:
        return [from_script(each) for each in reply]
    return _KINDS[kind](reply)


def _status(reply: bytes) -> Any:
    return replies.OK if reply == b"OK" else replies.Status(reply)


_KINDS: Final[dict[type, Any]] = {
    of_script.Failure: replies.Failure,
    of_script.Status: _status,
    of_script.Double: replies.Double,
    of_script.BigNumber: replies.BigNumber,
    of_script.Verbatim: replies.Formatted,
    of_script.Pairs: lambda reply: replies.ResultMap(map(from_script, reply)),
    of_script.Set: lambda reply: replies.ResultSet(map(from_script, reply)),
}
