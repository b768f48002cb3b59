"""The commands as words for the wire, and what their replies mean. No I/O: the blocking and the
asyncio face share all of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, Self, TypeVar

from countercluster.errors import CounterError, LimitReached, Refused

Word = str | bytes | int
Key = str | bytes
T = TypeVar("T")

MOST_IN_BATCH = 5_000
LONGEST_S = 100 * 366 * 86_400
"""Of a counter's life: a hundred years."""


class Added(NamedTuple):
    value: int
    """After the call."""
    by: int
    """What was really added."""


@dataclass(frozen=True, slots=True)
class Command(Generic[T]):
    words: tuple[Word, ...]
    meaning: Callable[[Any], T]

    def __post_init__(self) -> None:
        """Raises TypeError for what no connection could send: it would be tried until the deadline,
        and its outcome called unknown."""
        for word in self.words:
            if isinstance(word, bool) or not isinstance(word, bytes | str | int | float):
                raise TypeError(
                    f"{word!r} is a {type(word).__name__}; keys are str or bytes, and amounts "
                    f"are int"
                )


def incr(
    key: Key,
    by: int = 1,
    *,
    at_most: int | None = None,
    at_least: int | None = None,
    window_s: float | None = None,
) -> Command[int]:
    if at_most is None and at_least is None and window_s is None:
        return Command(("INCRBY", key, by), int)

    def meaning(reply: Any) -> int:
        value, added = int(reply[0]), int(reply[1])
        if added != by:
            raise LimitReached(_text(key), value, by)
        return value

    return Command(
        (
            *_increx(key, by, at_least, at_most),
            *(() if window_s is None else ("PX", _ms(window_s), "ENX")),
        ),
        meaning,
    )


def decr(key: Key, by: int = 1, *, at_least: int | None = None) -> Command[int]:
    return (
        Command(("DECRBY", key, by), int) if at_least is None else incr(key, -by, at_least=at_least)
    )


def add_within(
    key: Key, by: int, *, at_least: int | None = None, at_most: int | None = None
) -> Command[Added]:
    return Command(
        (*_increx(key, by, at_least, at_most), "SATURATE"),
        lambda reply: Added(int(reply[0]), int(reply[1])),
    )


def _increx(key: Key, by: int, at_least: int | None, at_most: int | None) -> tuple[Word, ...]:
    bounds = ("LBOUND", at_least), ("UBOUND", at_most)
    return (
        "INCREX",
        key,
        "BYINT",
        by,
        *(word for name, bound in bounds if bound is not None for word in (name, bound)),
    )


def put(key: Key, value: int, *, ttl_s: float | None = None) -> Command[None]:
    return Command(
        ("SET", key, value, *(() if ttl_s is None else ("PX", _ms(ttl_s)))), lambda _: None
    )


def compare_and_set(key: Key, expected: int | None, value: int) -> Command[bool]:
    condition: tuple[Word, ...] = ("NX",) if expected is None else ("IFEQ", expected)
    return Command(("SET", key, value, *condition, "KEEPTTL"), lambda reply: reply is not None)


def delete(key: Key) -> Command[bool]:
    return Command(("DEL", key), bool)


def expire(key: Key, ttl_s: float) -> Command[bool]:
    return Command(("PEXPIRE", key, _ms(ttl_s)), bool)


def persist(key: Key) -> Command[bool]:
    return Command(("PERSIST", key), bool)


def get(key: Key) -> Command[int | None]:
    return Command(("GET", key), _maybe)


def mget(keys: tuple[Key, ...]) -> Command[list[int | None]]:
    return Command(("MGET", *keys), lambda reply: [_maybe(value) for value in reply])


def ttl(key: Key) -> Command[float | None]:
    return Command(("PTTL", key), lambda ms: None if ms < 0 else ms / 1000)


def position() -> Command[int]:
    """The index up to which the node that answers has executed the log: `[master, index, …]`, and
    `[slave, host, port, state, index]` from followers before version 0.2."""
    return Command(("ROLE",), lambda reply: int(reply[1] if reply[0] == b"master" else reply[4]))


@dataclass(slots=True)
class Batch:
    """Several writes that are executed as one step, or not at all: `Batch().decr("stock",
    at_least=0).incr("sold")`.

    For `Counters.execute`, which gives one result for each, in order. Where one was refused
    (LimitReached, or Refused as for an overflow) the exception itself is its result, and the others
    are executed all the same: a transaction of Redis is like that too."""

    commands: list[Command[Any]] = field(default_factory=list)

    def incr(
        self, key: Key, by: int = 1, *, at_most: int | None = None, window_s: float | None = None
    ) -> Self:
        return self._with(incr(key, by, at_most=at_most, window_s=window_s))

    def decr(self, key: Key, by: int = 1, *, at_least: int | None = None) -> Self:
        return self._with(decr(key, by, at_least=at_least))

    def set(self, key: Key, value: int, *, ttl_s: float | None = None) -> Self:
        return self._with(put(key, value, ttl_s=ttl_s))

    def compare_and_set(self, key: Key, expected: int | None, value: int) -> Self:
        return self._with(compare_and_set(key, expected, value))

    def delete(self, key: Key) -> Self:
        return self._with(delete(key))

    def expire(self, key: Key, ttl_s: float) -> Self:
        return self._with(expire(key, ttl_s))

    def _with(self, command: Command[Any]) -> Self:
        if len(self.commands) >= MOST_IN_BATCH:
            raise CounterError(f"a batch has at most {MOST_IN_BATCH} commands")
        self.commands.append(command)
        return self

    def request(self) -> Command[list[Any]]:
        """Words of EXEC; `meaning` of its reply. The commands themselves go before it."""
        commands = tuple(self.commands)
        return Command(
            ("EXEC",),
            lambda replies: [
                _in_its_place(c, reply) for c, reply in zip(commands, replies, strict=True)
            ],
        )


def _in_its_place(command: Command[Any], reply: Any) -> Any:
    if isinstance(reply, Exception):
        return Refused(f"{spoken(command.words)}: {reply}")
    try:
        return command.meaning(reply)
    except LimitReached as refusal:
        return refusal


def spoken(words: tuple[Word, ...]) -> str:
    return " ".join(_text(word) for word in words[:8])


def _text(word: Word) -> str:
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)


def _maybe(value: bytes | None) -> int | None:
    return None if value is None else int(value)


def _ms(seconds: float) -> int:
    """At least one. Raises ValueError for a time that is over at once, or never: it was not
    meant."""
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(
            f"a time of {seconds!r} seconds; more than 0 and at most {LONGEST_S:,} are possible."
            f" delete() ends a counter at once, and persist() takes its end away"
        )
    return max(1, math.ceil(seconds * 1000))
