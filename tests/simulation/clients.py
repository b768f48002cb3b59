"""Clients of the simulated cluster and what they know afterwards.

An exactly-once client repeats its command under the same producer and sequence, through any node,
until it has an answer; a plain client asks once and notes "unknown" when it gets none. Both check
every value they see against what real time allows. Some increments are scripts, and some requests
are scripts that fail: of those nothing may stay."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, Any

from counter_node.counters import ops as o
from counter_node.counters.replies import Failure

from tests.simulation import scripts
from tests.simulation.invariants import MAX_ENTRY_BYTES, Broken

if TYPE_CHECKING:
    from tests.simulation.node import Node
    from tests.simulation.world import World

GIVE_UP_MS = 6_000


@dataclasses.dataclass
class Ledger:
    """Per key: what was asked for, what was acknowledged, and the newest value in any reply."""

    started: int = 0  # increments that may have been executed so far
    acknowledged: int = 0
    unknown: int = 0
    newest: int = 0  # highest value in any finished answer
    failed: int = 0  # scripts that fail, and did
    values: set[int] = dataclasses.field(default_factory=set)


class Client:
    """Does one thing at a time: increments or reads of one key, through whatever node it is
    connected to."""

    def __init__(
        self,
        world: World,
        name: str,
        key: bytes,
        ledger: Ledger,
        *,
        exactly_once: bool,
        read_share: float,
        ops: Any,
    ) -> None:
        self.world, self.name, self.key, self.ledger = world, name, key, ledger
        self.exactly_once, self._read_share, self._ops = exactly_once, read_share, ops
        self.done = self.stopped = self.busy = False
        self.finished = 0
        self._sequence = 0
        self._with_text = False  # EVALSHA did not find the script
        self._attempts = itertools.count()
        self._attempt = -1
        self._node: Node | None = None
        self._doing = "nothing"
        self._floor = 0
        world.on_node_down.append(self._on_node_down)
        world.at(world.random.uniform(0, 50), self._next)

    def stop(self) -> None:
        """Finish what is under way, start nothing new."""
        self.stopped = True

    def _next(self) -> None:
        if self.stopped:
            self.done = True
            return
        self._floor = self.ledger.newest
        if self.world.random.random() < self._read_share:
            self._doing = "get"
        else:
            self._sequence += 1
            self._with_text = False
            self._doing = "fail" if self._sequence % 8 == 5 else "incr"
            self.ledger.started += self._doing == "incr"
        self._send()

    def _send(self) -> None:
        self._attempt = next(self._attempts)
        attempt = self._attempt
        up = [n for n in self.world.up_nodes() if n.replica is not None and n.replica.is_voter]
        if not up:
            self.world.at(100, lambda: self._retry(attempt))
            return
        self._node = self.world.random.choice(up)
        self.world.at(GIVE_UP_MS, lambda: self._timed_out(attempt))
        self._node.request(lambda node: self._submit(node, attempt))

    def _submit(self, node: Node, attempt: int) -> None:
        assert node.replica is not None

        def token(reply: Any) -> None:
            self._answer(attempt, reply)

        if self._doing == "get":
            node.replica.submit_read(token, [self._ops.get(self.key)])
        elif self.exactly_once:
            once = self._ops.idmp(self.name.encode(), self._sequence, self._write())
            node.replica.submit_write(token, [once])
        else:
            node.replica.submit_write(token, [self._write()])

    def _write(self) -> Any:
        if self._doing == "fail":
            return scripts.fails(self.key)
        if self._sequence % 4 == 1 or self._with_text:
            return scripts.count(self.key)
        if self._sequence % 4 == 3 and not self.exactly_once:
            return scripts.count_by_sha(self.key)
        return self._ops.incr(self.key)

    def _answer(self, attempt: int, reply: Any) -> None:
        if attempt != self._attempt:
            return
        self.world.trace("reply", self.name, repr(reply))
        if isinstance(reply, Failure):
            self._failed(attempt, bytes(reply))
        elif self._doing == "get":
            self._read(int(reply or 0))
        elif self._doing == "fail":
            raise Broken(f"{self.name}: a script that fails was answered {reply!r}")
        else:
            self._counted(int(reply))

    def _failed(self, attempt: int, error: bytes) -> None:
        if error.startswith((b"LOADING", b"MISCONF")) or self._doing == "get":
            self.world.at(self.world.random.uniform(20, 200), lambda: self._retry(attempt))
        elif error.startswith(b"UNKNOWN"):
            self._unknown(attempt)
        elif error.startswith(b"NOSCRIPT") and not self._with_text and not self.exactly_once:
            self._with_text = True
            self._retry(attempt)
        elif error.startswith(scripts.TAKEN_BACK) and self._doing == "fail":
            self.ledger.failed += 1
            self._finish()
        else:
            raise Broken(f"{self.name} got {error.decode()!r} for {self._doing} {self._sequence}")

    def _timed_out(self, attempt: int) -> None:
        if attempt == self._attempt and not self.done:
            self._unknown(attempt)

    def _on_node_down(self, node: Node) -> None:
        if node is self._node and not self.done:
            attempt = self._attempt
            self._node = None
            self.world.at(self.world.random.uniform(1, 50), lambda: self._lost_connection(attempt))

    def _lost_connection(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._unknown(attempt)

    def _unknown(self, attempt: int) -> None:
        if self._doing != "incr" or self.exactly_once:
            self._retry(attempt)
        else:
            self.ledger.unknown += 1
            self._finish()

    def _retry(self, attempt: int) -> None:
        if attempt == self._attempt:
            self._send()

    def _read(self, value: int) -> None:
        if not self._floor <= value <= self.ledger.started:
            raise Broken(
                f"linearizable read: {self.name} read {value} of {self.key!r}; {self._floor} had "
                f"been answered before it asked, "
                f"{self.ledger.started} were ever asked for\n{self.world.state()}"
            )
        self.ledger.newest = max(self.ledger.newest, value)
        self._finish()

    def _counted(self, value: int) -> None:
        ledger = self.ledger
        if value in ledger.values:
            raise Broken(
                f"exactly once: {self.name} was answered {value} of {self.key!r}, as another "
                f"increment was before\n{self.world.state()}"
            )
        if not (self._floor < value <= ledger.started):
            raise Broken(
                f"linearizable increment: {self.name} got {value}, after {self._floor} and "
                f"of {ledger.started} asked for"
            )
        ledger.values.add(value)
        ledger.acknowledged += 1
        ledger.newest = max(ledger.newest, value)
        self._finish()

    def _finish(self) -> None:
        self._attempt = -1
        self._node = None
        self.finished += 1
        self.world.at(self.world.random.uniform(0, 20), self._next)


class Bulk:
    """A connection that sends far more at once than an entry takes: many increments of a counter of
    its own with reads among them, long commands, and now and then one that no entry takes. Each
    bundle is answered whole, every command in its place."""

    KEY = b"bulk"

    def __init__(self, world: World, clients: int) -> None:
        self.world, self.stopped = world, False
        self._rest_ms = 400.0 if clients else 1e9
        self._asked = 0  # increments that may have been executed
        self._acknowledged = 0
        self._number = 0
        world.at(world.random.uniform(0, 500), self._next)

    def _next(self) -> None:
        chance, up = (
            self.world.random,
            [n for n in self.world.up_nodes() if n.replica is not None and n.replica.is_voter],
        )
        if self.stopped:
            return
        if not up:
            self.world.at(100, self._next)
            return
        size = chance.choice((3, 30, 300))
        ops: list[Any] = [
            chance.choice(
                (self.KEY, self.KEY, [o.GET, self.KEY], [o.DEL, [b"x" * chance.randrange(400)]])
            )
            for _ in range(size)
        ]
        if chance.random() < 0.1:
            ops.insert(chance.randrange(len(ops)), [o.DEL, [b"y" * MAX_ENTRY_BYTES]])
        self._number += 1
        number = self._number
        chance.choice(up).request(lambda node: self._submit(node, number, ops))
        self.world.at(GIVE_UP_MS, lambda: self._over(number))

    def _submit(self, node: Node, number: int, ops: list[Any]) -> None:
        assert node.replica is not None
        self._asked += sum(op == self.KEY for op in ops)
        node.replica.submit_write(
            lambda *replies: self._answered(number, ops, replies), ops, mixed=True
        )

    def _answered(self, number: int, ops: list[Any], replies: tuple[Any, ...]) -> None:
        if len(replies) != len(ops):
            raise Broken(f"bulk: {len(replies)} replies for {len(ops)} commands")
        for op, reply in zip(ops, replies, strict=True):
            too_large = op not in (self.KEY, [o.GET, self.KEY]) and len(op[1][0]) == MAX_ENTRY_BYTES
            failed = isinstance(reply, Failure)
            if failed and not bytes(reply).startswith(
                (b"ERR a command", b"LOADING", b"UNKNOWN", b"MISCONF")
            ):
                raise Broken(f"bulk: {reply!r} for {op!r}")
            if too_large and not failed:
                raise Broken(f"bulk: a command that no entry takes was answered {reply!r}")
            if not failed and (op == self.KEY or op == [o.GET, self.KEY]):
                value = int(reply or 0)
                if not self._acknowledged + (op == self.KEY) <= value <= self._asked:
                    raise Broken(
                        f"bulk: {value} after {self._acknowledged}, {self._asked} asked for"
                    )
                self._acknowledged = value
        self._over(number)

    def _over(self, number: int) -> None:
        if number == self._number:
            self._number += 1
            self.world.at(self.world.random.uniform(0, self._rest_ms), self._next)
