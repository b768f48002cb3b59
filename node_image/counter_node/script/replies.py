"""Replies of commands to values of Lua, and what a script returns to its reply, by Redis's rules.

A reply is an int, bytes, None, a list, or one of the kinds here. RESP3's come only to a script that
asked for them by `redis.setresp(3)`, and go out as they are: what encodes them for a client of
RESP2 knows how."""

from __future__ import annotations

from typing import Any, Final

from counter_node.script import numbers
from counter_node.script.errors import LimitError
from counter_node.script.limits import ENTRY_BYTES, TABLE_BYTES
from counter_node.script.run import Run
from counter_node.script.values import FALSE, TRUE, Bool, Table, is_table


class Failure(bytes):
    """An error: its code, a space, its words."""


class Status(bytes):
    """Such as OK."""


class Double(float):
    pass


class BigNumber(bytes):
    pass


class Verbatim(bytes):
    """Its format (three letters), a colon, its text."""


class Map(dict[Any, Any]):
    """Of a command."""


class Pairs(list[Any]):
    """A map that a script returns: key, value, key, value … Two keys of Lua may become the same one
    (1.2 and 1.7, say): both are sent, as Redis does."""


class Set(list[Any]):
    pass


def to_lua(run: Run, reply: Any) -> Any:
    """Errors within a list become tables with `err`, as Redis makes them."""
    kind = reply.__class__
    if kind is int:
        return float(reply)
    if kind is bytes:
        run.budget.make(len(reply) + 48)
        return reply
    if reply is None:
        return None if run.protocol == 3 else FALSE
    if kind is list:
        run.budget.work(len(reply))
        run.budget.make(TABLE_BYTES + 16 * len(reply))
        table = Table([to_lua(run, each) for each in reply], {})
        table.trim()
        return table
    if kind is bool:
        return TRUE if reply else FALSE
    run.budget.make(TABLE_BYTES + ENTRY_BYTES)
    return Table([], _TABLES[kind](run, reply))


def error_table(text: bytes) -> Table:
    """What `redis.pcall` gives for an error."""
    return Table([], {b"err": text, b"ignore_error_stats_update": TRUE})


def _map(run: Run, reply: Map) -> dict[Any, Any]:
    run.budget.make(ENTRY_BYTES * len(reply))
    return {b"map": Table([], {to_lua(run, k): to_lua(run, v) for k, v in reply.items()})}


def _set(run: Run, reply: Set) -> dict[Any, Any]:
    run.budget.make(ENTRY_BYTES * len(reply))
    return {b"set": Table([], {to_lua(run, each): TRUE for each in reply})}


def _verbatim(_: Run, reply: Verbatim) -> dict[Any, Any]:
    words = {b"format": bytes(reply[:3]), b"string": bytes(reply[4:])}
    return {b"verbatim_string": Table([], words)}


_TABLES: Final[dict[type, Any]] = {
    Failure: lambda run, reply: error_table(bytes(reply)).map,
    Status: lambda run, reply: {b"ok": bytes(reply)},
    Double: lambda run, reply: {b"double": float(reply)},
    BigNumber: lambda run, reply: {b"big_number": bytes(reply)},
    Verbatim: _verbatim,
    Map: _map,
    Set: _set,
}


def to_reply(run: Run, value: Any, inside: int = 0) -> Any:
    """A list ends at its first nil. A number loses its fraction."""
    kind = value.__class__
    if kind is bytes:
        run.budget.answer(len(value))
        return value
    if kind is float:
        return numbers.to_int64(value)
    if kind is Bool:
        if run.protocol == 3:
            return value is TRUE
        return 1 if value is TRUE else None
    if not is_table(value):
        return None
    run.budget.work(4)
    run.budget.make(TABLE_BYTES)
    if inside >= run.budget.limits.script_depth:
        most = run.budget.limits.script_depth
        raise LimitError("script_depth", most, "lists inside each other in its reply")
    if value.map and (found := _kind(run, value.map, inside)) is not None:
        return found
    elements: list[Any] = []
    for each in value.arr:
        if each is None:
            break
        run.budget.work(1)
        run.budget.make(16)
        elements.append(to_reply(run, each, inside + 1))
    return elements


def _line(run: Run, text: bytes) -> bytes:
    """An error or a status has one line."""
    run.budget.answer(len(text))
    return text.replace(b"\r", b" ").replace(b"\n", b" ")


def _kind(run: Run, of: dict[Any, Any], inside: int) -> Any:
    """A table with one of these names is that kind of reply, in this order."""
    if isinstance(text := of.get(b"err"), bytes):
        return Failure(_line(run, text))
    if isinstance(text := of.get(b"ok"), bytes):
        return Status(_line(run, text))
    if (number := of.get(b"double")).__class__ is float:
        return Double(number)
    if isinstance(found := of.get(b"map"), Table):
        run.budget.work(len(found.map) + len(found.arr))
        pairs = [(float(n), v) for n, v in enumerate(found.arr, 1)] + list(found.map.items())
        return Pairs(
            to_reply(run, each, inside + 1)
            for pair in pairs
            if pair[1] is not None
            for each in pair
        )
    if isinstance(found := of.get(b"set"), Table):
        run.budget.work(len(found.map) + len(found.arr))
        keys = [float(n) for n, v in enumerate(found.arr, 1) if v is not None]
        keys += [key for key, each in found.map.items() if each is not None]
        return Set(to_reply(run, key, inside + 1) for key in keys)
    if (text := of.get(b"big_number")).__class__ is bytes:
        return BigNumber(_line(run, text))
    if isinstance(found := of.get(b"verbatim_string"), Table):
        text, form = found.get(b"string"), found.get(b"format")
        if text.__class__ is bytes and form.__class__ is bytes:
            run.budget.answer(len(text))
            return Verbatim(form[:3].ljust(3) + b":" + text)
    return None
