"""Commands in the hands of a gateway: in bundles as connections gave them, gathered, parted where
one entry would be too heavy, and put together again. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from counter_node.counters.execution import PLAIN, PLAIN_WEIGHT, holds_script, weight
from counter_node.raft.types import NodeId

Token = Any
"""Whatever the caller wants back with the reply."""
Op = Any
Route = tuple[NodeId, int, int]
"""Leader, term, how often the link to it was cut: a change of any means 'send again'."""

MOST_NAMES = 100_000
"""In the operations of one batch: so many short names fit into few bytes, and every member takes
them out of these at once."""


MOST_SCRIPTS = 50
"""In one batch, alone or in transactions: every member makes all their replies before it goes on to
others', and these may be of a quarter of a MiB each, of a transaction one."""


def not_too_heavy(ops: list[Op]) -> int:
    """How many of the first operations come to `MOST_NAMES` and `MOST_SCRIPTS` at most, one at
    least. Nothing else makes one heavier than others."""
    names, scripts = MOST_NAMES, MOST_SCRIPTS
    for number, op in enumerate(ops):
        if type(op) is bytes:
            continue
        if op[0] in PLAIN:
            names -= PLAIN_WEIGHT
        else:
            names -= weight(op)
            scripts -= holds_script(op)
        if (names < 0 or scripts < 0) and number:
            return number
    return len(ops)


class Whole:
    """The replies of a bundle that was parted, until all parts have theirs."""

    def __init__(self, count: int) -> None:
        self.replies: list[Any] = [None] * count
        self._missing = count

    def put(self, at: int, replies: list[Any]) -> bool:
        """True: these were the last."""
        self.replies[at : at + len(replies)] = replies
        self._missing -= len(replies)
        return self._missing == 0


class Bundle(msgspec.Struct):
    """Commands that one connection gave at once, and that are answered at once."""

    token: Token
    count: int
    born: int  # tick
    whole: Whole | None = None  # that this is a part of
    at: int = 0  # its place there

    def part(self, count: int) -> Bundle:
        """The first `count` commands; this bundle is the rest from then on."""
        if self.whole is None:
            self.whole = Whole(self.count)
        first = Bundle(self.token, count, self.born, self.whole, self.at)
        self.count -= count
        self.at += count
        return first


class Batch(msgspec.Struct):
    number: int
    bundles: list[Bundle]
    ops: list[Op]  # writes and the reads between them
    body: bytes
    route: Route
    sent: int  # tick
    answered: bool = False  # with UNKNOWN
    again: int = 1  # times `retry_ticks` until it is sent again
    sendings: int = 1  # 0: nothing of it is anywhere


class Reads(msgspec.Struct):
    id: int
    bundles: list[Bundle]
    ops: list[Op]
    route: Route
    asked: int  # tick
    index: int | None = None  # confirmed: answer once this index is applied


class Gathered:
    """Commands that wait to be sent, oldest first."""

    def __init__(self) -> None:
        self.ops: list[Op] = []
        self.bundles: list[Bundle] = []

    def __len__(self) -> int:
        return len(self.ops)

    def add(self, bundle: Bundle, ops: list[Op]) -> None:
        self.bundles.append(bundle)
        self.ops += ops

    def take(self, most: int) -> tuple[list[Bundle], list[Op]]:
        """The oldest bundles, until `most` commands are reached. Only a bundle of many more is
        parted."""
        if len(self.ops) <= most:
            bundles, ops = self.bundles, self.ops
            self.bundles, self.ops = [], []
            return bundles, ops
        commands = number = 0
        while commands < most:
            commands += self.bundles[number].count
            number += 1
        return self.first(commands if commands <= 2 * most else most)

    def take_each(self) -> list[tuple[Bundle, list[Op]]]:
        """Takes all, each bundle with its commands."""
        return list(each_with_its_own(*self.take(len(self.ops))))

    def older_than(self, tick: int) -> list[Bundle]:
        """Takes those that were added at or before `tick`."""
        return self.first(sum(bundle.count for bundle in self.bundles if bundle.born <= tick))[0]

    def first(self, commands: int) -> tuple[list[Bundle], list[Op]]:
        """Takes the oldest `commands`; the bundle that these end in is parted."""
        ops, number, left = self.ops[:commands], 0, commands
        while left > 0 and self.bundles[number].count <= left:
            left -= self.bundles[number].count
            number += 1
        bundles = self.bundles[:number]
        if left:
            bundles.append(self.bundles[number].part(left))
        del self.bundles[:number], self.ops[:commands]
        return bundles, ops

    def put_back(self, bundles: list[Bundle], ops: list[Op]) -> None:
        self.bundles[:0], self.ops[:0] = bundles, ops


def each_with_its_own(bundles: list[Bundle], ops: list[Op]) -> Iterator[tuple[Bundle, list[Op]]]:
    """Each with its own commands."""
    at = 0
    for bundle in bundles:
        yield bundle, ops[at : at + bundle.count]
        at += bundle.count
